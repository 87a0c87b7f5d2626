package export

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// queue stands before and behind the library's batches: it counts what goes in and what comes out, so that what waits is
// bounded and what is lost is known. It is the library's processor and its exporter.
type queue struct {
	sdk.SpanProcessor // the library's, which collects batches
	sender            sdk.SpanExporter
	clean             func(string) string
	log               *slog.Logger
	limit             int64

	ctx    context.Context // ends when there is no time left to send anything
	cancel context.CancelFunc

	waiting                      atomic.Int64
	exported, overflowed, failed atomic.Uint64

	mu        sync.Mutex
	health    health
	lostUntil uint64 // overflowed when a batch was last sent
}

// health is what the log was last told.
type health int

const (
	healthy health = iota
	lossy          // sending works and is too slow
	failing
)

func newQueue(sender sdk.SpanExporter, limit int, o Options) *queue {
	q := &queue{sender: sender, clean: o.Clean, log: o.Log, limit: int64(limit)}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	// As many as limit are in the library's queue, in its batch, or under way, so the queue never overflows itself.
	q.SpanProcessor = sdk.NewBatchSpanProcessor(exporter{q}, sdk.WithMaxQueueSize(limit), sdk.WithExportTimeout(o.Timeout))
	return q
}

// OnEnd implements the library's SpanProcessor. It never waits.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if q.waiting.Add(1) > q.limit {
		q.waiting.Add(-1)
		q.overflowed.Add(1)
		return
	}
	q.SpanProcessor.OnEnd(s)
}

func (q *queue) stats() Stats {
	return Stats{Exported: q.exported.Load(), Overflowed: q.overflowed.Load(), Failed: q.failed.Load(), Waiting: int(q.waiting.Load())}
}

// ending runs what sends the last spans. When ctx ends, that is cut short.
func (q *queue) ending(ctx context.Context, send func() error) error {
	defer q.cancel()
	defer context.AfterFunc(ctx, q.cancel)()
	return send()
}

// exporter is the queue's other side: the library gives it one batch at a time.
type exporter struct{ q *queue }

// ExportSpans sends a batch. Its failure is counted and logged here, and no news to the library.
func (e exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	q := e.q
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(q.ctx, func() { cancel(context.Cause(q.ctx)) })()
	err := context.Cause(ctx)
	if err == nil {
		err = q.sender.ExportSpans(ctx, cleaned(spans, q.clean))
	}
	q.waiting.Add(-int64(len(spans)))
	if err != nil {
		q.failed.Add(uint64(len(spans)))
	} else {
		q.exported.Add(uint64(len(spans)))
	}
	q.tell(err)
	return nil
}

// Shutdown implements the library's SpanExporter.
func (e exporter) Shutdown(ctx context.Context) error {
	if err := e.q.sender.Shutdown(ctx); err != nil {
		return fmt.Errorf("closing the connection for traces: %w", err)
	}
	return nil
}

// tell logs when spans begin to be lost, and when that is over.
func (q *queue) tell(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lost := q.overflowed.Load()
	now := healthy
	switch {
	case err != nil:
		now = failing
	case lost > q.lostUntil:
		now = lossy
	}
	q.lostUntil = lost
	if now == q.health {
		return
	}
	q.health = now
	switch now {
	case failing:
		q.log.Warn("traces cannot be sent and are dropped", "error", q.clean(err.Error()))
	case lossy:
		q.log.Warn("there are more traces than can be sent; some are dropped")
	default:
		q.log.Info("traces are sent, and none are dropped")
	}
}
