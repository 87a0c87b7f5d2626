package valkeyqueue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"imgopt/jobs"
	"imgopt/valkey"
)

// reasonQueueTimeout is the failure of a job that was never begun: it tells nothing about the pace of work.
const reasonQueueTimeout = "queue_timeout"

// fenced runs a script that only the holder of a lease may run.
func (q *Queue) fenced(ctx context.Context, s *valkey.Script, doing string, l jobs.Lease, args []string) error {
	m, err := q.run(ctx, s, callWithin, doing, args...)
	var ok int64
	if err == nil {
		ok, err = m.AsInt64()
		err = q.failure(ctx, doing, err)
	}
	switch {
	case err != nil:
		return err
	case ok != 1:
		q.release(l.Token)
		q.adopt(l.Key)
		return jobs.ErrLeaseLost
	}
	return nil
}

// Extend implements jobs.Queue.
func (q *Queue) Extend(ctx context.Context, l jobs.Lease, ttl time.Duration) error {
	ttl = min(max(ttl, minLease), maxLease)
	sent := time.Now()
	err := q.fenced(ctx, scripts.extend, "renewing a lease", l,
		[]string{string(l.Key[:]), l.Token, q.replica, strconv.FormatInt(ttl.Milliseconds(), 10)})
	if err == nil {
		q.mu.Lock()
		if h := q.leases[l.Token]; h != nil {
			h.expires = sent.Add(ttl)
		}
		q.mu.Unlock()
	}
	return err
}

// Complete implements jobs.Queue.
func (q *Queue) Complete(ctx context.Context, l jobs.Lease, o jobs.Outcome) error {
	if len(o.Ref) > maxRef {
		return fmt.Errorf("completing a job: a reference of %d bytes, the queue takes %d", len(o.Ref), maxRef)
	}
	outcome := appendOutcome(nil, o.Failure, o.Ref)
	keep := q.o.ResultTTL
	if o.Failure != nil {
		keep = q.o.ErrorTTL
	}
	if keep > 0 && o.Keep > 0 {
		keep = min(o.Keep, maxTTL)
	}
	args := q.completeArgs(l, outcome, keep, o.Dead, o.Failure == nil || o.Failure.Reason != reasonQueueTimeout)
	err := q.fenced(ctx, scripts.complete, "completing a job", l, args)
	switch {
	case err == nil:
		q.completed(l, outcome)
		if o.Dead {
			q.buried.Add(1)
		}
	case errors.Is(err, jobs.ErrUnavailable):
		q.mu.Lock()
		if h := q.leases[l.Token]; h != nil {
			q.remember(completion{l, outcome, args, h.expires})
			if o.Dead {
				q.buried.Add(1)
			}
		}
		q.mu.Unlock()
	}
	return err
}

func (q *Queue) completeArgs(l jobs.Lease, outcome []byte, keep time.Duration, dead, counts bool) []string {
	flag := map[bool]string{true: "1", false: "0"}
	return []string{string(l.Key[:]), l.Token, q.replica, valkey.Binary(outcome),
		strconv.FormatInt(max(0, keep.Milliseconds()), 10), flag[dead], flag[counts]}
}

// completed tells those who wait in this process; the server has told the others.
func (q *Queue) completed(l jobs.Lease, outcome []byte) {
	q.release(l.Token)
	if end, err := decodeOutcome(outcome); err == nil {
		q.ended(l.Key, end)
	}
}

// Requeue implements jobs.Queue. Those who wait here, and relied on this process's work, wait for others from then on.
func (q *Queue) Requeue(ctx context.Context, l jobs.Lease, at time.Time) error {
	left, waiting := "", ""
	if !l.Deadline.IsZero() {
		left = micros(time.Until(l.Deadline))
	}
	q.mu.Lock()
	if q.watches[l.Key] != nil {
		waiting = q.replica
		q.waiting[l.Key] = time.Now()
		q.arm(l.Key)
	}
	q.mu.Unlock()
	err := q.fenced(ctx, scripts.requeue, "requeueing a job", l, []string{string(l.Key[:]), l.Token, strconv.Itoa(l.Attempt),
		digit(l.Priority), micros(time.Until(at)), left, waiting})
	q.mu.Lock()
	switch {
	case err == nil && waiting != "":
		q.confirm(l.Key)
	case errors.Is(err, jobs.ErrUnavailable):
		q.disarm(l.Key)
		// Nobody works on it any more. If the server does not know that, it is told when it is back.
		q.doubt = time.Now().Add(doubtFor)
	}
	q.mu.Unlock()
	if err == nil || errors.Is(err, jobs.ErrUnavailable) {
		q.release(l.Token)
	}
	return err
}
