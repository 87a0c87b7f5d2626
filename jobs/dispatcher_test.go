package jobs_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
	"imgopt/jobs"
	"imgopt/jobs/queuetest"
)

func TestIdenticalJobsRunOnce(t *testing.T) {
	const calls = 1000
	var runs atomic.Int32
	release := make(chan struct{})
	r := start(t, func(context.Context, jobs.Job) (string, error) {
		runs.Add(1)
		<-release
		return "result", nil
	})
	var wg sync.WaitGroup
	var first atomic.Int32
	for range calls {
		wg.Go(func() {
			result, coalesced, err := r.Do(t.Context(), job(1))
			if result != "result" || err != nil {
				t.Errorf("Do: %q, %v", result, err)
			}
			if !coalesced {
				first.Add(1)
			}
		})
	}
	for r.stats().Coalesced < calls-1 { // all wait for the one run
		runtime.Gosched()
	}
	close(release)
	wg.Wait()
	if runs.Load() != 1 || first.Load() != 1 {
		t.Errorf("%d runs, %d calls not coalesced; want 1, 1", runs.Load(), first.Load())
	}
	if s := r.stats(); s.Accepted != 1 || s.Coalesced != calls-1 || s.Attempts != 1 {
		t.Errorf("stats %+v", s)
	}
}

// TestChurn lets calls of few keys come and go in every interleaving the scheduler finds: whoever stays gets the
// right result, whoever leaves its context's error, and nothing hangs.
func TestChurn(t *testing.T) {
	for name, slots := range map[string]int{"most run": 4, "most wait": 1} {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(ctx context.Context, j jobs.Job) (string, error) {
				for range 20 {
					runtime.Gosched()
				}
				return j.Spec.Href, ctx.Err()
			}, func(o *jobs.Options) { o.Concurrency, o.Background, o.Observe = slots, slots, nil })
			var wg sync.WaitGroup
			for g := range 16 {
				wg.Go(func() {
					for i := range 300 {
						churn(t, r, job((g*i+i)%5), (g+i)%4)
					}
				})
			}
			wg.Wait()
		})
	}
}

// churn makes one call of one of four kinds.
func churn(t *testing.T, r *rig, j jobs.Job, kind int) {
	switch kind {
	case 0:
		if _, err := r.Submit(t.Context(), j); err != nil {
			t.Errorf("Submit: %v", err)
		}
	case 1, 2:
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if got, _, err := r.Do(ctx, j); err == nil && got != j.Spec.Href || err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Do with a cancelled context: %q, %v", got, err)
		}
	default:
		if got, _, err := r.Do(t.Context(), j); got != j.Spec.Href || err != nil {
			t.Errorf("Do: %q, %v", got, err)
		}
	}
}

func TestWorkGetsItsJob(t *testing.T) {
	var got jobs.Job
	r := start(t, func(_ context.Context, j jobs.Job) (string, error) {
		got = j
		return "", nil
	})
	want := background(1)
	want.Kind = jobs.Revalidate
	want.Spec.Format = "image/avif"
	if _, _, err := r.Do(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	want.Attempt = 1
	if got != want {
		t.Errorf("work got %+v, want %+v", got, want)
	}
}

func TestStringsAreCopied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		r := start(t, g.work)
		reused := []byte("/first.png")
		j := job(1)
		j.Spec.Href = unsafeString(reused)
		ctx, cancel := context.WithCancel(t.Context())
		left := r.do(ctx, j)
		synctest.Wait()
		cancel()
		<-left
		copy(reused, "/other.png")
		stays := r.do(t.Context(), job(1))
		synctest.Wait()
		close(g.open)
		if a := <-stays; a.result != "/first.png" {
			t.Errorf("result %q", a.result)
		}
	})
}

func TestWaiterLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		r := start(t, g.work)
		leads := r.do(t.Context(), job(1))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		a := <-r.do(ctx, job(1))
		if !errors.Is(a.err, context.DeadlineExceeded) || a.at.Sub(began) != time.Second {
			t.Errorf("the leaving call got %v after %v", a.err, a.at.Sub(began))
		}
		if f := failure.From(a.err); f.Status != 504 {
			t.Errorf("its status is %d", f.Status)
		}
		close(g.open)
		if a := <-leads; a.result != "/1.png" || a.err != nil || a.coalesced {
			t.Errorf("the other got %+v", a)
		}
	})
}

func TestLeaderLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		r := start(t, g.work)
		ctx, cancel := context.WithCancel(t.Context())
		leads := r.do(ctx, job(1))
		synctest.Wait()
		follows := r.do(t.Context(), job(1))
		synctest.Wait()
		cancel()
		if a := <-leads; !errors.Is(a.err, context.Canceled) {
			t.Errorf("the leader got %v", a.err)
		}
		time.Sleep(time.Second)
		close(g.open)
		if a := <-follows; a.result != "/1.png" || a.err != nil || !a.coalesced {
			t.Errorf("the follower got %+v", a)
		}
		if got := g.began(); len(got) != 1 {
			t.Errorf("runs %v", got)
		}
	})
}

// TestStartedJobFinishes: a running job nobody waits for any more is finished, and found by the next who asks.
func TestStartedJobFinishes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		r := start(t, g.work)
		ctx, cancel := context.WithCancel(t.Context())
		leaves := r.do(ctx, job(1))
		synctest.Wait()
		cancel()
		<-leaves
		time.Sleep(time.Second)
		comes := r.do(t.Context(), job(1))
		synctest.Wait()
		close(g.open)
		if a := <-comes; a.result != "/1.png" || !a.coalesced {
			t.Errorf("got %+v", a)
		}
		synctest.Wait()
		if got := g.began(); len(got) != 1 {
			t.Errorf("runs %v", got)
		}
		r.finished(jobs.OutcomeOK)
	})
}

func TestQueuedJobIsAbandoned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		r := start(t, g.work, func(o *jobs.Options) { o.Concurrency = 1 })
		holds := r.do(t.Context(), job(1))
		synctest.Wait()

		ctx, cancel := context.WithCancel(t.Context())
		alone, pair1, pair2 := r.do(ctx, job(2)), r.do(ctx, job(3)), r.do(t.Context(), job(3))
		submitted := r.do(ctx, job(4))
		synctest.Wait()
		if _, err := r.Submit(t.Context(), job(4)); err != nil {
			t.Fatal(err)
		}
		cancel()
		for _, ch := range []<-chan answer{alone, pair1, submitted} {
			if a := <-ch; !errors.Is(a.err, context.Canceled) {
				t.Errorf("got %+v", a)
			}
		}
		synctest.Wait()
		if s := r.stats(); s.Abandoned != 1 || s.Queue.Interactive.Queued != 1 || s.Queue.Background.Queued != 1 {
			t.Errorf("stats %+v", s)
		}
		close(g.open)
		if a := <-pair2; a.result != "/3.png" {
			t.Errorf("got %+v", a)
		}
		<-holds
		synctest.Wait()
		// The job somebody submitted too went on in the background; the one nobody wants never ran.
		began := g.began()
		if slices.Sort(began); !slices.Equal(began, []string{"/1.png", "/3.png", "/4.png"}) {
			t.Errorf("runs %v", began)
		}
		// It can be asked for again.
		if a := <-r.do(t.Context(), job(2)); a.result != "/2.png" || a.coalesced {
			t.Errorf("got %+v", a)
		}
	})
}

func TestDoJoinsBackground(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		r := start(t, g.work, func(o *jobs.Options) { o.Background = 1 })
		for n := range 2 {
			if _, err := r.Submit(t.Context(), background(n)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		running, queued := r.do(t.Context(), job(0)), r.do(t.Context(), job(1))
		synctest.Wait()
		if got := g.began(); !slices.Equal(got, []string{"/0.png", "/1.png"}) {
			t.Errorf("began %v; the queued job was not promoted", got)
		}
		if joined, err := r.Submit(t.Context(), background(1)); err != nil || !joined {
			t.Errorf("Submit: joined %v, %v", joined, err)
		}
		close(g.open)
		for n, ch := range []<-chan answer{running, queued} {
			if a := <-ch; a.err != nil || !a.coalesced {
				t.Errorf("job %d: %+v", n, a)
			}
		}
		synctest.Wait()
		if got := g.began(); len(got) != 2 {
			t.Errorf("runs %v", got)
		}
		r.finished(jobs.OutcomeOK, jobs.OutcomeOK)
	})
}

func TestDeadContextIsNotServed(t *testing.T) {
	var ran atomic.Bool
	r := start(t, func(context.Context, jobs.Job) (string, error) { ran.Store(true); return "", nil })
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if _, _, err := r.Do(ctx, job(1)); !errors.Is(err, why) {
		t.Errorf("Do: %v", err)
	}
	if ran.Load() || r.stats().Accepted != 0 {
		t.Error("a job was made for a context that had ended")
	}
}

func TestOptionsAreValidated(t *testing.T) {
	for name, change := range map[string]func(*jobs.Options){
		"Concurrency":  func(o *jobs.Options) { o.Concurrency = 0 },
		"Background":   func(o *jobs.Options) { o.Background = 0 },
		"Timeout":      func(o *jobs.Options) { o.Timeout = 0 },
		"Lease":        func(o *jobs.Options) { o.Lease = o.Timeout },
		"MaxAttempts":  func(o *jobs.Options) { o.MaxAttempts = 0 },
		"Backoff":      func(o *jobs.Options) { o.BackoffMax = o.Backoff - 1 },
		"RetryBudget":  func(o *jobs.Options) { o.RetryBudget = -0.1 },
		"RetryReserve": func(o *jobs.Options) { o.RetryReserve = -1 },
	} {
		o := jobs.Defaults(0)
		if err := o.Validate(); err != nil {
			t.Fatalf("defaults: %v", err)
		}
		change(&o)
		q, err := jobs.NewMemory(queuetest.Roomy)
		if err != nil {
			t.Fatal(err)
		}
		_, err = jobs.New(o, q, newGate().work)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v does not name it", name, err)
		}
	}
}
