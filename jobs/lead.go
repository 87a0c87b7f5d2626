package jobs

import (
	"context"
	"net/http"
	"time"

	"imgopt/failure"
	"imgopt/tracing"
)

// ending is what lead hands to the calls that wait.
type ending[R any] struct {
	result R
	err    error
	joined bool // the job was there before
}

// overrunGrace is how long after its time a running job may still say itself why it failed.
const overrunGrace = 250 * time.Millisecond

// lead is the one goroutine that looks after a job somebody waits for: it enqueues the job, keeps its time, drops it
// when everybody has left, and brings the result. It runs inside the singleflight call, and must not panic: the
// group would end the process. Where other processes may do the job, it listens for its end before it enqueues it.
func (d *Dispatcher[R]) lead(f *flight[R], job Job) ending[R] {
	defer d.leads.Done()
	deadline := time.Now().Add(d.opt.Timeout)
	far := d.listen(job.Key)
	defer far.stop()
	joined, err := d.admit(f, job, deadline)
	if err != nil {
		return d.detach(f, job.Key, ending[R]{err: d.refuse(job, Interactive, d.refusal(job, f, err)), joined: joined})
	}

	timer := time.NewTimer(d.opt.Timeout)
	defer timer.Stop()
	stopping := d.base.Done()
	var why *failure.Error // set when the time is up
	for {
		graced := why != nil
		select {
		case <-f.done:
			d.settle(far, job.Key)
			return ending[R]{f.result, f.err, joined}
		case <-f.left:
			if end, ended := d.abandon(f, job, joined, deadline); ended {
				return end
			}
			continue
		case e := <-far.ends:
			if end, ended := d.hear(f, job, e, far, joined, deadline); ended {
				return end
			}
			continue
		case <-far.changed:
			if end, ended := d.adapt(f, job, far, joined, deadline); ended {
				return end
			}
			continue
		case <-timer.C:
			if why == nil {
				why = d.tooLate(f)
			}
		case <-stopping:
			stopping = nil
			why = errShuttingDown()
		}
		if d.isRunning(f) && !graced {
			timer.Reset(2 * overrunGrace) // the run has been told the same, and knows better what happened
			continue
		}
		if dropped, _ := d.queue.Withdraw(context.Background(), job.Key); dropped {
			d.emitFinished(job, Interactive, deadline.Add(-d.opt.Timeout), why)
		}
		return d.detach(f, job.Key, ending[R]{err: why, joined: joined})
	}
}

// admit enqueues the job, unless it is running here already.
func (d *Dispatcher[R]) admit(f *flight[R], job Job, deadline time.Time) (joined bool, err error) {
	if d.isRunning(f) {
		d.emit(Event{Type: Coalesced, Key: job.Key, Kind: job.Kind, Priority: Interactive})
		return true, nil
	}
	return d.enqueue(d.asking(f), job, Interactive, deadline)
}

func (d *Dispatcher[R]) isRunning(f *flight[R]) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return f.running > 0
}

// tooLate is the failure of a job whose time ran out before it was done.
func (d *Dispatcher[R]) tooLate(f *flight[R]) *failure.Error {
	d.mu.Lock()
	defer d.mu.Unlock()
	reason := reasonQueueTimeout
	if f.started {
		reason = reasonDeadline
	}
	return timeout(reason, context.DeadlineExceeded)
}

func timeout(reason string, cause error) *failure.Error {
	return &failure.Error{Status: http.StatusGatewayTimeout, Reason: reason, Text: failure.TextUpstreamTimeout,
		Timeout: true, Cause: cause}
}

// abandon drops the job if nobody waits for it and it is not running. ended is false if there is somebody, or there
// is again.
func (d *Dispatcher[R]) abandon(f *flight[R], job Job, joined bool, deadline time.Time) (end ending[R], ended bool) {
	d.mu.Lock()
	idle := f.waiters == 0 && f.running == 0
	d.mu.Unlock()
	if !idle {
		return end, false
	}
	// If this does not drop the job, it has just been started, or was submitted too; either way it needs no lead.
	dropped, _ := d.queue.Withdraw(context.Background(), job.Key)

	d.mu.Lock()
	if d.flights[job.Key] != f { // it has just ended, and somebody may have come in time for that
		defer d.mu.Unlock()
		return ending[R]{f.result, f.err, joined}, true
	}
	back := f.waiters > 0
	if !back {
		d.unfly(f, job.Key)
	}
	d.mu.Unlock()
	if back { // somebody came while the job was dropped
		return d.again(f, job, joined, d.queue.Enqueue, Item{Deadline: deadline})
	}
	why := failure.From(context.Canceled)
	if dropped {
		d.emitFinished(job, Interactive, deadline.Add(-d.opt.Timeout), why)
	}
	return ending[R]{err: why, joined: joined}, true
}

// again enqueues a job once more; item has what is special about that. If it cannot be enqueued, that is its end.
func (d *Dispatcher[R]) again(f *flight[R], job Job, joined bool, enqueue func(context.Context, Item) (bool, error), item Item) (end ending[R], ended bool) {
	ctx := d.asking(f)
	item.Job, item.EnqueuedAt, item.Trace = Job{Key: job.Key, Kind: job.Kind, Spec: job.Spec}, time.Now(), tracing.LinkOf(ctx)
	if _, err := enqueue(ctx, item); err != nil {
		return d.detach(f, job.Key, ending[R]{err: d.refuse(job, Interactive, d.refusal(job, f, err)), joined: joined}), true
	}
	return end, false
}

// detach ends the waiting of all calls, unless the job has just ended by itself. A run that is still going on goes on
// without lead.
func (d *Dispatcher[R]) detach(f *flight[R], key Key, end ending[R]) ending[R] {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flights[key] != f {
		return ending[R]{f.result, f.err, end.joined}
	}
	d.unfly(f, key)
	return end
}

// unfly ends the lead of a flight, and the flight if nothing runs; mu is held.
func (d *Dispatcher[R]) unfly(f *flight[R], key Key) {
	if d.flights[key] != f {
		return // resolved: the group may already have another call
	}
	f.led = false
	d.place(f)
	d.group.Forget(string(key[:]))
	if f.running == 0 {
		delete(d.flights, key)
	}
}
