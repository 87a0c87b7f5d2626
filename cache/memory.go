package cache

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
)

// maxMemoryShare is the part of the memory tier that one entry may take: a larger one would push out many that are
// each as likely to be asked for again.
const maxMemoryShare = 8

// Memory is the fastest tier: entries in this process, bounded by the bytes of heap they really take. What stays
// is decided by frequency and recency together (W-TinyLFU), so that a crawler asking once for everything does not
// push out what people look at.
type Memory struct {
	cache    *otter.Cache[Key, *Entry] // nil when the size is 0
	counter  *stats.Counter
	max      int64
	purges   *Purges // nil unless NewTieredWith gave it
	purged   atomic.Uint64
	rejected atomic.Uint64
	closed   atomic.Bool
}

var errMemoryClosed = &MissError{Cause: ErrClosed}

// NewMemory returns a memory tier of at most maxBytes. An entry of more than an eighth of that is not kept. With 0
// the tier is off: every Get is a miss and Put keeps nothing, without an error.
func NewMemory(maxBytes int64) (*Memory, error) {
	m := &Memory{max: maxBytes}
	switch {
	case maxBytes < 0:
		return nil, fmt.Errorf("cache: memory tier of %d bytes: must not be negative", maxBytes)
	case maxBytes == 0:
		return m, nil
	}
	m.counter = stats.NewCounter()
	c, err := otter.New(&otter.Options[Key, *Entry]{
		MaximumWeight: uint64(maxBytes),
		// Weights are 32 bits wide, their sum is 64. No entry that is let in comes near, but a wrapped weight would be
		// a leak.
		Weigher:       func(_ Key, e *Entry) uint32 { return uint32(min(e.footprint(), math.MaxUint32)) },
		StatsRecorder: m.counter,
		// Upkeep runs in the Get or Put that makes it due: no goroutine without an owner, and no more in memory after
		// a Put than there may be.
		Executor: func(fn func()) { fn() },
	})
	if err != nil {
		return nil, fmt.Errorf("cache: memory tier: %w", err)
	}
	m.cache = c
	return m, nil
}

// Get is a look-up in a table: it neither copies nor allocates.
func (m *Memory) Get(_ context.Context, k Key) (*Entry, error) {
	if m.cache == nil {
		return nil, ErrMiss
	}
	if e, ok := m.cache.GetIfPresent(k); ok {
		if m.purges != nil && m.purges.Purged(e) {
			// It stays until it is replaced or evicted: to remove it without removing its successor would take a lock.
			m.purged.Add(1)
			return nil, ErrMiss
		}
		return e, nil
	}
	if m.closed.Load() {
		return nil, errMemoryClosed
	}
	return nil, ErrMiss
}

// holds reports whether there is an entry of k, purged or not.
func (m *Memory) holds(k Key) bool {
	if m.cache == nil {
		return false
	}
	_, ok := m.cache.GetEntryQuietly(k)
	return ok
}

// windowShare is the part of the memory tier that others may be sent from disk until an entry is asked for again that
// is to be kept. With all of it, a working set of up to twice the tier that is asked for in turn would pass through it
// for nothing; with a quarter, one of up to five quarters. What is popular comes again much sooner.
const windowShare = 4

func (m *Memory) window(size int64) int64 {
	if size > m.max/maxMemoryShare {
		return 0
	}
	return m.max / windowShare
}

// Put keeps e.
func (m *Memory) Put(_ context.Context, k Key, e *Entry) error {
	if e == nil || len(e.Body) == 0 {
		return ErrEmpty
	}
	if m.closed.Load() {
		return ErrClosed
	}
	if m.cache == nil {
		return nil
	}
	if size := e.footprint(); size > m.max/maxMemoryShare {
		m.cache.Invalidate(k)
		m.rejected.Add(1)
		return fmt.Errorf("%w: %d bytes in a memory tier of %d", ErrTooLarge, size, m.max)
	}
	m.cache.Set(k, e)
	// a Close that ran in between must not leave anything behind
	if m.closed.Load() {
		m.cache.InvalidateAll()
		return ErrClosed
	}
	return nil
}

// Delete forgets k.
func (m *Memory) Delete(_ context.Context, k Key) error {
	if m.cache != nil {
		m.cache.Invalidate(k)
	}
	return nil
}

// Close drops all entries.
func (m *Memory) Close() error {
	m.closed.Store(true)
	if m.cache != nil {
		m.cache.InvalidateAll()
	}
	return nil
}

func (m *Memory) usePurges(p *Purges) { m.purges = p }

// Stats returns what the tier holds and has done.
func (m *Memory) Stats() Stats {
	if m.cache == nil {
		return Stats{}
	}
	m.cache.CleanUp()         // what a Put left to the next Put
	purged := m.purged.Load() // before the hits, of which it is a part
	s := m.counter.Snapshot()
	return Stats{
		Entries:   int64(m.cache.EstimatedSize()),
		Bytes:     int64(m.cache.WeightedSize()),
		MaxBytes:  m.max,
		Hits:      s.Hits - purged,
		Misses:    s.Misses + purged,
		Evictions: s.Evictions,
		Rejected:  m.rejected.Load(),
	}
}
