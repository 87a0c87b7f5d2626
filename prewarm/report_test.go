package prewarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// scripted answers variants from a function, at the times it says.
type scripted func(Variant) Result

func (s scripted) Warm(ctx context.Context, variants []Variant, done func(Variant, Result)) {
	for _, v := range variants {
		r := s(v)
		time.Sleep(r.Elapsed)
		done(v, r)
	}
}

func (s scripted) Verify(_ context.Context, v Variant) Result {
	if r := s(v); r.State == Stale {
		return Result{State: Stale}
	}
	return Result{State: Kept}
}

// Both forms of a report in which everything happened.
func TestReport(t *testing.T) {
	o := plainOptions()
	o.Formats = []string{"image/avif", "image/webp"}
	site := newSite(t, o)
	found := find(t, site, fromStdin(), "/a.png\n/moving.gif\nhttps://cdn.example/b.png\nhttps://cdn.example/c.png\nhttps://evil.example/d.png\n")
	found.sizes["/a.png"], found.sizes["/moving.gif"] = 50_000, 9_000
	found.Pages = 12
	found.unread("https://user:secret@shop.example/x\x1b[2J", &Failure{Reason: ReasonStatus, Status: 500, Attempts: 4})
	found.note("a note")
	options := fromStdin()
	options.Widths = []int{640, 1080}
	plan := NewPlan(found, options)
	synctest.Test(t, func(t *testing.T) {
		w := scripted(func(v Variant) Result {
			r := Result{State: Made, Bytes: int64(10 * v.Width), Type: v.Params.Format, Elapsed: time.Duration(v.Width) * time.Millisecond, Attempts: 1}
			if v.Format == Original {
				r.Type = "image/png"
			}
			switch {
			case v.Href == "/moving.gif":
				r.Type, r.Bytes, r.State, r.Elapsed = "image/gif", 9_000, Kept, 2*time.Millisecond
			case v.Href == "https://cdn.example/b.png" && v.Width == 640:
				r.Err = &Failure{Reason: ReasonStatus, Status: 502, Detail: `"url" parameter is valid but upstream response is invalid`, Attempts: 4}
			case v.Href == "https://cdn.example/b.png" && v.Format == "webp":
				r.Err = &Failure{Reason: ReasonTimeout, Detail: "context deadline exceeded", Attempts: 4}
			case v.Href == "https://cdn.example/c.png":
				r.State, r.SourceBytes = Stale, 20_000
			}
			return r
		})
		r := Run(t.Context(), plan, w, RunOptions{Concurrency: 2, Batch: 1, Verify: true, Target: "http://127.0.0.1:3000"}, nil)
		var text, machine strings.Builder
		if err := errors.Join(r.WriteText(&text), r.WriteJSON(&machine)); err != nil {
			t.Fatal(err)
		}
		golden(t, "report.txt", text.String())
		golden(t, "report.json", machine.String())
		for _, s := range []string{text.String(), machine.String()} {
			if strings.Contains(s, "secret") || strings.Contains(s, "\x1b") {
				t.Error("a password or a control sequence is shown")
			}
		}
		checkSums(t, r)
		var back Report
		if err := json.Unmarshal([]byte(machine.String()), &back); err != nil || fmt.Sprint(back.Totals) != fmt.Sprint(r.Totals) {
			t.Errorf("the JSON reads back as %+v (%v)", back.Totals, err)
		}
	})
}

// checkSums adds up what has to add up.
func checkSums(t *testing.T, r *Report) {
	t.Helper()
	var asked, warm, failed int
	var bytes, saved int64
	for _, f := range r.Formats {
		asked, warm, failed = asked+f.Asked, warm+f.Warm, failed+f.Failed
		bytes, saved = bytes+f.Bytes, saved+f.SavedBytes
	}
	if asked != r.Asked || warm != r.Warm || failed != r.Failed || bytes != r.Bytes || saved != r.SavedBytes || asked != warm+failed+r.Left || failed != len(r.Failures) {
		t.Errorf("sums do not match: %+v", r)
	}
}

func TestEmptyReport(t *testing.T) {
	plan := planOf(t, "")
	r := Run(t.Context(), plan, scripted(nil), RunOptions{Concurrency: 2, Verify: true}, nil)
	var text, machine strings.Builder
	if err := errors.Join(r.WriteText(&text), r.WriteJSON(&machine), plan.WriteText(&text), plan.WriteJSON(&machine, "")); err != nil {
		t.Fatal(err)
	}
	if r.ExitCode != 0 || !strings.Contains(text.String(), "nothing to warm") || strings.Contains(machine.String(), "null") {
		t.Errorf("%d\n%s\n%s", r.ExitCode, text.String(), machine.String())
	}
}

// fullDisk takes some bytes and then fails.
type fullDisk int

func (f *fullDisk) Write(p []byte) (int, error) {
	if *f -= fullDisk(len(p)); *f < 0 {
		return 0, errors.New("no space left")
	}
	return len(p), nil
}

func TestWriteErrors(t *testing.T) {
	plan := planOf(t, "/a.png\nhttps://evil.example/b.png\n")
	r := Run(t.Context(), plan, scripted(func(Variant) Result { return Result{Err: errors.New("x")} }), RunOptions{Concurrency: 8}, nil)
	for _, write := range []func(*fullDisk) error{
		func(f *fullDisk) error { return plan.WriteText(f) }, func(f *fullDisk) error { return plan.WriteJSON(f, "") },
		func(f *fullDisk) error { return r.WriteText(f) }, func(f *fullDisk) error { return r.WriteJSON(f) },
	} {
		for _, n := range []fullDisk{0, 100} {
			if err := write(&n); err == nil || !strings.Contains(err.Error(), "no space left") {
				t.Errorf("got %v", err)
			}
		}
	}
}
