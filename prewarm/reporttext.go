package prewarm

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// WriteText writes the report for people: a table by format, then what went wrong.
func (r *Report) WriteText(w io.Writer) error {
	t := newTable(w)
	t.columns(func(w io.Writer) {
		fmt.Fprintf(w, "format\twarm\tmade\tunchanged\tfailed\toriginal\toptimized\tsmaller by\ttime\tslowest\t\n")
		for _, f := range r.Formats {
			r.row(w, f.Format, f.Totals, f.Seconds, f.Slowest)
		}
		if len(r.Formats) > 1 {
			var all, slowest float64
			for _, f := range r.Formats {
				all, slowest = all+f.Seconds, max(slowest, f.Slowest)
			}
			r.row(w, "all", r.Totals, all, slowest)
		}
	})
	t.line("")
	r.summary(t)
	r.slow(t)
	r.failures(t)
	t.refused(r.Refused)
	t.pages(&Found{Pages: r.Pages, Unread: r.Unread})
	t.notes(r.Notes)
	return t.err()
}

func (r *Report) row(w io.Writer, name string, t Totals, took, slowest float64) {
	original, saved := "unknown", "unknown"
	if t.SourcesMeasured > 0 {
		original = Size(t.SourceBytes)
		if t.SourcesMeasured < t.Sources {
			original = fmt.Sprintf("%s (%d of %d)", original, t.SourcesMeasured, t.Sources)
		}
		saved = fmt.Sprintf("%.0f %%", 100*float64(t.SavedBytes)/float64(t.SavedOf))
	}
	fmt.Fprintf(w, "%s\t%d of %d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t\n", name, t.Warm, t.Asked, t.Made, t.Unchanged, t.Failed,
		original, Size(t.Bytes), saved, Span(fromSeconds(took)), Span(fromSeconds(slowest)))
}

func fromSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (r *Report) summary(t *table) {
	t.line("%d of %s of %s warm after %s: %d made, %d found, %d stale, %d done earlier.",
		r.Warm, plural(r.Asked, "variant"), plural(r.Counts.Sources, "source"), Span(fromSeconds(r.Seconds)), r.Made, r.Hit, r.Stale, r.Resumed)
	switch {
	case r.Untold > 0:
		t.line("%d verified; for %d of them the target does not tell whether it keeps them.", r.Verified, r.Untold)
	case r.Verified > 0:
		t.line("%d verified: asked for once more, and there.", r.Verified)
	}
	if r.Interrupted {
		t.line("Interrupted: %s not done.", plural(r.Left, "variant"))
	}
	if r.GivenUp {
		t.line("Given up, the target cannot be reached: %s not done.", plural(r.Left, "variant"))
	}
	if r.Asked == 0 {
		t.line("There was nothing to warm.")
	}
}

// slowLines is how many slow answers people are shown.
const slowLines = 3

func (r *Report) slow(t *table) {
	if len(r.Slowest) == 0 {
		return
	}
	t.line("Slowest:")
	for _, s := range r.Slowest[:min(len(r.Slowest), slowLines)] {
		t.line("  %s  %s %s  %s", Span(fromSeconds(s.Seconds)), s.Format, Size(s.Bytes), shorten(oneLine(s.URL), 120))
	}
}

// failures groups what failed by why: a thousand variants of one dead origin are one line.
func (r *Report) failures(t *table) {
	type cause struct {
		text  string
		first FailedVariant
		n     int
	}
	var causes []*cause
	index := map[string]*cause{}
	for _, f := range r.Failures {
		text := oneLine(f.Failure.Error())
		c := index[text]
		if c == nil {
			c = &cause{text: text, first: f}
			index[text] = c
			causes = append(causes, c)
		}
		c.n++
	}
	if len(causes) == 0 {
		return
	}
	slices.SortStableFunc(causes, func(a, b *cause) int { return b.n - a.n })
	t.line("%s failed:", plural(len(r.Failures), "variant"))
	for _, c := range causes[:min(len(causes), maxLines)] {
		t.line("  %d × %s", c.n, shorten(c.text, 300))
		t.line("      %s %s", c.first.Format, shorten(oneLine(c.first.URL), 160))
	}
	t.more(len(causes))
}
