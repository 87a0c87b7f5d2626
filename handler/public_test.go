package handler

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"imgopt/cache"
	"imgopt/failure"
	"imgopt/testkit/race"
	"imgopt/validate"
)

func TestOtherMethods(t *testing.T) {
	addr := start(t, hits(testEntry(100)), nil)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"} {
		got := send(t, addr, request(method, aJPG))
		if got.StatusCode != 405 || got.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, got.StatusCode, got.Header.Get("Allow"))
		}
		mustNotBeCached(t, got)
	}
}

func TestElsewhere(t *testing.T) {
	addr := start(t, hits(testEntry(100)), nil)
	for _, target := range []string{"/", "/_next", "/_next/imag", "/_next/images", "/_next/image/x", "/_next/%69mage", "/_next/image%2f", "/_NEXT/image", "/base" + aJPG, "/favicon.ico", "*", "/..", "/_next/image;x"} {
		got := send(t, addr, request("GET", target))
		if got.StatusCode != 404 || string(got.body) != "Not Found" || got.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %q %v", target, got.StatusCode, got.body, got.Header)
		}
		mustNotBeCached(t, got)
	}
}

func TestDisabled(t *testing.T) {
	addr := start(t, hits(testEntry(100)), func(o *Options) { o.Disabled = true })
	for _, raw := range []string{request("GET", aJPG), request("GET", "/_next/image"), request("POST", aJPG)} {
		if got := send(t, addr, raw); got.StatusCode != 404 || string(got.body) != "Not Found" {
			t.Errorf("%q: %d %q", raw, got.StatusCode, got.body)
		}
	}
}

// mustNotBeCached wants none of the headers that would have an answer kept.
func mustNotBeCached(t *testing.T, r reply) {
	t.Helper()
	if cc := r.Header.Get("Cache-Control"); strings.Contains(cc, "public") || strings.Contains(cc, "immutable") {
		t.Errorf("a %d says Cache-Control: %s", r.StatusCode, cc)
	}
	for _, name := range []string{"ETag", "X-Nextjs-Cache", "Content-Disposition", "Last-Modified", "Expires", "Server"} {
		if v := r.Header.Get(name); v != "" {
			t.Errorf("a %d says %s: %s", r.StatusCode, name, v)
		}
	}
}

func TestFailures(t *testing.T) {
	cases := []struct {
		name       string
		err        error
		status     int
		text       string
		retryAfter string
	}{
		{"upstream", failure.New(404, "upstream_status", failure.TextUpstreamInvalid), 404, failure.TextUpstreamInvalid, ""},
		{"exhausted", &failure.Error{Status: 502, Reason: "upstream_unreachable", Text: failure.TextUpstreamInvalid, Retryable: true}, 502, failure.TextUpstreamInvalid, ""},
		{"timed out", &failure.Error{Status: 504, Reason: "timeout", Text: failure.TextUpstreamTimeout, Timeout: true}, 504, failure.TextUpstreamTimeout, ""},
		{"overload", &failure.Error{Status: 503, Reason: "queue_full", Text: "Service Unavailable", RetryAfter: 1200 * time.Millisecond}, 503, "Service Unavailable", "2"},
		{"a second", &failure.Error{Status: 503, Reason: "queue_full", Text: "Service Unavailable", RetryAfter: time.Second}, 503, "Service Unavailable", "1"},
		{"private", errors.New("dial tcp 10.0.0.1: secret"), 500, "Internal Server Error", ""},
		{"wrapped", errors.Join(errors.New("x"), failure.New(413, "too_large", "text")), 413, "text", ""},
		{"deadline", context.DeadlineExceeded, 504, failure.TextUpstreamTimeout, ""},
		{"odd status", failure.New(599, "upstream_status", "text"), 599, "text", ""},
	}
	var mu sync.Mutex
	var current error
	addr := start(t, &fakeImages{get: func(context.Context, validate.Params) (Result, error) {
		mu.Lock()
		defer mu.Unlock()
		return Result{}, current
	}}, nil)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			mu.Lock()
			current = c.err
			mu.Unlock()
			got := send(t, addr, request("GET", aJPG))
			if got.StatusCode != c.status || string(got.body) != c.text || got.Header.Get("Retry-After") != c.retryAfter {
				t.Errorf("%d %q, Retry-After %q", got.StatusCode, got.body, got.Header.Get("Retry-After"))
			}
			mustNotBeCached(t, got)
			if head := send(t, addr, request("HEAD", aJPG)); head.StatusCode != c.status || len(head.body) > 0 || head.ContentLength > 0 {
				t.Errorf("HEAD: %d, %d bytes, Content-Length %d", head.StatusCode, len(head.body), head.ContentLength)
			}
		})
	}
}

// A bug in another room costs one request and not the process.
func TestPanic(t *testing.T) {
	outcomes := make(chan Outcome, 1)
	log := &logBuffer{}
	addr := start(t, &fakeImages{
		get: func(context.Context, validate.Params) (Result, error) { panic("boom") },
	}, func(o *Options) { o.Log, o.Observer = log.logger(), observing(outcomes) })
	got := send(t, addr, request("GET", aJPG))
	if got.StatusCode != 500 || string(got.body) != "Internal Server Error" {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
	if o := <-outcomes; o.Reason != "panic" || o.Status != 500 {
		t.Errorf("outcome %+v", o)
	}
	if s := log.String(); !strings.Contains(s, "boom") || !strings.Contains(s, "public_test.go") || !strings.Contains(s, "level=ERROR") {
		t.Errorf("log: %s", s)
	}
}

// A type that Next has no extension for is a TypeError there.
func TestUnknownMediaType(t *testing.T) {
	e := testEntry(10)
	e.ContentType = "text/html"
	got := send(t, start(t, hits(e), nil), request("GET", aJPG))
	if got.StatusCode != 500 || string(got.body) != "Internal Server Error" {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
	mustNotBeCached(t, got)
}

func TestStates(t *testing.T) {
	for _, state := range []cache.State{cache.Hit, cache.Stale, cache.Miss} {
		images := &fakeImages{get: func(context.Context, validate.Params) (Result, error) {
			return Result{Entry: testEntry(10), State: state, Coalesced: true}, nil
		}}
		outcomes := make(chan Outcome, 1)
		got := send(t, start(t, images, func(o *Options) { o.Observer = observing(outcomes) }), request("GET", aJPG))
		if s := got.Header.Get("X-Nextjs-Cache"); s != string(state) {
			t.Errorf("X-Nextjs-Cache %q, want %s", s, state)
		}
		o := <-outcomes
		o.Duration = 0
		if want := (Outcome{Status: 200, Reason: "ok", State: state, Coalesced: true, Bytes: 10}); o != want {
			t.Errorf("outcome %+v, want %+v", o, want)
		}
	}
}

// The longest legal url, fully percent-encoded, with 8 KB of cookies.
func TestLongestURL(t *testing.T) {
	url := "/" + strings.Repeat("é", 3071)
	seen := make(chan string, 1)
	addr := start(t, &fakeImages{get: func(_ context.Context, p validate.Params) (Result, error) {
		seen <- p.Href
		return Result{Entry: testEntry(10), State: cache.Miss}, nil
	}}, nil)
	var encoded strings.Builder
	for _, c := range []byte(url) {
		encoded.WriteString("%")
		encoded.WriteByte(upperHex[c>>4])
		encoded.WriteByte(upperHex[c&15])
	}
	got := send(t, addr, request("GET", "/_next/image?url="+encoded.String()+"&w=64&q=75", "Cookie: a="+strings.Repeat("x", 8<<10)))
	if got.StatusCode != 200 {
		t.Fatalf("%d %q", got.StatusCode, got.body)
	}
	if href := <-seen; href != url {
		t.Errorf("href has %d bytes, want %d", len(href), len(url))
	}
	if got := send(t, addr, request("GET", "/_next/image?url="+encoded.String()+"x&w=64&q=75")); got.StatusCode != 400 || string(got.body) != `"url" parameter is too long` {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
}

// What outlives the request must not be fasthttp's memory, which the next request overwrites.
func TestParamsAreCopies(t *testing.T) {
	var kept []validate.Params
	addr := start(t, &fakeImages{get: func(_ context.Context, p validate.Params) (Result, error) {
		kept = append(kept, p)
		return Result{Entry: testEntry(10), State: cache.Miss}, nil
	}}, nil)
	c := dial(t, addr)
	r := bufio.NewReader(c)
	for _, name := range []string{"aaaaaaaa", "bbbbbbbb", "cccccccc"} {
		if _, err := io.WriteString(c, request("GET", "/_next/image?url=/"+name+"&w=64&q=75", "Accept: image/webp")); err != nil {
			t.Fatal(err)
		}
		read(t, r, "GET")
	}
	for i, want := range []string{"/aaaaaaaa", "/bbbbbbbb", "/cccccccc"} {
		if p := kept[i]; p.Href != want || p.URL != want || p.Format != "image/webp" {
			t.Errorf("kept %+v, want %s", p, want)
		}
	}
}

// The work has its own deadline.
func TestWorkContext(t *testing.T) {
	addr := start(t, &fakeImages{get: func(ctx context.Context, _ validate.Params) (Result, error) {
		deadline, ok := ctx.Deadline()
		if in := time.Until(deadline); !ok || in < 50*time.Second || in > time.Minute {
			t.Errorf("deadline in %v", in)
		}
		return Result{Entry: testEntry(10), State: cache.Miss}, nil
	}}, func(o *Options) { o.Timeout = time.Minute })
	if got := send(t, addr, request("GET", aJPG)); got.StatusCode != 200 {
		t.Errorf("%d", got.StatusCode)
	}
}

func TestTimeout(t *testing.T) {
	addr := start(t, &fakeImages{get: func(ctx context.Context, _ validate.Params) (Result, error) {
		<-ctx.Done()
		return Result{}, ctx.Err()
	}}, func(o *Options) { o.Timeout = time.Millisecond })
	if got := send(t, addr, request("GET", aJPG)); got.StatusCode != 504 || string(got.body) != failure.TextUpstreamTimeout {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
}

// The parent context ends waiting for work, as at the end of a grace period.
func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	addr := start(t, &fakeImages{get: func(ctx context.Context, _ validate.Params) (Result, error) {
		<-ctx.Done()
		return Result{}, ctx.Err()
	}}, func(o *Options) { o.Context = ctx })
	if got := send(t, addr, request("GET", aJPG)); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("%d %q %v", got.StatusCode, got.body, got.Header)
	}
}

func TestOptionErrors(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"basePath without slash":   func(o *Options) { o.BasePath = "base" },
		"basePath ends with slash": func(o *Options) { o.BasePath = "/base/" },
		"disposition":              func(o *Options) { o.ContentDispositionType = "form-data" },
		"policy with line break":   func(o *Options) { o.ContentSecurityPolicy = "a\r\nSet-Cookie: x" },
	} {
		o := testOptions()
		change(&o)
		if _, err := New(hits(testEntry(1)), testRules(t), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(nil, testRules(t), testOptions()); err == nil {
		t.Error("without images: no error")
	}
}

// What could not be read is counted and logged, too.
func TestRefused(t *testing.T) {
	outcomes := make(chan Outcome, 1)
	log := &logBuffer{}
	addr := start(t, hits(testEntry(10)), func(o *Options) { o.Log, o.Observer = log.logger(), observing(outcomes) })
	for raw, want := range map[string]Outcome{
		"nonsense\r\n\r\n":                                      {Status: 400, Reason: "bad_request"},
		request("GET", aJPG, "Content-Length: 99"):              {Status: 413, Reason: "request_body"},
		request("GET", aJPG, "X: "+strings.Repeat("y", 40<<10)): {Status: 431, Reason: "request_header_too_large"},
	} {
		send(t, addr, raw)
		if got := <-outcomes; got != want {
			t.Errorf("%.30q: %+v, want %+v", raw, got, want)
		}
		if s := log.String(); !strings.Contains(s, "reason="+want.Reason) || !strings.Contains(s, "remote=127.0.0.1:") || strings.Contains(s, "yyy") {
			t.Errorf("log: %s", s)
		}
	}
}

// Other settings prepare other headers, even for an entry that has some.
func TestPreparedBySettings(t *testing.T) {
	e := testEntry(10)
	a := start(t, hits(e), nil)
	b := start(t, hits(e), func(o *Options) { o.ContentDispositionType = "inline" })
	for range 2 {
		if got := send(t, a, request("GET", aJPG)).Header.Get("Content-Disposition"); got != `attachment; filename="a.webp"` {
			t.Error(got)
		}
		if got := send(t, b, request("GET", aJPG)).Header.Get("Content-Disposition"); got != `inline; filename="a.webp"` {
			t.Error(got)
		}
	}
}

// The assertion behind "no allocation worth mentioning": a hit and a 304 allocate nothing at all in this package and
// in fasthttp's request and response.
func TestHitAllocations(t *testing.T) {
	if race.Enabled {
		t.Log("the race detector allocates: the bound holds without it")
	}
	app, err := New(hits(testEntry(45<<10)), testRules(t), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	h := app.Server().Handler
	for name, ctx := range map[string]*fasthttp.RequestCtx{
		"hit":  benchCtx(),
		"304":  benchCtx("If-None-Match", testEntry(1).ETag),
		"HEAD": benchCtx(),
	} {
		if name == "HEAD" {
			ctx.Request.Header.SetMethod("HEAD")
		}
		want := http.StatusOK
		if name == "304" {
			want = http.StatusNotModified
		}
		allocs := testing.AllocsPerRun(200, func() {
			ctx.Response.Reset()
			h(ctx)
			if ctx.Response.StatusCode() != want {
				t.Fatalf("%s: %d", name, ctx.Response.StatusCode())
			}
		})
		if allocs > 0 && !race.Enabled {
			t.Errorf("%s: %v allocations, want none", name, allocs)
		}
	}
}

// The body is sent from where the cache keeps it.
func TestBodyIsNotCopied(t *testing.T) {
	e := testEntry(1000)
	app, err := New(hits(e), testRules(t), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	ctx := benchCtx()
	app.Server().Handler(ctx)
	if got := ctx.Response.Body(); &got[0] != &e.Body[0] || !bytes.Equal(got, e.Body) {
		t.Error("the body is a copy")
	}
}

// observing is an Observer that passes outcomes on.
type observing chan Outcome

func (observing) RequestStarted()         {}
func (o observing) RequestDone(r Outcome) { o <- r }
