package optimizer_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/optimizer"
)

// TestPurge: what was purged is fetched anew.
func TestPurge(t *testing.T) {
	o := newOrigin(t, serving(photo(t, 1)))
	s := newService(t, o)
	first := get(t, s, params)
	o.set(serving(photo(t, 200)))
	if r := get(t, s, params); r.State != cache.Hit {
		t.Errorf("before the purge: %s", r.State)
	}
	if _, err := s.store.Purge(t.Context(), cache.Purge{URL: "/a.jpg"}); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Lookup(params); ok {
		t.Error("memory still has it")
	}
	if _, ok := s.Cached(t.Context(), params); ok {
		t.Error("the cache still has it")
	}
	if r := get(t, s, params); r.State != cache.Miss || bytes.Equal(r.Entry.Body, first.Entry.Body) {
		t.Errorf("after the purge: %s, the same bytes: %t", r.State, bytes.Equal(r.Entry.Body, first.Entry.Body))
	}
	if r := get(t, s, params); r.State != cache.Hit {
		t.Errorf("once made anew: %s", r.State)
	}
}

// TestPurgeWhileMade: who asks after a purge does not get what was being fetched before it, though it joins that job;
// nor is that kept.
func TestPurgeWhileMade(t *testing.T) {
	old, fresh := photo(t, 1), photo(t, 200)
	fetching, release := make(chan struct{}), make(chan struct{})
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		close(fetching)
		<-release
		_, _ = w.Write(old)
	})
	s := newService(t, o)
	before := make(chan optimizer.Result, 2)
	go func() {
		r, err := s.Get(t.Context(), params)
		if err != nil {
			t.Error(err)
		}
		before <- r
	}()
	<-fetching
	o.set(serving(fresh))
	if _, err := s.store.Purge(t.Context(), cache.Purge{All: true}); err != nil {
		t.Fatal(err)
	}
	go func() {
		r, err := s.Get(t.Context(), params)
		if err != nil {
			t.Error(err)
		}
		before <- r
	}()
	eventually(t, "joining", func() bool {
		stats, err := s.Stats(t.Context())
		return err == nil && stats.Coalesced == 1
	})
	close(release)
	a, b := <-before, <-before
	if n := o.fetches.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
	now := get(t, s, params)
	if now.State != cache.Hit || !bytes.Equal(now.Entry.Body, b.Entry.Body) && !bytes.Equal(now.Entry.Body, a.Entry.Body) {
		t.Errorf("afterwards: %s", now.State)
	}
	if again := get(t, s, params); again.State != cache.Hit {
		t.Errorf("again: %s", again.State)
	}
}

// TestTiming: a miss tells where its time went.
func TestTiming(t *testing.T) {
	body := photo(t, 1)
	const pause = 30 * time.Millisecond
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(pause)
		_, _ = w.Write(body)
	})
	s := newService(t, o)
	r := get(t, s, params)
	if r.Timing == nil || r.Timing.Fetch < pause || r.Timing.Encode <= 0 || r.Timing.Store <= 0 || r.Timing.Wait < 0 {
		t.Errorf("timing: %+v", r.Timing)
	}
	if r = get(t, s, params); r.Timing != nil {
		t.Errorf("a hit: %+v", r.Timing)
	}
}
