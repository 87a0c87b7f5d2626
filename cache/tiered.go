package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Tier is a store with the name it has in metrics and logs.
type Tier struct {
	Name string
	Store
}

// staleLook is how often a stale entry of the fastest tier has the slower ones asked for a newer one.
const staleLook = time.Second

// Tiered makes one store of several, from fast to slow.
//
// A Get takes the first fresh entry. A stale one does not end the search, because another process may have renewed
// the entry in a tier that both share: the slower tiers are asked as well, and the entry with the latest StoredAt
// wins, fresh or not. (The latest, not the one that expires last: an old entry with a long life must not come back
// in place of a younger one that could not be written everywhere.) While one stale entry stays in the fastest tier,
// the slower ones are asked about it once a second, so a popular entry waiting for its revalidation remains a hit in
// memory. What is found in a slower tier is copied to the faster ones.
//
// A Put writes to the slowest tier first, in the caller's time. It happens once per variant, after tens of
// milliseconds of encoding, and a write to disk without a sync takes less than one; a queue would only add memory to
// bound, a moment in which the entry can be lost, and an order to get wrong.
//
// Puts of one key that run at the same time may leave different entries in different tiers until the one in the
// fastest is stale. Callers that produce an entry once at a time, as jobs do, never see that.
type Tiered struct {
	tiers  []Tier
	epochs [64]epoch
}

// epoch guards the entries of some keys in the tiers above the slowest against copies of what has just been replaced
// or deleted: a Get notes n before it reads a slower tier and copies what it found only if n is still the same. It
// works because changes go from slow to fast and count n up at each tier but the slowest: whoever sees the new n
// also sees the slower tiers changed.
type epoch struct {
	mu sync.Mutex
	n  uint64
}

// NewTiered returns the composition of tiers, the fastest first. It owns them: Close closes them all. Without tiers
// nothing is kept.
func NewTiered(tiers ...Tier) *Tiered { return &Tiered{tiers: tiers} }

// Get returns the entry of k from the best tier.
func (t *Tiered) Get(ctx context.Context, k Key) (*Entry, error) {
	e, _, err := t.GetTier(ctx, k)
	return e, err
}

// GetTier is Get with the name of the tier that had the entry; "" for a miss. An entry in the fastest tier is found
// without an allocation.
func (t *Tiered) GetTier(ctx context.Context, k Key) (*Entry, string, error) {
	var (
		best  *Entry
		from  int
		miss  = ErrMiss
		seen  uint64
		now   = time.Now()
		guard = &t.epochs[k[0]%byte(len(t.epochs))]
	)
	for i := range t.tiers {
		if i == 1 {
			seen = guard.load()
		}
		e, err := t.tiers[i].Get(ctx, k)
		if err != nil {
			if err != ErrMiss {
				miss = err
			}
			continue
		}
		if best == nil || e.newerThan(best) {
			best, from = e, i
		}
		if best.State(now) == Hit || i == 0 && !best.claimLook(now, staleLook) {
			break
		}
	}
	if best == nil {
		return nil, "", miss
	}
	if from > 0 {
		t.promote(ctx, k, best, from, guard, seen)
	}
	return best, t.tiers[from].Name, nil
}

// promote copies e from the tier it was found in to the faster ones. That this fails is counted by the tier, and no
// concern of the caller's. Of many that found the same entry at once, one copies it.
func (t *Tiered) promote(ctx context.Context, k Key, e *Entry, from int, guard *epoch, seen uint64) {
	guard.mu.Lock()
	defer guard.mu.Unlock()
	if guard.n != seen {
		return
	}
	guard.n++
	// in memory it is stale from the start and need not be looked for again at once
	e.lookedAt.Store(time.Now().UnixNano())
	for i := from - 1; i >= 0; i-- {
		_ = t.tiers[i].Put(ctx, k, e)
	}
}

func (g *epoch) load() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

// Put keeps e in every tier. The failure of one does not keep the others from storing it; all failures are returned
// together, each with its tier's name. ErrTooLarge is returned only if e was kept nowhere.
func (t *Tiered) Put(ctx context.Context, k Key, e *Entry) error {
	kept := len(t.tiers) == 0
	var large, failed []error
	t.slowToFast(k, func(tier Tier) {
		err := tier.Put(ctx, k, e)
		switch {
		case err == nil:
			kept = true
		case errors.Is(err, ErrTooLarge):
			large = append(large, fmt.Errorf("%s tier: %w", tier.Name, err))
		default:
			failed = append(failed, fmt.Errorf("%s tier: %w", tier.Name, err))
		}
	})
	if !kept {
		failed = append(failed, large...)
	}
	return errors.Join(failed...)
}

// Delete forgets k in every tier.
func (t *Tiered) Delete(ctx context.Context, k Key) error {
	var failed []error
	t.slowToFast(k, func(tier Tier) {
		if err := tier.Delete(ctx, k); err != nil {
			failed = append(failed, fmt.Errorf("%s tier: %w", tier.Name, err))
		}
	})
	return errors.Join(failed...)
}

// slowToFast calls change with each tier in the order, and under the locks, that epoch asks for.
func (t *Tiered) slowToFast(k Key, change func(Tier)) {
	guard := &t.epochs[k[0]%byte(len(t.epochs))]
	for i := len(t.tiers) - 1; i >= 0; i-- {
		if i == len(t.tiers)-1 {
			change(t.tiers[i])
			continue
		}
		guard.mu.Lock()
		guard.n++
		change(t.tiers[i])
		guard.mu.Unlock()
	}
}

// Close closes all tiers.
func (t *Tiered) Close() error {
	var failed []error
	for _, tier := range t.tiers {
		if err := tier.Close(); err != nil {
			failed = append(failed, fmt.Errorf("%s tier: %w", tier.Name, err))
		}
	}
	return errors.Join(failed...)
}

// TierStats is the Stats of one tier.
type TierStats struct {
	Tier string
	Stats
}

// Stats returns the statistics of every tier that has them, fast to slow.
func (t *Tiered) Stats() []TierStats {
	var all []TierStats
	for _, tier := range t.tiers {
		if s, ok := tier.Store.(interface{ Stats() Stats }); ok {
			all = append(all, TierStats{Tier: tier.Name, Stats: s.Stats()})
		}
	}
	return all
}
