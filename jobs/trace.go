package jobs

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"imgopt/failure"
	"imgopt/tracing"
)

// Names of spans. Background jobs begin traces that are named after their kind.
const (
	spanJob     = "job"         // a call of Do
	spanQueue   = "queue"       // from when a job is enqueued until its first attempt
	spanAttempt = "attempt"     // one attempt of a job that somebody asked for
	spanLoad    = "load result" // getting what another process has made
)

// endJob ends the span of a call of Do. If the job was there already, the span has a link to the one that did the work,
// or to the call that it was done for.
func (d *Dispatcher[R]) endJob(s tracing.Span, f *flight[R], job Job, coalesced bool, err error) {
	if !s.Recording() {
		return
	}
	s.Set(attribute.String("imgopt.job.kind", job.Kind.String()), attribute.Bool("imgopt.coalesced", coalesced))
	if f != nil {
		d.mu.Lock()
		asking, working := f.asking, f.working
		d.mu.Unlock()
		own, other := s.Link(), working.Link()
		if other == (tracing.Link{}) {
			other = asking.Link()
		}
		// What is done for this very call is below its span.
		if below := asking == s && other.TraceID() == own.TraceID(); !below {
			s.LinkTo(other)
		}
	}
	if err != nil {
		s.Fail(failure.From(err).Reason)
	}
	s.End()
}

// asking returns the context of what is done for the call that a flight is led for.
func (d *Dispatcher[R]) asking(f *flight[R]) context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return tracing.With(d.base, f.asking)
}

// attempted begins the span of an attempt at the time it begins, and notes how long it has waited.
func (d *Dispatcher[R]) attempted(ctx context.Context, l Lease, now time.Time) (context.Context, tracing.Span) {
	var s tracing.Span
	if l.Kind == Miss {
		if l.Attempt == 1 {
			d.waited(l, now, "")
		}
		ctx, s = d.opt.Tracer.Continue(ctx, l.Trace, spanAttempt, trace.WithTimestamp(now))
	} else {
		ctx, s = d.opt.Tracer.Background(ctx, l.Trace, l.Kind.String(), trace.WithTimestamp(now))
		if s.Recording() {
			s.Set(attribute.Float64("imgopt.job.wait", now.Sub(l.EnqueuedAt).Seconds()))
		}
	}
	if s.Recording() {
		s.Set(
			attribute.Int("imgopt.job.attempt", l.Attempt),
			attribute.String("imgopt.job.kind", l.Kind.String()),
			attribute.String("imgopt.job.priority", l.Priority.String()),
			attribute.Int("imgopt.width", l.Spec.Width),
			attribute.Int("imgopt.quality", l.Spec.Quality),
			attribute.String("imgopt.format", l.Spec.Format))
	}
	return ctx, s
}

// waited makes the span of a job's waiting, which is over now; reason says why nothing came of it.
func (d *Dispatcher[R]) waited(l Lease, now time.Time, reason string) {
	if l.Kind != Miss {
		return
	}
	_, s := d.opt.Tracer.Continue(context.Background(), l.Trace, spanQueue, trace.WithTimestamp(l.EnqueuedAt))
	if reason != "" {
		s.Fail(reason)
	}
	s.EndAt(now)
}

func endAttempt(s tracing.Span, err error) {
	if err != nil && s.Recording() {
		s.Fail(failure.From(err).Reason)
	}
	s.End()
}
