package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"imgopt/failure"
	"imgopt/tracing"
)

// Work does one attempt of a job. It must return soon after ctx ends, which is the end of the job's time or of the
// process. An error that wraps a *failure.Error with Retryable set is tried again; if it also offers
// UpstreamRetryAfter() time.Duration (found with errors.As), not before that has passed. The result goes to every
// caller that waits: it must not be changed afterwards.
type Work[R any] func(ctx context.Context, job Job) (R, error)

// Dispatcher runs jobs. Make one with New, end it with Close.
type Dispatcher[R any] struct {
	opt    Options
	log    *slog.Logger
	queue  Queue
	work   Work[R]
	shared *sharing[R] // nil where no other process does jobs of this queue
	budget *retryBudget
	count  counters

	group singleflight.Group

	mu         sync.Mutex
	flights    map[Key]*flight[R]
	line       *line
	saturation saturation
	running    map[*attempt[R]]struct{}
	taken      atomic.Int64 // jobs leased here whose attempt is about to begin
	closing    bool

	base   context.Context // of all work; ends when the grace period does
	cancel context.CancelCauseFunc
	stop   [priorities]context.CancelFunc // of the pumps
	pumps  sync.WaitGroup
	leads  sync.WaitGroup
	runs   sync.WaitGroup
	closed chan struct{} // the first Close has returned
}

// flight is a job as this process sees it: somebody here waits for it, or works on it, or both. All fields but done
// are guarded by the dispatcher's mu; outcome is set before done is closed.
type flight[R any] struct {
	waiters int             // calls of Do
	led     bool            // lead runs
	running int             // attempts that run here: one, or two while one ends and the next begins
	started bool            // an attempt has begun here
	paused  bool            // the last attempt failed, and the next one has not begun
	refused bool            // the queue has no room for it
	promote []chan struct{} // of background attempts that run, to be closed when somebody waits
	lane    *lane           // its origin's, since it is led
	stands  standing        // as its lane counts it
	left    chan struct{}   // told when the last waiter leaves, or the job is paused without any
	done    chan struct{}
	result  R
	err     error

	asking, working tracing.Span // of the call that the job is led for, and of the last attempt that began here
}

// errStopping is why running work is cancelled at the end of the grace period.
var errStopping = errors.New("the process is stopping")

// New starts a dispatcher that works on the jobs of q, which it owns from then on: Close closes it.
func New[R any](o Options, q Queue, work Work[R]) (*Dispatcher[R], error) {
	if o.Workless {
		return nil, errors.New("jobs: Workless without a queue that other processes work on")
	}
	return start(o, q, work, nil)
}

// NewShared starts a dispatcher whose jobs other processes may do, and which does theirs. results passes the results on.
func NewShared[R any](o Options, q *Failover, work Work[R], results Results[R]) (*Dispatcher[R], error) {
	return start(o, q, work, &sharing[R]{queue: q, results: results})
}

func start[R any](o Options, q Queue, work Work[R], shared *sharing[R]) (*Dispatcher[R], error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	d := &Dispatcher[R]{
		opt: o, log: o.Log, queue: q, work: work, shared: shared,
		budget:  newRetryBudget(o.RetryBudget, o.RetryReserve),
		flights: make(map[Key]*flight[R]),
		running: make(map[*attempt[R]]struct{}),
		closed:  make(chan struct{}),
	}
	share := originSlots(o.OriginShare, o.Concurrency)
	if shared != nil {
		shared.queue.remote.OnJoin(d.joined)
	}
	if !q.LimitOrigins(share, originSlots(o.OriginShare, o.Background)) {
		share = o.Concurrency
	}
	d.line = newLine(o.Concurrency, share)
	if d.log == nil {
		d.log = slog.Default()
	}
	d.base, d.cancel = context.WithCancelCause(context.Background())
	if o.Workless {
		for p := range d.stop {
			d.stop[p] = func() {}
		}
		return d, nil
	}
	for p, slots := range [priorities]int{Interactive: o.Concurrency, Background: o.Background} {
		var ctx context.Context
		ctx, d.stop[p] = context.WithCancel(context.Background())
		d.pumps.Go(func() { d.pump(ctx, Priority(p), make(chan struct{}, slots)) })
	}
	return d, nil
}

// Do returns the job's result, made once for all calls with the same key at a time. coalesced tells that the job was
// there already. When ctx ends Do returns an error that wraps the context's, and the job goes on without it. All
// other errors are those of the work, or a *failure.Error: 503 "queue_wait", "origin_queue_wait", "queue_full",
// "origin_queue_full", "queue_unavailable" or "shutting_down" before any work, 502 or 504 "retries_exhausted", 504
// "deadline" or "queue_timeout", 500 "panic".
//
// A call is refused for the wait, before anything is queued, if the job would hardly be done within the time that
// ctx and Options.Timeout leave (see the package comment). One that joins a job which runs, or which somebody waits
// for, is not.
func (d *Dispatcher[R]) Do(ctx context.Context, job Job) (result R, coalesced bool, err error) {
	var f *flight[R]
	_, span := tracing.Start(ctx, spanJob)
	defer func() { d.endJob(span, f, job, coalesced, err) }()
	if ctx.Err() != nil {
		return result, false, fmt.Errorf("waiting for job %v: %w", job.Key, context.Cause(ctx))
	}
	origin := job.Spec.Origin()
	d.mu.Lock()
	if d.closing {
		d.mu.Unlock()
		return result, false, d.refuse(job, Interactive, errShuttingDown())
	}
	f = d.flights[job.Key]
	if f == nil {
		// Where others help, how long this process would take alone does not matter: the queue knows what all do.
		if verdict := d.line.decide(origin, d.budgetOf(ctx)); verdict.refused && !d.shared.up() {
			if verdict.shared {
				d.saturation.refused(time.Now())
			}
			d.mu.Unlock()
			return result, false, d.tooLong(job, verdict)
		}
		f = d.newFlight(job.Key)
	}
	f.waiters++
	f.awaited()
	coalesced = f.led
	if !f.led {
		f.led, f.refused, f.lane, f.asking = true, false, d.line.lane(origin), span
		d.place(f)
		d.leads.Add(1)
		// The caller may reuse the memory behind its strings (Fiber does) when it has left and the job has not.
		job.Spec.Href, job.Spec.Format = strings.Clone(job.Spec.Href), strings.Clone(job.Spec.Format)
	}
	// Under the lock, so that a flight and its call in the group begin and end together: whoever ends the one
	// makes the group forget the other.
	ch := d.group.DoChan(string(job.Key[:]), func() (any, error) { return d.lead(f, job), nil })
	d.mu.Unlock()
	if coalesced {
		d.emit(Event{Type: Coalesced, Key: job.Key, Kind: job.Kind, Priority: Interactive})
	}

	select {
	case res := <-ch:
		d.leave(f)
		end := res.Val.(ending[R]) // lead brings its errors in there
		return end.result, coalesced || end.joined, end.err
	case <-ctx.Done():
		d.leave(f)
		return result, coalesced, fmt.Errorf("waiting for job %v: %w", job.Key, context.Cause(ctx))
	}
}

// Submit enqueues a job nobody waits for. joined tells that it was there already, whether waited for or not. When
// Submit returns, a durable queue has stored the job. Errors are *failure.Error 503 "queue_full",
// "origin_queue_full", "shutting_down", or "queue_unavailable".
func (d *Dispatcher[R]) Submit(ctx context.Context, job Job) (joined bool, err error) {
	d.mu.Lock()
	closing := d.closing
	d.mu.Unlock()
	if closing {
		return false, d.refuse(job, Background, errShuttingDown())
	}
	job.Spec.Href, job.Spec.Format = strings.Clone(job.Spec.Href), strings.Clone(job.Spec.Format)
	if joined, err = d.enqueue(ctx, job, Background, time.Time{}); err != nil {
		return false, d.refuse(job, Background, d.refusal(job, nil, err))
	}
	return joined, nil
}

// enqueue puts a job into the queue and tells about it, unless the queue fails.
func (d *Dispatcher[R]) enqueue(ctx context.Context, job Job, p Priority, deadline time.Time) (joined bool, err error) {
	job.Attempt, job.Priority = 0, p
	joined, err = d.queue.Enqueue(ctx, Item{Job: job, EnqueuedAt: time.Now(), Deadline: deadline, Trace: tracing.LinkOf(ctx)})
	if err != nil {
		return false, err
	}
	e := Event{Type: Queued, Key: job.Key, Kind: job.Kind, Priority: p}
	if joined {
		e.Type = Coalesced
	}
	d.emit(e)
	return joined, nil
}

// refuse tells about a call that is turned away.
func (d *Dispatcher[R]) refuse(job Job, p Priority, why *failure.Error) error {
	d.emit(Event{Type: Refused, Key: job.Key, Kind: job.Kind, Priority: p, Err: why})
	return why
}

// place tells the line where a flight stands after a change; mu is held.
func (d *Dispatcher[R]) place(f *flight[R]) {
	now := outside
	switch {
	case !f.led || f.refused || f.running > 0:
	case f.paused:
		now = pauses
	default:
		now = waits
	}
	if now != f.stands {
		if f.stands == outside {
			f.lane = d.line.lane(f.lane.origin) // it may have been forgotten meanwhile
		}
		d.line.move(f.lane, f.stands, now)
		f.stands = now
		d.saturation.ease(d.line)
	}
}

// newFlight adds a flight; mu is held.
func (d *Dispatcher[R]) newFlight(key Key) *flight[R] {
	f := &flight[R]{left: make(chan struct{}, 1), done: make(chan struct{})}
	d.flights[key] = f
	return f
}

// joined notes that somebody in another process waits for a job that this one works on.
func (d *Dispatcher[R]) joined(key Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.flights[key]; f != nil {
		f.awaited()
	}
}

// awaited tells the background attempts of a flight that somebody waits; mu is held.
func (f *flight[R]) awaited() {
	for _, told := range f.promote {
		close(told)
	}
	f.promote = nil
}

// leave ends one call's waiting.
func (d *Dispatcher[R]) leave(f *flight[R]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.waiters--
	f.mayLeave()
}

// mayLeave tells lead that nobody waits; mu is held.
func (f *flight[R]) mayLeave() {
	if f.waiters > 0 {
		return
	}
	select {
	case f.left <- struct{}{}:
	default: // told already
	}
}

// resolve ends the job for all who wait for it here.
func (d *Dispatcher[R]) resolve(key Key, result R, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.flights[key]
	if f == nil {
		return
	}
	delete(d.flights, key)
	d.group.Forget(string(key[:]))
	f.led = false
	d.place(f)
	f.result, f.err = result, err
	close(f.done)
}
