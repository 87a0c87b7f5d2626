package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Failover is a Remote queue with one in this process beside it, for what the Remote cannot take: while its server is
// away every process does its own work, as if it were alone. No job is refused for it, and none is lost: jobs that were
// with the Remote are enqueued again here by those who wait for them (lead), and may then be done twice.
//
// Both are worked on all the time, from the same slots.
type Failover struct {
	remote Remote
	local  *Memory // nil in a process that does no work

	relocated, unshared atomic.Uint64

	mu    sync.Mutex
	alone time.Time // since when no process works; zero while one does
}

var _ Queue = (*Failover)(nil)

// For a process that does no work: how long it waits for a Remote that is away, which mostly is a fail-over or a restart,
// and how long it enqueues jobs that nobody works on, as while workers are restarted.
const (
	awayPatience  = 3 * time.Second
	alonePatience = 5 * time.Second
)

var errNoWorkers = fmt.Errorf("no process works: %w", ErrUnavailable)

// localToken begins the tokens of leases on local jobs.
const localToken = "local:"

// NewFailover combines the two; it owns the Remote from then on. local are the limits of what is held here. A process
// that does no work has nothing to fall back on: there Enqueue fails with ErrUnavailable.
func NewFailover(r Remote, local Limits, workless bool) (*Failover, error) {
	q := &Failover{remote: r}
	if workless {
		return q, nil
	}
	var err error
	if q.local, err = NewMemory(local); err != nil {
		return nil, fmt.Errorf("failover queue: %w", err)
	}
	return q, nil
}

// up tells whether the Remote can be used.
func (q *Failover) up() bool {
	up, _ := q.remote.Up()
	return up
}

// Enqueue implements Queue.
func (q *Failover) Enqueue(ctx context.Context, item Item) (joined bool, err error) {
	if q.local != nil && q.local.s.has(item.Key) {
		return q.local.Enqueue(ctx, item) // left from when the Remote was away
	}
	var until time.Time
	if q.local == nil && item.Priority == Interactive {
		until = time.Now().Add(min(awayPatience, time.Until(item.Deadline)))
	}
	for {
		up, changed := q.remote.Up()
		switch {
		case !up:
			err = ErrUnavailable
		case q.nobodyWorks():
			return false, errNoWorkers
		default:
			joined, err = q.remote.Enqueue(ctx, item)
			if err == nil || !errors.Is(err, ErrUnavailable) {
				return joined, err
			}
		}
		if !time.Now().Before(until) || ctx.Err() != nil {
			return q.enqueueHere(ctx, item, err)
		}
		waitUntil(ctx, changed, until)
	}
}

// nobodyWorks tells, in a process that does no work, that others have not done any for a while either.
func (q *Failover) nobodyWorks() bool {
	if q.local != nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	switch {
	case q.remote.Peers() > 0:
		q.alone = time.Time{}
	case q.alone.IsZero():
		q.alone = now
	}
	return !q.alone.IsZero() && now.Sub(q.alone) >= alonePatience
}

// enqueueHere enqueues an item that the Remote did not take, because of why.
func (q *Failover) enqueueHere(ctx context.Context, item Item, why error) (joined bool, err error) {
	if q.local == nil {
		return false, why
	}
	if joined, err = q.local.Enqueue(ctx, item); err == nil && !joined {
		q.relocated.Add(1)
	}
	return joined, err
}

// Withdraw implements Queue.
func (q *Failover) Withdraw(ctx context.Context, key Key) (dropped bool, err error) {
	if q.local != nil {
		if dropped, err = q.local.Withdraw(ctx, key); err != nil {
			return dropped, err
		}
	}
	if !q.up() {
		return dropped, nil // whoever takes it later finds that nobody waits
	}
	there, err := q.remote.Withdraw(ctx, key)
	return dropped || there, err
}

// Lease implements Queue.
func (q *Failover) Lease(ctx context.Context, p Priority, ttl time.Duration) (Lease, error) {
	type answer struct {
		lease Lease
		err   error
	}
	if q.local == nil {
		return q.remote.Lease(ctx, p, ttl)
	}
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	far := make(chan answer, 1)
	go func() {
		l, err := q.remote.Lease(both, p, ttl)
		cancel() // one lease is enough
		far <- answer{l, err}
	}()
	near, nearErr := q.local.Lease(both, p, ttl)
	cancel()
	a := <-far
	switch {
	case nearErr == nil && a.err == nil:
		// Both had one at the same moment.
		a.lease.Attempt--
		_ = q.remote.Requeue(context.WithoutCancel(ctx), a.lease, time.Now()) // or it is found when its lease expires
		fallthrough
	case nearErr == nil:
		near.Token = localToken + near.Token
		return near, nil
	case a.err == nil:
		return a.lease, nil
	case ctx.Err() != nil:
		return Lease{}, context.Cause(ctx)
	case errors.Is(nearErr, context.Canceled): // because the other one ended first
		return Lease{}, a.err
	default:
		return Lease{}, nearErr
	}
}

// local returns the lease as the local queue knows it.
func (l Lease) local() (Lease, bool) {
	token, ok := strings.CutPrefix(l.Token, localToken)
	l.Token = token
	return l, ok
}

// LimitOrigins implements Queue. The two count separately.
func (q *Failover) LimitOrigins(interactive, background int) bool {
	if q.local != nil {
		q.local.LimitOrigins(interactive, background)
	}
	return q.remote.LimitOrigins(interactive, background)
}

// Extend implements Queue.
func (q *Failover) Extend(ctx context.Context, l Lease, ttl time.Duration) error {
	if here, ok := l.local(); ok {
		return q.local.Extend(ctx, here, ttl)
	}
	return q.remote.Extend(ctx, l, ttl)
}

// Complete implements Queue.
func (q *Failover) Complete(ctx context.Context, l Lease, o Outcome) error {
	if here, ok := l.local(); ok {
		return q.local.Complete(ctx, here, o)
	}
	err := q.remote.Complete(ctx, l, o)
	if errors.Is(err, ErrUnavailable) {
		q.unshared.Add(1) // the server learns it later; those who wait elsewhere have noticed that it is away
		return nil
	}
	return err
}

// Requeue implements Queue. A job that cannot go back is tried again here.
func (q *Failover) Requeue(ctx context.Context, l Lease, at time.Time) error {
	if here, ok := l.local(); ok {
		return q.local.Requeue(ctx, here, at)
	}
	err := q.remote.Requeue(ctx, l, at)
	if !errors.Is(err, ErrUnavailable) || q.local == nil || l.Priority == Background {
		return err // one of the background is another's when the lease expires
	}
	if _, _, err := q.local.s.put(l.Item, asked{force: true, at: at}); err != nil {
		return err
	}
	q.relocated.Add(1)
	return nil
}

// Stats implements Queue: what both hold.
func (q *Failover) Stats(ctx context.Context) (QueueStats, error) {
	s, err := q.remote.Stats(ctx)
	if q.local == nil {
		return s, err
	}
	here := q.local.s.stats()
	s.Interactive, s.Background = s.Interactive.plus(here.Interactive), s.Background.plus(here.Background)
	s.Leased += here.Leased
	s.Reclaimed += here.Reclaimed
	s.Buried += here.Buried
	return s, err
}

func (c ClassStats) plus(o ClassStats) ClassStats {
	return ClassStats{Queued: c.Queued + o.Queued, Delayed: c.Delayed + o.Delayed, HeldBack: c.HeldBack + o.HeldBack,
		Oldest: max(c.Oldest, o.Oldest)}
}

// FailoverStats counts what a Failover did since it was made.
type FailoverStats struct {
	// Relocated jobs were put into the local queue; Unshared ones ended while the Remote could not be told.
	Relocated, Unshared uint64
}

// Failovers returns the counts.
func (q *Failover) Failovers() FailoverStats {
	return FailoverStats{Relocated: q.relocated.Load(), Unshared: q.unshared.Load()}
}

// Close implements Queue.
func (q *Failover) Close() error {
	var err error
	if q.local != nil {
		err = q.local.Close()
	}
	return errors.Join(q.remote.Close(), err)
}
