package jobs_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/jobs"
)

func TestQueueFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q, err := jobs.NewMemory(jobs.Limits{Interactive: 2, Background: 1})
		if err != nil {
			t.Fatal(err)
		}
		var ran atomic.Int32
		r := startOn(t, q, func(ctx context.Context, j jobs.Job) (string, error) {
			ran.Add(1)
			time.Sleep(10 * time.Second)
			return j.Spec.Href, nil
		}, func(o *jobs.Options) {
			o.Concurrency, o.Background = 1, 1
			o.Timeout = time.Hour // the wait is no reason to refuse anybody
		})

		// The first refusal knows nothing of run times: at least a second.
		var all []<-chan answer
		for n := range 3 {
			all = append(all, r.do(t.Context(), job(n)))
			synctest.Wait()
		}
		_, _, err = r.Do(t.Context(), job(9))
		if f := wantFailure(t, err, 503, "queue_full", "Service Unavailable"); f.RetryAfter != time.Second {
			t.Errorf("RetryAfter %v", f.RetryAfter)
		}
		// Joining needs no room.
		joins := r.do(t.Context(), job(2))
		time.Sleep(11 * time.Second)
		all = append(all, r.do(t.Context(), job(3)))
		synctest.Wait()
		_, _, err = r.Do(t.Context(), job(9))
		// One began a second ago and two wait, for one slot, where each takes 10 s: 29 s. With what has been seen of
		// one and a tenth of them, it may be 10 % more.
		near := func(d time.Duration) bool { return d >= 29*time.Second && d <= 33*time.Second }
		if f := wantFailure(t, err, 503, "queue_full", ""); !near(f.RetryAfter) {
			t.Errorf("RetryAfter %v, want about 29s", f.RetryAfter)
		}
		if got := r.stats(); !near(got.EstimatedWait) || got.Refused != 2 {
			t.Errorf("stats %+v", got)
		}
		for n, ch := range all[:3] {
			if a := <-ch; a.err != nil {
				t.Errorf("job %d: %v", n, a.err)
			}
		}
		<-joins
		<-all[3]
		if ran.Load() != 4 {
			t.Errorf("%d runs, want 4", ran.Load())
		}

		// Background work has its own room.
		for n := range 2 {
			if _, err := r.Submit(t.Context(), background(20+n)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		_, err = r.Submit(t.Context(), background(30))
		wantFailure(t, err, 503, "queue_full", "")
		if a := <-r.do(t.Context(), job(31)); a.err != nil {
			t.Errorf("a full background queue refused an interactive job: %v", a.err)
		}
		time.Sleep(time.Minute)
	})
}

func TestPriority(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		var r *rig
		var early atomic.Int32
		r = start(t, func(ctx context.Context, j jobs.Job) (string, error) {
			if j.Priority == jobs.Background && r.stats().Queue.Interactive.Queued > 0 {
				early.Add(1)
			}
			return g.work(ctx, j)
		}, func(o *jobs.Options) { o.Concurrency, o.Background, o.OriginShare = 2, 2, 1 })
		var waiting []<-chan answer
		for n := range 10 {
			waiting = append(waiting, r.do(t.Context(), job(n)))
			synctest.Wait()
		}
		for n := range 3 {
			if _, err := r.Submit(t.Context(), background(10+n)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		// Eight people still wait: background slots stay empty.
		if got := g.began(); !slices.Equal(got, []string{"/0.png", "/1.png"}) {
			t.Fatalf("began %v", got)
		}
		if s := r.stats(); s.InFlight != 2 || s.InFlightBackground != 0 || s.Queue.Background.Queued != 3 {
			t.Errorf("stats %+v", s)
		}
		time.Sleep(3 * time.Second)
		if s := r.stats(); s.Queue.Interactive.Oldest != 3*time.Second || s.Queue.Background.Oldest != 3*time.Second {
			t.Errorf("oldest waits %+v", s.Queue)
		}
		close(g.open)
		for _, ch := range waiting {
			<-ch
		}
		synctest.Wait()
		if early.Load() != 0 || len(g.began()) != 13 {
			t.Errorf("%d background jobs began while people waited; began %v", early.Load(), g.began())
		}
	})
}

// TestBackgroundLeavesRoom: however many background jobs run, somebody who comes finds a slot.
func TestBackgroundLeavesRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		r := start(t, func(ctx context.Context, j jobs.Job) (string, error) {
			if j.Priority == jobs.Interactive {
				return j.Spec.Href, nil
			}
			return g.work(ctx, j)
		}, func(o *jobs.Options) { o.Concurrency, o.Background, o.OriginShare = 1, 3, 1 })
		for n := range 10 {
			if _, err := r.Submit(t.Context(), background(n)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if s := r.stats(); s.InFlightBackground != 3 || s.InFlight != 0 {
			t.Errorf("stats %+v", s)
		}
		if a := <-r.do(t.Context(), job(20)); a.err != nil {
			t.Error(a.err)
		}
		close(g.open)
	})
}

func TestPanic(t *testing.T) {
	for name, work := range map[string]jobs.Work[string]{
		"panic":  func(context.Context, jobs.Job) (string, error) { panic("broken") },
		"goexit": func(context.Context, jobs.Job) (string, error) { runtime.Goexit(); return "", nil },
		"index": func(_ context.Context, j jobs.Job) (string, error) {
			return j.Spec.Href[:j.Spec.Width], nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := start(t, work, func(o *jobs.Options) { o.Concurrency = 1 })
				for range 3 { // the slot is free again each time
					a, b := r.do(t.Context(), job(1)), r.do(t.Context(), job(1))
					for _, ch := range []<-chan answer{a, b} {
						f := wantFailure(t, (<-ch).err, 500, "panic", "Internal Server Error")
						if strings.Contains(f.Text, "broken") || f.Retryable {
							t.Errorf("failure %v", f)
						}
					}
				}
				if _, err := r.Submit(t.Context(), job(2)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				for _, e := range r.seen(jobs.Finished) {
					if e.Outcome != jobs.OutcomePanic {
						t.Errorf("outcome %q", e.Outcome)
					}
				}
			})
		})
	}
}

func TestPanicIsLoggedWithStack(t *testing.T) {
	log, lines := logTo()
	r := start(t, func(context.Context, jobs.Job) (string, error) { return explode() },
		func(o *jobs.Options) { o.Log = log })
	_, _, err := r.Do(t.Context(), job(1))
	wantFailure(t, err, 500, "panic", "")
	for _, part := range []string{"a job panicked", "kaboom", "explode", "/1.png"} {
		if !strings.Contains(lines.String(), part) {
			t.Errorf("log lacks %q: %s", part, lines.String())
		}
	}
	if r.stats().Panics != 1 {
		t.Errorf("%d panics counted", r.stats().Panics)
	}
}

//go:noinline
func explode() (string, error) { panic("kaboom") }
