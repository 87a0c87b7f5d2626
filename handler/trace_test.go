package handler

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"imgopt/testkit/race"
	"imgopt/tracing"
	"imgopt/validate"
)

// tracedOptions has a Tracer, and where its spans go.
func tracedOptions(o tracing.Options) (Options, *tracetest.SpanRecorder) {
	r := tracetest.NewSpanRecorder()
	all := testOptions()
	all.Tracer = tracing.New(sdk.NewTracerProvider(sdk.WithSpanProcessor(r), sdk.WithSampler(sdk.ParentBased(sdk.AlwaysSample()))), o)
	return all, r
}

const (
	aTrace         = "0af7651916cd43dd8448eb211c80319c"
	sampledParent  = "00-" + aTrace + "-b7ad6b7169203331-01"
	unwantedParent = "00-" + aTrace + "-b7ad6b7169203331-00"
)

// A hit that is not recorded costs no allocation although tracing is on, whatever its headers say.
func TestTraceAllocations(t *testing.T) {
	for name, tt := range map[string]struct {
		o      tracing.Options
		parent string
	}{
		"chance":    {tracing.Options{SampleRatio: 1e-9}, ""},
		"trusted":   {tracing.Options{SampleRatio: 1, TrustParent: true}, unwantedParent},
		"untrusted": {tracing.Options{SampleRatio: 1e-9}, sampledParent},
		"nonsense":  {tracing.Options{SampleRatio: 1e-9, TrustParent: true}, "nonsense"},
	} {
		o, recorded := tracedOptions(tt.o)
		app, err := New(hits(testEntry(45<<10)), testRules(t), o)
		if err != nil {
			t.Fatal(err)
		}
		ctx := benchCtx("Tracestate", "shop=7")
		if tt.parent != "" {
			ctx.Request.Header.Set("Traceparent", tt.parent)
		}
		h := app.Server().Handler
		allocs := testing.AllocsPerRun(200, func() {
			ctx.Response.Reset()
			h(ctx)
			if ctx.Response.StatusCode() != http.StatusOK {
				t.Fatalf("%s: %d", name, ctx.Response.StatusCode())
			}
		})
		if allocs > 0 && !race.Enabled {
			t.Errorf("%s: %v allocations", name, allocs)
		}
		if n := len(recorded.Started()); n > 0 {
			t.Errorf("%s: %d spans", name, n)
		}
	}
}

// Every kind of answer has one span that says what it was.
func TestTraceAnswers(t *testing.T) {
	o, recorded := tracedOptions(tracing.Options{SampleRatio: 1})
	images := hits(testEntry(100))
	images.get = func(ctx context.Context, p validate.Params) (Result, error) {
		_, span := tracing.Start(ctx, "work")
		span.End()
		if strings.Contains(p.Href, "missing") {
			return Result{}, errTooManyWaiting
		}
		if strings.Contains(p.Href, "panic") {
			panic("s3cret")
		}
		r, _ := images.lookup(p)
		return r, nil
	}
	lookup := images.lookup
	images.lookup = func(p validate.Params) (Result, bool) {
		if strings.Contains(p.Href, "missing") || strings.Contains(p.Href, "panic") {
			return Result{}, false
		}
		return lookup(p)
	}
	app, err := New(images, testRules(t), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, target, name string
		attributes           string // some of them
		failed               bool
		below                int
	}{
		{"GET", aJPG, "GET /_next/image", "http.response.status_code=200 imgopt.cache=hit http.request.method=GET", false, 0},
		{"HEAD", aJPG, "HEAD /_next/image", "http.response.body.size=0 http.request.method=HEAD", false, 0},
		{"POST", aJPG, "POST", "http.response.status_code=405 imgopt.reason=method_not_allowed", false, 0},
		{"BREW", aJPG, "HTTP", "http.request.method=_OTHER http.request.method_original=BREW", false, 0},
		{"GET", "/_next/image?w=1", "GET /_next/image", "http.response.status_code=400", false, 0},
		{"GET", "/other?token=s3cret", "GET", "http.response.status_code=404 url.path=/other", false, 0},
		{"GET", strings.Replace(aJPG, "a.jpg", "missing.jpg", 1), "GET /_next/image", "http.response.status_code=503 error.type=too_many_waiting", true, 1},
		{"GET", strings.Replace(aJPG, "a.jpg", "panic.jpg", 1), "GET /_next/image", "http.response.status_code=500 error.type=panic", true, 1},
	} {
		recorded.Reset()
		ctx := &fasthttp.RequestCtx{}
		ctx.Request.Header.SetMethod(tt.method)
		ctx.Request.SetRequestURI(tt.target)
		ctx.Request.Header.Set("Host", "shop.example:8080")
		ctx.Request.Header.Set("User-Agent", "s3cret")
		app.Server().Handler(ctx)
		ended := recorded.Ended()
		if len(ended) != 1+tt.below || len(recorded.Started()) != len(ended) {
			t.Errorf("%s %s: %d spans, %d begun", tt.method, tt.target, len(ended), len(recorded.Started()))
			continue
		}
		s := ended[len(ended)-1]
		all := map[string]string{}
		for _, a := range s.Attributes() {
			all[string(a.Key)] = a.Value.String()
			if strings.Contains(a.Value.String(), "s3cret") {
				t.Errorf("%s %s: %s is %q", tt.method, tt.target, a.Key, a.Value.String())
			}
		}
		for want := range strings.FieldsSeq(tt.attributes + " server.address=shop.example server.port=8080 url.scheme=http") {
			name, value, _ := strings.Cut(want, "=")
			if all[name] != value {
				t.Errorf("%s %s: %s is %q, want %q", tt.method, tt.target, name, all[name], value)
			}
		}
		if s.Name() != tt.name || (s.Status().Description != "") != tt.failed {
			t.Errorf("%s %s: %q, status %+v", tt.method, tt.target, s.Name(), s.Status())
		}
	}
}

// The log of a request has its trace, also where somebody else records it.
func TestTraceLogged(t *testing.T) {
	for parent, want := range map[string]bool{sampledParent: true, unwantedParent: true, "": false, "nonsense": false} {
		var b bytes.Buffer
		o, _ := tracedOptions(tracing.Options{TrustParent: true})
		o.Log = slog.New(slog.NewTextHandler(&b, nil))
		app, err := New(hits(testEntry(100)), testRules(t), o)
		if err != nil {
			t.Fatal(err)
		}
		ctx := benchCtx()
		if parent != "" {
			ctx.Request.Header.Set("Traceparent", parent)
		}
		app.Server().Handler(ctx)
		if got := strings.Contains(b.String(), " trace_id="+aTrace); got != want || strings.Contains(b.String(), "trace_id") != want {
			t.Errorf("%q: %s", parent, b.String())
		}
	}
}

// BenchmarkTracedHit is BenchmarkHit/direct/200 with tracing on: not recorded, and recorded.
func BenchmarkTracedHit(b *testing.B) {
	for name, ratio := range map[string]float64{"skipped": 1e-9, "recorded": 1} {
		b.Run(name, func(b *testing.B) {
			o := testOptions()
			o.Log = nil
			o.Tracer = tracing.New(sdk.NewTracerProvider(sdk.WithSyncer(discard{})), tracing.Options{SampleRatio: ratio})
			app, err := New(hits(testEntry(45<<10)), testRules(b), o)
			if err != nil {
				b.Fatal(err)
			}
			h, ctx := app.Server().Handler, benchCtx()
			b.ReportAllocs()
			for b.Loop() {
				h(ctx)
				ctx.Response.Reset()
			}
		})
	}
}

// discard is a collector that takes everything at once.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                        { return nil }
