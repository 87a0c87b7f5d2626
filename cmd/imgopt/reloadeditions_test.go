package main

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"imgopt/cache"
	"imgopt/config"
	"imgopt/failure"
	"imgopt/fetch"
	"imgopt/jobs"
	"imgopt/optimizer"
	"imgopt/validate"
)

// Once the end was waited for nobody is in, and nobody gets in.
func TestUsers(t *testing.T) {
	t.Parallel()
	for range 50 {
		var u users
		var inside, entered atomic.Int64
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for u.enter() {
					entered.Add(1)
					inside.Add(1)
					inside.Add(-1)
					u.leave()
				}
			})
		}
		for entered.Load() < 100 {
			runtime.Gosched()
		}
		u.end(t.Context())
		if n := inside.Load(); n != 0 {
			t.Fatalf("%d are inside after the end", n)
		}
		clients.Wait()
	}
}

func TestUsersWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var u users
		if first, second := u.enter(), u.enter(); !first || !second {
			t.Fatal("nobody gets in")
		}
		go func() {
			time.Sleep(time.Second)
			u.leave()
			if u.enter() {
				t.Error("somebody got in after the end")
			}
			time.Sleep(time.Second)
			u.leave()
		}()
		start := time.Now()
		u.end(t.Context())
		if waited := time.Since(start); waited != 2*time.Second {
			t.Errorf("waited %v, want 2s", waited)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var u users
		u.enter()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		u.end(ctx)
		if ctx.Err() == nil {
			t.Error("did not wait as long as it may")
		}
		u.leave()
	})
}

// What earlier editions have counted is counted still, under the right names.
func TestJobCounters(t *testing.T) {
	t.Parallel()
	past := jobs.Stats{Abandoned: 1, Queue: jobs.QueueStats{Reclaimed: 2, Buried: 3, StoreErrors: 4, Corrupt: 5}}
	now := jobs.Stats{InFlight: 9, Abandoned: 10, Queue: jobs.QueueStats{Reclaimed: 20, Buried: 30, StoreErrors: 40, Corrupt: 50}}
	want := jobs.Stats{InFlight: 9, Abandoned: 12, Queue: jobs.QueueStats{Reclaimed: 24, Buried: 36, StoreErrors: 48, Corrupt: 60}}
	c := countersOf(past, nil)
	c.plus(c).addTo(&now)
	if now != want {
		t.Errorf("%+v, want %+v", now, want)
	}
	if got := c.atLeast(countersOf(jobs.Stats{Abandoned: 7}, nil)); got != (jobCounters{7, 2, 3, 4, 5}) {
		t.Errorf("at least: %v", got)
	}
}

// dispatch is the handler of a server, with an edition that does nothing.
func dispatch(answered *atomic.Int64) (fasthttp.RequestHandler, *editions) {
	s := newEditions()
	s.swap(&edition{servePublic: func(*fasthttp.RequestCtx) { answered.Add(1) }})
	return s.servePublic, s
}

// That there are editions costs a hit next to nothing.
func TestDispatchAllocations(t *testing.T) {
	var n atomic.Int64
	handle, s := dispatch(&n)
	defer s.hurryUp()
	ctx := &fasthttp.RequestCtx{}
	if allocs := testing.AllocsPerRun(100, func() { handle(ctx) }); allocs != 0 || n.Load() != 101 {
		t.Errorf("%v allocations, %d of 101 answered", allocs, n.Load())
	}
}

func BenchmarkDispatch(b *testing.B) {
	var n atomic.Int64
	handle, s := dispatch(&n)
	defer s.hurryUp()
	ctx := &fasthttp.RequestCtx{}
	b.ReportAllocs()
	for b.Loop() {
		handle(ctx)
	}
}

// nowhere is where nothing is found.
type nowhere struct{}

func (nowhere) Fetch(context.Context, fetch.Request) (*fetch.Source, error) {
	return nil, failure.New(http.StatusNotFound, "nowhere", "")
}

// Whoever was checked by the rules of an edition, and comes when it is closed already, is answered all the same.
func TestLateRequest(t *testing.T) {
	t.Parallel()
	s := &service{editions: newEditions(), log: slog.New(slog.DiscardHandler)}
	newEdition := func() *edition {
		memory, err := cache.NewMemory(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		queue, err := jobs.NewMemory(jobs.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		o, err := optimizer.New(optimizer.Options{
			Store: cache.NewTiered(cache.Tier{Name: "memory", Store: memory}), Fetcher: nowhere{}, Queue: queue, Jobs: jobs.Defaults(1), Log: s.log,
		})
		if err != nil {
			t.Fatal(err)
		}
		return &edition{service: s, config: &config.Config{}, optimizer: o}
	}
	ask := func(e *edition) string {
		_, err := images{e}.Get(t.Context(), validate.Params{Href: "/a.jpg", Width: 64, Quality: 75})
		return failure.From(err).Reason
	}
	first := newEdition()
	s.editions.swap(first)
	if reason := ask(first); reason != "nowhere" {
		t.Errorf("the edition in force: %q", reason)
	}
	s.editions.swap(newEdition())
	s.editions.retiring.Wait()
	if _, err := first.optimizer.Get(t.Context(), validate.Params{}); failure.From(err).Status != http.StatusServiceUnavailable {
		t.Fatalf("the first edition is not closed: %v", err)
	}
	if reason := ask(first); reason != "nowhere" {
		t.Errorf("the edition before: %q", reason)
	}
	if err := s.editions.close(t.Context()); err != nil {
		t.Error(err)
	}
}
