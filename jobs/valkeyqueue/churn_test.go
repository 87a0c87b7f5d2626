package valkeyqueue_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imgopt/failure"
	"imgopt/jobs"
	"imgopt/jobs/valkeyqueue"
	"imgopt/valkey/valkeytest"
)

// Workers that complete, fail, give back, forget or leave: every job that somebody waits for ends, and nothing is left.
func TestChurn(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	change := func(o *valkeyqueue.Options) {
		o.Limits.OriginShare = 0.75
		o.ResultTTL, o.ErrorTTL = 20*time.Millisecond, 20*time.Millisecond
	}
	web := open(t, s.URL(), prefix, change, func(o *valkeyqueue.Options) { o.Worker = false })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var working, asking sync.WaitGroup
	var forgotten, requeued, left atomic.Int64
	for range 3 {
		working.Go(func() {
			for ctx.Err() == nil { // one process after another
				q := open(t, s.URL(), prefix, change)
				q.LimitOrigins(6, 3)
				life, end := context.WithTimeout(ctx, time.Duration(300+rand.IntN(700))*time.Millisecond)
				var pumps sync.WaitGroup
				for _, p := range []jobs.Priority{jobs.Interactive, jobs.Background} {
					pumps.Go(func() {
						for {
							l, err := q.Lease(life, p, 400*time.Millisecond)
							if err != nil {
								return
							}
							work(q, l, &forgotten, &requeued)
						}
					})
				}
				pumps.Wait()
				end()
				left.Add(1)
				if err := q.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
		})
	}
	var lost, failed, finished, withdrawn atomic.Int64
	began := time.Now()
	for i := range 12 {
		asking.Go(func() {
			for time.Since(began) < 3*time.Second {
				n := rand.IntN(40)
				if i%4 == 0 {
					if _, err := web.Enqueue(ctx, item(n, jobs.Background)); err != nil {
						t.Errorf("Enqueue: %v", err)
					}
				}
				told, stop := web.Await(key(n))
				for again := true; again; {
					again = false
					if _, err := web.Enqueue(ctx, item(n, jobs.Interactive)); err != nil {
						t.Errorf("Enqueue: %v", err)
						break
					}
					if rand.IntN(50) == 0 { // somebody else of this process may wait: he finds that it is lost
						if _, err := web.Withdraw(ctx, key(n)); err != nil {
							t.Errorf("Withdraw: %v", err)
						}
						withdrawn.Add(1)
						break
					}
					switch end := ends(t, told); {
					case end.Lost:
						lost.Add(1)
						again = true
					case end.Failure != nil:
						failed.Add(1)
					default:
						finished.Add(1)
					}
				}
				stop()
			}
		})
	}
	asking.Wait()
	t.Logf("%d done, %d failed, %d lost, %d withdrawn; %d leases forgotten, %d jobs requeued, %d processes left",
		finished.Load(), failed.Load(), lost.Load(), withdrawn.Load(), forgotten.Load(), requeued.Load(), left.Load())
	valkeytest.Eventually(t, 20*time.Second, func() error {
		all, err := web.Versions(ctx)
		if err != nil {
			return err
		}
		if v := all[0]; v.Leased != 0 || v.Interactive.Queued != 0 || v.Background.Queued != 0 {
			return errors.New("there are jobs left")
		}
		if strings.Contains(s.Do("KEYS", prefix+"*}j*"), "}j") {
			return errors.New("there are records left")
		}
		return nil
	})
	cancel()
	working.Wait()
}

// work does with a job what workers do.
func work(q *valkeyqueue.Queue, l jobs.Lease, forgotten, requeued *atomic.Int64) {
	ctx := context.Background() // a worker that is asked to stop ends what it has begun
	switch rand.IntN(12) {
	case 0:
		forgotten.Add(1)
	case 1:
		_ = q.Requeue(ctx, l, time.Now().Add(rand.N(50*time.Millisecond))) // or the lease has just expired
		requeued.Add(1)
	case 2:
		_ = q.Complete(ctx, l, jobs.Outcome{Failure: failure.New(502, "x", "y"), Dead: true})
	case 3:
		_ = q.Extend(ctx, l, time.Second)
		fallthrough
	default:
		_ = q.Complete(ctx, l, done)
	}
}
