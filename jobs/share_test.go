package jobs_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/jobs"
	"imgopt/jobs/queuetest"
)

// TestOriginWait: an origin that holds its share is refused for its own line; others find slots, and the service is
// not saturated.
func TestOriginWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, func(ctx context.Context, j jobs.Job) (string, error) {
			if j.Spec.Origin() == "https://slow" {
				return takes(7*time.Second)(ctx, j)
			}
			return takes(100*time.Millisecond)(ctx, j)
		}, slots(16))
		r.warm(100, func(n int) jobs.Job { return at("fast", n) })
		for n := range 12 {
			go r.Do(t.Context(), at("slow", n))
		}
		time.Sleep(8 * time.Second)
		n := r.admitted(100, func(n int) jobs.Job { return at("slow", 100+n) })
		if n < 12 || n > 48 { // 12 at a time, 7 s each, within 30 s
			t.Errorf("%d jobs of the slow origin admitted", n)
		}
		f := r.refused(t.Context(), at("slow", 999), "origin_queue_wait")
		if s := r.stats(); s.InFlight != 12 || s.SaturatedFor != 0 || s.Queue.Interactive.HeldBack != n-12 || s.EstimatedWait != f.RetryAfter {
			t.Errorf("stats %+v, RetryAfter %v", s, f.RetryAfter)
		}
		began := time.Now()
		for n := range 30 {
			if a := <-r.do(t.Context(), at("fast", n)); a.err != nil {
				t.Error(a.err)
			}
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("30 jobs of another origin took %v", took)
		}
		time.Sleep(time.Minute)
	})
}

// TestLeaveOrigin: the one origin there is holds its share, but its jobs are past it: then it is the service that
// cannot do more.
func TestLeaveOrigin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, func(ctx context.Context, j jobs.Job) (string, error) {
			if _, err := takes(10*time.Millisecond)(ctx, j); err != nil {
				return "", err
			}
			jobs.LeaveOrigin(ctx)
			jobs.LeaveOrigin(ctx) // once is enough, twice no harm
			return takes(90*time.Millisecond)(ctx, j)
		}, slots(4))
		r.warm(300, job)
		n := r.admitted(1000, job)
		r.refused(t.Context(), job(9999), "queue_wait")
		if s := r.stats(); s.SaturatedFor == 0 || s.InFlight != 3 || s.Waiting != n-3 {
			t.Errorf("stats %+v", s)
		}
		time.Sleep(time.Minute)
		if s := r.stats(); s.SaturatedFor != 0 {
			t.Errorf("still saturated: %+v", s)
		}
		jobs.LeaveOrigin(t.Context()) // not an attempt's: nothing happens
	})
}

func TestOriginQueueFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q, err := jobs.NewMemory(jobs.Limits{Interactive: 8, Background: 8, OriginShare: 0.75})
		if err != nil {
			t.Fatal(err)
		}
		r := startOn(t, q, takes(time.Second), func(o *jobs.Options) { o.Concurrency, o.Background = 4, 2 })
		for n := range 9 { // 3 run
			go r.Do(t.Context(), at("greedy", n))
			synctest.Wait()
		}
		r.refused(t.Context(), at("greedy", 100), "origin_queue_full")
		if s := r.stats(); s.SaturatedFor != 0 || s.Queue.Interactive.HeldBack != 6 {
			t.Errorf("stats %+v", s)
		}
		if a := <-r.do(t.Context(), at("modest", 1)); a.err != nil {
			t.Error(a.err)
		}
		for n := range 6 { // none runs while people wait for this origin
			if _, err := r.Submit(t.Context(), at("greedy", 200+n)); err != nil {
				t.Fatal(n, err)
			}
			synctest.Wait()
		}
		_, err = r.Submit(t.Context(), at("greedy", 300))
		wantFailure(t, err, 503, "origin_queue_full", "Service Unavailable")
		if _, err := r.Submit(t.Context(), at("modest", 2)); err != nil {
			t.Error(err)
		}
	})
}

// TestBackgroundBesideHeldBack: a person's job that only its origin holds back does not hold up background work of
// others.
func TestBackgroundBesideHeldBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		r := start(t, g.work, func(o *jobs.Options) { o.Concurrency, o.Background = 4, 4 })
		for n := range 5 {
			go r.Do(t.Context(), at("a", n))
			synctest.Wait()
		}
		for _, origin := range []string{"a", "b"} {
			if _, err := r.Submit(t.Context(), at(origin, 10)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if s := r.stats(); s.InFlight != 3 || s.InFlightBackground != 1 || s.Queue.Background.HeldBack != 1 || s.Queue.Interactive.HeldBack != 2 {
			t.Errorf("stats %+v", s)
		}
		if began := g.began(); began[len(began)-1] != "https://b/10.png" {
			t.Errorf("began %v", began)
		}
		close(g.open)
		synctest.Wait()
		r.finishedOK(7)
	})
}

// TestPausedBackgroundJobIsPromoted: somebody begins to wait for a background job between two attempts. Its next one
// is a person's.
func TestPausedBackgroundJobIsPromoted(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) jobs.Queue{
		"memory": func(t *testing.T) jobs.Queue {
			q, err := jobs.NewMemory(queuetest.Roomy)
			if err != nil {
				t.Fatal(err)
			}
			return q
		},
		"filesystem": func(t *testing.T) jobs.Queue { return openFS(t, t.TempDir()) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var attempts []jobs.Job
				g := newGate()
				r := startOn(t, open(t), func(ctx context.Context, j jobs.Job) (string, error) {
					if j.Spec.Href != "/1.png" {
						return g.work(ctx, j)
					}
					attempts = append(attempts, j)
					if j.Attempt == 1 {
						return "", comeBack{flaky(503), 10 * time.Second}
					}
					return "result", nil
				}, func(o *jobs.Options) { o.Concurrency, o.Background, o.OriginShare = 2, 1, 1 })
				if _, err := r.Submit(t.Context(), background(1)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if _, err := r.Submit(t.Context(), background(2)); err != nil { // takes the background slot
					t.Fatal(err)
				}
				synctest.Wait()
				began := time.Now()
				a := <-r.do(t.Context(), job(1))
				if a.err != nil || a.result != "result" || !a.coalesced || a.at.Sub(began) != 9*time.Second {
					t.Errorf("%+v after %v", a, a.at.Sub(began))
				}
				if len(attempts) != 2 || attempts[1].Priority != jobs.Interactive || attempts[1].Attempt != 2 {
					t.Errorf("attempts %+v", attempts)
				}
				close(g.open)
			})
		})
	}
}
