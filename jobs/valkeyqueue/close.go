package valkeyqueue

import (
	"context"
	"fmt"
	"time"

	"imgopt/jobs"
	"imgopt/valkey"
)

// leaveWithin bounds what Close does with the server.
const leaveWithin = 5 * time.Second

// withdrawMost is how many jobs one call withdraws from.
const withdrawMost = 200

// Close implements jobs.Queue. If the server is away, others find out by themselves that this process is gone, and what
// it had leased counts as an attempt.
func (q *Queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		q.running.Wait()
		return nil
	}
	q.closed = true
	q.mu.Unlock()
	close(q.closing)
	q.calls.Wait() // what is being leased is handed back too
	q.cancel()
	q.running.Wait()
	for _, stop := range q.stop {
		stop()
	}
	if q.o.Client.Health().State != valkey.Down {
		ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
		defer cancel()
		if err := q.leave(ctx); err != nil {
			q.o.Log.Warn("jobs could not be handed back: other processes take them when this one counts as dead", "error", err)
		}
	}
	q.setUp(false)
	return nil
}

// leave takes back all that this process has in the server.
func (q *Queue) leave(ctx context.Context) error {
	q.settle(ctx)
	q.mu.Lock()
	var keys []jobs.Key
	for key := range q.waiting {
		keys = append(keys, key)
	}
	q.mu.Unlock()
	for len(keys) > 0 {
		n := min(len(keys), withdrawMost)
		if _, err := q.withdraw(ctx, keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
	}
	for {
		m, err := q.run(ctx, scripts.leave, callWithin, "handing back jobs", q.replica)
		if err != nil {
			return err
		}
		more, err := m.AsInt64()
		if err != nil {
			return fmt.Errorf("handing back jobs: %w", err)
		}
		if more == 0 {
			break
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.leases)
	return nil
}
