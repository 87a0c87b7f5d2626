package prewarm

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"imgopt/failure"
)

// ReportSchema names the form of a Report as JSON. It changes when a field changes its meaning or goes; fields may come.
const ReportSchema = "imgopt.prewarm/1"

// Report is what became of a plan. Its JSON is for machines, see ReportSchema; sizes are bytes, times seconds.
type Report struct {
	Schema string `json:"schema"`
	// ExitCode is that of the process: 0 if everything that was asked for is warm, else 1.
	ExitCode int `json:"exitCode"`
	// Target is where the variants went, Endpoint the path they were asked for by.
	Target   string `json:"target"`
	Endpoint string `json:"endpoint"`
	// Started is when the run began, Seconds how long it took, without looking for what there is.
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	// Interrupted says that the run was ended from outside, GivenUp that it ended by itself because the target could not
	// be reached. Left is then how many variants were not asked for, or not answered.
	Interrupted bool `json:"interrupted"`
	GivenUp     bool `json:"givenUp"`
	Left        int  `json:"left"`

	Totals
	// Verified is how many variants were asked for once more and found, Untold those of them from a target that does not
	// tell whether it keeps them.
	Verified int `json:"verified"`
	Untold   int `json:"untold"`

	// Formats are the totals by format: avif, webp, original, as the site prefers them.
	Formats []FormatTotals `json:"formats"`
	// Slowest are the answers that took longest, at most 10.
	Slowest []Slow `json:"slowest"`
	// Failures are the variants that could not be made warm.
	Failures []FailedVariant `json:"failures"`
	// Refused, Pages, Unread, Notes and Counts tell of the plan.
	Refused []Refused `json:"refused"`
	Pages   int       `json:"pages"`
	Unread  []Unread  `json:"unread"`
	Notes   []string  `json:"notes"`
	Counts  Counts    `json:"plan"`
}

// Totals are sums over variants.
type Totals struct {
	// Asked is how many were planned, Warm how many are warm.
	Asked int `json:"asked"`
	Warm  int `json:"warm"`
	// Made, Hit and Stale are the warm ones by where the answer came from; a target may not tell. Resumed are those that
	// an earlier run has done, Unchanged those whose type is not that of the format: the source as it is.
	Made      int `json:"made"`
	Hit       int `json:"hit"`
	Stale     int `json:"stale"`
	Resumed   int `json:"resumed"`
	Unchanged int `json:"unchanged"`
	Failed    int `json:"failed"`
	// Sources is how many sources the warm ones have, SourceBytes the size of those whose size is known: SourcesMeasured.
	Sources         int   `json:"sources"`
	SourceBytes     int64 `json:"sourceBytes"`
	SourcesMeasured int   `json:"sourcesMeasured"`
	// Bytes is the size of the warm variants. SavedBytes is by how much they are smaller than their sources, each
	// delivered once, as far as those are known: SavedOf is what they would be without optimization.
	Bytes      int64 `json:"bytes"`
	SavedBytes int64 `json:"savedBytes"`
	SavedOf    int64 `json:"savedOf"`
}

// FormatTotals are the totals of one format.
type FormatTotals struct {
	Format string `json:"format"`
	Totals
	// Seconds is the sum of the times that the answers took, Slowest the longest, of the url Slow.
	Seconds float64 `json:"seconds"`
	Slowest float64 `json:"slowestSeconds"`
	Slow    string  `json:"slowest"`
}

// Slow is one answer.
type Slow struct {
	URL     string  `json:"url"`
	Format  string  `json:"format"`
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes"`
}

// FailedVariant is a variant that is not warm.
type FailedVariant struct {
	URL    string `json:"url"`
	Format string `json:"format"`
	Source string `json:"source"`
	*Failure
}

// maxSlowest is how many slow answers are named.
const maxSlowest = 10

// report sums up.
func (r *runner) report(ctx context.Context, started time.Time) *Report {
	f := r.plan.Found
	rep := &Report{
		Schema: ReportSchema, Target: redacted(r.options.Target), Endpoint: f.site.Endpoint(),
		Started: started.UTC(), Seconds: seconds(time.Since(started)),
		GivenUp:     errors.Is(context.Cause(ctx), errGivenUp),
		Refused:     orEmpty(r.plan.Refused),
		Pages:       f.Pages,
		Unread:      orEmpty(f.Unread),
		Notes:       orEmpty(append(slices.Clone(f.Notes), r.notes...)),
		Counts:      r.plan.Counts,
		Failures:    []FailedVariant{},
		Interrupted: ctx.Err() != nil && !errors.Is(context.Cause(ctx), errGivenUp),
	}
	formats := map[string]*formatSum{}
	all := newSum()
	for i := range r.outcomes {
		o := &r.outcomes[i]
		sum := formats[o.variant.Format]
		if sum == nil {
			sum = &formatSum{sum: newSum(), FormatTotals: FormatTotals{Format: o.variant.Format}}
			formats[o.variant.Format] = sum
		}
		all.add(o)
		sum.add(o, rep.url(o.variant))
		rep.add(o)
	}
	rep.Totals = all.totals()
	rep.Formats = []FormatTotals{}
	for _, name := range f.site.Formats() {
		if sum := formats[name]; sum != nil {
			rep.Formats = append(rep.Formats, sum.totals())
		}
	}
	rep.Slowest = r.slowest(rep)
	rep.ExitCode = rep.exitCode(f)
	return rep
}

func (r *Report) url(v *Variant) string { return r.Endpoint + "?" + v.Query }

// add takes what is told of single variants.
func (r *Report) add(o *outcome) {
	switch {
	case !o.done:
		r.Left++
		return
	case o.result.Err != nil:
		r.Failures = append(r.Failures, FailedVariant{
			URL: r.url(o.variant), Format: o.variant.Format, Source: o.variant.Href, Failure: failureOf(o.result),
		})
		return
	}
	if o.checked {
		r.Verified++
	}
	if o.untold {
		r.Untold++
	}
}

// failureOf gives any Warmer's error the form of a report.
func failureOf(result Result) *Failure {
	var own *Failure
	if errors.As(result.Err, &own) {
		return own
	}
	f := failure.From(result.Err)
	return &Failure{Reason: f.Reason, Status: f.Status, Detail: oneLine(f.Text), Attempts: result.Attempts}
}

// sum adds up totals; sources count once.
type sum struct {
	Totals
	sources map[string]int64
}

func newSum() *sum { return &sum{sources: map[string]int64{}} }

func (s *sum) add(o *outcome) {
	s.Asked++
	if o.done && o.result.Err != nil {
		s.Failed++
	}
	if !o.warm() {
		return
	}
	s.Warm++
	switch o.result.State {
	case Made:
		s.Made++
	case Kept:
		s.Hit++
	case Stale:
		s.Stale++
	}
	if o.resumed {
		s.Resumed++
	}
	if o.variant.Params.Format != "" && o.result.Type != "" && o.result.Type != o.variant.Params.Format {
		s.Unchanged++
	}
	s.Bytes += o.result.Bytes
	size := o.sourceBytes()
	s.sources[o.variant.Href] = size
	if size > 0 {
		s.SavedOf += size
		s.SavedBytes += size - o.result.Bytes
	}
}

func (s *sum) totals() Totals {
	s.Sources = len(s.sources)
	for _, size := range s.sources {
		if size > 0 {
			s.SourceBytes += size
			s.SourcesMeasured++
		}
	}
	return s.Totals
}

// formatSum adds up the totals of one format.
type formatSum struct {
	sum           *sum
	took, slowest time.Duration
	FormatTotals
}

func (f *formatSum) add(o *outcome, url string) {
	f.sum.add(o)
	if !o.warm() {
		return
	}
	f.took += o.result.Elapsed
	if o.result.Elapsed > f.slowest {
		f.slowest, f.Slow = o.result.Elapsed, url
	}
}

func (f *formatSum) totals() FormatTotals {
	f.Totals = f.sum.totals()
	f.Seconds, f.Slowest = seconds(f.took), seconds(f.slowest)
	return f.FormatTotals
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

func (r *runner) slowest(rep *Report) []Slow {
	var warm []*outcome
	for i := range r.outcomes {
		if o := &r.outcomes[i]; o.warm() {
			warm = append(warm, o)
		}
	}
	slices.SortStableFunc(warm, func(a, b *outcome) int { return cmp.Compare(b.result.Elapsed, a.result.Elapsed) })
	out := []Slow{}
	for _, o := range warm[:min(len(warm), maxSlowest)] {
		out = append(out, Slow{URL: rep.url(o.variant), Format: o.variant.Format, Seconds: seconds(o.result.Elapsed), Bytes: o.result.Bytes})
	}
	return out
}

// WriteJSON writes the report for machines.
func (r *Report) WriteJSON(w io.Writer) error { return writeJSON(w, r) }
