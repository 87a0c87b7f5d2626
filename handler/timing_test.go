package handler

import (
	"context"
	"strings"
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/failure"
	"imgopt/testkit/race"
	"imgopt/validate"
)

const testToken = "let-me-see"

// timed answers with what is asked for by width.
func timed() *fakeImages {
	entry := testEntry(1000)
	return &fakeImages{
		lookup: func(p validate.Params) (Result, bool) {
			switch p.Width {
			case 64:
				return Result{Entry: entry, State: cache.Hit}, true
			case 96:
				return Result{Entry: entry, State: cache.Stale}, true
			}
			return Result{}, false
		},
		get: func(_ context.Context, p validate.Params) (Result, error) {
			switch p.Width {
			case 128:
				return Result{Entry: entry, State: cache.Miss, Timing: &Timing{
					Wait: 3100 * time.Microsecond, Fetch: 48 * time.Millisecond, Encode: 1500 * time.Millisecond, Store: 900 * time.Nanosecond,
				}}, nil
			case 256: // passed through, and waited for no one
				return Result{Entry: entry, State: cache.Miss, Timing: &Timing{Fetch: time.Second, Wait: -1}}, nil
			}
			return Result{}, failure.New(502, "upstream", "x")
		},
	}
}

func TestServerTiming(t *testing.T) {
	const (
		hit  = `cache;desc="HIT"`
		miss = `cache;desc="MISS", wait;dur=3.1, fetch;dur=48, encode;dur=1500, store;dur=0`
	)
	right, wrong := "X-Imgopt-Timing: "+testToken, "X-Imgopt-Timing: let-me-sed"
	for name, c := range map[string]struct {
		mode  ServerTiming
		token string
		want  map[string]string // by width and header
	}{
		"never": {TimingNever, "", map[string]string{"64": "", "128": "", "64 X-Imgopt-Timing: 1": ""}},
		"always": {TimingAlways, "", map[string]string{
			"64": hit, "96": `cache;desc="STALE"`, "128": miss, "256": `cache;desc="MISS", fetch;dur=1000`, "384": "",
			"64 If-None-Match: " + testEntry(1).ETag: hit, "128 If-None-Match: " + testEntry(1).ETag: miss,
		}},
		"on request": {TimingOnRequest, testToken, map[string]string{
			"64": "", "128": "", "64 " + right: hit, "128 " + right: miss, "64 " + wrong: "", "128 " + wrong: "", "64 X-Imgopt-Timing:": "",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			addr := start(t, timed(), func(o *Options) { o.ServerTiming, o.ServerTimingToken = c.mode, c.token })
			for ask, want := range c.want {
				width, header, _ := strings.Cut(ask, " ")
				got := send(t, addr, request("GET", "/_next/image?url=%2Fa.jpg&w="+width+"&q=75", orDefault(header, "X: y")))
				values := got.Header.Values("Server-Timing")
				if v := strings.Join(values, "|"); v != want {
					t.Errorf("%s (%d): %q, want %q", ask, got.StatusCode, v, want)
				}
			}
		})
	}
}

func TestServerTimingOptions(t *testing.T) {
	for _, c := range []struct {
		mode  ServerTiming
		token string
		ok    bool
	}{
		{TimingNever, "", true}, {TimingAlways, "", true}, {TimingOnRequest, "12345678", true},
		{TimingOnRequest, "", false}, {TimingOnRequest, "1234567", false}, {TimingNever, testToken, false}, {TimingAlways, testToken, false},
		{-1, "", false}, {3, "", false},
	} {
		o := testOptions()
		o.ServerTiming, o.ServerTimingToken = c.mode, c.token
		if _, err := New(timed(), testRules(t), o); (err == nil) != c.ok {
			t.Errorf("%d %q: %v", c.mode, c.token, err)
		}
	}
}

// A hit costs no allocation whoever is told.
func TestServerTimingAllocations(t *testing.T) {
	for name, o := range map[string]Options{
		"always": {ServerTiming: TimingAlways}, "asked": {ServerTiming: TimingOnRequest, ServerTimingToken: testToken},
		"not asked": {ServerTiming: TimingOnRequest, ServerTimingToken: testToken},
	} {
		all := testOptions()
		all.ServerTiming, all.ServerTimingToken = o.ServerTiming, o.ServerTimingToken
		app, err := New(hits(testEntry(45<<10)), testRules(t), all)
		if err != nil {
			t.Fatal(err)
		}
		ctx := benchCtx()
		if name == "asked" {
			ctx = benchCtx(headerTiming, testToken)
		}
		h := app.Server().Handler
		allocs := testing.AllocsPerRun(200, func() {
			ctx.Response.Reset()
			h(ctx)
		})
		if told := len(ctx.Response.Header.Peek("Server-Timing")) > 0; told != (name != "not asked") {
			t.Errorf("%s: told: %t", name, told)
		}
		if allocs > 0 && !race.Enabled {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}
