package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"imgopt/cache"
	"imgopt/cache/valkeycache"
	"imgopt/config"
	"imgopt/handler"
	"imgopt/jobs"
	"imgopt/jobs/valkeyqueue"
	"imgopt/optimizer"
	"imgopt/valkey"
)

// shared is what a process has in common with others through Valkey.
type shared struct {
	client  *valkey.Client
	tier    *valkeycache.Store
	results *valkeycache.Store
	purges  *cache.Purges
}

// sharedQueue is an edition's queue there, and the one of its own that stands in for it.
type sharedQueue struct {
	remote *valkeyqueue.Queue
	over   *jobs.Failover
}

const (
	// sharedTier names the tier of the cache in metrics and logs.
	sharedTier = "valkey"
	// resultSuffix ends the names of results that the tier does not take. They stay twice as long as their job is
	// remembered, so that whoever learns of the one still finds the other.
	resultSuffix = "r"
	resultLives  = 2
)

// openShared connects, in the background: a server that is away keeps nothing from starting.
func openShared(c *config.Config, log *slog.Logger) (*shared, error) {
	address, err := valkey.ParseURL(c.Storage.URL)
	if err != nil {
		return nil, fmt.Errorf("storage.url: %w", err)
	}
	if c.Storage.DB != 0 {
		address.DB = c.Storage.DB
	}
	s := &shared{}
	s.client, err = valkey.Open(valkey.Options{
		Address: address, Prefix: c.Storage.Prefix, ConnectTimeout: c.Storage.ConnectTimeout, Timeout: c.Storage.Timeout, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("storage.url: %w", err)
	}
	s.tier, err = valkeycache.New(valkeycache.Options{
		Client: s.client, StaleFor: c.Cache.Valkey.StaleFor, MaxEntry: int64(c.Cache.Valkey.MaxEntry), Timeout: c.Storage.Timeout,
	})
	if err == nil {
		s.results, err = valkeycache.New(valkeycache.Options{
			Client: s.client, Suffix: resultSuffix, TTL: resultLives * c.Storage.ResultTTL,
			MaxEntry: max(maxResult, int64(c.Images.MaximumResponseBody)), Timeout: maxCarry, WriteTimeout: maxCarry,
		})
	}
	if err != nil {
		return nil, errors.Join(err, s.client.Close())
	}
	return s, nil
}

// newQueue opens the queue of all processes that make the same bytes of the same request.
func (s *shared) newQueue(c *config.Config, log *slog.Logger, version string, limits jobs.Limits) (*sharedQueue, error) {
	q := &sharedQueue{}
	var err error
	q.remote, err = valkeyqueue.Open(valkeyqueue.Options{
		Client: s.client, Version: version, Limits: limits, Replica: replicaName(), Worker: c.Role != config.RoleWeb,
		ResultTTL: c.Storage.ResultTTL, ErrorTTL: c.Storage.ErrorTTL, Log: log,
	})
	if err != nil {
		return nil, err
	}
	q.over, err = jobs.NewFailover(q.remote, limits, c.Role == config.RoleWeb)
	if err != nil {
		return nil, errors.Join(err, q.remote.Close())
	}
	return q, nil
}

// optimizer is the optimizer's part of it.
func (s *shared) optimizer(q *sharedQueue) *optimizer.Shared {
	return &optimizer.Shared{Queue: q.over, Tier: sharedTier, Results: s.results}
}

// checks tell how Valkey is. Nothing that can be done without it fails readiness. peers is how many other processes work.
func (s *shared) checks(role string, peers func() int) []handler.Check {
	checks := []handler.Check{{Name: "valkey", Optional: true, Run: func(context.Context) error {
		if h := s.client.Health(); h.State != valkey.Up {
			return errors.New(h.String())
		}
		return nil
	}}}
	checks = append(checks, handler.Check{Name: "purges", Run: func(context.Context) error {
		// What was purged while this process was away may still be on its disk. Without Valkey nobody can know.
		if s.client.Health().State == valkey.Up && s.purges.Stats().Synced.IsZero() {
			return errors.New("what was purged meanwhile is not known yet")
		}
		return nil
	}})
	if role == config.RoleWeb {
		seen := false // calls do not overlap
		checks = append(checks, handler.Check{Name: "workers", Run: func(context.Context) error {
			// Once there was one, hits are served whatever becomes of it.
			if seen = seen || peers() > 0; seen {
				return nil
			}
			return errors.New("no worker with this version and configuration was seen yet")
		}})
	}
	return checks
}

// purger has variants made anew in all processes.
type purger struct{ store *cache.Tiered }

func (p purger) Purge(ctx context.Context, what handler.Purge) (handler.PurgeReport, error) {
	r, err := p.store.Purge(ctx, cache.Purge(what))
	return handler.PurgeReport(r), err
}

// replicaName tells this process from all others: the host's name, which in Kubernetes is the pod's, and a random end.
var replicaName = sync.OnceValue(func() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "imgopt"
	}
	return host + "-" + strings.ToLower(rand.Text()[:6])
})
