package tracing

import (
	"context"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Options configures a Tracer.
type Options struct {
	// SampleRatio is the share, from 0 to 1, of those requests and background jobs that are recorded for which nobody
	// else has decided.
	SampleRatio float64
	// TrustParent says that who asks may say whether a request is recorded, and of which trace it is a part. Otherwise a
	// request that says so begins a trace of its own, with a link to what it said.
	TrustParent bool
}

// Tracer begins traces, and goes on with those of other processes. A nil *Tracer begins none. It is safe for concurrent
// use.
type Tracer struct {
	tracer trace.Tracer
	o      Options
}

// New returns a Tracer that records with the provider, which must record all that it is asked to: what is recorded is
// decided here, before anything is allocated for it.
func New(p trace.TracerProvider, o Options) *Tracer {
	return &Tracer{tracer: p.Tracer(Scope), o: o}
}

// Incoming is what is known of a request's trace when it arrives.
type Incoming struct {
	parent  trace.SpanContext // what the request says, believed or not
	trusted bool
	sampled bool
}

// Accept decides whether a request is recorded. The arguments are its headers of these names, nil if absent; they are
// not kept. Unless it is recorded nothing is allocated.
func (t *Tracer) Accept(traceparent, tracestate []byte) Incoming {
	if t == nil {
		return Incoming{}
	}
	var in Incoming
	if t.o.TrustParent && len(traceparent) > 0 {
		in.parent = parse(traceparent, tracestate)
		in.trusted = in.parent.IsValid()
	}
	if in.trusted {
		in.sampled = in.parent.IsSampled()
		return in
	}
	if in.sampled = t.draw(); in.sampled && len(traceparent) > 0 {
		in.parent = parse(traceparent, nil)
	}
	return in
}

// draw decides by chance.
func (t *Tracer) draw() bool {
	return t.o.SampleRatio >= 1 || t.o.SampleRatio > 0 && rand.Float64() < t.o.SampleRatio
}

// Sampled tells whether the request is recorded.
func (in Incoming) Sampled() bool { return in.sampled }

// TraceID returns the id of the trace that a request which is not recorded belongs to, so that its log can be found by
// what others have recorded; "" if it belongs to none.
func (in Incoming) TraceID() string {
	if !in.trusted {
		return ""
	}
	return in.parent.TraceID().String()
}

// Server begins the span of a request that is recorded, which arrived at that time.
func (t *Tracer) Server(ctx context.Context, in Incoming, name string, arrived time.Time) (context.Context, Span) {
	if !in.sampled {
		return ctx, Span{}
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(arrived)}
	switch {
	case in.trusted:
		ctx = trace.ContextWithRemoteSpanContext(ctx, in.parent)
	case in.parent.IsValid():
		options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: in.parent}))
	default:
		options = append(options, trace.WithNewRoot())
	}
	ctx, s := t.tracer.Start(ctx, name, options...)
	return ctx, Span{s}
}

// Continue begins a span below one that is elsewhere, if that one is recorded.
func (t *Tracer) Continue(ctx context.Context, parent Link, name string, options ...trace.SpanStartOption) (context.Context, Span) {
	if t == nil || parent.Parent == "" {
		return ctx, Span{}
	}
	sc := parent.context()
	if !sc.IsSampled() {
		return ctx, Span{}
	}
	ctx, s := t.tracer.Start(trace.ContextWithRemoteSpanContext(ctx, sc), name, options...)
	return ctx, Span{s}
}

// Background begins a trace of what nobody waits for. It is recorded if what caused it is, which it has a link to then,
// or if chance says so.
func (t *Tracer) Background(ctx context.Context, cause Link, name string, options ...trace.SpanStartOption) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	sc := cause.context()
	if !sc.IsSampled() && !t.draw() {
		return ctx, Span{}
	}
	options = append(options, trace.WithNewRoot())
	if sc.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: sc}))
	}
	ctx, s := t.tracer.Start(ctx, name, options...)
	return ctx, Span{s}
}
