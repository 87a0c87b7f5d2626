package main

import (
	"context"
	"errors"

	"imgopt/cache"
	"imgopt/handler/metrics"
	"imgopt/valkey"
)

// watchPurges exports what is known of purges.
func watchPurges(m *metrics.Metrics, purges *cache.Purges) error {
	return m.WatchPurges(func() metrics.PurgeStats {
		p := purges.Stats()
		return metrics.PurgeStats{
			Records: p.Records, Pending: p.Pending, Purges: p.Purges, Learned: p.Learned, Errors: p.Errors, Synced: p.Synced,
		}
	})
}

// watch exports how Valkey is, and the queue that queue returns, which is the one of the edition in force.
func (s *shared) watch(m *metrics.Metrics, queue func() *sharedQueue) error {
	return errors.Join(
		m.WatchValkey(func() metrics.ValkeyStats {
			h, c := s.client.Health(), s.client.Stats()
			return metrics.ValkeyStats{
				Up: h.State == valkey.Up, Partly: h.State == valkey.Partly, Since: h.Since,
				Commands: c.Commands, Failures: c.Failures, Refused: c.Refused, Connects: c.Connects, InFlight: c.InFlight,
			}
		}),
		m.WatchSharedQueue(func(context.Context) (metrics.SharedQueueStats, error) {
			q := queue()
			there, over := q.remote.Fleet(), q.over.Failovers()
			return metrics.SharedQueueStats{
				Leased: there.Leased, Workers: there.Workers, DeadLetters: there.Dead, CompletionsPending: there.Pending,
				Lost: there.Lost, Relocated: over.Relocated, Unshared: over.Unshared,
			}, nil
		}),
	)
}
