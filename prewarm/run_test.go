package prewarm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
)

// fakeWarmer keeps variants in a map. It takes a second for each.
type fakeWarmer struct {
	mu      sync.Mutex
	kept    map[Key]bool
	batches [][]string // of each call of Warm
	checks  int
	fail    func(Variant) error // decides what cannot be warmed
	forget  func(Variant) bool  // decides what is not kept, each time
	after   func()              // called after every variant
}

func (w *fakeWarmer) Warm(ctx context.Context, variants []Variant, done func(Variant, Result)) {
	var batch []string
	for _, v := range variants {
		batch = append(batch, fmt.Sprintf("%s %s %d", v.Href, v.Format, v.Width))
	}
	w.mu.Lock()
	w.batches = append(w.batches, batch)
	w.mu.Unlock()
	for _, v := range variants {
		select {
		case <-ctx.Done():
			done(v, Result{Err: ctx.Err()})
			continue
		case <-time.After(time.Second):
		}
		if w.fail != nil {
			if err := w.fail(v); err != nil {
				done(v, Result{Err: err, Attempts: 2})
				continue
			}
		}
		w.mu.Lock()
		state := Made
		if w.kept[v.Key()] {
			state = Kept
		}
		w.keep(v)
		w.mu.Unlock()
		done(v, Result{State: state, Bytes: 100, Type: v.Params.Format, SourceBytes: 1000, Elapsed: time.Second, Attempts: 1})
		if w.after != nil {
			w.after()
		}
	}
}

func (w *fakeWarmer) keep(v Variant) {
	if w.kept == nil {
		w.kept = map[Key]bool{}
	}
	w.kept[v.Key()] = w.forget == nil || !w.forget(v)
}

func (w *fakeWarmer) Verify(_ context.Context, v Variant) Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checks++
	if w.kept[v.Key()] {
		return Result{State: Kept}
	}
	w.keep(v)
	return Result{State: Made, Err: &Failure{Reason: ReasonNotKept}}
}

// recorder is a Progress that remembers.
type recorder struct {
	phases []string
	last   Tally
	notes  []string
	steps  int
}

func (r *recorder) Begin(p Phase, total int) { r.phases = append(r.phases, fmt.Sprint(p, " ", total)) }
func (r *recorder) Step(t Tally)             { r.last = t; r.steps++ }
func (r *recorder) Note(s string)            { r.notes = append(r.notes, s) }

func planOf(t *testing.T, list string) *Plan {
	t.Helper()
	return NewPlan(find(t, newSite(t, plainOptions()), fromStdin(), list), fromStdin())
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p := &fakeWarmer{}, &recorder{}
		began := time.Now()
		r := Run(t.Context(), planOf(t, "/a.png\n/b.png\nhttps://cdn.example/c.png\n"), w, RunOptions{Concurrency: 3, Batch: 1, Verify: true, Target: "http://u:p@t"}, p)
		if r.ExitCode != 0 || r.Warm != 18 || r.Made != 18 || r.Verified != 18 || r.Sources != 3 || r.SourceBytes != 3000 || r.Bytes != 1800 || r.SavedBytes != 18*900 || r.SavedOf != 18000 {
			t.Errorf("%+v", r)
		}
		if r.Target != "http://redacted@t" || r.Schema != ReportSchema || r.Seconds != 6 || time.Since(began) != 6*time.Second {
			t.Errorf("%+v", r)
		}
		if !slices.Equal(p.phases, []string{"warming 18", "verifying 18"}) || p.last.Done != 18 || p.last.Failed != 0 || p.last.Saved != 18*900 {
			t.Errorf("%q, %+v", p.phases, p.last)
		}
		if len(w.batches) != 18 || w.checks != 18 {
			t.Errorf("%d batches, %d checks", len(w.batches), w.checks)
		}
	})
}

// Each worker stays with its source; when there are no more sources, the workers share what is left.
func TestRunOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWarmer{}
		plan := planOf(t, "/a.png\n/b.png\n/c.png\n")
		began := time.Now()
		Run(t.Context(), plan, w, RunOptions{Concurrency: 2, Batch: 1}, nil)
		// 18 variants by 2 workers, none idle at the end.
		if took := time.Since(began); took != 9*time.Second {
			t.Errorf("took %v", took)
		}
		first := map[string]int{}
		for i, b := range w.batches {
			source, _, _ := strings.Cut(b[0], " ")
			if _, ok := first[source]; !ok {
				first[source] = i
			}
		}
		if first["/a.png"] > 1 || first["/b.png"] > 1 || first["/c.png"] < 12 {
			t.Errorf("begun at %v", first)
		}
	})
}

func TestRunBatches(t *testing.T) {
	plan := planOf(t, "/a.png\n/b.png\n")
	for batch, want := range map[int][]int{0: {6, 6}, 4: {2, 2, 4, 4}, 1: slices.Repeat([]int{1}, 12)} {
		synctest.Test(t, func(t *testing.T) {
			w := &fakeWarmer{}
			if r := Run(t.Context(), plan, w, RunOptions{Concurrency: 2, Batch: batch}, nil); r.Warm != 12 || r.Verified != 0 {
				t.Errorf("batch %d: %+v", batch, r)
			}
			var sizes []int
			for _, b := range w.batches {
				sizes = append(sizes, len(b))
			}
			if slices.Sort(sizes); !slices.Equal(sizes, want) {
				t.Errorf("batch %d: calls of %v", batch, sizes)
			}
		})
	}
}

func TestRunFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWarmer{fail: func(v Variant) error {
			switch {
			case v.Href == "/a.png" && v.Width == 640:
				return &Failure{Reason: ReasonStatus, Status: 502, Detail: "upstream", Attempts: 4}
			case v.Href == "/b.png" && v.Format == Original && v.Width == 32:
				return fmt.Errorf("warming: %w", failure.Wrap(504, "source_timeout", "timed out", context.DeadlineExceeded))
			}
			return nil
		}}
		p := &recorder{}
		r := Run(t.Context(), planOf(t, "/a.png\n/b.png\n"), w, RunOptions{Concurrency: 2, Batch: 0, Verify: true}, p)
		if r.ExitCode != 1 || r.Failed != 3 || r.Warm != 9 || r.Left != 0 || r.Interrupted || len(r.Failures) != 3 {
			t.Errorf("%+v", r)
		}
		for _, f := range r.Failures {
			ok := f.Source == "/a.png" && f.Status == 502 && f.Reason == "status" ||
				f.Source == "/b.png" && f.Status == 504 && f.Reason == "source_timeout" && f.Detail == "timed out" && f.Attempts == 2
			if !ok || !strings.HasPrefix(f.URL, "/_next/image?url=") {
				t.Errorf("%+v %+v", f, f.Failure)
			}
		}
		if !slices.Equal(p.phases, []string{"warming 12", "verifying 9"}) {
			t.Errorf("%q", p.phases)
		}
	})
}

// A cache that loses what it got once is given it again; one that cannot keep it is a failure.
func TestRunVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		times := map[Key]int{}
		w := &fakeWarmer{forget: func(v Variant) bool {
			times[v.Key()]++
			return v.Width == 640 && times[v.Key()] == 1 || v.Width == 1080 && v.Format == Original
		}}
		r := Run(t.Context(), planOf(t, "/a.png\n"), w, RunOptions{Concurrency: 2, Batch: 1, Verify: true}, nil)
		if r.ExitCode != 1 || r.Warm != 5 || r.Failed != 1 || r.Verified != 5 || r.Failures[0].Reason != ReasonNotKept || !strings.Contains(r.Failures[0].URL, "w=1080") {
			t.Errorf("%+v", r)
		}
		if w.checks != 9 {
			t.Errorf("%d checks: six, and the three that were missing again", w.checks)
		}
	})
}

func TestRunInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := &fakeWarmer{}
		n := 0
		w.after = func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if n++; n == 5 {
				cancel()
			}
		}
		began := time.Now()
		r := Run(ctx, planOf(t, "/a.png\n/b.png\n"), w, RunOptions{Concurrency: 2, Batch: 0, Verify: true}, nil)
		if r.ExitCode != 1 || !r.Interrupted || r.GivenUp || r.Warm+r.Left != 12 || r.Warm < 5 || r.Warm > 6 || r.Failed != 0 || r.Verified != 0 {
			t.Errorf("%+v", r)
		}
		if took := time.Since(began); took != 3*time.Second || w.checks != 0 {
			t.Errorf("ended after %v with %d checks", took, w.checks)
		}
	})
}

// A target that is not there is not asked for everything; one that comes back in time is.
func TestRunGivesUp(t *testing.T) {
	gone := &Failure{Reason: ReasonUnreachable, Detail: "connection refused"}
	synctest.Test(t, func(t *testing.T) {
		w, p := &fakeWarmer{fail: func(Variant) error { return gone }}, &recorder{}
		r := Run(t.Context(), planOf(t, "/a.png\n/b.png\n/c.png\n"), w, RunOptions{Concurrency: 2, Batch: 1, Verify: true}, p)
		if r.ExitCode != 1 || !r.GivenUp || r.Interrupted || r.Failed < giveUpAfter || r.Failed > giveUpAfter+1 || r.Left != 18-r.Failed {
			t.Errorf("%+v", r)
		}
		if len(p.notes) != 1 || !strings.Contains(p.notes[0], "given up: unreachable: connection refused") {
			t.Errorf("%q", p.notes)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n := 0
		w := &fakeWarmer{fail: func(Variant) error {
			if n++; n%giveUpAfter != 0 {
				return gone
			}
			return nil
		}}
		if r := Run(t.Context(), planOf(t, "/a.png\n/b.png\n/c.png\n"), w, RunOptions{Concurrency: 1, Batch: 1}, nil); r.GivenUp || r.Left != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// People are told when the target makes everybody wait, but not by everybody.
func TestRunTellsPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := newSite(t, plainOptions())
		o := fast()
		o.Target, o.Attempts = "http://target.example", 4
		target := newTarget(t, site, o)
		began := time.Now()
		target.client.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			if time.Since(began) < time.Minute {
				return answer(503, "busy", "Retry-After", "20"), nil
			}
			return answer(200, "image"), nil
		})
		p := &recorder{}
		r := Run(t.Context(), planOf(t, "/a.png\n/b.png\n"), target, RunOptions{Concurrency: 4, Batch: 1}, p)
		want := []string{"waiting 20.0s before asking again: status 503: busy", "waiting 20.0s before asking again: status 503: busy"}
		if r.Warm != 12 || !slices.Equal(p.notes, want) {
			t.Errorf("%+v, %q", r, p.notes)
		}
	})
}

// Notes and steps come from many goroutines, one at a time; the race detector looks on.
func TestRunProgressIsSerial(t *testing.T) {
	site := newSite(t, plainOptions())
	o := fast()
	o.Target = "http://target.example"
	target := newTarget(t, site, o)
	target.client.Transport = roundTrip(func(*http.Request) (*http.Response, error) { return answer(200, "image"), nil })
	var list strings.Builder
	for i := range 50 {
		fmt.Fprintf(&list, "/%d.png\n", i)
	}
	p := &recorder{}
	r := Run(t.Context(), planOf(t, list.String()), target, RunOptions{Concurrency: 16, Batch: 1}, p)
	if r.Warm != 300 || p.last.Done != 300 || p.steps != 301 {
		t.Errorf("%+v, %+v, %d steps", r, p.last, p.steps)
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		report Report
		found  Found
		want   int
	}{
		{Report{Totals: Totals{Asked: 1, Warm: 1}}, Found{}, 0},
		{Report{Totals: Totals{Asked: 1, Failed: 1}}, Found{}, 1},
		{Report{Totals: Totals{Asked: 1, Warm: 1}, Interrupted: true}, Found{}, 1},
		{Report{Totals: Totals{Asked: 1, Warm: 1}, GivenUp: true}, Found{}, 1},
		{Report{Totals: Totals{Asked: 2, Warm: 1}, Left: 1}, Found{}, 1},
		{Report{Totals: Totals{Asked: 1, Warm: 1}, Refused: []Refused{{}}}, Found{}, 1},
		{Report{Totals: Totals{Asked: 1, Warm: 1}, Unread: []Unread{{}}}, Found{}, 1},
		{Report{}, Found{}, 1}, // a wrong path, more likely than not
		{Report{}, Found{lists: true}, 0},
		{Report{Counts: Counts{Filtered: 3}}, Found{}, 0},
	} {
		if got := c.report.exitCode(&c.found); got != c.want {
			t.Errorf("%+v: %d", c.report, got)
		}
	}
	if ExitCode(nil, nil) != 0 || ExitCode(&Report{ExitCode: 1}, nil) != 1 || ExitCode(nil, errors.New("x")) != 1 {
		t.Error("a dry run, a report, another error")
	}
}
