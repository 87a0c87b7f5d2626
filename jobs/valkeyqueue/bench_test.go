package valkeyqueue_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"imgopt/jobs"
	"imgopt/valkey/valkeytest"
)

// BenchmarkJob is what the queue adds to a job that one process asks for and another does: from Await and Enqueue to the
// lease, and from Complete to the end that is told.
func BenchmarkJob(b *testing.B) {
	s := valkeytest.Start(b, valkeytest.Options{})
	for name, askers := range map[string]int{"alone": 1, "16 at once": 16} {
		b.Run(name, func(b *testing.B) {
			prefix := newPrefix()
			web, worker := open(b, s.URL(), prefix), open(b, s.URL(), prefix)
			ctx := b.Context()
			var working sync.WaitGroup
			working.Go(func() {
				for {
					l, err := worker.Lease(ctx, jobs.Interactive, time.Minute)
					if err != nil {
						return
					}
					working.Go(func() { _ = worker.Complete(ctx, l, jobs.Outcome{Ref: []byte("there")}) })
				}
			})
			b.Cleanup(working.Wait)
			var mu sync.Mutex
			var took []time.Duration
			next := make(chan int)
			var asking sync.WaitGroup
			for range askers {
				asking.Go(func() {
					for n := range next {
						began := time.Now()
						told, cancel := web.Await(key(n))
						if _, err := web.Enqueue(ctx, item(n, jobs.Interactive)); err != nil {
							b.Error(err)
						}
						if end := ends(b, told); end.Failure != nil || end.Lost {
							b.Errorf("ended with %+v", end)
						}
						cancel()
						mu.Lock()
						took = append(took, time.Since(began))
						mu.Unlock()
					}
				})
			}
			n := 0
			for b.Loop() {
				next <- n
				n++
			}
			close(next)
			asking.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
