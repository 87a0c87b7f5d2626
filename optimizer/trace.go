package optimizer

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"imgopt/failure"
	"imgopt/tracing"
	"imgopt/transform"
)

// Names of spans.
const (
	spanWait      = "wait for codec" // until there is a CPU and the memory for an image
	spanTransform = "transform"      // decoding, resizing and encoding
	spanPixels    = "decode and resize"
	spanEncode    = "encode"
)

// timed returns the context for an encoding whose stages are recorded, if it is.
func timed(ctx context.Context, s tracing.Span) (context.Context, *transform.Stages) {
	if !s.Recording() {
		return ctx, nil
	}
	stages := &transform.Stages{}
	return transform.WithStages(ctx, stages), stages
}

// recordStages makes spans of the stages of an encoding that has ended just now. Their lengths are what the codec says,
// which is another process, and not believed if they are longer than it had.
func recordStages(ctx context.Context, stages *transform.Stages, began time.Time) {
	if stages == nil || stages.Pixels <= 0 || stages.Encode < 0 {
		return
	}
	end := time.Now()
	if took := end.Sub(began); stages.Pixels > took || stages.Encode > took-stages.Pixels {
		return
	}
	middle := end.Add(-stages.Encode)
	_, s := tracing.Start(ctx, spanPixels, trace.WithTimestamp(middle.Add(-stages.Pixels)))
	s.EndAt(middle)
	_, s = tracing.Start(ctx, spanEncode, trace.WithTimestamp(middle))
	s.EndAt(end)
}

// endTransform ends the span of an encoding: in bytes became out bytes, or err.
func endTransform(s tracing.Span, plan transform.Plan, in, out int, err error) {
	if !s.Recording() {
		return
	}
	s.Set(
		attribute.String("imgopt.source.type", plan.Source),
		attribute.Int("imgopt.source.size", in),
		attribute.String("imgopt.output.type", plan.Output),
		attribute.Int("imgopt.output.size", out))
	var codec *transform.CodecError
	switch {
	case errors.As(err, &codec) && codec.TimedOut:
		s.Fail("timeout")
	case errors.As(err, &codec) && codec.Crashed:
		s.Fail("crashed")
	case errors.As(err, &codec):
		s.Fail("codec")
	case err != nil:
		s.Fail(failure.From(err).Reason)
	}
	s.End()
}
