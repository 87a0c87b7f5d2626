package valkeyqueue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"imgopt/jobs"
)

// pollEvery is how often a worker looks for jobs of its own accord, in case it missed being woken.
const pollEvery = time.Second

// Bounds of a lease's length. The longest is half of what an entry of a stream counts as expired after.
const (
	minLease = 10 * time.Millisecond
	maxLease = 12 * time.Hour
)

// held is a job that this process has leased.
type held struct {
	key      jobs.Key
	priority jobs.Priority
	shard    int
	expires  time.Time
}

// LimitOrigins implements jobs.Queue; the limits are those of a shard.
func (q *Queue) LimitOrigins(interactive, background int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.perShard = [priorities]int{jobs.Interactive: interactive, jobs.Background: background}
	return true
}

// Lease implements jobs.Queue. While the server is away it waits.
func (q *Queue) Lease(ctx context.Context, p jobs.Priority, ttl time.Duration) (jobs.Lease, error) {
	ttl = min(max(ttl, minLease), maxLease)
	for {
		if err := ctx.Err(); err != nil {
			return jobs.Lease{}, err
		}
		q.mu.Lock()
		closed, up, changed, wake := q.closed, q.up, q.changed, q.wake[p]
		q.mu.Unlock()
		if closed {
			return jobs.Lease{}, jobs.ErrClosed
		}
		wait := pollEvery/2 + rand.N(pollEvery/2) // those who were woken in vain together need not look together
		if q.o.Worker && up {
			l, next, err := q.tryLease(ctx, p, ttl)
			switch {
			case err == nil && l.Token != "":
				return l, nil
			case err == nil:
				wait = min(wait, next)
			case errors.Is(err, jobs.ErrClosed):
				return jobs.Lease{}, err
			case ctx.Err() != nil:
				return jobs.Lease{}, ctx.Err()
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-wake:
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		case <-q.closing:
		}
		timer.Stop()
	}
}

// tryLease asks the server once. A lease without a token says that there is nothing, and when to ask again.
func (q *Queue) tryLease(ctx context.Context, p jobs.Priority, ttl time.Duration) (l jobs.Lease, next time.Duration, err error) {
	select {
	case q.leasing[p] <- struct{}{}:
		defer func() { <-q.leasing[p] }()
	case <-ctx.Done():
		return l, 0, ctx.Err()
	}
	token := newToken()
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return l, 0, jobs.ErrClosed
	}
	q.calls.Add(1)
	q.asking[token] = true
	full := q.fullShards(time.Now())
	q.mu.Unlock()
	defer q.calls.Done()

	call, cancel := linger(ctx)
	defer cancel()
	sent := time.Now()
	m, err := q.run(call, scripts.lease, callWithin, "leasing a job", digit(p), q.replica, token,
		strconv.FormatInt(ttl.Milliseconds(), 10), full[jobs.Interactive], full[jobs.Background])
	var reply []string
	if err == nil {
		reply, err = texts(m)
	}
	middle := sent.Add(time.Since(sent) / 2) // when the server looked at its clock, as well as can be known

	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.asking, token)
	if err != nil {
		q.doubt = time.Now().Add(doubtFor)
		if ctx.Err() != nil {
			q.beatSoon() // it looks for what may have been leased
		}
		return l, 0, err
	}
	switch {
	case len(reply) == 11 && reply[0] == "L":
		return q.leased(reply, token, ttl, middle)
	case len(reply) == 3 && reply[0] == "E":
		q.countStale(reply[2])
		next = pollEvery
		if us, err := strconv.ParseFloat(reply[1], 64); err == nil && us >= 0 {
			next = duration(us)
		}
		// The server's clock and the timer's are not one: a moment later is better than too early and then late.
		return l, next + time.Millisecond, nil
	case len(reply) == 1 && reply[0] == "B":
		q.beatSoon()
		return l, pollEvery, nil
	}
	return l, 0, fmt.Errorf("leasing a job: %w: the server's answer cannot be read", jobs.ErrUnavailable)
}

// lingerFor is how long a call that may lease a job still waits for its answer when its caller does not want it any more:
// a job that is known of can be given back at once.
const lingerFor = 50 * time.Millisecond

// linger returns a context that ends a moment later than ctx.
func linger(ctx context.Context) (context.Context, context.CancelFunc) {
	call, cancel := context.WithCancel(context.WithoutCancel(ctx))
	forget := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(lingerFor):
			cancel()
		case <-call.Done():
		}
	})
	return call, func() {
		forget()
		cancel()
	}
}

// leased takes a lease; mu is held. One that cannot be read is ended, and those who wait for it are told that it is lost.
func (q *Queue) leased(reply []string, token string, ttl time.Duration, at time.Time) (jobs.Lease, time.Duration, error) {
	q.countStale(reply[9])
	h := &held{expires: at.Add(ttl)}
	l, err := parseLease(reply, h, at)
	q.leases[token] = h
	if err != nil {
		q.corrupt.Add(1)
		q.o.Log.Error("a job in valkey cannot be read and is dropped", "job", h.key, "error", err)
		broken := jobs.Lease{Item: jobs.Item{Job: jobs.Job{Key: h.key}}, Token: token}
		lost := []byte{outcomeLost}
		q.remember(completion{broken, lost, q.completeArgs(broken, lost, 0, false, false), h.expires})
		q.beatSoon()
		return jobs.Lease{}, 0, nil
	}
	l.Token, l.Trace = token, decodeTrace(reply[10])
	return l, 0, nil
}

// parseLease reads the server's words for a lease, given at that time.
func parseLease(reply []string, h *held, at time.Time) (l jobs.Lease, err error) {
	if len(reply[1]) != len(h.key) {
		err = errTorn
	}
	copy(h.key[:], reply[1])
	var priority, kind int
	h.shard, err = number(reply[6], shards-1, err)
	priority, err = number(reply[5], priorities-1, err)
	h.priority = jobs.Priority(priority)
	kind, err = number(reply[3], int(jobs.Prewarm), err)
	l.Attempt, err = number(reply[4], 1<<30, err)
	if err != nil {
		return l, err
	}
	l.Key, l.Kind, l.Priority = h.key, jobs.Kind(kind), h.priority
	if l.Spec, err = decodeItem([]byte(reply[2])); err != nil {
		return l, err
	}
	age, err := strconv.ParseFloat(reply[7], 64)
	if err != nil {
		return l, err
	}
	l.EnqueuedAt = at.Add(-duration(age))
	if reply[8] != "" {
		left, err := strconv.ParseFloat(reply[8], 64)
		if err != nil {
			return l, err
		}
		l.Deadline = at.Add(duration(left))
	}
	return l, nil
}

// number reads a number from 0 to most, unless there was an error before.
func number(s string, most int, before error) (int, error) {
	if before != nil {
		return 0, before
	}
	n, err := strconv.Atoi(s)
	if err == nil && (n < 0 || n > most) {
		err = fmt.Errorf("%d where at most %d can be", n, most)
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (q *Queue) countStale(s string) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		q.corrupt.Add(n)
	}
}

// fullShards tells, for each priority with a digit per shard, where this process may lease no more; mu is held.
func (q *Queue) fullShards(now time.Time) (full [priorities]string) {
	counts := q.countLeases(now)
	for p := range priorities {
		b := make([]byte, shards)
		for h := range shards {
			b[h] = '0'
			if q.perShard[p] > 0 && counts[p][h] >= q.perShard[p] {
				b[h] = '1'
			}
		}
		full[p] = string(b)
	}
	return full
}

// countLeases counts the leases in force, and forgets those that nobody has ended long after they expired; mu is held.
func (q *Queue) countLeases(now time.Time) (counts [priorities][shards]int) {
	for token, h := range q.leases {
		switch late := now.Sub(h.expires); {
		case late < 0:
			counts[h.priority][h.shard]++
		case late > time.Minute:
			delete(q.leases, token)
		}
	}
	return counts
}

// woken takes a message from the workers' channel: the priority of a job that has become ready.
func (q *Queue) woken(message string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if message == digit(jobs.Background) {
		q.notify(jobs.Background)
	} else {
		q.notify(jobs.Interactive)
	}
}

func (q *Queue) notifyAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.notify(jobs.Interactive)
	q.notify(jobs.Background)
}

// notify lets those who wait for a job look again; mu is held.
func (q *Queue) notify(p jobs.Priority) {
	close(q.wake[p])
	q.wake[p] = make(chan struct{})
}

// release forgets a lease that has ended. Where there are limits another job may begin now.
func (q *Queue) release(token string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.leases[token] != nil {
		delete(q.leases, token)
		if q.perShard != [priorities]int{} {
			q.notify(jobs.Interactive)
			q.notify(jobs.Background)
		}
	}
}
