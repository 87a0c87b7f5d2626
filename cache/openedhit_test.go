package cache

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"imgopt/testkit/race"
)

// A hit keeps the entry from being evicted, and renews an old file's time, as Get's does.
func TestOpenedHitCounts(t *testing.T) {
	d := newDisk(t, t.TempDir(), 3*fileCost(2000))
	s := NewTiered(Tier{"disk", d})
	for i := range byte(3) {
		mustPut(t, s, Key{i}, live(1000))
	}
	setMtime(t, d.path(Key{0}), time.Now().Add(-time.Hour))
	o := mustOpen(t, s, Key{0})
	o.Hit()
	if st, err := os.Stat(d.path(Key{0})); err != nil || time.Since(st.ModTime()) > 30*time.Minute {
		t.Errorf("%v, %v", st.ModTime(), err)
	}
	mustPut(t, s, Key{3}, live(1000))
	if !exists(d.path(Key{0})) || exists(d.path(Key{1})) {
		t.Error("evicted in another order than that of use")
	}
	// What another process wrote gets known.
	other := newDisk(t, d.root, roomy)
	mustPut(t, other, Key{9}, live(1000))
	before := d.Stats().Entries
	mustOpen(t, s, Key{9}).Hit()
	if n := d.Stats().Entries; n != before+1 {
		t.Errorf("%d entries, before %d", n, before)
	}
}

// Where memory is smaller than what is asked for in turn, what is in it stays, and the rest is sent from disk. What is
// asked for again soon gets in.
func TestPromotionByReuse(t *testing.T) {
	const size, n, memory = 10_000, 200, 1_000_000
	s, d := onDisk(t, memory)
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = Key{byte(i), 1}
		mustPut(t, d, keys[i], live(size))
	}
	promoted, sent := 0, 0
	ask := func(k Key) {
		if o := s.Open(k); o != nil {
			defer o.Close()
			if !o.Wanted() && o.Sendable() {
				o.Hit()
				sent++
				return
			}
		} else if _, err := s.tiers[0].Get(t.Context(), k); err == nil {
			return
		}
		if _, err := s.Get(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		promoted++
	}
	for _, k := range keys {
		ask(k)
	}
	if promoted != n || sent != 0 {
		t.Fatalf("the first time: %d read, %d sent, want each to be checked", promoted, sent)
	}
	promoted = 0
	for range 5 {
		for _, k := range keys {
			ask(k)
		}
	}
	if promoted > 0 || sent < 5*n/3 {
		t.Errorf("in turn: %d read, %d sent", promoted, sent)
	}
	var cold Key
	for _, k := range keys {
		if o := s.Open(k); o != nil {
			_, cold = o.Close(), k
		}
	}
	ask(cold)
	before := promoted
	ask(cold)
	if promoted != before+1 {
		t.Error("asked for again at once, and not read")
	}
	if w := newMemory(t, memory).window(memory); w != 0 {
		t.Errorf("what is too large for memory is to be read for it: %d", w)
	}
}

// The allocations of a hit: the Opened, its strings, the path, and the path once more for the kernel.
func TestOpenAllocations(t *testing.T) {
	s, _ := onDisk(t, 0)
	k := Key{1}
	mustPut(t, s, k, live(benchBody))
	if !has(t, s, k) {
		t.Fatal("absent")
	}
	allocs := testing.AllocsPerRun(1000, func() {
		o := s.Open(k)
		if o == nil || o.Wanted() || !o.Sendable() {
			t.Fatal("not sendable")
		}
		o.Hit()
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 4 && !race.Enabled {
		t.Errorf("%v allocations, want 4", allocs)
	}
}

// Files are opened, replaced, purged and evicted at the same time; a body that may be sent is always whole.
func TestOpenConcurrent(t *testing.T) {
	d := newDisk(t, t.TempDir(), 40*fileCost(4000))
	s := NewTiered(Tier{"memory", newMemory(t, 60_000)}, Tier{"disk", d})
	key := func(i int) Key { return Key{byte(i % 60), 3} }
	entry := func(n, version int) *Entry {
		e := versioned(n, version, 3000)
		e.StoredAt, e.ExpiresAt = time.Now(), time.Now().Add(time.Hour)
		return e
	}
	for i := range 60 {
		mustPut(t, s, key(i), entry(i, 1))
	}
	var sent atomic.Int64
	done := make(chan error, 6)
	for g := range cap(done) {
		go func() {
			done <- func() error {
				for i := range 1000 {
					n := (i*7 + g*13) % 60
					if i%17 == g {
						if err := s.Put(context.Background(), key(n), entry(n, i)); err != nil {
							return err
						}
					}
					o := s.Open(key(n))
					if o == nil || o.Wanted() || !o.Sendable() {
						if o != nil {
							_ = o.Close()
						}
						_, _ = s.Get(context.Background(), key(n)) // may be evicted
						continue
					}
					o.Hit()
					e := &Entry{Body: make([]byte, o.Size()), Href: o.Href(), ContentType: o.ContentType(), ETag: o.ETag(), MaxAge: o.MaxAge()}
					_, err := o.ReadAt(e.Body, 0)
					if err = errors.Join(err, o.Close()); err != nil {
						return err
					}
					if err := checkVersioned(e, n); err != nil {
						return err
					}
					sent.Add(1)
				}
				return nil
			}()
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if sent.Load() == 0 {
		t.Error("nothing was ever sent from its file")
	}
	t.Logf("%d sent from their files", sent.Load())
}

// BenchmarkDiskOpen is what a hit from disk costs here when its body is sent from the file, or not at all.
func BenchmarkDiskOpen(b *testing.B) {
	d := newDisk(b, b.TempDir(), roomy)
	s := NewTiered(Tier{"disk", d})
	keys := make([]Key, 600)
	for i := range keys {
		keys[i] = Key{byte(i), byte(i >> 8)}
		mustPut(b, s, keys[i], live(benchBody))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		o := s.Open(keys[i%len(keys)])
		if o == nil {
			b.Fatal("not opened")
		}
		o.Hit()
		if err := o.Close(); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
