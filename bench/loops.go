package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// loopResult is what came of an open loop. Times are milliseconds, from when a request was due to when its answer was
// complete, and of answers with 200 alone.
type loopResult struct {
	Rate float64 // requests due in a second
	Due  int
	// Good were answered with 200. Refused were answered with 503, Other with another status, Failed not at all.
	Good, Refused, Other, Failed int
	P50, P95, P99, Max           float64
	// LateP95 is how late requests were sent: what the driver itself adds.
	LateP95 float64
}

// openLoop calls f at a constant rate for a while, whatever comes of it: a request that is sent late counts from when
// it was due. f returns the status of its answer; an answer that is wrong is an error, and ends the measurement.
//
// It is for what is asked at most some hundred times a second: stress/load is for more.
func openLoop(ctx context.Context, rate float64, long time.Duration, f func(context.Context, int) (int, error)) (loopResult, error) {
	n := max(1, int(math.Round(rate*long.Seconds())))
	took, late, status := make([]time.Duration, n), make([]time.Duration, n), make([]int, n)
	errs := make([]error, n)
	ctx, cancel := context.WithTimeout(ctx, long+time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	began := time.Now()
	for i := range n {
		due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			late[i] = time.Since(due)
			status[i], errs[i] = f(ctx, i)
			took[i] = time.Since(due)
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return loopResult{}, fmt.Errorf("open loop: %w", err)
	}
	r := loopResult{Rate: rate, Due: n}
	var good []float64
	for i := range n {
		var gone *requestError
		switch {
		case errors.As(errs[i], &gone):
			r.Failed++
		case errs[i] != nil:
			return r, errs[i]
		case status[i] == http.StatusOK:
			good = append(good, float64(took[i])/float64(time.Millisecond))
		case status[i] == http.StatusServiceUnavailable:
			r.Refused++
		default:
			r.Other++
		}
	}
	slices.Sort(good)
	r.Good = len(good)
	r.P50, r.P95, r.P99, r.Max = quantile(good, 0.5), quantile(good, 0.95), quantile(good, 0.99), quantile(good, 1)
	slices.Sort(late)
	r.LateP95 = float64(late[min(n*95/100, n-1)]) / float64(time.Millisecond)
	return r, nil
}

// quantile is the value below which a share q of the sorted values lies; 0 without values.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// closedLoop has clients call f for every number below n, each one after the other, until one fails.
func closedLoop(ctx context.Context, clients, n int, f func(int) error) error {
	var taken atomic.Int64
	var wg sync.WaitGroup
	failures := make(chan error, clients)
	for range clients {
		wg.Go(func() {
			for i := taken.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = taken.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					taken.Store(int64(n)) // the others need not go on
					failures <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failures)
	return errors.Join(<-failures, ctx.Err())
}
