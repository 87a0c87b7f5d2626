package valkeyqueue

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"imgopt/failure"
	"imgopt/jobs"
)

var specs = []jobs.Spec{
	{},
	{Href: "/a.png", Width: 64, Quality: 75, Format: "image/webp"},
	{Href: "/a.png", Width: 64, Quality: 75, Deployment: "v1"},
	{Href: "https://a", Absolute: true, Deployment: strings.Repeat("z", maxName)},
	{Href: "https://example.com/\xff\n?a=\"b\"", Absolute: true, Width: 3840, Quality: 100, Format: "image/avif"},
	{Href: strings.Repeat("x", maxHref), Format: strings.Repeat("y", maxFormat), Width: maxNumber, Quality: maxNumber},
}

var failures = []*failure.Error{
	failure.New(http.StatusNotFound, "not_found", "none"),
	{Status: 599, Reason: "r", Text: "t", Retryable: true, Timeout: true, RetryAfter: time.Hour, Cause: errors.New("c")},
	{Status: 400},
}

func TestItemCodec(t *testing.T) {
	for _, want := range specs {
		b, err := appendItem(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeItem(b); got != want || err != nil {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
		for n := range b {
			if len(b) > 1000 && n%97 != 0 {
				continue
			}
			if _, err := decodeItem(b[:n]); err == nil {
				t.Errorf("%d of %d bytes are read", n, len(b))
			}
		}
		if _, err := decodeItem(append(b, 0)); err == nil {
			t.Error("more bytes are read")
		}
	}
	for _, s := range []jobs.Spec{
		{Href: strings.Repeat("x", maxHref+1)}, {Format: strings.Repeat("x", maxFormat+1)}, {Width: -1}, {Width: maxNumber + 1},
		{Quality: -1}, {Quality: maxNumber + 1}, {Deployment: strings.Repeat("x", maxName+1)},
	} {
		if _, err := appendItem(nil, s); err == nil {
			t.Errorf("%.100v was encoded", s)
		}
	}
}

func TestOutcomeCodec(t *testing.T) {
	for _, want := range failures {
		b := appendOutcome(nil, want, []byte("not for a failure"))
		end, err := decodeOutcome(b)
		if err != nil || end.Lost || end.Ref != nil {
			t.Fatalf("%v became %+v, %v", want, end, err)
		}
		got := *end.Failure
		if (got.Cause == nil) != (want.Cause == nil) || got.Error() != want.Error() {
			t.Errorf("%v became %v", want, &got)
		}
		got.Cause = want.Cause
		if got != *want {
			t.Errorf("%+v became %+v", want, got)
		}
		for n := range b {
			if _, err := decodeOutcome(b[:n]); err == nil {
				t.Errorf("%d of %d bytes are read", n, len(b))
			}
		}
	}
	for _, ref := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("x"), maxRef)} {
		end, err := decodeOutcome(appendOutcome(nil, nil, ref))
		if err != nil || !bytes.Equal(end.Ref, ref) || end.Failure != nil || end.Lost {
			t.Errorf("%q became %+v, %v", ref, end, err)
		}
	}
	if end, err := decodeOutcome([]byte{outcomeLost}); err != nil || !end.Lost {
		t.Errorf("%+v, %v", end, err)
	}
	for _, b := range []string{
		"", "x", "lx", "d" + strings.Repeat("x", maxRef+1),
		"s\x94\x03\x00\x00\x00\x00\x00", // 404 is none of the server's
		"f\xf4\x03\x00\x00\x00\x00\x00", // 500 is
		"s\x00\x00\x00\x00\x00\x00", "f\xac\x02\x00\x00\x00\x00\x00", "s\xf4\x03\x04\x00\x00\x00\x00", "s\xf4\x03\x00\x00\x41",
	} {
		if end, err := decodeOutcome([]byte(b)); err == nil {
			t.Errorf("%q became %+v", b, end)
		}
	}
}

// What is too long is cut, so that it can be read.
func TestOutcomeIsBounded(t *testing.T) {
	long := strings.Repeat("ä", 4000)
	f := &failure.Error{Status: 502, Reason: long, Text: "x" + long, Cause: errors.New(strings.Repeat("\x80", 9000)), RetryAfter: 1 << 62}
	end, err := decodeOutcome(appendOutcome(nil, f, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := end.Failure; got.Reason != strings.Repeat("ä", maxReason/2) || got.Text != "x"+strings.Repeat("ä", maxText/2-1) ||
		len(got.Cause.Error()) != maxCause || got.RetryAfter != maxNumber*time.Millisecond {
		t.Errorf("%+v", got)
	}
	if end, err := decodeOutcome(appendOutcome(nil, &failure.Error{Status: 502, RetryAfter: -1}, nil)); err != nil || end.Failure.RetryAfter != 0 {
		t.Errorf("%+v, %v", end.Failure, err)
	}
}

func FuzzItem(f *testing.F) {
	for _, s := range specs {
		b, err := appendItem(nil, s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeItem(b)
		if err != nil {
			return
		}
		if again, err := appendItem(nil, s); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q was read as %+v, which is written as %q, %v", b, s, again, err)
		}
	})
}

func FuzzMessage(f *testing.F) {
	key := string(make([]byte, len(jobs.Key{})))
	for _, e := range failures {
		f.Add(key + string(appendOutcome(nil, e, nil)))
	}
	f.Add(key + string(appendOutcome(nil, nil, []byte("ref"))))
	f.Add(key + string(rune(outcomeLost)))
	f.Add("short")
	f.Fuzz(func(t *testing.T, m string) {
		k, end, err := decodeMessage(m)
		if err != nil {
			return
		}
		if string(k[:]) != m[:len(k)] {
			t.Errorf("the key of %q is %v", m, k)
		}
		if end.Lost {
			return
		}
		if again := appendOutcome(nil, end.Failure, end.Ref); string(again) != m[len(k):] {
			t.Errorf("%q was read as %+v, which is written as %q", m, end, again)
		}
	})
}

func FuzzDeadLetter(f *testing.F) {
	for i, s := range specs {
		item, err := appendItem(nil, s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("1700000000000-0", make([]byte, 32), item, "1", "3", appendOutcome(nil, failures[i%len(failures)], nil))
	}
	f.Add("x", []byte("x"), []byte{}, "9", "-1", []byte("d"))
	f.Fuzz(func(t *testing.T, id string, key, item []byte, kind, attempts string, outcome []byte) {
		d, err := decodeDead(id, map[string]string{"j": string(key), "i": string(item), "k": kind, "a": attempts, "f": string(outcome)})
		if err == nil && (d.Failure == nil || d.Job.Attempt < 0 || d.Job.Kind > jobs.Prewarm || len(d.Job.Spec.Href) > maxHref) {
			t.Errorf("it was read as %+v", d)
		}
	})
}

// What a server says is held to limits, whatever it says.
func FuzzLeaseReply(f *testing.F) {
	item, err := appendItem(nil, specs[1])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(make([]byte, 32), item, "0", "1", "0", "7", "1234", "")
	f.Add(make([]byte, 32), item, "2", "1", "1", "0", "-5", "1e300")
	f.Add([]byte("x"), item, "3", "-1", "2", "8", "NaN", "x")
	f.Fuzz(func(t *testing.T, key, item []byte, kind, attempt, priority, shard, age, left string) {
		h := &held{}
		l, err := parseLease([]string{"L", string(key), string(item), kind, attempt, priority, shard, age, left, "0"}, h, time.Now())
		if h.shard < 0 || h.shard >= shards || h.priority >= priorities {
			t.Errorf("in shard %d, of priority %d", h.shard, h.priority)
		}
		if err == nil && (l.Attempt < 0 || l.Kind > jobs.Prewarm || l.Priority != h.priority || l.Key != h.key) {
			t.Errorf("it was read as %+v", l)
		}
	})
}

func TestOptions(t *testing.T) {
	good := Options{Client: nil, Version: "1", Limits: jobs.DefaultLimits()}
	if _, err := Open(good); err == nil {
		t.Error("opened without a client")
	}
	for _, name := range []string{"", "host", strings.Repeat("x", 500), "a b\nc{d}ä"} {
		got := instance(name)
		if got == instance(name) || len(got) > maxReplica+1+instanceLen || strings.ContainsAny(got, " \n{}") {
			t.Errorf("%q became %q", name, got)
		}
	}
	if tagOf("a") == tagOf("b") || len(tagOf("a")) != 1+hashLen {
		t.Errorf("tags %q, %q", tagOf("a"), tagOf("b"))
	}
	for d, want := range map[time.Duration]string{time.Second: "1000000", -time.Minute: "-60000000", 1<<63 - 1: "3153600000000000"} {
		if got := micros(d); got != want {
			t.Errorf("%v is %s µs, want %s", d, got, want)
		}
	}
}
