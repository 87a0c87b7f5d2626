package jobs

import (
	"context"
	"fmt"
	"time"
)

// Memory is the queue of a process that shares its work with nobody: what it holds ends with the process.
type Memory struct{ s *schedule }

// NewMemory returns an empty queue.
func NewMemory(l Limits) (*Memory, error) {
	if err := l.validate(); err != nil {
		return nil, fmt.Errorf("memory queue: %w", err)
	}
	return &Memory{s: newSchedule(l)}, nil
}

// Enqueue implements Queue.
func (m *Memory) Enqueue(_ context.Context, item Item) (joined bool, err error) {
	_, joined, err = m.s.put(item, asked{})
	return joined, err
}

// Withdraw implements Queue.
func (m *Memory) Withdraw(_ context.Context, key Key) (dropped bool, err error) {
	return m.s.withdraw(key), nil
}

// Lease implements Queue.
func (m *Memory) Lease(ctx context.Context, p Priority, ttl time.Duration) (Lease, error) {
	l, _, err := m.s.take(ctx, p, ttl)
	return l, err
}

// LimitOrigins implements Queue.
func (m *Memory) LimitOrigins(interactive, background int) bool {
	m.s.limitOrigins(interactive, background)
	return true
}

// Extend implements Queue.
func (m *Memory) Extend(_ context.Context, l Lease, ttl time.Duration) error {
	_, err := m.s.extend(l, ttl)
	return err
}

// Complete implements Queue. Dead letters are only counted.
func (m *Memory) Complete(_ context.Context, l Lease, o Outcome) error { return m.s.remove(l, o.Dead) }

// Requeue implements Queue.
func (m *Memory) Requeue(_ context.Context, l Lease, at time.Time) error { return m.s.requeue(l, at) }

// Stats implements Queue.
func (m *Memory) Stats(context.Context) (QueueStats, error) { return m.s.stats(), nil }

// Close implements Queue. The jobs still queued are gone.
func (m *Memory) Close() error {
	m.s.close()
	return nil
}
