package handler

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A check that takes too long has failed; the others' results are there all the same, within the time of a probe. One
// that does not end in spite of its ctx runs once, however often it is asked for.
func TestSlowCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		hang := make(chan struct{})
		r := NewReadiness(
			Check{Name: "hangs", Run: func(context.Context) error { runs.Add(1); <-hang; return nil }},
			Check{Name: "slow", Run: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			Check{Name: "fine", Run: func(context.Context) error { time.Sleep(checkTimeout / 2); return nil }},
			Check{Name: "broken", Run: func(context.Context) error { panic("boom") }},
		)
		const want = "[{hangs no result: context deadline exceeded} {slow context deadline exceeded} {broken panic: boom}]"
		for range 3 {
			started := time.Now()
			got := strings.ReplaceAll(fmt.Sprint(r.Failing(context.Background())), "{slow no result: ", "{slow ")
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if d := time.Since(started); d > checkTimeout {
				t.Errorf("that took %v", d)
			}
			synctest.Wait()
		}
		if n := runs.Load(); n != 1 {
			t.Errorf("the check that hangs was run %d times", n)
		}
		close(hang)
		synctest.Wait()
		if got := fmt.Sprint(r.Failing(context.Background())); strings.Contains(got, "hangs") {
			t.Errorf("afterwards: %s", got)
		}
	})
}

// Those who ask at the same time share one run, and its result is that of a check that began no earlier than the last
// one ended.
func TestSharedCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		r := NewReadiness(Check{Name: "x", Run: func(context.Context) error {
			runs.Add(1)
			time.Sleep(time.Millisecond)
			return nil
		}})
		for range 10 {
			go r.Failing(context.Background())
		}
		time.Sleep(time.Second)
		if n := runs.Load(); n != 1 {
			t.Errorf("%d runs", n)
		}
		if f := r.Failing(context.Background()); len(f) != 0 || runs.Load() != 2 {
			t.Errorf("%v, %d runs", f, runs.Load())
		}
	})
}

// A check that hangs does not hang the probe.
func TestReadyzAnswers(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	addr := startAdmin(t, AdminOptions{Ready: NewReadiness(Check{Name: "x", Run: func(context.Context) error { <-hang; return nil }})})
	started := time.Now()
	got := send(t, addr, request("GET", "/readyz"))
	if got.StatusCode != 503 || !strings.Contains(string(got.body), `"name":"x"`) || time.Since(started) > 5*time.Second {
		t.Errorf("%d %s after %v", got.StatusCode, got.body, time.Since(started))
	}
}
