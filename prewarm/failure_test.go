package prewarm

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAttempts(t *testing.T) {
	again := func(after time.Duration) *Failure {
		return &Failure{Reason: ReasonStatus, Status: 503, Detail: "busy", retryable: true, after: after}
	}
	for _, c := range []struct {
		name     string
		n        int
		answers  []*Failure // nil: success
		made     int
		ok       bool
		min, max time.Duration // of all pauses
	}{
		{"at once", 4, []*Failure{nil}, 1, true, 0, 0},
		{"final", 4, []*Failure{{Reason: ReasonStatus, Status: 404}}, 1, false, 0, 0},
		{"second", 4, []*Failure{again(0), nil}, 2, true, 250 * time.Millisecond, 750 * time.Millisecond},
		{"growing", 4, []*Failure{again(0), again(0), again(0), nil}, 4, true, 1750 * time.Millisecond, 5250 * time.Millisecond},
		{"exhausted", 3, []*Failure{again(0), again(0), again(0)}, 3, false, 750 * time.Millisecond, 2250 * time.Millisecond},
		{"told to wait", 4, []*Failure{again(20 * time.Second), again(time.Minute), nil}, 3, true, 80 * time.Second, 80 * time.Second},
		{"told to wait too long", 4, []*Failure{again(6 * time.Minute)}, 1, false, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, calls := time.Now(), 0
				var told time.Duration
				made, last := attempts(t.Context(), c.n, func(pause time.Duration, f *Failure) { told += pause }, func(context.Context) *Failure {
					calls++
					return c.answers[calls-1]
				})
				took := time.Since(began)
				if made != c.made || calls != c.made || (last == nil) != c.ok {
					t.Errorf("%d attempts, %d calls, %v", made, calls, last)
				}
				if took < c.min || took > c.max || told != took {
					t.Errorf("paused %v, told of %v, want %v to %v", took, told, c.min, c.max)
				}
				if last != nil && last.Attempts != made {
					t.Errorf("failure of attempt %d", last.Attempts)
				}
			})
		})
	}
}

func TestAttemptsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		made, last := attempts(ctx, 100, nil, func(context.Context) *Failure {
			return &Failure{Reason: ReasonStatus, retryable: true, after: 4 * time.Second}
		})
		if made != 3 || last == nil || time.Since(began) != 10*time.Second {
			t.Errorf("%d attempts in %v, %v", made, time.Since(began), last)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-7": 0, "7.5": 0, "soon": 0, "99999999999": 0,
		"Sat, 21 Nov 2026 12:01:30 GMT": 90 * time.Second, "Sat, 21 Nov 2026 11:00:00 GMT": 0,
		"Saturday, 21-Nov-26 12:00:05 GMT": 5 * time.Second,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func TestStatusFailures(t *testing.T) {
	for status, retryable := range map[int]bool{400: false, 401: false, 403: false, 404: false, 413: false, 508: false, 501: false,
		429: true, 500: true, 502: true, 503: true, 504: true} {
		f := statusFailure(&http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"3"}}}, "why", time.Now())
		if f.retryable != retryable || f.Status != status || (f.after == 3*time.Second) != retryable || !strings.HasSuffix(f.Error(), "why") {
			t.Errorf("%d: %+v", status, f)
		}
	}
}

func TestTexts(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 10 << 10: "10.0 KiB", 10239: "10.0 KiB", 102348: "99.9 KiB",
		102400: "100 KiB", 1023 << 10: "1.00 MiB", 1 << 20: "1.00 MiB", 5 << 40: "5.00 TiB", -2048: "-2.00 KiB"} {
		if got := Size(bytes); got != want {
			t.Errorf("Size(%d) = %s, want %s", bytes, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0ms", 310 * time.Millisecond: "310ms", 3100 * time.Millisecond: "3.10s", 12400 * time.Millisecond: "12.4s",
		185 * time.Second: "3m05s", 2*time.Hour + 4*time.Minute: "2h04m", 59*time.Minute + 59*time.Second: "59m59s"} {
		if got := Span(d); got != want {
			t.Errorf("Span(%v) = %s, want %s", d, got, want)
		}
	}
	if got := shorten("0123456789", 7); got != "012…789" {
		t.Errorf("shorten: %s", got)
	}
	if got := oneLine("a\r\nb\x1b[31mc"); got != "a  b [31mc" {
		t.Errorf("oneLine: %q", got)
	}
}
