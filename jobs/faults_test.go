package jobs_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/jobs"
	"imgopt/jobs/queuetest"
)

// faultyQueue is a memory queue with something wrong. A hook that returns an error replaces the call; afterWithdraw
// and beforeRequeue happen next to it.
type faultyQueue struct {
	jobs.Queue
	enqueue, lease, complete, requeue, stats func() error
	afterWithdraw                            func()
}

func newFaulty(t *testing.T) *faultyQueue {
	t.Helper()
	q, err := jobs.NewMemory(queuetest.Roomy)
	if err != nil {
		t.Fatal(err)
	}
	return &faultyQueue{Queue: q}
}

func fault(hook func() error) error {
	if hook == nil {
		return nil
	}
	return hook()
}

func (q *faultyQueue) Enqueue(ctx context.Context, it jobs.Item) (bool, error) {
	if err := fault(q.enqueue); err != nil {
		return false, err
	}
	return q.Queue.Enqueue(ctx, it)
}

func (q *faultyQueue) Lease(ctx context.Context, p jobs.Priority, ttl time.Duration) (jobs.Lease, error) {
	if err := fault(q.lease); err != nil {
		return jobs.Lease{}, err
	}
	return q.Queue.Lease(ctx, p, ttl)
}

func (q *faultyQueue) Complete(ctx context.Context, l jobs.Lease, o jobs.Outcome) error {
	if err := fault(q.complete); err != nil {
		return err
	}
	return q.Queue.Complete(ctx, l, o)
}

func (q *faultyQueue) Requeue(ctx context.Context, l jobs.Lease, at time.Time) error {
	if err := fault(q.requeue); err != nil {
		return err
	}
	return q.Queue.Requeue(ctx, l, at)
}

func (q *faultyQueue) Withdraw(ctx context.Context, k jobs.Key) (bool, error) {
	dropped, err := q.Queue.Withdraw(ctx, k)
	if q.afterWithdraw != nil {
		q.afterWithdraw()
	}
	return dropped, err
}

func (q *faultyQueue) Stats(ctx context.Context) (jobs.QueueStats, error) {
	if err := fault(q.stats); err != nil {
		return jobs.QueueStats{}, err
	}
	return q.Queue.Stats(ctx)
}

var errBroken = errors.New("broken")

func always() error { return errBroken }

func TestQueueUnavailable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := newFaulty(t)
		q.enqueue = always
		r := startOn(t, q, newGate().work)
		a, b := r.do(t.Context(), job(1)), r.do(t.Context(), job(1))
		_, submitErr := r.Submit(t.Context(), background(1))
		for _, err := range []error{(<-a).err, (<-b).err, submitErr} {
			f := wantFailure(t, err, 503, "queue_unavailable", "Service Unavailable")
			if f.RetryAfter != time.Second || !errors.Is(err, errBroken) {
				t.Errorf("failure %v", f)
			}
		}
	})
}

func TestQueueFailsForAWhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := newFaulty(t)
		began := time.Now()
		q.lease = func() error {
			if time.Since(began) < 10*time.Second {
				return errBroken
			}
			return nil
		}
		log, lines := logTo()
		r := startOn(t, q, noop, func(o *jobs.Options) { o.Log = log })
		a := <-r.do(t.Context(), job(1))
		if took := a.at.Sub(began); a.err != nil || took < 10*time.Second || took > 11*time.Second {
			t.Errorf("%v after %v", a.err, took)
		}
		for _, line := range []string{"the job queue fails\" priority=interactive", "the job queue works again\" priority=interactive"} {
			if n := strings.Count(lines.String(), line); n != 1 {
				t.Errorf("%d log lines %q: %s", n, line, lines)
			}
		}
	})
}

// TestEndOfJobFails: the queue cannot note a job's end. Those who wait get their result all the same.
func TestEndOfJobFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := newFaulty(t)
		q.complete, q.requeue = always, always
		r := startOn(t, q, failing(1, flaky(503)))
		_, _, err := r.Do(t.Context(), job(1))
		wantFailure(t, err, 502, "retries_exhausted", "text of 503")
		r.finished(jobs.OutcomeExhausted)
	})
	bubble(t, func(t *testing.T) {
		q := newFaulty(t)
		q.complete = always
		r := startOn(t, q, failing(0, nil))
		if a := <-r.do(t.Context(), job(1)); a.result != "/1.png" || a.err != nil {
			t.Errorf("got %+v", a)
		}
	})
}

// TestLeaseLostAtRetry: the attempt failed and the job is another worker's by then; its result is waited for.
func TestLeaseLostAtRetry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := newFaulty(t)
		q.requeue = func() error { return jobs.ErrLeaseLost }
		r := startOn(t, q, failing(1, flaky(503)), func(o *jobs.Options) { o.Timeout, o.Lease = 20*time.Second, 21*time.Second })
		if _, err := r.Submit(t.Context(), background(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		began := time.Now()
		a := <-r.do(t.Context(), job(1))
		if a.result != "/1.png" || a.at.Sub(began) != 6*time.Second { // when the lease expires
			t.Errorf("got %+v after %v", a, a.at.Sub(began))
		}
	})
}

func TestStatsFail(t *testing.T) {
	q := newFaulty(t)
	q.stats = always
	r := startOn(t, q, noop)
	if s, err := r.Stats(t.Context()); !errors.Is(err, errBroken) || s.Capacity != 16 {
		t.Errorf("stats %+v, %v", s, err)
	}
}

// TestComeBack: somebody asks for a job at the moment it is dropped because nobody waits.
func TestComeBack(t *testing.T) {
	for name, after := range map[string]error{"queue takes it": nil, "queue does not": errBroken} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				q := newFaulty(t)
				g := newGate()
				r := startOn(t, q, g.work, func(o *jobs.Options) { o.Concurrency = 1 })
				holds := r.do(t.Context(), job(1))
				synctest.Wait()
				ctx, cancel := context.WithCancel(t.Context())
				leaves := r.do(ctx, job(2))
				synctest.Wait()

				var comes <-chan answer
				var once atomic.Bool
				q.afterWithdraw = func() {
					if once.Swap(true) {
						return
					}
					comes = r.do(t.Context(), job(2))
					time.Sleep(time.Second) // it has joined by now
					if after != nil {
						q.enqueue = always
					}
				}
				cancel()
				<-leaves
				time.Sleep(2 * time.Second)
				synctest.Wait()
				close(g.open)
				<-holds
				a := <-comes
				if after != nil {
					wantFailure(t, a.err, 503, "queue_unavailable", "")
				} else if a.result != "/2.png" || a.err != nil {
					t.Errorf("got %+v", a)
				}
				if got := strings.Count(strings.Join(g.began(), " "), "/2.png"); got > 1 || after == nil && got == 0 {
					t.Errorf("began %v", g.began())
				}
			})
		})
	}
}

// TestAskedForJustAfterDropped: the call that was dropped is still returning when the next begins.
func TestAskedForJustAfterDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		var r *rig
		var comes <-chan answer
		r = start(t, g.work, func(o *jobs.Options) {
			o.Concurrency = 1
			o.Observe = func(e jobs.Event) {
				if e.Type == jobs.Finished && e.Outcome == jobs.OutcomeAbandoned {
					comes = r.do(t.Context(), job(2))
					time.Sleep(time.Second)
				}
			}
		})
		holds := r.do(t.Context(), job(1))
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		leaves := r.do(ctx, job(2))
		synctest.Wait()
		cancel()
		<-leaves
		time.Sleep(2 * time.Second)
		synctest.Wait()
		close(g.open)
		<-holds
		if a := <-comes; a.result != "/2.png" || a.err != nil || a.coalesced {
			t.Errorf("got %+v", a)
		}
	})
}

// TestEndsWhileDropped: the job ends (another slot had it) at the moment it would be dropped.
func TestEndsWhileDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := newFaulty(t)
		r := startOn(t, q, func(_ context.Context, j jobs.Job) (string, error) {
			if j.Attempt == 1 {
				return "", comeBack{flaky(503), time.Second}
			}
			return j.Spec.Href, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		leaves := r.do(ctx, job(1))
		synctest.Wait() // it pauses
		if _, err := r.Submit(t.Context(), background(1)); err != nil {
			t.Fatal(err)
		}
		q.afterWithdraw = func() { time.Sleep(time.Minute) }
		cancel()
		<-leaves
		time.Sleep(30 * time.Second)
		r.finished(jobs.OutcomeOK)
		time.Sleep(time.Minute)
		if a := <-r.do(t.Context(), job(1)); a.err != nil || a.coalesced {
			t.Errorf("got %+v", a)
		}
	})
}

// TestBackgroundHeldBack: a background job's time does not run while people's jobs hold it back.
func TestBackgroundHeldBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newGate()
		r := start(t, func(ctx context.Context, j jobs.Job) (string, error) {
			if j.Kind == jobs.Prewarm {
				if j.Attempt == 1 {
					return "", comeBack{flaky(503), time.Second}
				}
				return "", ctx.Err()
			}
			return g.work(ctx, j)
		}, func(o *jobs.Options) { o.Concurrency, o.Background = 1, 1 })
		if _, err := r.Submit(t.Context(), background(9)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for n := range 3 { // each until its deadline, one after the other
			go r.do(t.Context(), job(n))
			go r.do(t.Context(), job(10+n))
			time.Sleep(20 * time.Second)
		}
		time.Sleep(time.Minute)
		ok := 0
		for _, e := range r.seen(jobs.Finished) {
			if e.Kind == jobs.Prewarm && e.Outcome == jobs.OutcomeOK {
				ok++
				if e.Total < 50*time.Second {
					t.Errorf("it was not held back: %v", e.Total)
				}
			}
		}
		if ok != 1 {
			t.Errorf("the background job ended as %+v", r.seen(jobs.Finished))
		}
	})
}
