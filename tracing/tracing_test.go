package tracing_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"imgopt/tracing"
)

// recorder returns a Tracer and where its spans go.
func recorder(o tracing.Options) (*tracing.Tracer, *tracetest.SpanRecorder) {
	r := tracetest.NewSpanRecorder()
	return tracing.New(sdk.NewTracerProvider(sdk.WithSpanProcessor(r), sdk.WithSampler(sdk.ParentBased(sdk.AlwaysSample()))), o), r
}

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
	sampled = "00-" + traceID + "-" + spanID + "-01"
	ignored = "00-" + traceID + "-" + spanID + "-00"
)

// TestAccept has what a request says, and whether it is recorded, as a part of which trace.
func TestAccept(t *testing.T) {
	for _, tt := range []struct {
		parent  string
		trust   bool
		ratio   float64
		sampled bool
		within  bool // the parent's trace
		links   int
		logged  bool // the parent's trace is in the log though nothing is recorded
	}{
		{"", true, 1, true, false, 0, false},
		{"", true, 0, false, false, 0, false},
		{sampled, true, 0, true, true, 0, true},
		{ignored, true, 1, false, false, 0, true},
		{sampled, false, 1, true, false, 1, false},
		{sampled, false, 0, false, false, 0, false},
		{"nonsense", true, 1, true, false, 0, false},
		{"nonsense", true, 0, false, false, 0, false},
		// A later version may go on (W3C Trace Context, 3.2.2.1 and 4.3).
		{strings.Replace(sampled, "00", "cc", 1) + "-more", true, 0, true, true, 0, true},
		{strings.Replace(sampled, "00", "cc", 1) + ".more", true, 0, false, false, 0, false},
		{sampled + "-more", true, 0, false, false, 0, false},
		{strings.Replace(sampled, "00", "ff", 1), true, 0, false, false, 0, false},
		{strings.ToUpper(sampled), true, 0, false, false, 0, false},
		{"00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", true, 0, false, false, 0, false},
		{"00-" + traceID + "-" + strings.Repeat("0", 16) + "-01", true, 0, false, false, 0, false},
	} {
		tracer, r := recorder(tracing.Options{SampleRatio: tt.ratio, TrustParent: tt.trust})
		in := tracer.Accept([]byte(tt.parent), []byte("shop=1"))
		if in.Sampled() != tt.sampled || (in.TraceID() == traceID) != tt.logged {
			t.Errorf("%+v: sampled %v, trace %q", tt, in.Sampled(), in.TraceID())
		}
		ctx, span := tracer.Server(context.Background(), in, "request", time.Now())
		_, child := tracing.Start(ctx, "child")
		child.End()
		span.End()
		ended := r.Ended()
		if !tt.sampled {
			if len(ended) > 0 || span.Recording() || child.Recording() {
				t.Errorf("%+v: %d spans", tt, len(ended))
			}
			continue
		}
		if len(ended) != 2 || ended[0].Parent().SpanID() != ended[1].SpanContext().SpanID() {
			t.Fatalf("%+v: %d spans", tt, len(ended))
		}
		if got := ended[1].SpanContext().TraceID().String() == traceID; got != tt.within || len(ended[1].Links()) != tt.links {
			t.Errorf("%+v: within the parent's trace %v, links %v", tt, got, ended[1].Links())
		}
		if state := ended[1].SpanContext().TraceState().String(); (state == "shop=1") != tt.within {
			t.Errorf("%+v: tracestate %q", tt, state)
		}
	}
}

func TestRatio(t *testing.T) {
	tracer, _ := recorder(tracing.Options{SampleRatio: 0.25})
	n := 0
	for range 10_000 {
		if tracer.Accept(nil, nil).Sampled() {
			n++
		}
	}
	if n < 2000 || n > 3000 { // eleven standard deviations
		t.Errorf("%d of 10000 are recorded, want about 2500", n)
	}
}

// TestElsewhere goes on with a span of another process, and begins a trace of what it has caused.
func TestElsewhere(t *testing.T) {
	tracer, r := recorder(tracing.Options{SampleRatio: 0})
	for name, link := range map[string]tracing.Link{"nowhere": {}, "not recorded": {Parent: ignored}, "nonsense": {Parent: "x"}} {
		if ctx, s := tracer.Continue(context.Background(), link, "work"); s.Recording() || ctx != context.Background() {
			t.Errorf("%s: continued", name)
		}
		if _, s := tracer.Background(context.Background(), link, "work"); s.Recording() {
			t.Errorf("%s: began", name)
		}
	}
	_, work := tracer.Continue(context.Background(), tracing.LinkFrom(sampled, "a=b"), "work")
	_, caused := tracer.Background(tracing.With(context.Background(), work), work.Link(), "caused")
	caused.LinkTo(tracing.LinkFrom(sampled, ""))
	caused.LinkTo(tracing.Link{})
	caused.LinkTo(caused.Link())
	caused.End()
	work.Fail("reason")
	work.End()
	ended := r.Ended()
	if len(ended) != 2 {
		t.Fatalf("%d spans", len(ended))
	}
	if p := ended[1].Parent(); p.SpanID().String() != spanID || !p.IsRemote() || ended[1].SpanContext().TraceState().String() != "a=b" {
		t.Errorf("the parent is %+v", p)
	}
	if ended[1].Status().Description != "reason" {
		t.Errorf("status %+v", ended[1].Status())
	}
	links := ended[0].Links()
	if ended[0].Parent().IsValid() || ended[0].SpanContext().TraceID().String() == traceID || len(links) != 2 ||
		links[0].SpanContext.SpanID() != ended[1].SpanContext().SpanID() || links[1].SpanContext.SpanID().String() != spanID {
		t.Errorf("%+v, links %+v", ended[0], links)
	}
}

// TestOff expects that what is not recorded costs nothing.
func TestOff(t *testing.T) {
	off, _ := recorder(tracing.Options{SampleRatio: 1e-9, TrustParent: true})
	ctx := context.Background()
	for name, f := range map[string]func(){
		"no tracer": func() {
			var none *tracing.Tracer
			in := none.Accept([]byte(sampled), nil)
			_, s := none.Server(ctx, in, "x", time.Time{})
			s.End()
			_, s = none.Continue(ctx, tracing.Link{Parent: sampled}, "x")
			s.End()
			_, s = none.Background(ctx, tracing.Link{Parent: sampled}, "x")
			s.End()
		},
		"not sampled": func() {
			if off.Accept(nil, nil).Sampled() {
				t.Error("sampled")
			}
		},
		"not sampled by who is in front": func() {
			if off.Accept([]byte(ignored), []byte("a=b")).Sampled() {
				t.Error("sampled")
			}
		},
		"below nothing": func() {
			below, s := tracing.Start(ctx, "x")
			s.Set()
			s.Fail("x")
			s.Event("x")
			s.LinkTo(tracing.Link{Parent: sampled})
			s.End()
			tracing.LinkTo(below, tracing.Link{Parent: sampled})
			if tracing.With(below, s) != ctx || s.Link() != (tracing.Link{}) {
				t.Error("there is a span")
			}
		},
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestLogHandler(t *testing.T) {
	tracer, _ := recorder(tracing.Options{SampleRatio: 1})
	var b bytes.Buffer
	log := slog.New(tracing.LogHandler(slog.NewTextHandler(&b, nil))).With("a", 1)
	log.Info("without")
	ctx, span := tracer.Server(context.Background(), tracer.Accept(nil, nil), "x", time.Now())
	log.InfoContext(ctx, "with")
	lines := strings.Split(b.String(), "\n")
	if strings.Contains(lines[0], "trace_id") || !strings.HasSuffix(lines[1], "a=1 trace_id="+span.Link().TraceID()) {
		t.Errorf("%q", lines)
	}
}

func FuzzLink(f *testing.F) {
	for _, parent := range []string{sampled, ignored, "", "00--", sampled + "-x", strings.Replace(sampled, "00", "cc", 1) + "-x"} {
		f.Add(parent, "a=b,c=d")
	}
	f.Fuzz(func(t *testing.T, parent, state string) {
		l := tracing.LinkFrom(parent, state)
		if l == (tracing.Link{}) {
			return
		}
		if len(l.Parent) != len(sampled) || !strings.HasPrefix(parent[2:], l.Parent[2:53]) || len(l.TraceID()) != 32 {
			t.Errorf("%q became %q", parent, l.Parent)
		}
		if again := tracing.LinkFrom(l.Parent, l.State); again != l {
			t.Errorf("%+v became %+v", l, again)
		}
	})
}
