package optimizer

import (
	"context"
	"fmt"

	"imgopt/cache"
	"imgopt/jobs"
)

// Shared is what several processes have in common that are one optimizer.
type Shared struct {
	// Queue holds the jobs of all; the optimizer owns it and closes it.
	Queue *jobs.Failover
	// Tier is the name of the tier of Options.Store that all share.
	Tier string
	// Results holds for a while what that tier does not take, because it is too large: those who wait for it in other
	// processes find it there.
	Results Results
}

// Results is a store that processes share.
type Results interface {
	Get(ctx context.Context, k cache.Key) (*cache.Entry, error)
	Put(ctx context.Context, k cache.Key, e *cache.Entry) error
}

// Where a result is, as jobs tell it to other processes.
const (
	inTier    = "c"
	inResults = "r"
)

// passing passes results between processes.
type passing struct{ o *Optimizer }

// Publish says where the result is, and puts it there if need be.
func (p passing) Publish(ctx context.Context, job jobs.Job, m made) (ref []byte, err error) {
	if m.shared {
		return []byte(inTier), nil
	}
	if err := p.o.opts.Shared.Results.Put(ctx, cache.Key(job.Key), m.entry); err != nil {
		return nil, fmt.Errorf("sharing a result: %w", err)
	}
	return []byte(inResults), nil
}

// Load gets a result of another process, and keeps it here as well. One that has been purged since does not count.
func (p passing) Load(ctx context.Context, job jobs.Job, ref []byte) (made, error) {
	key := cache.Key(job.Key)
	if string(ref) != inResults {
		e, err := p.o.opts.Store.Get(ctx, key)
		if err != nil {
			return made{}, fmt.Errorf("getting a shared result: %w", err)
		}
		return made{entry: e, shared: true}, nil
	}
	e, err := p.o.opts.Shared.Results.Get(ctx, key)
	if err != nil {
		return made{}, fmt.Errorf("getting a shared result: %w", err)
	}
	if p.o.opts.Store.Purged(e) {
		return made{}, fmt.Errorf("getting a shared result: it has been purged: %w", cache.ErrMiss)
	}
	p.o.put(ctx, key, e)
	return made{entry: e}, nil
}
