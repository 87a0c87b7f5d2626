package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"imgopt/tracing"
)

// Tier is a store with the name it has in metrics and logs.
type Tier struct {
	Name string
	Store
}

// staleLook is how often a stale entry has the slower tiers asked for a newer one.
const staleLook = time.Second

// Tiered makes one store of several, from fast to slow.
//
// A Get takes the first fresh entry. A stale one does not end the search, because another process may have renewed
// the entry in a tier that both share: the slower tiers are asked as well, and the entry with the latest StoredAt
// wins, fresh or not. (The latest, not the one that expires last: an old entry with a long life must not come back
// in place of a younger one that could not be written everywhere.) The slower tiers are asked about one stale entry
// once a second, so a popular entry waiting for its revalidation remains a hit in memory, or on disk where memory has
// no room for it. What is found in a slower tier is copied to the faster ones. Open is a Get that leaves the body, and
// what has not been asked for again, where it is.
//
// What was purged is a miss in every tier: see Purges.
//
// A Put writes to the slowest tier first, in the caller's time. It happens once per variant, after tens of
// milliseconds of encoding, and a write to disk without a sync takes less than one; a queue would only add memory to
// bound, a moment in which the entry can be lost, and an order to get wrong.
//
// Puts of one key that run at the same time may leave different entries in different tiers until the one in the
// fastest is stale. Callers that produce an entry once at a time, as jobs do, never see that.
type Tiered struct {
	tiers  []Tier
	purges *Purges
	epochs [64]epoch
	looks  lookTable
}

// epoch guards the entries of some keys in the tiers above the slowest against copies of what has just been replaced
// or deleted: a Get notes n before it reads a slower tier and copies what it found only if n is still the same. It
// works because changes go from slow to fast and count n up at each tier but the slowest: whoever sees the new n
// also sees the slower tiers changed.
type epoch struct {
	mu sync.Mutex
	n  uint64
}

// NewTiered returns the composition of tiers, the fastest first, whose purges are forgotten with the process: see
// NewTieredWith.
func NewTiered(tiers ...Tier) *Tiered { return NewTieredWith(newPurges(), tiers...) }

// NewTieredWith returns the composition of tiers, the fastest first, with a log of purges. It owns them: Close closes
// them all. Without tiers nothing is kept.
func NewTieredWith(p *Purges, tiers ...Tier) *Tiered {
	t := &Tiered{tiers: tiers, purges: p}
	for _, tier := range tiers {
		// Some look themselves: memory, because it is also asked without the others, and disk, to remove what it finds.
		if s, ok := tier.Store.(interface{ usePurges(*Purges) }); ok {
			s.usePurges(p)
		}
	}
	return t
}

// Purge makes everything that p says, in all tiers and replicas, a miss: see Purges.Purge.
func (t *Tiered) Purge(ctx context.Context, p Purge) (PurgeReport, error) {
	return t.purges.Purge(ctx, p)
}

// Purged reports whether e was purged since work on it began.
func (t *Tiered) Purged(e *Entry) bool { return t.purges.Purged(e) }

// Mark returns the mark for an entry that work begins on now: see Entry.Mark.
func (t *Tiered) Mark() uint64 { return t.purges.Mark() }

// Get returns the entry of k from the best tier.
func (t *Tiered) Get(ctx context.Context, k Key) (*Entry, error) {
	e, _, err := t.GetTier(ctx, k)
	return e, err
}

// GetTier is Get with the name of the tier that had the entry; "" for a miss. An entry in the fastest tier is found
// without an allocation.
func (t *Tiered) GetTier(ctx context.Context, k Key) (*Entry, string, error) {
	return t.get(ctx, k, false)
}

// Latest is Get for whoever is about to make the entry anew: a stale one has the slower tiers asked even if they were a
// moment ago, because another process may have renewed it since.
func (t *Tiered) Latest(ctx context.Context, k Key) (*Entry, error) {
	e, _, err := t.get(ctx, k, true)
	return e, err
}

func (t *Tiered) get(ctx context.Context, k Key, look bool) (*Entry, string, error) {
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
		e, err := t.look(ctx, i, k)
		if err != nil {
			if err != ErrMiss {
				miss = err
			}
			continue
		}
		if t.purges.Purged(e) {
			continue
		}
		if best == nil || e.newerThan(best) {
			best, from = e, i
		}
		if best.State(now) == Hit {
			break
		}
		if !look {
			if i == 0 {
				look = best.claimLook(now, staleLook)
			} else {
				look = t.looks.claim(k, now)
			}
			if !look {
				break
			}
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

// lookTable remembers for some keys when the slower tiers were last asked about a stale entry that is not in memory,
// and so has no place of its own for that. A key takes the place of another that hashes like it, which costs a look.
type lookTable [1024]atomic.Uint64

// lookUnit is the precision of the table's times.
const lookUnit = 64 * time.Millisecond

// claim is claimLook for a key.
func (l *lookTable) claim(k Key, now time.Time) bool {
	place := &l[binary.LittleEndian.Uint16(k[8:])%uint16(len(l))]
	old := place.Load()
	tag, at := uint64(binary.LittleEndian.Uint32(k[12:]))<<32, uint32(now.UnixMilli()/lookUnit.Milliseconds())
	if old>>32 == tag>>32 && old != 0 && at-uint32(old) < uint32(staleLook/lookUnit) {
		return false
	}
	return place.CompareAndSwap(old, tag|uint64(at))
}

func (g *epoch) load() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

// Put keeps e in every tier. The failure of one does not keep the others from storing it; all failures are returned
// together, each with its tier's name. ErrTooLarge and ErrUnavailable are returned only if e was kept nowhere. An entry
// that has been purged since work on it began is not kept, which is no failure.
func (t *Tiered) Put(ctx context.Context, k Key, e *Entry) error {
	_, err := t.PutTiers(ctx, k, e)
	return err
}

// PutTiers is Put with the names of the tiers that have e now.
func (t *Tiered) PutTiers(ctx context.Context, k Key, e *Entry) (kept []string, err error) {
	var excused, failed []error
	if mark := t.Mark(); e != nil && e.Mark == 0 && mark > firstMark {
		e = e.marked(mark)
	}
	if e != nil && t.purges.Purged(e) {
		return nil, nil
	}
	t.slowToFast(k, func(tier Tier) {
		ctx, span := tracing.Start(ctx, "store "+tier.Name)
		err := tier.Put(ctx, k, e)
		endStore(span, e, err)
		switch {
		case err == nil:
			kept = append(kept, tier.Name)
		case errors.Is(err, ErrTooLarge), errors.Is(err, ErrUnavailable):
			excused = append(excused, fmt.Errorf("%s tier: %w", tier.Name, err))
		default:
			failed = append(failed, fmt.Errorf("%s tier: %w", tier.Name, err))
		}
	})
	if len(kept) == 0 {
		failed = append(failed, excused...)
	}
	return kept, errors.Join(failed...)
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

// Close closes the log of purges and all tiers.
func (t *Tiered) Close() error {
	failed := []error{t.purges.Close()}
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
