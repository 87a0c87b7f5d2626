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
		lease, err := d.queue.Lease(ctx, p, d.opt.lease())
		switch {
		case err == nil:
			if failing {
				failing = false
				d.log.Info("the job queue works again", "priority", p.String())
			}
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
	began  time.Time
	ctx    context.Context
	cancel context.CancelCauseFunc

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

	now := time.Now()
	late := !now.Before(lease.Deadline) // a job without a deadline is late too
	var none R
	switch {
	case late && lease.Priority == Interactive && !lease.Deadline.IsZero():
		d.finish(lease, none, timeout(reasonQueueTimeout, context.DeadlineExceeded))
		return
	case lease.Attempt > d.opt.MaxAttempts+deathsAllowed:
		d.finish(lease, none, failure.New(http.StatusInternalServerError, reasonWorkersDied, textInternal))
		return
	case late: // its first attempt, or it was held back by people's jobs: that takes nobody's time
		lease.Deadline = now.Add(d.opt.Timeout)
	}

	a := &attempt[R]{d: d, lease: lease, began: now}
	base, stop := context.WithDeadline(d.base, lease.Deadline)
	defer stop()
	a.ctx, a.cancel = context.WithCancelCause(base)
	defer a.cancel(nil)

	d.begin(lease.Key)
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
	d.measured(took)
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

// finish ends a job: in the queue first, so that whoever asks from now on starts anew, then for those who wait.
func (d *Dispatcher[R]) finish(l Lease, result R, err error) {
	f := failure.From(err)
	dead := f != nil && f.Status >= http.StatusInternalServerError
	if e := d.queue.Complete(context.Background(), l, Outcome{Failure: f, Dead: dead}); e != nil && !errors.Is(e, ErrLeaseLost) {
		d.log.Warn("could not complete a job", "job", l.Key, "error", e)
	}
	d.resolve(l.Key, result, err)
	d.emitFinished(l.Job, l.Priority, l.EnqueuedAt, err)
}

// begin notes that an attempt runs here.
func (d *Dispatcher[R]) begin(key Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.flights[key]
	if f == nil {
		f = d.newFlight(key)
	}
	f.running++
	f.started = true
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
