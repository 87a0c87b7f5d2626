package prewarm

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// PlanSchema names the form of the JSON that Plan.WriteJSON writes. It changes when a field changes its meaning or goes.
const PlanSchema = "imgopt.prewarm.plan/1"

// planJSON is a plan for machines.
type planJSON struct {
	Schema   string   `json:"schema"`
	Target   string   `json:"target,omitempty"`
	Endpoint string   `json:"endpoint"`
	Pages    int      `json:"pages"`
	Unread   []Unread `json:"unread"`
	Counts
	Formats   []share       `json:"formats"`
	Widths    []share       `json:"widths"`
	Qualities []share       `json:"qualities"`
	Origins   []share       `json:"origins"`
	Refused   []Refused     `json:"refused"`
	Notes     []string      `json:"notes"`
	Plan      []plannedJSON `json:"plan"`
}

// share is how many variants have something in common.
type share struct {
	Value    string `json:"value"`
	Sources  int    `json:"sources"`
	Variants int    `json:"variants"`
}

type plannedJSON struct {
	Source string `json:"source"`
	Format string `json:"format"`
	Width  int    `json:"width"`
	// Quality is the one that is asked for, 1 to 100.
	Quality int `json:"quality"`
	// URL is the path and query of the request; with the Accept header it makes the variant.
	URL    string `json:"url"`
	Accept string `json:"accept"`
}

// shares counts the plan's variants by what of gives, in the order of less, or as they come.
func (p *Plan) shares(of func(*Variant) string) []share {
	var out []share
	index := map[string]int{}
	for _, g := range p.Groups {
		inGroup := map[string]bool{}
		for i := range g.Variants {
			value := of(&g.Variants[i])
			at, ok := index[value]
			if !ok {
				at = len(out)
				index[value] = at
				out = append(out, share{Value: value})
			}
			out[at].Variants++
			if !inGroup[value] {
				inGroup[value] = true
				out[at].Sources++
			}
		}
	}
	return out
}

// byNumber sorts shares whose values are numbers.
func byNumber(shares []share) []share {
	slices.SortFunc(shares, func(a, b share) int {
		x, _ := strconv.Atoi(a.Value)
		y, _ := strconv.Atoi(b.Value)
		return x - y
	})
	return shares
}

func (p *Plan) byFormat() []share {
	order := p.Found.site.Formats()
	shares := p.shares(func(v *Variant) string { return v.Format })
	slices.SortFunc(shares, func(a, b share) int { return slices.Index(order, a.Value) - slices.Index(order, b.Value) })
	return shares
}

func (p *Plan) byWidth() []share {
	return byNumber(p.shares(func(v *Variant) string { return strconv.Itoa(v.Width) }))
}

func (p *Plan) byQuality() []share {
	return byNumber(p.shares(func(v *Variant) string { return strconv.Itoa(v.Quality) }))
}

// application stands for "" in lists of origins.
const application = "(application)"

func (p *Plan) byOrigin() []share {
	shares := p.shares(func(v *Variant) string {
		if v.Origin == "" {
			return application
		}
		return v.Origin
	})
	slices.SortStableFunc(shares, func(a, b share) int { return b.Variants - a.Variants })
	return shares
}

// WriteJSON writes the plan with every request, for --dry-run --json. target is as given on the command line.
func (p *Plan) WriteJSON(w io.Writer, target string) error {
	out := planJSON{
		Schema:    PlanSchema,
		Target:    redacted(target),
		Endpoint:  p.Found.site.Endpoint(),
		Pages:     p.Found.Pages,
		Unread:    orEmpty(p.Found.Unread),
		Counts:    p.Counts,
		Formats:   orEmpty(p.byFormat()),
		Widths:    orEmpty(p.byWidth()),
		Qualities: orEmpty(p.byQuality()),
		Origins:   orEmpty(p.byOrigin()),
		Refused:   orEmpty(p.Refused),
		Notes:     orEmpty(p.Found.Notes),
		Plan:      []plannedJSON{},
	}
	for _, g := range p.Groups {
		for _, v := range g.Variants {
			out.Plan = append(out.Plan, plannedJSON{
				Source: v.Href, Format: v.Format, Width: v.Width, Quality: v.Quality,
				URL: out.Endpoint + "?" + v.Query, Accept: v.Accept,
			})
		}
	}
	return writeJSON(w, out)
}

// writeJSON writes a value for machines and for the people who look at what machines get.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // urls keep their "&"
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

// orEmpty makes an absent list an empty one: machines need not ask which it is.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// WriteText writes the plan's counts for people, for --dry-run.
func (p *Plan) WriteText(w io.Writer) error {
	t := newTable(w)
	t.line("%s of %s would be warmed.", plural(p.Counts.Variants, "variant"), plural(p.Counts.Sources, "source"))
	if p.Counts.SourcesMeasured > 0 {
		t.line("The sources are %s (%d of %d are known).", Size(p.Counts.SourceBytes), p.Counts.SourcesMeasured, p.Counts.Sources)
	}
	t.line("")
	t.shares("format", p.byFormat())
	t.shares("width", p.byWidth())
	t.shares("quality", p.byQuality())
	t.shares("origin", p.byOrigin())
	t.dropped(p.Counts)
	t.pages(p.Found)
	t.refused(p.Refused)
	t.notes(p.Found.Notes)
	return t.err()
}

// table writes text with columns, and keeps the first error.
type table struct {
	w     io.Writer
	first error
}

func newTable(w io.Writer) *table { return &table{w: w} }

func (t *table) err() error {
	if t.first != nil {
		return fmt.Errorf("writing: %w", t.first)
	}
	return nil
}

func (t *table) line(format string, args ...any) {
	if _, err := fmt.Fprintf(t.w, format+"\n", args...); err != nil && t.first == nil {
		t.first = err
	}
}

// columns writes rows whose cells end in tabs, right-aligned.
func (t *table) columns(rows func(w io.Writer)) {
	tw := tabwriter.NewWriter(t.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	rows(tw)
	if err := tw.Flush(); err != nil && t.first == nil {
		t.first = err
	}
}

// maxLines is how many lines of a list people are shown; machines get all.
const maxLines = 20

// shares writes one breakdown, unless it says nothing.
func (t *table) shares(name string, shares []share) {
	if len(shares) == 0 {
		return
	}
	t.columns(func(w io.Writer) {
		fmt.Fprintf(w, "%s\tvariants\tsources\t\n", name)
		for _, s := range shares[:min(len(shares), maxLines)] {
			fmt.Fprintf(w, "%s\t%d\t%d\t\n", shorten(oneLine(s.Value), 60), s.Variants, s.Sources)
		}
	})
	t.more(len(shares))
	t.line("")
}

func (t *table) more(n int) {
	if n > maxLines {
		t.line("  … and %d more", n-maxLines)
	}
}

func (t *table) dropped(c Counts) {
	for _, d := range []struct {
		n    int
		text string
	}{
		{c.Duplicates, "asked for by another url as well"},
		{c.Filtered, "left out by --widths, --qualities, --include or --exclude"},
		{c.Limited, "left out by --limit"},
	} {
		if d.n > 0 {
			t.line("%s %s", plural(d.n, "variant"), d.text)
		}
	}
	if c.Unasked > 0 {
		t.line("%s of the build may not be optimized, and nothing asks for that", plural(c.Unasked, "file"))
	}
}

func (t *table) pages(f *Found) {
	if f.Pages > 0 {
		t.line("%s read", plural(f.Pages, "page"))
	}
	if len(f.Unread) > 0 {
		t.line("%s cannot be read:", plural(len(f.Unread), "page"))
		for _, u := range f.Unread[:min(len(f.Unread), maxLines)] {
			t.line("  %s: %v", shorten(oneLine(u.URL), 100), u.Failure)
		}
		t.more(len(f.Unread))
	}
}

func (t *table) refused(refused []Refused) {
	if len(refused) == 0 {
		return
	}
	t.line("%s refused by the rules, as a browser's would be:", plural(len(refused), "request"))
	for _, r := range refused[:min(len(refused), maxLines)] {
		t.line("  %s: %s (from %s)", shorten(oneLine(r.URL), 120), r.Problem, shorten(oneLine(r.From), 80))
	}
	t.more(len(refused))
}

func (t *table) notes(notes []string) {
	for _, n := range notes[:min(len(notes), maxLines)] {
		t.line("note: %s", n)
	}
	t.more(len(notes))
}
