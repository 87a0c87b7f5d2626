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

// at returns the n-th test job as one of that origin.
func at(origin string, n int) jobs.Job {
	spec := jobs.Spec{Href: fmt.Sprintf("https://%s/%d.png", origin, n), Absolute: true, Width: 640, Quality: 75}
	return jobs.Job{Key: jobs.KeyOf("test", spec), Spec: spec}
}

// takes is work that takes its time.
func takes(d time.Duration) jobs.Work[string] {
	return func(ctx context.Context, j jobs.Job) (string, error) {
		select {
		case <-time.After(d):
			return j.Spec.Href, nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

func slots(n int) func(*jobs.Options) { return func(o *jobs.Options) { o.Concurrency = n } }

// warm lets so many jobs run, some of them waiting for others, that their pace is known.
func (r *rig) warm(count int, job func(int) jobs.Job) {
	r.t.Helper()
	var waiting []<-chan answer
	for n := range count {
		waiting = append(waiting, r.do(context.Background(), job(1000000+n)))
		if len(waiting) == 20 || n == count-1 {
			for _, ch := range waiting {
				if a := <-ch; a.err != nil {
					r.t.Fatal(a.err)
				}
			}
			waiting = nil
		}
	}
	synctest.Wait()
	r.forget()
}

// refused checks that a call is refused at once, before anything is done, and returns why.
func (r *rig) refused(ctx context.Context, job jobs.Job, reason string) *failure.Error {
	r.t.Helper()
	before, began := r.stats(), time.Now()
	_, coalesced, err := r.Do(ctx, job)
	f := wantFailure(r.t, err, 503, reason, "Service Unavailable")
	after := r.stats()
	if coalesced || !time.Now().Equal(began) || f.Retryable {
		r.t.Errorf("refused after %v, coalesced %v: %v", time.Since(began), coalesced, f)
	}
	if f.RetryAfter < time.Second || f.RetryAfter > 30*time.Second {
		r.t.Errorf("RetryAfter %v", f.RetryAfter)
	}
	if after.Accepted != before.Accepted || after.Refused != before.Refused+1 || after.Queue.Interactive != before.Queue.Interactive {
		r.t.Errorf("refused, and yet: before %+v, after %+v", before, after)
	}
	return f
}

// admitted makes calls until one is refused, at most so many, and returns how many were not.
func (r *rig) admitted(limit int, job func(int) jobs.Job) int {
	r.t.Helper()
	for n := range limit {
		refused := r.stats().Refused
		go r.Do(context.Background(), job(n))
		synctest.Wait()
		if r.stats().Refused != refused {
			return n
		}
	}
	return limit
}

func TestQueueWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, takes(100*time.Millisecond), slots(2), func(o *jobs.Options) { o.OriginShare = 1 })
		r.warm(300, job)
		// 20 a second, for 30 s: with a margin for surprises, but not for nothing.
		n := r.admitted(1000, job)
		if n < 350 || n > 590 {
			t.Errorf("%d jobs admitted that take 50 ms each; the time for them is 30 s", n)
		}
		f := r.refused(t.Context(), job(9999), "queue_wait")
		if want := time.Duration(n) * 50 * time.Millisecond; f.RetryAfter < want*9/10 || f.RetryAfter > want*11/10 {
			t.Errorf("RetryAfter %v, want about %v", f.RetryAfter, want)
		}
		if s := r.stats(); s.EstimatedWait < f.RetryAfter*9/10 || s.EstimatedWait > f.RetryAfter*11/10 || s.Waiting != n-2 || s.SaturatedFor == 0 {
			t.Errorf("stats %+v", s)
		}
		// To wait with others for a job that is there takes nobody's time.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, there := range []int{0, 5, n - 1} {
			joins := r.do(ctx, job(there))
			if a := <-joins; a.err != nil && !errors.Is(a.err, context.DeadlineExceeded) || !a.coalesced {
				t.Errorf("joining job %d: %+v", there, a)
			}
		}
		time.Sleep(time.Minute)
		r.finishedOK(n)
	})
}

// finishedOK checks that so many jobs ended, all well.
func (r *rig) finishedOK(want int) {
	r.t.Helper()
	synctest.Wait()
	got := map[string]int{}
	for _, e := range r.seen(jobs.Finished) {
		got[e.Outcome]++
	}
	if len(got) != 1 || got[jobs.OutcomeOK] != want {
		r.t.Errorf("finished %v, want %d ok", got, want)
	}
}

// TestNoMeasurementNoRefusal: what has not been seen is not judged.
func TestNoMeasurementNoRefusal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, newGate().work, slots(2), func(o *jobs.Options) { o.Timeout = 10 * time.Second })
		if n := r.admitted(900, job); n != 900 {
			t.Errorf("refused after %d", n)
		}
		time.Sleep(9 * time.Second)
		if n := r.admitted(50, func(n int) jobs.Job { return job(2000 + n) }); n != 50 {
			t.Errorf("refused after %d more", n)
		}
		time.Sleep(time.Minute)
	})
}

// TestBudgetIsTheCallers: who has less time is refused sooner.
func TestBudgetIsTheCallers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, takes(100*time.Millisecond), slots(2), func(o *jobs.Options) { o.OriginShare = 1 })
		r.warm(300, job)
		if n := r.admitted(100, job); n != 100 {
			t.Fatalf("only %d admitted", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		r.refused(ctx, job(500), "queue_wait")
		longer, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if a := <-r.do(longer, job(500)); a.err != nil {
			t.Error(a.err)
		}
	})
}

// TestFreeSlotIsNeverRefused: however slow attempts were, one is tried when it can begin at once.
func TestFreeSlotIsNeverRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var took atomic.Int64
		took.Store(int64(9 * time.Second))
		r := start(t, func(ctx context.Context, j jobs.Job) (string, error) {
			return takes(time.Duration(took.Load()))(ctx, j)
		}, slots(2),
			func(o *jobs.Options) { o.Timeout, o.OriginShare = 10*time.Second, 1 })
		r.warm(2, job)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if a := <-r.do(ctx, job(1)); !errors.Is(a.err, context.DeadlineExceeded) {
			t.Errorf("with a second left: %v, want to have been tried", a.err)
		}
		time.Sleep(time.Minute)
		// It has become fast. The first who come find out.
		took.Store(int64(10 * time.Millisecond))
		for n := range 20 {
			if a := <-r.do(t.Context(), job(n)); a.err != nil {
				t.Error(a.err)
			}
		}
	})
}

// TestLeavingClientsShortenTheLine: jobs that nobody waits for are dropped, and hold nobody up.
func TestLeavingClientsShortenTheLine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, takes(100*time.Millisecond), slots(2), func(o *jobs.Options) { o.OriginShare = 1 })
		r.warm(300, job)
		ctx, cancel := context.WithCancel(t.Context())
		for n := range 1000 {
			go r.Do(ctx, job(n))
		}
		synctest.Wait()
		r.refused(t.Context(), job(9999), "queue_wait")
		cancel()
		synctest.Wait()
		if s := r.stats(); s.Waiting != 0 || s.EstimatedWait > 100*time.Millisecond || s.Queue.Interactive.Queued != 0 {
			t.Errorf("stats %+v", s)
		}
		began := time.Now()
		if a := <-r.do(t.Context(), job(9999)); a.err != nil || a.at.Sub(began) > 200*time.Millisecond {
			t.Errorf("%v after %v", a.err, a.at.Sub(began))
		}
	})
}

// TestSaturatedFor: it begins with the first refusal that concerns all, lasts while there are some, and ends when the
// line does, or five seconds after the last.
func TestSaturatedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q, err := jobs.NewMemory(jobs.Limits{Interactive: 4, Background: 1})
		if err != nil {
			t.Fatal(err)
		}
		g := newGate()
		r := startOn(t, q, g.work, slots(1), func(o *jobs.Options) { o.Timeout = time.Hour })
		for n := range 5 {
			go r.Do(t.Context(), job(n))
			synctest.Wait()
		}
		if s := r.stats(); s.SaturatedFor != 0 {
			t.Errorf("full, but nobody was refused: saturated for %v", s.SaturatedFor)
		}
		for n := range 10 {
			_, _, err := r.Do(t.Context(), job(100+n))
			wantFailure(t, err, 503, "queue_full", "")
			if s := r.stats(); s.SaturatedFor/time.Second != time.Duration(3*n) {
				t.Errorf("saturated for %v after %d s", s.SaturatedFor, 3*n)
			}
			time.Sleep(3 * time.Second)
		}
		time.Sleep(2 * time.Second)
		if s := r.stats(); s.SaturatedFor != 0 || s.Utilization < 0.9 || s.Queue.Interactive.Oldest != 32*time.Second {
			t.Errorf("5 s after the last refusal: %+v", s)
		}
		_, err = r.Submit(t.Context(), background(200))
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Submit(t.Context(), background(201))
		wantFailure(t, err, 503, "queue_full", "")
		if s := r.stats(); s.SaturatedFor != 0 {
			t.Error("nobody waits for background jobs, and yet their refusal makes the service saturated")
		}
		_, _, err = r.Do(t.Context(), job(300))
		wantFailure(t, err, 503, "queue_full", "")
		time.Sleep(time.Second)
		if s := r.stats(); s.SaturatedFor != time.Second {
			t.Errorf("saturated for %v, want 1s", s.SaturatedFor)
		}
		close(g.open)
		synctest.Wait()
		if s := r.stats(); s.SaturatedFor != 0 {
			t.Errorf("the queue is empty, and yet saturated for %v", s.SaturatedFor)
		}
		time.Sleep(time.Minute)
		if s := r.stats(); s.Utilization > 0.01 {
			t.Errorf("utilization %v after an idle minute", s.Utilization)
		}
	})
}

// TestRetryThatComesTooLate: a retry waits at the end of the line. If there is no time for that, the failure is told
// now.
func TestRetryThatComesTooLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, func(ctx context.Context, j jobs.Job) (string, error) {
			result, err := takes(100*time.Millisecond)(ctx, j)
			if err == nil && j.Key == job(1).Key {
				return "", comeBack{flaky(503), 15 * time.Second}
			}
			return result, err
		}, slots(2), func(o *jobs.Options) { o.OriginShare = 1 })
		r.warm(300, job)
		began := time.Now()
		fails := r.do(t.Context(), job(1))
		synctest.Wait()
		r.admitted(1000, func(n int) jobs.Job { return job(10 + n) })
		a := <-fails
		wantFailure(t, a.err, 502, "retries_exhausted", "text of 503")
		if took := a.at.Sub(began); took > time.Second {
			t.Errorf("told after %v", took)
		}
		time.Sleep(time.Minute)
		// With no line it is tried again.
		r.forget()
		<-r.do(t.Context(), job(1))
		if len(r.seen(jobs.Retried)) != 1 {
			t.Error("not tried again though nobody waits")
		}
	})
}

// TestHopelessJobIsNotBegun: one attempt took much longer than anybody could know. Jobs whose time is all but over by
// then are not begun: each would run into its deadline, and hold up the next until that is hopeless too.
func TestHopelessJobIsNotBegun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, func(ctx context.Context, j jobs.Job) (string, error) {
			if j.Key == job(0).Key {
				return takes(20*time.Second)(ctx, j)
			}
			return takes(2*time.Second)(ctx, j)
		}, slots(1))
		for n := range 40 {
			go r.Do(t.Context(), job(n))
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		started, ended := r.seen(jobs.Started), r.seen(jobs.Finished)
		ok := 0
		for _, e := range ended {
			if e.Outcome == jobs.OutcomeOK {
				ok++
			}
		}
		if len(ended) != 40 || len(started) > ok+1 || ok < 12 {
			t.Errorf("of %d jobs %d were begun and %d done", len(ended), len(started), ok)
		}
	})
}
