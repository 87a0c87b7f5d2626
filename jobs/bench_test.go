package jobs_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"imgopt/failure"
	"imgopt/jobs"
)

func noop(context.Context, jobs.Job) (string, error) { return "", nil }

func unobserved(o *jobs.Options) { o.Observe = nil }

// BenchmarkDo is what the dispatcher adds to one job, from the call to the result.
func BenchmarkDo(b *testing.B) {
	r := start(b, noop, unobserved)
	j := job(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Do(b.Context(), j); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDoParallel is the same with callers of different jobs on all CPUs.
func BenchmarkDoParallel(b *testing.B) {
	r := start(b, noop, unobserved)
	var next atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		j := job(int(next.Add(1)))
		for pb.Next() {
			if _, _, err := r.Do(b.Context(), j); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDoCoalesced is what one call costs that joins a job which is there: 1,000 at a time.
func BenchmarkDoCoalesced(b *testing.B) {
	const calls = 1000
	g := make(chan chan struct{}, 1)
	r := start(b, func(context.Context, jobs.Job) (string, error) {
		<-<-g
		return "", nil
	}, unobserved)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += calls {
		open := make(chan struct{})
		g <- open
		joined := r.stats().Coalesced
		done := make(chan error, calls)
		for range calls {
			go func() {
				_, _, err := r.Do(context.Background(), job(1))
				done <- err
			}()
		}
		for r.stats().Coalesced < joined+calls-1 {
		}
		close(open)
		for range calls {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkSubmitFilesystem is a durable Submit, with the job's run and its file's end.
func BenchmarkSubmitFilesystem(b *testing.B) {
	r := startOn(b, openFS(b, b.TempDir()), noop, unobserved)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if _, err := r.Submit(b.Context(), background(n)); err != nil && r.stats().Queue.Background.Queued < 900 {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeyOf(b *testing.B) {
	s := job(1).Spec
	b.ReportAllocs()
	for b.Loop() {
		_ = jobs.KeyOf("1", s, "8.17.3", "mozjpeg", "")
	}
}

// BenchmarkDoOrigins is a job where many origins have some: each call is of the next of a thousand.
func BenchmarkDoOrigins(b *testing.B) {
	r := start(b, noop, unobserved)
	all := make([]jobs.Job, 1000)
	for n := range all {
		all[n] = at(fmt.Sprintf("host%d.example.com", n), n)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if _, _, err := r.Do(b.Context(), all[n%len(all)]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefused is what a call costs that is refused for the wait, while jobs of one origin are in line, or of as
// many origins as there are jobs.
func BenchmarkRefused(b *testing.B) {
	for name, origins := range map[string]int{"one origin": 1, "500 origins": 500} {
		b.Run(name, func(b *testing.B) {
			g := newGate()
			defer close(g.open)
			r := start(b, func(ctx context.Context, j jobs.Job) (string, error) {
				if j.Kind == jobs.Prewarm {
					return "", nil
				}
				return g.work(ctx, j)
			}, unobserved, func(o *jobs.Options) { o.Timeout = time.Hour })
			if _, _, err := r.Do(b.Context(), background(1)); err != nil { // something must be known
				b.Fatal(err)
			}
			leave, gone := context.WithCancel(context.Background())
			defer gone()
			for n := range 500 {
				go r.Do(leave, at(fmt.Sprint("host", n%origins), n))
			}
			for r.stats().EstimatedWait < 10*time.Minute { // the longer the first of them hang, the longer it gets
				time.Sleep(time.Millisecond)
			}
			job := at("host0", 1000)
			ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := r.Do(ctx, job); failure.From(err).Status != 503 {
					b.Fatal(err)
				}
			}
		})
	}
}
