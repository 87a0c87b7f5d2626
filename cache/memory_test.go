package cache

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

func newMemory(t testing.TB, size int64) *Memory {
	t.Helper()
	m, err := NewMemory(size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sized(n int) *Entry { return &Entry{Href: "/a", Body: make([]byte, n), StoredAt: noon} }

func TestMemoryOff(t *testing.T) {
	m := newMemory(t, 0)
	if err := m.Put(t.Context(), Key{1}, sized(10)); err != nil {
		t.Errorf("Put: %v", err)
	}
	if _, err := m.Get(t.Context(), Key{1}); err != ErrMiss {
		t.Errorf("Get: %v", err)
	}
	if err := errors.Join(m.Delete(t.Context(), Key{1}), m.Close()); err != nil {
		t.Error(err)
	}
	if s := m.Stats(); s != (Stats{}) {
		t.Errorf("Stats: %+v", s)
	}
	if _, err := NewMemory(-1); err == nil {
		t.Error("a negative size was accepted")
	}
}

func TestMemoryGivesTheSameEntry(t *testing.T) {
	m := newMemory(t, 1<<20)
	e := sized(100)
	if err := m.Put(t.Context(), Key{1}, e); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Get(t.Context(), Key{1}); err != nil || got != e {
		t.Errorf("got %p, %v, want %p", got, err, e)
	}
}

// One entry may take an eighth; a larger one is refused, and takes what it was to replace with it.
func TestMemoryAdmission(t *testing.T) {
	m := newMemory(t, 8<<20)
	fits := 1<<20 - pageSize
	if err := m.Put(t.Context(), Key{1}, sized(fits)); err != nil {
		t.Errorf("an entry of nearly an eighth: %v", err)
	}
	if err := m.Put(t.Context(), Key{1}, sized(1<<20)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("an entry above an eighth: %v", err)
	}
	if _, err := m.Get(t.Context(), Key{1}); err != ErrMiss {
		t.Errorf("the replaced entry is still there: %v", err)
	}
	if s := m.Stats(); s.Rejected != 1 || s.Entries != 0 || s.Bytes != 0 {
		t.Errorf("Stats: %+v", s)
	}
}

func TestMemoryBound(t *testing.T) {
	const limit = 4 << 20
	m := newMemory(t, limit)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(w)))
			for i := range 2000 {
				k := Key{byte(w), byte(i), byte(i >> 8)}
				if err := m.Put(t.Context(), k, sized(1+rng.IntN(60_000))); err != nil {
					t.Errorf("Put: %v", err)
				}
				_, _ = m.Get(t.Context(), Key{byte(w), byte(i / 2)})
			}
		})
	}
	wg.Wait()
	s := m.Stats()
	if s.Bytes > limit || s.Bytes < limit/2 || s.MaxBytes != limit {
		t.Errorf("Bytes: %d of %d", s.Bytes, s.MaxBytes)
	}
	if s.Evictions+uint64(s.Entries) != 8000 || s.Entries < 50 {
		t.Errorf("%d entries, %d evicted of 8000", s.Entries, s.Evictions)
	}
	if s.Hits+s.Misses != 8000 {
		t.Errorf("%d hits and %d misses in 8000 look-ups", s.Hits, s.Misses)
	}
}

// After every single Put the limit holds: nothing is put off to a goroutine.
func TestMemoryEvictsInPut(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // a goroutine would not get to run in between
	const limit = 1 << 20
	m := newMemory(t, limit)
	for i := range 500 {
		if err := m.Put(t.Context(), Key{byte(i), byte(i >> 8)}, sized(50_000)); err != nil {
			t.Fatal(err)
		}
		// the counter, because asking the cache for its size would make it evict
		if kept := int64(i+1) - int64(m.counter.Snapshot().Evictions); kept*sized(50_000).footprint() > limit {
			t.Fatalf("%d entries after Put %d", kept, i)
		}
	}
}

// An entry of 50 MB, the largest source that is passed through by default, is nothing special.
func TestMemoryLargeBodies(t *testing.T) {
	const body = 50_000_000
	m := newMemory(t, 420<<20)
	big := sized(body)
	for i := range 200 { // 10 GB in all: sums beyond 32 bits
		if err := m.Put(t.Context(), Key{byte(i)}, big); err != nil {
			t.Fatal(err)
		}
	}
	if s := m.Stats(); s.Entries != 8 || s.Bytes < 8*body || s.Evictions != 192 {
		t.Errorf("Stats: %+v", s)
	}
}

func TestMemoryHitDoesNotAllocate(t *testing.T) {
	m := newMemory(t, 64<<20)
	keys := fill(t, m, 600, 1000)
	i := 0
	if n := testing.AllocsPerRun(20_000, func() {
		if _, err := m.Get(t.Context(), keys[i%len(keys)]); err != nil {
			t.Fatal(err)
		}
		i++
	}); n != 0 {
		t.Errorf("%v allocations per hit", n)
	}
}

// fill puts n entries with bodies of size bytes.
func fill(t testing.TB, s Store, n, size int) []Key {
	t.Helper()
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = Key{byte(i * 151), byte(i), byte(i >> 8)}
		if err := s.Put(t.Context(), keys[i], sized(size)); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}
