package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/jobs"
)

// closing calls Close with a grace period.
func closing(r *rig, grace time.Duration) <-chan error {
	ch := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		ch <- r.Close(ctx)
	}()
	return ch
}

// TestCloseDrains: what runs and what somebody waits for is finished, retries included; nothing new is taken.
func TestCloseDrains(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, func(_ context.Context, j jobs.Job) (string, error) {
			time.Sleep(2 * time.Second)
			if j.Key == job(2).Key && j.Attempt == 1 {
				return "", flaky(503)
			}
			return j.Spec.Href, nil
		}, func(o *jobs.Options) { o.Concurrency, o.Background = 1, 1 })
		var waiting []<-chan answer
		for n := range 3 {
			waiting = append(waiting, r.do(t.Context(), job(n)))
			synctest.Wait()
		}
		done := closing(r, 20*time.Second)
		synctest.Wait()
		_, _, err := r.Do(t.Context(), job(9))
		if f := wantFailure(t, err, 503, "shutting_down", "Service Unavailable"); f.RetryAfter <= 0 {
			t.Errorf("no RetryAfter: %v", f)
		}
		_, _, err = r.Do(t.Context(), job(0)) // not even to join
		wantFailure(t, err, 503, "shutting_down", "")
		_, err = r.Submit(t.Context(), background(9))
		wantFailure(t, err, 503, "shutting_down", "")
		for n, ch := range waiting {
			if a := <-ch; a.err != nil {
				t.Errorf("job %d: %v", n, a.err)
			}
		}
		if err := <-done; err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

// TestCloseStartsNoBackground: background jobs that run are finished, those queued are not begun.
func TestCloseStartsNoBackground(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		r := start(t, g.work, func(o *jobs.Options) { o.Background = 1 })
		for n := range 3 {
			if _, err := r.Submit(t.Context(), background(n)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		done := closing(r, 20*time.Second)
		time.Sleep(time.Second)
		close(g.open)
		if err := <-done; err != nil {
			t.Errorf("Close: %v", err)
		}
		if got := g.began(); len(got) != 1 {
			t.Errorf("began %v", got)
		}
		r.finished(jobs.OutcomeOK)
	})
}

// TestCloseCutsShort: at the end of the grace period everybody gets an answer.
func TestCloseCutsShort(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		r := start(t, g.work, func(o *jobs.Options) { o.Concurrency, o.Background = 1, 1 })
		if _, err := r.Submit(t.Context(), background(7)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		running := r.do(t.Context(), job(1))
		synctest.Wait()
		queued := r.do(t.Context(), job(2))
		synctest.Wait()
		began := time.Now()
		if err := <-closing(r, 5*time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		for _, ch := range []<-chan answer{running, queued} {
			a := <-ch
			wantFailure(t, a.err, 503, "shutting_down", "Service Unavailable")
			if a.at.Sub(began) != 5*time.Second {
				t.Errorf("answered after %v", a.at.Sub(began))
			}
		}
		r.finished(jobs.OutcomeShutdown, jobs.OutcomeShutdown, jobs.OutcomeShutdown)
	})
}

// TestCloseGivesUp: work that does not even stop when told to does not hold up the process.
func TestCloseGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, func(context.Context, jobs.Job) (string, error) {
			time.Sleep(time.Minute)
			return "", nil
		})
		waits := r.do(t.Context(), job(1))
		synctest.Wait()
		began := time.Now()
		err := <-closing(r, 5*time.Second)
		if err == nil || !strings.Contains(err.Error(), "1 jobs do not stop") {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("Close took %v", took)
		}
		wantFailure(t, (<-waits).err, 503, "shutting_down", "")
		time.Sleep(2 * time.Minute)
	})
}

func TestCloseIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, newGate().work)
		began := time.Now()
		if err := r.Close(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("Close: %v after %v", err, time.Since(began))
		}
	})
}

// TestCloseHandsBack: jobs of a durable queue that were cut short, or had not begun, are done by the next process as
// if nothing had been; also one that somebody waited for but that had been submitted too.
func TestCloseHandsBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		g := newGate()
		r := startOn(t, openFS(t, dir), g.work, func(o *jobs.Options) { o.Concurrency, o.Background = 1, 1 })
		both := r.do(t.Context(), job(3))
		synctest.Wait()
		for n := 1; n <= 3; n++ {
			if _, err := r.Submit(t.Context(), background(n)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if got := g.began(); len(got) != 2 {
			t.Fatalf("began %v", got)
		}
		if err := <-closing(r, time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		wantFailure(t, (<-both).err, 503, "shutting_down", "")

		var attempts []jobs.Job
		next := startOn(t, openFS(t, dir), func(_ context.Context, j jobs.Job) (string, error) {
			attempts = append(attempts, j)
			return "", nil
		}, func(o *jobs.Options) { o.Background = 1 })
		time.Sleep(time.Second)
		synctest.Wait()
		if len(attempts) != 3 {
			t.Fatalf("the next process did %v", attempts)
		}
		for _, j := range attempts {
			if j.Attempt != 1 || j.Priority != jobs.Background {
				t.Errorf("job %+v", j)
			}
		}
		if st := next.stats(); st.Queue.Background.Queued != 0 || st.Queue.Reclaimed != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}
