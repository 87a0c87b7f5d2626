package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Scope names the program in its spans (OpenTelemetry's instrumentation scope).
const Scope = "imgopt"

// Span is one part of the work. The zero value is none, and its methods do nothing.
type Span struct{ s trace.Span }

// Start begins a span below the one in ctx, and returns a context that has it. Where that one is not recorded it returns
// ctx itself and no span.
func Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, s := parent.TracerProvider().Tracer(Scope).Start(ctx, name, options...)
	return ctx, Span{s}
}

// With returns ctx with a span that Start and LinkTo find there.
func With(ctx context.Context, s Span) context.Context {
	if s.s == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, s.s)
}

// Of returns the span in ctx, if it is recorded.
func Of(ctx context.Context) Span {
	if s := trace.SpanFromContext(ctx); s.IsRecording() {
		return Span{s}
	}
	return Span{}
}

// Recording tells whether there is a span: what is only needed for its attributes need not be made without.
func (s Span) Recording() bool { return s.s != nil }

// Set adds attributes.
func (s Span) Set(attributes ...attribute.KeyValue) {
	if s.s != nil {
		s.s.SetAttributes(attributes...)
	}
}

// Fail marks the span as failed. reason is one of a fixed set of words (failure.Error's): texts that an origin or a
// client had a part in are for the log, which the trace's id leads to.
func (s Span) Fail(reason string) {
	if s.s != nil {
		s.s.SetAttributes(attribute.String("error.type", reason))
		s.s.SetStatus(codes.Error, reason)
	}
}

// Event notes that something has happened now.
func (s Span) Event(name string, attributes ...attribute.KeyValue) {
	if s.s != nil {
		s.s.AddEvent(name, trace.WithAttributes(attributes...))
	}
}

// LinkTo says that the span has to do with another one, that is not above it.
func (s Span) LinkTo(other Link) {
	if s.s == nil {
		return
	}
	if sc, own := other.context(), s.s.SpanContext(); sc.IsValid() && (sc.TraceID() != own.TraceID() || sc.SpanID() != own.SpanID()) {
		s.s.AddLink(trace.Link{SpanContext: sc})
	}
}

// End ends the span.
func (s Span) End() {
	if s.s != nil {
		s.s.End()
	}
}

// EndAt ends the span at a time that is over already.
func (s Span) EndAt(t time.Time) {
	if s.s != nil {
		s.s.End(trace.WithTimestamp(t))
	}
}

// Link returns where the span is, for other processes and other traces.
func (s Span) Link() Link {
	if s.s == nil {
		return Link{}
	}
	return linkTo(s.s.SpanContext())
}

// LinkTo says that the span in ctx, if there is one, has to do with another one.
func LinkTo(ctx context.Context, other Link) {
	if other != (Link{}) {
		Of(ctx).LinkTo(other)
	}
}
