package cache

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// faulty is a tier whose operations can be made to fail or to wait.
type faulty struct {
	Store
	get, put, del, close error
	gets                 int
	onGet                func() // called after the entry has been read
}

func (f *faulty) Get(ctx context.Context, k Key) (*Entry, error) {
	f.gets++
	if f.get != nil {
		return nil, f.get
	}
	e, err := f.Store.Get(ctx, k)
	if f.onGet != nil {
		f.onGet()
	}
	return e, err
}

func (f *faulty) Put(ctx context.Context, k Key, e *Entry) error {
	if f.put != nil {
		return f.put
	}
	return f.Store.Put(ctx, k, e)
}

func (f *faulty) Delete(ctx context.Context, k Key) error {
	return errors.Join(f.del, f.Store.Delete(ctx, k))
}

func (f *faulty) Close() error { return errors.Join(f.close, f.Store.Close()) }

// threeTiers returns a composition of three memory tiers, which work under synctest too.
func threeTiers(t testing.TB) (*Tiered, [3]*faulty) {
	var f [3]*faulty
	for i := range f {
		f[i] = &faulty{Store: newMemory(t, 64<<20)}
	}
	s := NewTiered(Tier{"fast", f[0]}, Tier{"near", f[1]}, Tier{"far", f[2]})
	return s, f
}

func mustGetFrom(t testing.TB, s *Tiered, k Key, wantTier string, want *Entry) {
	t.Helper()
	got, tier, err := s.GetTier(t.Context(), k)
	if err != nil || tier != wantTier || got != want {
		t.Errorf("GetTier: got %p from %q, %v, want %p from %q", got, tier, err, want, wantTier)
	}
}

func fresh() *Entry {
	e := sized(10)
	e.StoredAt, e.ExpiresAt = time.Now(), time.Now().Add(time.Hour)
	return e
}

// stale returns an entry that was stored at a time before now and expired before now.
func stale(stored time.Duration) *Entry {
	e := sized(10)
	e.StoredAt, e.ExpiresAt = time.Now().Add(-stored), time.Now().Add(-time.Second)
	return e
}

func TestTieredPutsAndDeletesEverywhere(t *testing.T) {
	s, tiers := threeTiers(t)
	e := fresh()
	mustPut(t, s, Key{1}, e)
	for i, tier := range tiers {
		if got, err := tier.Get(t.Context(), Key{1}); err != nil || got != e {
			t.Errorf("tier %d: %v", i, err)
		}
	}
	if err := s.Delete(t.Context(), Key{1}); err != nil {
		t.Fatal(err)
	}
	for i, tier := range tiers {
		if has(t, tier, Key{1}) {
			t.Errorf("tier %d still has the entry", i)
		}
	}
	if e, tier, err := s.GetTier(t.Context(), Key{1}); e != nil || tier != "" || err != ErrMiss {
		t.Errorf("GetTier: %v, %q, %v", e, tier, err)
	}
}

func TestTieredPromotes(t *testing.T) {
	s, tiers := threeTiers(t)
	e := fresh()
	mustPut(t, tiers[2], Key{1}, e)
	mustGetFrom(t, s, Key{1}, "far", e)
	if !has(t, tiers[1], Key{1}) {
		t.Error("not copied to the middle tier")
	}
	mustGetFrom(t, s, Key{1}, "fast", e)
}

func TestTieredFreshIsEnough(t *testing.T) {
	s, tiers := threeTiers(t)
	e := fresh()
	mustPut(t, tiers[0], Key{1}, e)
	mustGetFrom(t, s, Key{1}, "fast", e)
	if tiers[1].gets != 0 {
		t.Error("a slower tier was asked for a fresh entry")
	}
}

func TestTieredPrefersTheYounger(t *testing.T) {
	longLife := func(e *Entry) *Entry { e.ExpiresAt = time.Now().Add(24 * time.Hour); return e }
	for _, tt := range []struct {
		name            string
		fast, near, far *Entry
		want            string
	}{
		{"renewed in a slower tier", stale(2 * time.Hour), nil, fresh(), "far"},
		{"all stale, the slowest is the youngest", stale(3 * time.Hour), stale(2 * time.Hour), stale(time.Hour), "far"},
		{"all stale, the fastest is the youngest", stale(1 * time.Hour), stale(2 * time.Hour), stale(3 * time.Hour), "fast"},
		{"fresh ends the search", stale(3 * time.Hour), fresh(), stale(1), "near"},
		{"an old one with a long life does not come back", stale(time.Hour), nil, longLife(stale(2 * time.Hour)), "fast"},
		{"only stale", nil, nil, stale(time.Hour), "far"},
	} {
		s, tiers := threeTiers(t)
		all := map[string]*Entry{"fast": tt.fast, "near": tt.near, "far": tt.far}
		for i, e := range []*Entry{tt.fast, tt.near, tt.far} {
			if e != nil {
				mustPut(t, tiers[i], Key{1}, e)
			}
		}
		got, tier, err := s.GetTier(t.Context(), Key{1})
		if err != nil || tier != tt.want || got != all[tt.want] {
			t.Errorf("%s: got the one from %q, %v", tt.name, tier, err)
		}
		if e, err := tiers[0].Get(t.Context(), Key{1}); err != nil || e != all[tt.want] {
			t.Errorf("%s: it is not in the fastest tier now: %v", tt.name, err)
		}
	}
}

// A popular entry that waits for its revalidation stays a hit in memory, and what another process renews is seen
// within a second.
func TestTieredStaleLooksOncePerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, tiers := threeTiers(t)
		old := stale(time.Hour)
		mustPut(t, s, Key{1}, old)
		for range 100 {
			mustGetFrom(t, s, Key{1}, "fast", old)
		}
		if tiers[1].gets != 1 || tiers[2].gets != 1 {
			t.Errorf("slower tiers were asked %d and %d times, want once", tiers[1].gets, tiers[2].gets)
		}
		renewed := fresh()
		mustPut(t, tiers[2], Key{1}, renewed) // by another process
		time.Sleep(staleLook - time.Nanosecond)
		mustGetFrom(t, s, Key{1}, "fast", old)
		time.Sleep(time.Nanosecond)
		mustGetFrom(t, s, Key{1}, "far", renewed)
		mustGetFrom(t, s, Key{1}, "fast", renewed)

		// a stale entry that has just come from a slower tier is not looked for again at once either
		old = stale(time.Minute)
		mustPut(t, tiers[2], Key{2}, old)
		mustGetFrom(t, s, Key{2}, "far", old)
		before := tiers[1].gets
		mustGetFrom(t, s, Key{2}, "fast", old)
		if tiers[1].gets != before {
			t.Error("looked for again at once")
		}
	})
}

// What was replaced or deleted while a Get was reading it must not be copied up by that Get.
func TestTieredPromotionLosesToChanges(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*testing.T, *Tiered) *Entry
	}{
		{"delete", func(t *testing.T, s *Tiered) *Entry {
			if err := s.Delete(t.Context(), Key{1}); err != nil {
				t.Error(err)
			}
			return nil
		}},
		{"put", func(t *testing.T, s *Tiered) *Entry {
			e := fresh()
			mustPut(t, s, Key{1}, e)
			return e
		}},
		{"put whose entry has left the fastest tier", func(t *testing.T, s *Tiered) *Entry {
			mustPut(t, s, Key{1}, fresh())
			if err := s.tiers[0].Delete(t.Context(), Key{1}); err != nil {
				t.Error(err)
			}
			return nil
		}},
	} {
		s, tiers := threeTiers(t)
		old := fresh()
		mustPut(t, tiers[2], Key{1}, old)
		var want *Entry
		tiers[2].onGet = func() { want = tt.change(t, s) }
		mustGetFrom(t, s, Key{1}, "far", old) // this Get began first, it may still return the old one
		if got, err := tiers[0].Get(t.Context(), Key{1}); got != want {
			t.Errorf("%s: the fastest tier has %p, %v, want %p", tt.name, got, err, want)
		}
		if got, _ := tiers[1].Get(t.Context(), Key{1}); got == old {
			t.Errorf("%s: the middle tier has the old entry", tt.name)
		}
	}
}

func TestTieredFailures(t *testing.T) {
	broken := &IOError{Op: "write", Reason: "no_space", Err: errors.New("disk full")}
	t.Run("put", func(t *testing.T) {
		s, tiers := threeTiers(t)
		tiers[1].put = broken
		e := fresh()
		err := s.Put(t.Context(), Key{1}, e)
		var ioErr *IOError
		if !errors.As(err, &ioErr) || !strings.Contains(err.Error(), "near tier") {
			t.Errorf("Put: %v", err)
		}
		if !has(t, tiers[0], Key{1}) || !has(t, tiers[2], Key{1}) {
			t.Error("the failure of one tier kept others from storing")
		}
	})
	t.Run("promote", func(t *testing.T) {
		s, tiers := threeTiers(t)
		tiers[1].put = broken
		e := fresh()
		mustPut(t, tiers[2], Key{1}, e)
		mustGetFrom(t, s, Key{1}, "far", e)
		mustGetFrom(t, s, Key{1}, "fast", e)
	})
	t.Run("get", func(t *testing.T) {
		s, tiers := threeTiers(t)
		tiers[1].get = &MissError{Cause: broken}
		e := fresh()
		mustPut(t, tiers[2], Key{1}, e)
		mustGetFrom(t, s, Key{1}, "far", e)
		_, err := s.Get(t.Context(), Key{2})
		if !errors.Is(err, ErrMiss) || !errors.Is(err, broken) || err.Error() != "cache: miss: cache: write (no_space): disk full" {
			t.Errorf("a miss with a cause: %v", err)
		}
	})
	t.Run("delete", func(t *testing.T) {
		s, tiers := threeTiers(t)
		mustPut(t, s, Key{1}, fresh())
		tiers[2].del = broken
		if err := s.Delete(t.Context(), Key{1}); !errors.Is(err, broken) || !strings.Contains(err.Error(), "far tier") {
			t.Errorf("Delete: %v", err)
		}
		if has(t, tiers[0], Key{1}) || has(t, tiers[1], Key{1}) {
			t.Error("the failure of one tier kept others from deleting")
		}
	})
	t.Run("close", func(t *testing.T) {
		s, tiers := threeTiers(t)
		tiers[0].close, tiers[2].close = broken, errors.New("another")
		if err := s.Close(); !errors.Is(err, broken) || !strings.Contains(err.Error(), "far tier: another") {
			t.Errorf("Close: %v", err)
		}
		if err := tiers[1].Put(t.Context(), Key{1}, fresh()); !errors.Is(err, ErrClosed) {
			t.Errorf("the middle tier was not closed: %v", err)
		}
	})
}

func TestTieredTooLarge(t *testing.T) {
	s, tiers := threeTiers(t)
	tiers[0].put = ErrTooLarge
	if err := s.Put(t.Context(), Key{1}, fresh()); err != nil {
		t.Errorf("too large for one tier: %v", err)
	}
	tiers[1].put, tiers[2].put = ErrTooLarge, ErrTooLarge
	if err := s.Put(t.Context(), Key{1}, fresh()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large for all: %v", err)
	}
	tiers[2].put = errors.New("broken")
	if err := s.Put(t.Context(), Key{1}, fresh()); !errors.Is(err, ErrTooLarge) || !errors.Is(err, tiers[2].put) {
		t.Errorf("too large or broken: %v", err)
	}
}

func TestTieredWithoutTiers(t *testing.T) {
	s := NewTiered()
	mustPut(t, s, Key{1}, fresh())
	if _, err := s.Get(t.Context(), Key{1}); err != ErrMiss {
		t.Errorf("Get: %v", err)
	}
	if err := errors.Join(s.Delete(t.Context(), Key{1}), s.Close()); err != nil {
		t.Error(err)
	}
}

func TestTieredStats(t *testing.T) {
	m, d := newMemory(t, 64<<20), newDisk(t, t.TempDir(), roomy)
	s := NewTiered(Tier{"memory", m}, Tier{"other", &faulty{Store: m}}, Tier{"disk", d})
	mustPut(t, s, Key{1}, fresh())
	stats := s.Stats()
	if len(stats) != 2 || stats[0].Tier != "memory" || stats[1].Tier != "disk" || stats[0].Entries != 1 || stats[1].Entries != 1 || stats[1].MaxBytes != roomy {
		t.Errorf("got %+v", stats)
	}
}

func TestTieredHitDoesNotAllocate(t *testing.T) {
	s := NewTiered(Tier{"memory", newMemory(t, 64<<20)}, Tier{"disk", newDisk(t, t.TempDir(), roomy)})
	keys := make([]Key, 600)
	for i := range keys {
		keys[i] = Key{byte(i), byte(i >> 8)}
		mustPut(t, s, keys[i], fresh())
	}
	i := 0
	if n := testing.AllocsPerRun(20_000, func() {
		e, tier, err := s.GetTier(t.Context(), keys[i%len(keys)])
		if err != nil || tier != "memory" || e.State(time.Now()) != Hit {
			t.Fatal(tier, err)
		}
		i++
	}); n != 0 {
		t.Errorf("%v allocations per hit", n)
	}
}
