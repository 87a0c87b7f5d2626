package cache

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"

	"imgopt/tracing"
)

// look asks one tier. The fastest one is not worth a span.
func (t *Tiered) look(ctx context.Context, i int, k Key) (*Entry, error) {
	if i == 0 || !tracing.Of(ctx).Recording() {
		return t.tiers[i].Get(ctx, k)
	}
	ctx, span := tracing.Start(ctx, "look up "+t.tiers[i].Name)
	defer span.End()
	e, err := t.tiers[i].Get(ctx, k)
	span.Set(attribute.Bool("imgopt.cache.found", err == nil))
	return e, err
}

// endStore ends the span of one tier's storing. That an entry is too large for it is no failure.
func endStore(s tracing.Span, e *Entry, err error) {
	if !s.Recording() {
		return
	}
	if e != nil {
		s.Set(attribute.Int("imgopt.cache.size", len(e.Body)))
	}
	s.Set(attribute.Bool("imgopt.cache.kept", err == nil))
	var medium *IOError
	switch {
	case err == nil, errors.Is(err, ErrTooLarge):
	case errors.Is(err, ErrUnavailable):
		s.Fail("unavailable")
	case errors.As(err, &medium):
		s.Fail(medium.Reason)
	default:
		s.Fail("other")
	}
	s.End()
}
