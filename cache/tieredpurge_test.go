package cache

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// What is purged is a miss in every tier, from memory asked by itself as well, and what is made anew is not.
func TestTieredPurge(t *testing.T) {
	dir := t.TempDir()
	m, d, far := newMemory(t, 64<<20), newDisk(t, dir, roomy), newMemory(t, 64<<20)
	s := NewTieredWith(openPurges(t, PurgeOptions{Dir: dir}), Tier{"memory", m}, Tier{"disk", d}, Tier{"far", &faulty{Store: far}})
	a, b := made(s, "/a"), made(s, "/b")
	mustPut(t, s, Key{1}, a)
	mustPut(t, s, Key{2}, b)
	mustPurge(t, s, Purge{URL: "/a"})
	for name, tier := range map[string]Store{"tiers": s, "memory": m, "disk": d} {
		if _, err := tier.Get(t.Context(), Key{1}); err != ErrMiss {
			t.Errorf("%s: the purged entry: %v", name, err)
		}
		if _, err := tier.Get(t.Context(), Key{2}); err != nil {
			t.Errorf("%s: the other entry: %v", name, err)
		}
	}
	if !s.Purged(a) || s.Purged(b) {
		t.Error("Purged does not agree")
	}
	if got := d.Stats(); got.Entries != 1 || got.Hits != 1 || got.Misses == 0 {
		t.Errorf("the purged file is still there: %+v", got)
	}
	if got := m.Stats(); got.Hits != 2 || got.Misses < 2 {
		t.Errorf("memory: %+v", got)
	}

	// what was begun before the purge is not kept, what was begun after it is
	mustPut(t, s, Key{1}, fromDisk(a))
	if _, err := s.Get(t.Context(), Key{1}); err != ErrMiss {
		t.Errorf("begun before: %v", err)
	}
	mustPut(t, s, Key{1}, made(s, "/a"))
	if _, tier, err := s.GetTier(t.Context(), Key{1}); err != nil || tier != "memory" {
		t.Errorf("made anew: from %q, %v", tier, err)
	}
	// one that nobody marked counts as made when it is put
	unmarked := fresh()
	unmarked.Href = "/a"
	mustPut(t, s, Key{3}, unmarked)
	if e, err := s.Get(t.Context(), Key{3}); err != nil || e.Mark != s.Mark() || unmarked.Mark != 0 {
		t.Errorf("unmarked: %+v, %v", e, err)
	}

	// a restart: memory is gone
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = NewTieredWith(openPurges(t, PurgeOptions{Dir: dir}), Tier{"disk", newDisk(t, dir, roomy)})
	for _, k := range []Key{{1}, {2}, {3}} {
		if _, err := s.Get(t.Context(), k); err != nil {
			t.Errorf("after a restart: %v: %v", k[0], err)
		}
	}
	mustPurge(t, s, Purge{All: true})
	for _, k := range []Key{{1}, {2}, {3}} {
		if _, err := s.Get(t.Context(), k); err != ErrMiss {
			t.Errorf("after a purge of everything: %v: %v", k[0], err)
		}
	}
}

// A purge that comes while an entry is on its way up from a slower tier holds for it.
func TestTieredPurgeDuringPromotion(t *testing.T) {
	s, tiers := threeTiers(t)
	mustPut(t, tiers[2], Key{1}, made(s, "/a"))
	tiers[2].onGet = func() { mustPurge(t, s, Purge{URL: "/a"}) }
	if _, err := s.Get(t.Context(), Key{1}); err != ErrMiss {
		t.Errorf("purged while it was looked up: %v", err)
	}
	tiers[2].onGet = nil
	mustPut(t, tiers[2], Key{1}, made(s, "/a"))
	tiers[1].Store.Put(t.Context(), Key{1}, &Entry{Href: "/a", Body: []byte("old"), Mark: 1}) // some other process's
	if _, tier, err := s.GetTier(t.Context(), Key{1}); err != nil || tier != "far" {
		t.Errorf("a purged entry hides a good one: %q, %v", tier, err)
	}
}

// A stale entry that memory has no room for does not have the slowest tier asked at every request.
func TestTieredStaleLookWithoutMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		off := newMemory(t, 0)
		near, far := &faulty{Store: newMemory(t, 64<<20)}, &faulty{Store: newMemory(t, 64<<20)}
		s := NewTiered(Tier{"memory", off}, Tier{"disk", near}, Tier{"valkey", far})
		mustPut(t, s, Key{1}, stale(time.Hour))
		for range 100 {
			if _, tier, err := s.GetTier(t.Context(), Key{1}); err != nil || tier != "disk" {
				t.Fatalf("from %q, %v", tier, err)
			}
		}
		if far.gets != 1 {
			t.Errorf("the slowest tier was asked %d times", far.gets)
		}
		mustPut(t, far, Key{1}, fresh()) // by another replica
		time.Sleep(staleLook + lookUnit)
		if _, tier, err := s.GetTier(t.Context(), Key{1}); err != nil || tier != "valkey" {
			t.Errorf("a second later: from %q, %v", tier, err)
		}
	})
}

// A tier that is away is no failure of a Put, unless nothing else kept the entry.
func TestTieredUnavailable(t *testing.T) {
	s, tiers := threeTiers(t)
	tiers[2].put, tiers[2].get = ErrUnavailable, &MissError{Cause: ErrUnavailable}
	mustPut(t, s, Key{1}, fresh())
	if _, tier, err := s.GetTier(t.Context(), Key{1}); err != nil || tier != "fast" {
		t.Errorf("from %q, %v", tier, err)
	}
	tiers[0].put, tiers[1].put = ErrTooLarge, ErrTooLarge
	if err := s.Put(t.Context(), Key{2}, fresh()); !errors.Is(err, ErrUnavailable) || !errors.Is(err, ErrTooLarge) {
		t.Errorf("kept nowhere: %v", err)
	}
}

// A hit costs what it did, also after purges.
func TestTieredHitAfterPurgesDoesNotAllocate(t *testing.T) {
	s := NewTiered(Tier{"memory", newMemory(t, 64<<20)})
	for _, p := range []Purge{{URL: "/x"}, {Prefix: "/y"}, {All: true}, {URL: "/z"}} {
		mustPurge(t, s, p)
	}
	mustPut(t, s, Key{1}, made(s, "/a"))
	if n := testing.AllocsPerRun(20_000, func() {
		if _, tier, err := s.GetTier(t.Context(), Key{1}); err != nil || tier != "memory" {
			t.Fatal(tier, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per hit", n)
	}
}
