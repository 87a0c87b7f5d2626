package jobs

import (
	"context"
	"errors"
	"time"

	"imgopt/tracing"
)

// Results passes the results of jobs between processes, beside the queue.
type Results[R any] interface {
	// Publish makes the result of a job that was done here available to other processes, and says where it is.
	Publish(ctx context.Context, job Job, result R) (ref []byte, err error)
	// Load gets the result that another process made. ref is what Publish returned there, empty if it failed.
	Load(ctx context.Context, job Job, ref []byte) (R, error)
}

// sharing is what a dispatcher needs for jobs that other processes may do. All methods work on nil.
type sharing[R any] struct {
	queue   *Failover
	results Results[R]
}

func (s *sharing[R]) up() bool { return s != nil && s.queue.up() }

// carryWithin bounds passing on one result.
const carryWithin = 3 * time.Second

// publish makes a result available to others. Without it they make it themselves.
func (d *Dispatcher[R]) publish(job Job, result R) []byte {
	if !d.shared.up() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), carryWithin)
	defer cancel()
	ref, err := d.shared.results.Publish(ctx, job, result)
	if err != nil {
		d.log.Debug("a result could not be shared with other processes", "job", job.Key, "error", err)
		return nil
	}
	return ref
}

// hearing is a lead's ear for what others do. Its channels are nil where there are no others.
type hearing struct {
	ends    <-chan Ending
	changed <-chan struct{} // the Remote went or came
	cancel  func()
	again   int  // how often the job was enqueued anew
	moved   bool // the Remote was given the job, and it was enqueued here after that
}

// listen begins to listen for the end of a job. It is called before the job is enqueued.
func (d *Dispatcher[R]) listen(key Key) *hearing {
	if d.shared == nil {
		return &hearing{}
	}
	h := &hearing{}
	h.ends, h.cancel = d.shared.queue.remote.Await(key)
	_, h.changed = d.shared.queue.remote.Up()
	return h
}

func (h *hearing) stop() {
	if h.cancel != nil {
		h.cancel()
	}
}

// repeats is how often a job is enqueued anew because its result cannot be found. After that it is done here.
const repeats = 2

var errNoResult = errors.New("the result that another process made cannot be had")

// hear takes note of the end of a job that somebody else did, or of this process's own, which f.done told already.
func (d *Dispatcher[R]) hear(f *flight[R], job Job, e Ending, h *hearing, joined bool, deadline time.Time) (end ending[R], ended bool) {
	select {
	case <-f.done:
		return ending[R]{f.result, f.err, joined}, true
	default:
	}
	switch {
	case e.Lost && d.isRunning(f):
		return end, false // the run brings the end
	case e.Lost:
		return d.again(f, job, joined, d.queue.Enqueue, Item{Deadline: deadline})
	case e.Failure != nil:
		return d.detach(f, job.Key, ending[R]{err: e.Failure, joined: joined}), true
	}
	ctx, span := tracing.Start(d.asking(f), spanLoad)
	defer span.End()
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, carryWithin)
	defer stop()
	result, err := d.shared.results.Load(ctx, job, e.Ref)
	if err == nil {
		return d.detach(f, job.Key, ending[R]{result: result, joined: joined}), true
	}
	d.log.Debug("a result could not be had from another process", "job", job.Key, "error", err)
	enqueue := d.queue.Enqueue
	if h.again++; h.again > repeats {
		enqueue = func(ctx context.Context, item Item) (bool, error) {
			return d.shared.queue.enqueueHere(ctx, item, errNoResult)
		}
	}
	return d.again(f, job, joined, enqueue, Item{Deadline: deadline, Anew: true})
}

// adapt takes note that the Remote went or came. When it went, what it had is unknown: the job is enqueued here.
func (d *Dispatcher[R]) adapt(f *flight[R], job Job, h *hearing, joined bool, deadline time.Time) (end ending[R], ended bool) {
	var up bool
	if up, h.changed = d.shared.queue.remote.Up(); up || d.isRunning(f) {
		return end, false
	}
	h.moved = true
	return d.again(f, job, joined, d.queue.Enqueue, Item{Deadline: deadline})
}

// settle tells the Remote, if it is there again, that nobody needs what it was given before the job was done here.
func (d *Dispatcher[R]) settle(h *hearing, key Key) {
	if h.moved && d.shared.up() {
		_, _ = d.shared.queue.remote.Withdraw(context.Background(), key) // in vain, if somebody does it by now
	}
}

// mayLeave tells that the jobs of those who wait here will be done even if this process takes none any more.
func (s *sharing[R]) mayLeave() bool {
	return s.up() && s.queue.remote.Peers() > 0 && (s.queue.local == nil || s.queue.local.s.idle())
}
