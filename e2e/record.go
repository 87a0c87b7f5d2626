package e2e

import (
	"cmp"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Allowance is a documented difference: something imgopt answers otherwise than Next.js on purpose.
type Allowance struct {
	Name   string
	Reason string
	// Check returns an error unless want and got differ in just the documented way.
	Check func(want, got *Response) error
}

// Outcome is how one comparison ended.
type Outcome int

// The outcomes of a comparison.
const (
	Equal   Outcome = iota
	Allowed         // different as an Allowance describes
	Failed
)

// Result is one comparison.
type Result struct {
	Group, Variant, Name string
	Outcome              Outcome
	Allowance            string   // its name, when Outcome is Allowed
	Diffs                []string // what differs
	Curl                 []string // commands that repeat the request, when Outcome is Failed
	Took                 time.Duration
}

// Recorder collects results. Its methods may be called by several goroutines.
type Recorder struct {
	mu      sync.Mutex
	results []Result
}

// Judge compares two answers and records the result under the given group, variant and name.
func (rec *Recorder) Judge(r Result, want, got *Response, allow *Allowance) Outcome {
	r.Diffs = Compare(want, got)
	switch {
	case len(r.Diffs) == 0:
		r.Outcome = Equal
	case allow == nil:
		r.Outcome = Failed
	default:
		if err := allow.Check(want, got); err != nil {
			r.Outcome = Failed
			r.Diffs = append(r.Diffs, fmt.Sprintf("not the documented difference %q: %v", allow.Name, err))
		} else {
			r.Outcome, r.Allowance = Allowed, allow.Name
		}
	}
	rec.Add(r)
	return r.Outcome
}

// Add records a result.
func (rec *Recorder) Add(r Result) {
	if r.Outcome != Failed {
		r.Curl = nil
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.results = append(rec.results, r)
}

// Results returns what has been recorded so far, sorted by group; within a group in the order of recording.
func (rec *Recorder) Results() []Result {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	sorted := slices.Clone(rec.results)
	slices.SortStableFunc(sorted, func(a, b Result) int { return strings.Compare(a.Group, b.Group) })
	return sorted
}

// row counts the outcomes of one group.
type row struct {
	group                  string
	equal, allowed, failed int
}

func (r row) total() int { return r.equal + r.allowed + r.failed }

func (r *row) count(o Outcome) {
	switch o {
	case Equal:
		r.equal++
	case Allowed:
		r.allowed++
	default:
		r.failed++
	}
}

// rows counts per group; the last row is the sum.
func rows(results []Result) []row {
	var all []row
	sum := row{group: "all"}
	for _, r := range results {
		if len(all) == 0 || all[len(all)-1].group != r.Group {
			all = append(all, row{group: r.Group})
		}
		all[len(all)-1].count(r.Outcome)
		sum.count(r.Outcome)
	}
	return append(all, sum)
}

// Table returns the results per group as text.
func Table(results []Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s %8s %8s %8s %8s\n", "group", "requests", "equal", "allowed", "failed")
	for _, r := range rows(results) {
		fmt.Fprintf(&b, "%-28s %8d %8d %8d %8d\n", r.group, r.total(), r.equal, r.allowed, r.failed)
	}
	return b.String()
}

// String shows a failed comparison with the commands that repeat it.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s [%s] %s\n", r.Group, r.Variant, r.Name)
	for _, d := range r.Diffs {
		fmt.Fprintf(&b, "    %s\n", d)
	}
	for _, c := range r.Curl {
		fmt.Fprintf(&b, "    %s\n", c)
	}
	return b.String()
}

// slowest lists the comparisons that took longest.
func slowest(results []Result) string {
	sorted := slices.Clone(results)
	slices.SortStableFunc(sorted, func(a, b Result) int { return cmp.Compare(b.Took, a.Took) })
	var b strings.Builder
	for _, r := range sorted[:min(len(sorted), 60)] {
		fmt.Fprintf(&b, "%7.2f s  %s [%s] %s\n", r.Took.Seconds(), r.Group, r.Variant, r.Name)
	}
	return b.String()
}

// WriteReport writes report.html and report.txt into dir. The lines of about describe the run.
func WriteReport(dir string, about []string, results []Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	var text, page strings.Builder
	fmt.Fprintf(&text, "%s\n\n%s\n", strings.Join(about, "\n"), Table(results))
	page.WriteString("<!doctype html><meta charset=utf-8><title>imgopt conformance</title><style>" +
		"body{font:15px/1.5 system-ui;margin:2em}td,th{padding:.1em .8em;text-align:right}td:first-child{text-align:left}" +
		"pre{background:#f4f4f4;padding:.6em;white-space:pre-wrap;word-break:break-all}.bad{color:#b00}</style>" +
		"<h1>imgopt beside Next.js</h1>")
	for _, line := range about {
		fmt.Fprintf(&page, "<p>%s</p>", html.EscapeString(line))
	}
	page.WriteString("<table><tr><th>group<th>requests<th>equal<th>allowed<th>failed")
	for _, r := range rows(results) {
		class := ""
		if r.failed > 0 {
			class = " class=bad"
		}
		fmt.Fprintf(&page, "<tr%s><td>%s<td>%d<td>%d<td>%d<td>%d", class, html.EscapeString(r.group), r.total(), r.equal, r.allowed, r.failed)
	}
	page.WriteString("</table>")
	fmt.Fprintf(&text, "Slowest\n\n%s\n", slowest(results))
	for _, part := range []struct {
		title   string
		outcome Outcome
	}{{"Failed", Failed}, {"Allowed differences", Allowed}} {
		fmt.Fprintf(&page, "<h2>%s</h2>", part.title)
		fmt.Fprintf(&text, "%s\n\n", part.title)
		for _, r := range results {
			if r.Outcome == part.outcome {
				shown := r.String()
				if r.Allowance != "" {
					shown = r.Allowance + ": " + shown
				}
				fmt.Fprintf(&page, "<pre>%s</pre>", html.EscapeString(shown))
				fmt.Fprintf(&text, "%s\n", shown)
			}
		}
	}
	for name, content := range map[string]string{"report.txt": text.String(), "report.html": page.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}
