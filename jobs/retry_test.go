package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
	"imgopt/jobs"
)

// failing fails the first n attempts with err, then returns the job's href.
func failing(n int, err error) jobs.Work[string] {
	return func(_ context.Context, j jobs.Job) (string, error) {
		if j.Attempt <= n {
			return "", err
		}
		return j.Spec.Href, nil
	}
}

func TestRetry(t *testing.T) {
	timedOut := &failure.Error{Status: 504, Reason: "fetch_timeout", Text: "timed out", Retryable: true, Timeout: true}
	tests := []struct {
		name     string
		failures int
		err      error
		attempts int // MaxAttempts
		status   int // of the answer; 0: success
		reason   string
		text     string
		runs     int
		outcome  string
	}{
		{"second attempt succeeds", 1, flaky(503), 3, 0, "", "", 2, jobs.OutcomeOK},
		{"third attempt succeeds", 2, flaky(429), 3, 0, "", "", 3, jobs.OutcomeOK},
		{"wrapped", 1, fmt.Errorf("fetching: %w", flaky(500)), 3, 0, "", "", 2, jobs.OutcomeOK},
		{"exhausted", 9, flaky(503), 3, 502, "retries_exhausted", "text of 503", 3, jobs.OutcomeExhausted},
		{"exhausted by timeouts", 9, timedOut, 3, 504, "retries_exhausted", "timed out", 3, jobs.OutcomeExhausted},
		{"an upstream's 504 is not our timeout", 9, flaky(504), 2, 502, "retries_exhausted", "text of 504", 2, jobs.OutcomeExhausted},
		{"one attempt", 9, flaky(500), 1, 502, "retries_exhausted", "text of 500", 1, jobs.OutcomeExhausted},
		{"one attempt, timeout", 9, timedOut, 1, 504, "retries_exhausted", "timed out", 1, jobs.OutcomeExhausted},
		{"final failure", 9, failure.New(404, "upstream", "not found"), 3, 404, "upstream", "not found", 1, jobs.OutcomeFailed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := start(t, failing(test.failures, test.err), func(o *jobs.Options) { o.MaxAttempts = test.attempts })
				got, _, err := r.Do(t.Context(), job(1))
				switch {
				case test.status == 0 && (err != nil || got != "/1.png"):
					t.Errorf("Do: %q, %v", got, err)
				case test.status != 0:
					f := wantFailure(t, err, test.status, test.reason, test.text)
					if f.Retryable {
						t.Error("the answer says it can be retried")
					}
					if !errors.Is(err, test.err) {
						t.Errorf("the cause %v is lost in %v", test.err, err)
					}
				}
				s := r.stats()
				if int(s.Attempts) != test.runs || int(s.Retries) != test.runs-1 {
					t.Errorf("%d attempts, %d retries; want %d, %d", s.Attempts, s.Retries, test.runs, test.runs-1)
				}
				r.finished(test.outcome)
			})
		})
	}
	t.Run("an unknown error is final and stays itself", func(t *testing.T) {
		private := errors.New("private")
		r := start(t, failing(9, private))
		if _, _, err := r.Do(t.Context(), job(1)); !errors.Is(err, private) || failure.From(err).Status != 500 {
			t.Errorf("Do: %v", err)
		}
		if n := r.stats().Attempts; n != 1 {
			t.Errorf("%d attempts", n)
		}
	})
}

// TestBackoff: pauses are drawn evenly below a limit that doubles up to its own, and are really waited for.
func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const jobCount, limit = 300, 6
		r := start(t, failing(99, flaky(503)), func(o *jobs.Options) {
			o.Backoff, o.BackoffMax, o.MaxAttempts = 100*time.Millisecond, time.Second, limit
			o.RetryReserve = 1e9
			o.Timeout = time.Hour
		})
		limits := []time.Duration{100e6, 200e6, 400e6, 800e6, 1e9}
		longest, sum := make([]time.Duration, limit-1), make([]time.Duration, limit-1)
		for n := range jobCount {
			before := time.Now()
			r.forget()
			<-r.do(t.Context(), job(n))
			var waited time.Duration
			for i, e := range r.seen(jobs.Retried) {
				if e.Delay < 0 || e.Delay > limits[i] {
					t.Fatalf("pause %v before retry %d, limit %v", e.Delay, i+1, limits[i])
				}
				longest[i] = max(longest[i], e.Delay)
				sum[i] += e.Delay
				waited += e.Delay
			}
			if took := time.Since(before); took != waited {
				t.Fatalf("job %d took %v, its pauses %v", n, took, waited)
			}
		}
		for i, l := range limits {
			if mean := sum[i] / jobCount; mean < l*4/10 || mean > l*6/10 || longest[i] < l*9/10 {
				t.Errorf("retry %d: mean %v, longest %v of at most %v: not drawn evenly", i+1, mean, longest[i], l)
			}
		}
	})
}

// comeBack is an upstream's failure with a Retry-After.
type comeBack struct {
	error
	after time.Duration
}

func (e comeBack) Unwrap() error                     { return e.error }
func (e comeBack) UpstreamRetryAfter() time.Duration { return e.after }

func TestUpstreamRetryAfter(t *testing.T) {
	for _, test := range []struct {
		after  time.Duration
		status int
		took   time.Duration
	}{
		{20 * time.Second, 0, 20 * time.Second},
		{29999 * time.Millisecond, 0, 29999 * time.Millisecond},
		{30 * time.Second, 502, 0}, // no time left after that: told at once
		{time.Hour, 502, 0},
	} {
		t.Run(test.after.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := start(t, failing(1, fmt.Errorf("fetching: %w", comeBack{flaky(503), test.after})))
				before := time.Now()
				_, _, err := r.Do(t.Context(), job(1))
				if took := time.Since(before); took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
				if test.status != 0 {
					wantFailure(t, err, test.status, "retries_exhausted", "text of 503")
				} else if err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestBackoffHoldsNoSlot: while a job pauses, its slot does other work, and Stats tells.
func TestBackoffHoldsNoSlot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		later := comeBack{flaky(503), 10 * time.Second}
		r := start(t, func(_ context.Context, j jobs.Job) (string, error) {
			if j.Attempt == 1 && j.Key == job(1).Key {
				return "", later
			}
			return j.Spec.Href, nil
		}, func(o *jobs.Options) { o.Concurrency = 1 })
		before := time.Now()
		pauses := r.do(t.Context(), job(1))
		synctest.Wait()
		if s := r.stats(); s.InFlight != 0 || s.Queue.Interactive.Delayed != 1 {
			t.Errorf("stats %+v", s)
		}
		// Whoever comes now waits with the first.
		joins := r.do(t.Context(), job(1))
		if a := <-r.do(t.Context(), job(2)); a.err != nil || a.at != before {
			t.Errorf("another job: %v after %v", a.err, a.at.Sub(before))
		}
		for _, ch := range []<-chan answer{pauses, joins} {
			if a := <-ch; a.err != nil || a.at.Sub(before) != 10*time.Second {
				t.Errorf("the pausing job: %v after %v", a.err, a.at.Sub(before))
			}
		}
	})
}

// TestDeadlineWhilePausing: the deadline is the job's, not the attempt's.
func TestDeadlineOverAllAttempts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, func(ctx context.Context, _ jobs.Job) (string, error) {
			select {
			case <-time.After(12 * time.Second):
				return "", flaky(503)
			case <-ctx.Done():
				return "", fmt.Errorf("fetching: %w", ctx.Err())
			}
		}, func(o *jobs.Options) { o.MaxAttempts = 5 })
		before := time.Now()
		_, _, err := r.Do(t.Context(), job(1))
		wantFailure(t, err, 504, "deadline", failure.TextUpstreamTimeout)
		if took := time.Since(before); took != 30*time.Second {
			t.Errorf("took %v", took)
		}
		if n := r.stats().Attempts; n != 3 {
			t.Errorf("%d attempts, want 3", n)
		}
	})
}

// TestPausedJobIsAbandoned: nobody waits for the retry, so it is not made.
func TestPausedJobIsAbandoned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var runs atomic.Int32
		r := start(t, func(context.Context, jobs.Job) (string, error) {
			runs.Add(1)
			return "", comeBack{flaky(503), 10 * time.Second}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if a := <-r.do(ctx, job(1)); !errors.Is(a.err, context.DeadlineExceeded) {
			t.Errorf("got %v", a.err)
		}
		time.Sleep(time.Minute)
		if runs.Load() != 1 {
			t.Errorf("%d runs", runs.Load())
		}
		r.finished(jobs.OutcomeAbandoned)
	})
}

// TestRetryKeepsWaiters: a background job that somebody began to wait for while it ran is retried before others.
func TestRetryOfJoinedBackgroundJob(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var second atomic.Value
		r := start(t, func(_ context.Context, j jobs.Job) (string, error) {
			if j.Attempt == 1 {
				time.Sleep(time.Second)
				return "", flaky(503)
			}
			second.Store(j.Priority)
			return "result", nil
		})
		if _, err := r.Submit(t.Context(), background(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if a := <-r.do(t.Context(), job(1)); a.result != "result" {
			t.Errorf("got %+v", a)
		}
		if p := second.Load(); p != jobs.Interactive {
			t.Errorf("retried as %v", p)
		}
	})
}

// TestRetryBudget: when everything fails, a failing origin sees at most a fifth more requests.
func TestRetryBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, failing(99, flaky(503)), func(o *jobs.Options) { o.RetryReserve = 0 })
		for n := range 1000 {
			_, _, err := r.Do(t.Context(), job(n))
			wantFailure(t, err, 502, "retries_exhausted", "text of 503")
		}
		s := r.stats()
		// A fifth of the first attempts, and what the budget starts with.
		if s.Retries < 200 || s.Retries > 211 || s.Attempts != 1000+s.Retries {
			t.Errorf("%d retries of 1000 jobs, %d attempts", s.Retries, s.Attempts)
		}
		if s.BudgetExhausted < 780 || len(r.seen(jobs.BudgetExhausted)) != int(s.BudgetExhausted) {
			t.Errorf("%d retries not made", s.BudgetExhausted)
		}
	})
}

// TestRetryReserve: the reserve lets some retries through whatever the load, and healthy times save up only so much.
func TestRetryReserve(t *testing.T) {
	bubble(t, func(t *testing.T) {
		broken := true
		r := start(t, func(_ context.Context, j jobs.Job) (string, error) {
			if broken {
				return "", flaky(503)
			}
			return "", nil
		}, func(o *jobs.Options) { o.RetryBudget, o.RetryReserve, o.MaxAttempts = 0, 2, 2 })
		run := func(jobCount int) uint64 {
			before := r.stats().Retries
			for n := range jobCount {
				<-r.do(t.Context(), job(n))
			}
			return r.stats().Retries - before
		}
		run(100) // spends what it started with
		for r.stats().BudgetBalance >= 1 {
			run(1)
		}
		spent := time.Now()
		time.Sleep(10 * time.Second)
		if balance := r.stats().BudgetBalance; balance < 19.9 || balance > 21.1 {
			t.Errorf("balance %v after %v at 2 a second", balance, time.Since(spent))
		}
		time.Sleep(time.Hour)
		if balance := r.stats().BudgetBalance; balance != 100 {
			t.Errorf("balance %v after an hour, want the cap", balance)
		}
		broken = false
		if run(50) != 0 {
			t.Error("healthy jobs were retried")
		}
	})
	t.Run("none", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := start(t, failing(99, flaky(503)), func(o *jobs.Options) { o.RetryBudget, o.RetryReserve = 0, 0 })
			<-r.do(t.Context(), job(1))
			if s := r.stats(); s.Retries != 0 || s.BudgetExhausted != 1 {
				t.Errorf("stats %+v", s)
			}
		})
	})
}

// TestEvents: what an observer is told about a job with a retry, in order and with its times.
func TestEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, func(_ context.Context, j jobs.Job) (string, error) {
			time.Sleep(2 * time.Second)
			if j.Attempt == 1 {
				return "", comeBack{flaky(503), 5 * time.Second}
			}
			return "", nil
		}, func(o *jobs.Options) { o.Concurrency = 1 })
		blocks := r.do(t.Context(), job(1))
		synctest.Wait()
		r.forget()
		follows := r.do(t.Context(), job(2))
		<-blocks
		<-follows
		synctest.Wait()
		var got string
		for _, e := range r.events {
			if e.Key == job(2).Key {
				got += fmt.Sprintf("%v %d wait=%v run=%v delay=%v total=%v %s failed=%v\n",
					e.Type, e.Attempt, e.Wait, e.Run, e.Delay, e.Total, e.Outcome, e.Err != nil)
			}
		}
		want := `queued 0 wait=0s run=0s delay=0s total=0s  failed=false
started 1 wait=2s run=0s delay=0s total=0s  failed=false
attempted 1 wait=0s run=2s delay=0s total=0s  failed=true
retried 1 wait=0s run=0s delay=5s total=0s  failed=true
started 2 wait=0s run=0s delay=0s total=0s  failed=false
attempted 2 wait=0s run=2s delay=0s total=0s  failed=false
finished 2 wait=0s run=0s delay=0s total=11s ok failed=false
`
		if got != want {
			t.Errorf("events:\n%swant:\n%s", got, want)
		}
	})
}
