package jobs_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
	"imgopt/jobs"
	"imgopt/jobs/queuetest"
)

func TestDeadline(t *testing.T) {
	timeout := func(o *jobs.Options) { o.Timeout, o.Concurrency = 10*time.Second, 1 }
	t.Run("running", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := start(t, newGate().work, timeout)
			began := time.Now()
			a := r.do(t.Context(), job(1))
			synctest.Wait()
			b := r.do(t.Context(), job(2))
			x := <-a
			f := wantFailure(t, x.err, 504, "deadline", failure.TextUpstreamTimeout)
			if x.at.Sub(began) != 10*time.Second || !f.Timeout {
				t.Errorf("after %v: %v", x.at.Sub(began), f)
			}
			// The other never got a slot. Whichever notices first, its time is as long.
			x = <-b
			wantFailure(t, x.err, 504, "queue_timeout", failure.TextUpstreamTimeout)
			if x.at.Sub(began) != 10*time.Second {
				t.Errorf("queued job ended after %v", x.at.Sub(began))
			}
			synctest.Wait()
			r.finished(jobs.OutcomeTimeout, jobs.OutcomeTimeout)
			if s := r.stats(); s.Queue.Interactive.Queued != 0 || s.InFlight != 0 {
				t.Errorf("left over: %+v", s)
			}
		})
	})
	t.Run("keeps a timeout's own text", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := start(t, func(ctx context.Context, _ jobs.Job) (string, error) {
				<-ctx.Done()
				return "", &failure.Error{Status: 504, Reason: "fetch", Text: "own text", Timeout: true, Retryable: true}
			}, timeout)
			_, _, err := r.Do(t.Context(), job(1))
			wantFailure(t, err, 504, "deadline", "own text")
		})
	})
	t.Run("a final failure stays what it is", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := start(t, func(ctx context.Context, _ jobs.Job) (string, error) {
				<-ctx.Done()
				return "", failure.New(404, "upstream", "not found")
			}, timeout)
			_, _, err := r.Do(t.Context(), job(1))
			wantFailure(t, err, 404, "upstream", "not found")
		})
	})
	t.Run("a result in the last moment counts", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := start(t, func(ctx context.Context, _ jobs.Job) (string, error) {
				<-ctx.Done()
				return "late", nil
			}, timeout)
			if got, _, err := r.Do(t.Context(), job(1)); got != "late" || err != nil {
				t.Errorf("Do: %q, %v", got, err)
			}
		})
	})
	t.Run("a background job's time starts with it", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := start(t, func(ctx context.Context, j jobs.Job) (string, error) {
				time.Sleep(8 * time.Second)
				return "", ctx.Err()
			}, timeout, func(o *jobs.Options) { o.Background = 1 })
			for n := range 5 {
				if _, err := r.Submit(t.Context(), background(n)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(41 * time.Second)
			r.finished(jobs.OutcomeOK, jobs.OutcomeOK, jobs.OutcomeOK, jobs.OutcomeOK, jobs.OutcomeOK)
		})
	})
}

// TestOverrun: work that ignores its context neither hangs its callers nor blocks its key, but keeps its slot.
func TestOverrun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var runs atomic.Int32
		r := start(t, func(context.Context, jobs.Job) (string, error) {
			if runs.Add(1) == 1 {
				time.Sleep(time.Hour)
				return "much too late", nil
			}
			return "second", nil
		}, func(o *jobs.Options) { o.Concurrency = 2 })
		began := time.Now()
		x := <-r.do(t.Context(), job(1))
		wantFailure(t, x.err, 504, "deadline", failure.TextUpstreamTimeout)
		if took := x.at.Sub(began); took > 31*time.Second {
			t.Errorf("took %v", took)
		}
		if s := r.stats(); s.InFlight != 1 {
			t.Errorf("%d in flight, want the one that does not stop", s.InFlight)
		}
		if a := <-r.do(t.Context(), job(1)); a.result != "second" {
			t.Errorf("got %+v", a)
		}
		time.Sleep(time.Hour)
		if s := r.stats(); s.InFlight != 0 || runs.Load() != 2 {
			t.Errorf("%d in flight, %d runs", s.InFlight, runs.Load())
		}
		r.finished(jobs.OutcomeTimeout, jobs.OutcomeOK)
	})
}

// TestLeaseIsRenewed: work that takes longer than a lease keeps its job. Only work that overruns its time by far
// does, since a lease is longer than a job.
func TestLeaseIsRenewed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q, err := jobs.NewMemory(queuetest.Roomy)
		if err != nil {
			t.Fatal(err)
		}
		counted := &countingQueue{Queue: q}
		r := startOn(t, counted, func(context.Context, jobs.Job) (string, error) {
			time.Sleep(29 * time.Second)
			return "done", nil
		}, func(o *jobs.Options) { o.Lease = 31 * time.Second })
		if got, _, err := r.Do(t.Context(), job(1)); got != "done" || err != nil {
			t.Errorf("Do: %q, %v", got, err)
		}
		if n := counted.extended.Load(); n != 2 {
			t.Errorf("renewed %d times in 29 s of a lease of 31 s, want 2", n)
		}
		time.Sleep(time.Minute)
		if n := counted.extended.Load(); n != 2 {
			t.Errorf("renewed after the end")
		}
	})
}

// countingQueue counts renewals, and can lose leases.
type countingQueue struct {
	jobs.Queue
	extended atomic.Int32
	lose     atomic.Bool
}

func (q *countingQueue) Extend(ctx context.Context, l jobs.Lease, ttl time.Duration) error {
	q.extended.Add(1)
	if q.lose.Load() {
		return jobs.ErrLeaseLost
	}
	return q.Queue.Extend(ctx, l, ttl)
}

// TestLostLease: an attempt that lost its lease is cut short, and whoever waits gets its successor's result.
func TestLostLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q, err := jobs.NewMemory(queuetest.Roomy)
		if err != nil {
			t.Fatal(err)
		}
		losing := &countingQueue{Queue: q}
		losing.lose.Store(true)
		var runs atomic.Int32
		var cause error
		r := startOn(t, losing, func(ctx context.Context, _ jobs.Job) (string, error) {
			if runs.Add(1) == 1 {
				<-ctx.Done()
				cause = context.Cause(ctx)
				return "", cause
			}
			return "successor", nil
		}, func(o *jobs.Options) { o.Timeout, o.Lease = 20*time.Second, 21*time.Second })
		if _, err := r.Submit(t.Context(), background(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if !errors.Is(cause, jobs.ErrLeaseLost) {
			t.Fatalf("the first attempt ended with %v", cause)
		}
		time.Sleep(14 * time.Second) // the queue's own lease expires
		if runs.Load() != 2 {
			t.Errorf("%d runs, want 2", runs.Load())
		}
		r.finished(jobs.OutcomeOK)
	})
}
