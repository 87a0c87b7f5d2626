package prewarm

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"imgopt/validate"
)

// Queue has variants made by other processes, which put them into a cache that this one can look into.
type Queue interface {
	Cache
	// Enqueue adds a job that is done when there is nothing else to do. joined tells that it was there already.
	Enqueue(ctx context.Context, p validate.Params) (joined bool, err error)
	// Get waits for a job, which is enqueued if it is not there, and whose end is due.
	Get(ctx context.Context, p validate.Params) (Answer, error)
}

// Queued is a Warmer that enqueues jobs and waits for their ends.
type Queued struct {
	queue    Queue
	limiter  *rate.Limiter
	attempts int
	timeout  time.Duration
	waiting  func(pause time.Duration, because *Failure)
}

// NewQueued prepares to enqueue jobs. o.Rate is how many a second are enqueued, and o.Timeout bounds what is done to learn
// why one has failed; how long jobs stay in the queue is for those to say who work.
func NewQueued(q Queue, o Options) *Queued {
	return &Queued{queue: q, limiter: newLimiter(o.Rate), attempts: o.Attempts, timeout: o.Timeout}
}

func (q *Queued) tellPauses(told func(time.Duration, *Failure)) { q.waiting = told }

// The cache is looked into this often, and the queue asked for a job that has left nothing there.
const (
	pollEvery = 250 * time.Millisecond
	askEvery  = 8 // polls
)

// Warm enqueues all variants of a source, and looks into the cache until they are there.
func (q *Queued) Warm(ctx context.Context, variants []Variant, done func(Variant, Result)) {
	var waiters sync.WaitGroup
	for _, v := range variants {
		if a, ok := q.queue.Look(ctx, v.Params); ok && a.State == Kept {
			done(v, resultOf(a, 1))
			continue
		}
		began := time.Now()
		made, f := q.enqueue(ctx, v)
		switch {
		case ctx.Err() != nil:
			done(v, Result{Err: ctx.Err(), Attempts: made})
		case f != nil:
			done(v, Result{Err: f, Attempts: made})
		default:
			waiters.Go(func() { // ends with the job, or with ctx
				r := q.await(ctx, v)
				r.Elapsed = time.Since(began)
				done(v, r)
			})
		}
	}
	waiters.Wait()
}

// enqueue adds a variant's job, in several attempts if the queue is full or away.
func (q *Queued) enqueue(ctx context.Context, v Variant) (made int, f *Failure) {
	return attempts(ctx, q.attempts, q.waiting, func(ctx context.Context) *Failure {
		if err := q.limiter.Wait(ctx); err != nil {
			return &Failure{Reason: ReasonTimeout, Detail: err.Error()}
		}
		if _, err := q.queue.Enqueue(ctx, v.Params); err != nil {
			f := fillFailure(err, 0)
			f.retryable = f.Status == statusBusy // there is no room, or nobody to ask, at the moment
			return f
		}
		return nil
	})
}

// statusBusy is 503: the queue cannot take a job now.
const statusBusy = 503

// await waits for the end of a job that nobody is told of. A job that is in the queue no more and has left nothing in the
// cache has failed, or was lost. It is done once more, with somebody waiting for it, who learns why.
func (q *Queued) await(ctx context.Context, v Variant) Result {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return Result{Err: ctx.Err(), Attempts: 1}
		case <-ticker.C:
		}
		if a, ok := q.queue.Look(ctx, v.Params); ok && a.State == Kept {
			a.State = Made
			return resultOf(a, 1)
		}
		if n%askEvery != 0 {
			continue
		}
		if joined, err := q.queue.Enqueue(ctx, v.Params); err == nil && !joined {
			return q.get(ctx, v)
		} // else it is still there, or nobody knows at the moment
	}
}

func (q *Queued) get(ctx context.Context, v Variant) Result {
	limited, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	a, err := q.queue.Get(limited, v.Params)
	r := resultOf(a, 2)
	switch {
	case err == nil:
		r.State = Made
	case ctx.Err() != nil:
		r.Err = ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		r.Err = &Failure{Reason: ReasonTimeout, Detail: "the job did not end", Attempts: 2}
	default:
		r.Err = fillFailure(err, 2)
	}
	return r
}

// Verify looks into the cache.
func (q *Queued) Verify(ctx context.Context, v Variant) Result { return verify(ctx, q.queue, v) }
