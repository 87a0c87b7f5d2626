package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"imgopt/failure"
	"imgopt/tracing"
)

// pumpPause is how long a pump waits before it asks a failing queue again.
const pumpPause = 250 * time.Millisecond

// pump leases jobs of one priority whenever a slot is free, and starts them.
func (d *Dispatcher[R]) pump(ctx context.Context, p Priority, slots chan struct{}) {
	failing := false
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		d.awaitRoom(ctx)
		lease, err := d.queue.Lease(ctx, p, d.opt.lease())
		switch {
		case err == nil:
			if failing {
				failing = false
				d.log.Info("the job queue works again", "priority", p.String())
			}
			d.taken.Add(1)
			d.runs.Go(func() {
				defer func() { <-slots }()
				d.run(lease)
			})
			continue
		case ctx.Err() != nil, errors.Is(err, ErrClosed):
			return
		}
		<-slots
		if !failing {
			failing = true
			d.log.Error("the job queue fails", "priority", p.String(), "error", err)
		}
		waitUntil(ctx, nil, time.Now().Add(pumpPause))
	}
}

// attempt is one attempt of a job, in its slot.
type attempt[R any] struct {
	d      *Dispatcher[R]
	lease  Lease
	lane   *lane // where its slot counts; nil for a background job
	began  time.Time
	ctx    context.Context
	cancel context.CancelCauseFunc

	past     bool          // done with its origin; guarded by the dispatcher's mu
	promoted chan struct{} // closed when somebody waits; nil if somebody did from the beginning
	span     tracing.Span

	mu      sync.Mutex
	settled bool
	renewal *time.Timer
	overrun *time.Timer
}

// errGoexit is the cause when the work ended its goroutine.
var errGoexit = errors.New("the work ended its goroutine")

// deathsAllowed is how many attempts more than MaxAttempts a job gets when its workers died: those attempts count,
// but the job need not be the reason. One that kills every worker must end some time.
const deathsAllowed = 2

// run does one attempt of a leased job.
func (d *Dispatcher[R]) run(lease Lease) {
	d.count.inFlight[lease.Priority].Add(1)
	defer d.count.inFlight[lease.Priority].Add(-1)

	begun := sync.OnceFunc(func() { d.taken.Add(-1) })
	defer begun()
	now := time.Now()
	late := !now.Before(lease.Deadline) // a job without a deadline is late too
	var none R
	switch {
	case late && lease.Priority == Interactive && !lease.Deadline.IsZero():
		d.waited(lease, now, reasonQueueTimeout)
		d.finish(lease, none, timeout(reasonQueueTimeout, context.DeadlineExceeded))
		return
	case lease.Attempt > d.opt.MaxAttempts+deathsAllowed:
		d.finish(lease, none, failure.New(http.StatusInternalServerError, reasonWorkersDied, textInternal))
		return
	case !late && lease.Priority == Interactive && lease.Attempt == 1 && d.hopeless(lease, now):
		d.waited(lease, now, reasonQueueTimeout)
		d.finish(lease, none, timeout(reasonQueueTimeout, context.DeadlineExceeded))
		return
	case late: // its first attempt, or it was held back by people's jobs: that takes nobody's time
		lease.Deadline = now.Add(d.opt.Timeout)
	}

	a := &attempt[R]{d: d, lease: lease, began: now}
	base, stop := context.WithDeadline(d.base, lease.Deadline)
	defer stop()
	cancellable, cancel := context.WithCancelCause(base)
	defer cancel(nil)
	a.ctx, a.cancel = context.WithValue(cancellable, attemptKey{}, a), cancel
	a.ctx, a.span = d.attempted(a.ctx, lease, now)

	a.lane = d.begin(a)
	begun()
	a.watch()
	started := Event{Type: Started, Key: lease.Key, Kind: lease.Kind, Priority: lease.Priority, Attempt: lease.Attempt}
	if lease.Attempt == 1 {
		d.budget.deposit()
		started.Wait = max(0, now.Sub(lease.EnqueuedAt))
	}
	d.emit(started)

	result, err := none, error(panicked(errGoexit))
	defer func() { a.settle(result, err) }() // deferred: the work may end the goroutine
	result, err = a.call()
}

// call runs the work, and makes a failure of its panic.
func (a *attempt[R]) call() (result R, err error) {
	defer func() {
		if v := recover(); v != nil {
			a.d.count.panics.Add(1)
			a.d.log.Error("a job panicked", "job", a.lease.Key, "href", a.lease.Spec.Href, "panic", v,
				"stack", string(debug.Stack()))
			err = panicked(fmt.Errorf("panic: %v", v))
		}
	}()
	return a.d.work(a.ctx, a.lease.Job)
}

// watch renews the lease while the attempt runs, and answers for it when it does not end in time. Each timer counts
// as one of the runs that Close waits for, from the time it is set until it is stopped or has fired.
func (a *attempt[R]) watch() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.d.runs.Add(2)
	a.renewal = time.AfterFunc(a.d.opt.lease()/3, a.renew)
	a.overrun = time.AfterFunc(time.Until(a.lease.Deadline)+overrunGrace, a.overran)
}

func (a *attempt[R]) renew() {
	defer a.d.runs.Done()
	err := a.d.queue.Extend(context.Background(), a.lease, a.d.opt.lease())
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.settled:
	case errors.Is(err, ErrLeaseLost):
		a.cancel(ErrLeaseLost)
	default: // another error may pass before the lease expires
		a.d.runs.Add(1)
		a.renewal = time.AfterFunc(a.d.opt.lease()/3, a.renew)
	}
}

// overran ends a job whose work has not returned after its time, so that nobody waits for it any longer and its key
// is free. The work keeps its slot until it returns: the bound on what runs stays true.
func (a *attempt[R]) overran() {
	defer a.d.runs.Done()
	if !a.end() {
		return
	}
	a.d.log.Warn("a job does not stop at its deadline", "job", a.lease.Key, "href", a.lease.Spec.Href)
	var none R
	a.d.finish(a.lease, none, timeout(reasonDeadline, context.DeadlineExceeded))
}

// end tells whether this is the first end of the attempt, and stops the timers.
func (a *attempt[R]) end() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.settled {
		return false
	}
	a.settled = true
	for _, t := range []*time.Timer{a.renewal, a.overrun} {
		if t.Stop() {
			a.d.runs.Done()
		}
	}
	return true
}

// settle ends the attempt with what the work returned: the job ends, or goes back to the queue.
func (a *attempt[R]) settle(result R, err error) {
	d, l := a.d, a.lease
	took := time.Since(a.began)
	a.ended(took)
	endAttempt(a.span, err)
	d.emit(Event{Type: Attempted, Key: l.Key, Kind: l.Kind, Priority: l.Priority, Attempt: l.Attempt, Err: err, Run: took})
	if !a.end() {
		return
	}
	v := a.judge(err)
	switch v.do {
	case doLose:
		d.pause(l.Key)
		return
	case doHandBack:
		l.Attempt--
		if e := d.queue.Requeue(context.Background(), l, time.Now()); e != nil {
			d.log.Warn("could not hand back a job", "job", l.Key, "error", e)
		}
		d.resolve(l.Key, result, v.err)
		d.emitFinished(l.Job, l.Priority, l.EnqueuedAt, v.err)
		return
	case doRetry:
		if d.isAwaited(l.Key) {
			l.Priority = Interactive
		}
		switch e := d.queue.Requeue(context.Background(), l, time.Now().Add(v.delay)); {
		case e == nil:
			d.emit(Event{Type: Retried, Key: l.Key, Kind: l.Kind, Priority: l.Priority, Attempt: l.Attempt, Err: err, Delay: v.delay})
			d.pause(l.Key)
			return
		case errors.Is(e, ErrLeaseLost):
			d.pause(l.Key)
			return
		default:
			v.err = exhausted(err)
			d.log.Error("could not requeue a job", "job", l.Key, "error", e)
		}
	}
	d.finish(l, result, v.err)
}

// finish ends a job: in the queue first, so that whoever asks from now on starts anew, then for those who wait. Where
// other processes are to be told, those who wait here come first: a new job of theirs is told of the old one's end.
func (d *Dispatcher[R]) finish(l Lease, result R, err error) {
	f := failure.From(err)
	o := Outcome{Failure: f, Dead: f != nil && f.Status >= http.StatusInternalServerError, Keep: keepFailure(err)}
	_, here := l.local()
	far := d.shared != nil && !here
	if far {
		d.resolve(l.Key, result, err)
		if err == nil {
			o.Ref = d.publish(l.Job, result)
		}
	}
	if e := d.queue.Complete(context.Background(), l, o); e != nil && !errors.Is(e, ErrLeaseLost) {
		d.log.Warn("could not complete a job", "job", l.Key, "error", e)
	}
	if !far {
		d.resolve(l.Key, result, err)
	}
	d.emitFinished(l.Job, l.Priority, l.EnqueuedAt, err)
}

// begin notes that an attempt runs here. It returns the lane of an interactive job.
func (d *Dispatcher[R]) begin(a *attempt[R]) *lane {
	l := a.lease
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.flights[l.Key]
	if f == nil {
		f = d.newFlight(l.Key)
	}
	d.running[a] = struct{}{}
	f.running++
	f.started, f.paused = true, false
	f.working = a.span
	d.place(f)
	if l.Priority == Background {
		a.promoted = make(chan struct{})
		if f.promote = append(f.promote, a.promoted); f.waiters > 0 {
			f.awaited()
		}
		return nil
	}
	lane := d.line.lane(l.Spec.Origin())
	d.line.start(lane)
	return lane
}

// hopeless tells that a job has waited so long that it would hardly be done in time. To begin it all the same would
// make those behind it wait until they are hopeless too: each job would run, and none be done. One that has half its
// time left is always begun.
func (d *Dispatcher[R]) hopeless(l Lease, now time.Time) bool {
	left := l.Deadline.Sub(now)
	if left >= d.opt.Timeout/2 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.line.pace(d.line.lane(l.Spec.Origin()))
	return p.measured() && left.Seconds() < p.mean()
}

// attemptKey finds the attempt in its context.
type attemptKey struct{}

// Promoted returns a channel that is closed when somebody begins to wait for the background job whose work has this
// context. It is nil, which never tells, for a job that somebody waited for from the beginning, and without a job.
func Promoted(ctx context.Context) <-chan struct{} {
	if a, ok := ctx.Value(attemptKey{}).(interface{ promotion() <-chan struct{} }); ok {
		return a.promotion()
	}
	return nil
}

func (a *attempt[R]) promotion() <-chan struct{} { return a.promoted }

// LeaveOrigin says, from within the work and with its context, that the attempt has got what it needs from its
// origin. Where most attempts of an origin are past that point when a job is refused because the origin holds its
// share of the slots, not the origin is slow but what comes after it, and the refusal counts in Stats.SaturatedFor.
// Without it a service whose images all come from one origin is saturated only when its queue is full.
func LeaveOrigin(ctx context.Context) {
	if a, ok := ctx.Value(attemptKey{}).(interface{ leaveOrigin() }); ok {
		a.leaveOrigin()
	}
}

func (a *attempt[R]) leaveOrigin() {
	a.d.mu.Lock()
	defer a.d.mu.Unlock()
	if a.past {
		return
	}
	a.past = true
	if a.lane != nil {
		a.d.line.leave(a.lane)
	}
}

// ended notes that an attempt's slot is about to be free. That comes before anybody is told of the result: who asks
// again then finds it free.
func (a *attempt[R]) ended(took time.Duration) {
	a.d.mu.Lock()
	defer a.d.mu.Unlock()
	delete(a.d.running, a)
	if a.lane == nil {
		return
	}
	a.d.line.end(a.lane, took, a.past)
	a.d.saturation.ease(a.d.line)
}

// waitAgain is how long the next attempt of a job would wait for a slot.
func (d *Dispatcher[R]) waitAgain(l Lease) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.line.decide(l.Spec.Origin(), d.opt.Timeout).wait
}

// pause notes that an attempt ended but the job did not. The next one may already run.
func (d *Dispatcher[R]) pause(key Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.flights[key]
	if f == nil {
		return
	}
	f.running--
	f.paused = true
	d.place(f)
	switch {
	case f.led:
		f.mayLeave()
	case f.running == 0:
		delete(d.flights, key)
	}
}

func (d *Dispatcher[R]) isAwaited(key Key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.flights[key]
	return f != nil && f.led && f.waiters > 0
}
