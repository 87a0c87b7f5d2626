package prewarm

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
	"imgopt/validate"
)

// fakeCache makes variants as its fails say: each failure of a width is told once, the first one first.
type fakeCache struct {
	mu    sync.Mutex
	fails map[int][]error
	has   map[validate.Params]bool
	asked [][]int // the widths of each call
	slow  time.Duration
}

func (c *fakeCache) Look(_ context.Context, p validate.Params) (Answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Answer{State: Kept, Bytes: int64(p.Width), Type: "image/webp", SourceBytes: 1000}, c.has[p]
}

func (c *fakeCache) Fill(ctx context.Context, list []validate.Params, done func(int, Answer, error)) {
	var widths []int
	for i, p := range list {
		widths = append(widths, p.Width)
		select {
		case <-ctx.Done():
			done(i, Answer{}, failure.From(ctx.Err()))
			continue
		case <-time.After(c.slow):
		}
		done(i, Answer{State: Made, Bytes: int64(p.Width), Type: "image/webp", SourceBytes: 1000}, c.make(p))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, widths)
}

func (c *fakeCache) make(p validate.Params) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := c.fails[p.Width]; len(left) > 0 {
		c.fails[p.Width] = left[1:]
		return left[0]
	}
	if c.has == nil {
		c.has = map[validate.Params]bool{}
	}
	c.has[p] = true
	return nil
}

func someVariants(widths ...int) []Variant {
	var out []Variant
	for _, w := range widths {
		out = append(out, Variant{Params: validate.Params{Href: "/a.jpg", Width: w}, key: Key(rune(w))})
	}
	return out
}

// collect gives the results by width.
func collect(t *testing.T, ctx context.Context, w Warmer, variants []Variant) map[int]Result {
	t.Helper()
	var mu sync.Mutex
	out := map[int]Result{}
	w.Warm(ctx, variants, func(v Variant, r Result) {
		mu.Lock()
		defer mu.Unlock()
		if _, twice := out[v.Width]; twice {
			t.Errorf("width %d was told twice", v.Width)
		}
		out[v.Width] = r
	})
	if len(out) != len(variants) {
		t.Errorf("%d results for %d variants", len(out), len(variants))
	}
	return out
}

var (
	busy = &failure.Error{Status: http.StatusBadGateway, Reason: "origin_down", Retryable: true, Cause: errors.New("connection\nrefused")}
	gone = failure.New(http.StatusNotFound, "origin_status", "not there")
)

// Only what failed and may succeed is asked for again.
func TestDirectTriesAgainWhatMaySucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeCache{fails: map[int][]error{32: {busy}, 64: {gone}, 96: {busy, busy, busy, busy}}}
		o := Defaults()
		o.Attempts = 3
		paused := 0
		d := NewDirect(c, o)
		d.tellPauses(func(time.Duration, *Failure) { paused++ })
		got := collect(t, t.Context(), d, someVariants(16, 32, 64, 96))
		if r := got[16]; r.Err != nil || r.State != Made || r.Bytes != 16 || r.SourceBytes != 1000 || r.Attempts != 1 {
			t.Errorf("%+v", r)
		}
		if r := got[32]; r.Err != nil || r.Attempts != 2 {
			t.Errorf("%+v", r)
		}
		var f *Failure
		if r := got[64]; !errors.As(r.Err, &f) || f.Status != http.StatusNotFound || f.Attempts != 1 || f.Reason != "origin_status" {
			t.Errorf("%+v", r)
		}
		if r := got[96]; !errors.As(r.Err, &f) || f.Status != http.StatusBadGateway || f.Attempts != 3 || f.Detail != "connection refused" {
			t.Errorf("%+v", r)
		}
		if paused != 2 || !slices.EqualFunc(c.asked, [][]int{{16, 32, 64, 96}, {32, 96}, {96}}, slices.Equal) {
			t.Errorf("asked for %v, %d pauses", c.asked, paused)
		}
		for width, want := range map[int]bool{16: true, 64: false} {
			if r := d.Verify(t.Context(), someVariants(width)[0]); (r.Err == nil) != want || want && r.State != Kept {
				t.Errorf("verifying %d: %+v", width, r)
			}
		}
	})
}

// The end of the run is nobody's failure, in an attempt or in a pause.
func TestDirectEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, after := range []time.Duration{time.Millisecond, 1500 * time.Millisecond} { // a variant takes a second
			c := &fakeCache{slow: time.Second, fails: map[int][]error{16: {busy, busy, busy, busy}}}
			ctx, cancel := context.WithTimeout(t.Context(), after)
			for width, r := range collect(t, ctx, NewDirect(c, Defaults()), someVariants(16, 32)) {
				if !errors.Is(r.Err, context.DeadlineExceeded) {
					t.Errorf("%d after %v: %+v", width, after, r)
				}
			}
			cancel()
		}
	})
}

// fakeQueue has a worker that makes one job a second.
type fakeQueue struct {
	fakeCache
	jobs []validate.Params
	full int // enqueueings that are refused
}

func (q *fakeQueue) Enqueue(_ context.Context, p validate.Params) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full > 0 {
		q.full--
		return false, &failure.Error{Status: http.StatusServiceUnavailable, Reason: "queue_full"}
	}
	if slices.Contains(q.jobs, p) {
		return true, nil
	}
	q.jobs = append(q.jobs, p)
	return false, nil
}

func (q *fakeQueue) Get(_ context.Context, p validate.Params) (Answer, error) {
	return Answer{Bytes: int64(p.Width), Type: "image/webp"}, q.make(p)
}

func (q *fakeQueue) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		q.mu.Lock()
		var next []validate.Params
		if len(q.jobs) > 0 {
			next, q.jobs = q.jobs[:1], q.jobs[1:]
		}
		q.mu.Unlock()
		for _, p := range next {
			_ = q.make(p)
		}
	}
}

func TestQueuedWaitsForTheEndsOfJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{full: 2, fakeCache: fakeCache{fails: map[int][]error{64: {gone, gone, gone, gone}, 96: {busy}}}}
		ctx, cancel := context.WithCancel(t.Context())
		var worker sync.WaitGroup
		worker.Go(func() { q.work(ctx) })
		got := collect(t, ctx, NewQueued(q, Defaults()), someVariants(16, 32, 64, 96))
		for _, width := range []int{16, 32, 96} { // the last one the second time
			if r := got[width]; r.Err != nil || r.State != Made || r.Bytes != int64(width) {
				t.Errorf("%d: %+v", width, r)
			}
		}
		var f *Failure
		if r := got[64]; !errors.As(r.Err, &f) || f.Status != http.StatusNotFound {
			t.Errorf("%+v", r)
		}
		// What is there is not enqueued.
		if r := collect(t, ctx, NewQueued(q, Defaults()), someVariants(16))[16]; r.State != Kept || r.Err != nil {
			t.Errorf("once more: %+v", r)
		}
		cancel()
		worker.Wait()
		for _, r := range collect(t, ctx, NewQueued(q, Defaults()), someVariants(128, 256)) {
			if !errors.Is(r.Err, context.Canceled) {
				t.Errorf("after the end: %+v", r)
			}
		}
	})
}

func TestQueuedGivesUpOnAQueueThatIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{full: 1000}
		var f *Failure
		if r := collect(t, t.Context(), NewQueued(q, Defaults()), someVariants(16))[16]; !errors.As(r.Err, &f) || f.Reason != "queue_full" || f.Attempts != Defaults().Attempts {
			t.Errorf("%+v", r)
		}
	})
}
