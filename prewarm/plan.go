package prewarm

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strings"

	"imgopt/failure"
)

// Plan is what a run will ask for.
type Plan struct {
	// Groups are the variants by source, in the order in which they are asked for.
	Groups []Group
	// Refused is what pages and lists ask for and the rules do not allow: a browser gets an error instead.
	Refused []Refused
	// Counts says what became of everything that was found.
	Counts Counts
	// Found is what the plan was made of.
	Found *Found
}

// Group is one source and what is wanted of it.
type Group struct {
	// Source is the url it is fetched by, Origin its scheme, host and port, "" for the application itself.
	Source, Origin string
	// Variants are at least one, by quality, then by width.
	Variants []Variant
}

// Refused is a request that the rules do not allow.
type Refused struct {
	// URL is the endpoint's path and the query, or the source if none of its variants is allowed.
	URL string `json:"url"`
	// From is the page or line that asks for it.
	From string `json:"from"`
	// Problem is Next.js' text.
	Problem string `json:"problem"`
}

// Counts are numbers of a plan.
type Counts struct {
	// Sources and Variants are what is planned.
	Sources  int `json:"sources"`
	Variants int `json:"variants"`
	// Duplicates are asked for by more than one url: the same source written in two ways.
	Duplicates int `json:"duplicates"`
	// Filtered were dropped by --widths, --qualities, --include and --exclude; Limited by --limit.
	Filtered int `json:"filtered"`
	Limited  int `json:"limited"`
	// Unasked are files of the build that the rules do not let be optimized. Nothing asks for them, so that they are no
	// failure.
	Unasked int `json:"unasked"`
	// SourceBytes is the size of the sources, of as many as SourcesMeasured.
	SourceBytes     int64 `json:"sourceBytes"`
	SourcesMeasured int   `json:"sourcesMeasured"`
}

// NewPlan applies the rules and the filters to what was found. It contains each variant once, whatever asks for it.
func NewPlan(f *Found, o Options) *Plan {
	p := &planner{found: f, filter: filter{o}, plan: &Plan{Found: f}, seen: map[Key]bool{}, groups: map[string]int{}}
	for _, r := range f.requests {
		p.request(r)
	}
	asked := f.asked()
	for _, s := range f.sources {
		if _, ok := asked[s.url]; ok && s.fallback {
			continue
		}
		p.source(s)
	}
	p.limit()
	p.order()
	p.count()
	return p.plan
}

type planner struct {
	found  *Found
	filter filter
	plan   *Plan
	seen   map[Key]bool
	groups map[string]int // index in plan.Groups by source
}

func (p *planner) request(r request) {
	variants, err := p.found.site.variants(r.query, p.filter.Formats)
	if err != nil {
		if p.wantsRefused(r.query) {
			p.refuse(p.found.site.Endpoint()+"?"+r.query, r.from, err)
		}
		return
	}
	p.add(variants)
}

// wantsRefused reports whether a request that the rules do not allow passes the filter for sources: what --exclude
// leaves out is not asked for.
func (p *planner) wantsRefused(query string) bool {
	values, _ := url.ParseQuery(query) // what cannot be read is refused for that
	return !values.Has("url") || p.filter.source(values.Get("url"))
}

func (p *planner) source(s source) {
	widths, qualities := p.filter.Widths, p.filter.Qualities
	if len(widths) == 0 {
		widths = p.found.site.widths()
	}
	if len(qualities) == 0 {
		qualities = p.found.site.qualities()
	}
	for _, query := range p.found.site.expand(s.url, p.found.deployment, widths, qualities) {
		variants, err := p.found.site.variants(query, p.filter.Formats)
		switch {
		case err == nil:
			p.add(variants)
			continue
		case s.fallback:
			p.plan.Counts.Unasked++
		case p.wantsRefused(query):
			p.refuse(s.url, s.from, err)
		}
		return // the widths and qualities are allowed ones: it is the source that is not
	}
}

func (p *planner) refuse(address, from string, err error) {
	text := oneLine(err.Error())
	var f *failure.Error
	if errors.As(err, &f) {
		text = f.Text
	}
	p.plan.Refused = append(p.plan.Refused, Refused{URL: address, From: from, Problem: text})
}

func (p *planner) add(variants []Variant) {
	for _, v := range variants {
		switch {
		case !p.filter.source(v.Href) || !p.filter.variant(&v):
			p.plan.Counts.Filtered++
			continue
		case p.seen[v.key]:
			p.plan.Counts.Duplicates++
			continue
		}
		p.seen[v.key] = true
		v.SourceBytes = p.found.sizes[v.URL]
		i, ok := p.groups[v.Href]
		if !ok {
			i = len(p.plan.Groups)
			p.groups[v.Href] = i
			p.plan.Groups = append(p.plan.Groups, Group{Source: v.Href, Origin: v.Origin})
		}
		p.plan.Groups[i].Variants = append(p.plan.Groups[i].Variants, v)
	}
}

// limit drops what is beyond --limit, from the last source on: a source is rather complete than begun.
func (p *planner) limit() {
	left := p.filter.Limit
	if left == 0 {
		return
	}
	for i := range p.plan.Groups {
		g := &p.plan.Groups[i]
		n := min(left, len(g.Variants))
		p.plan.Counts.Limited += len(g.Variants) - n
		g.Variants = g.Variants[:n]
		left -= n
	}
	p.plan.Groups = slices.DeleteFunc(p.plan.Groups, func(g Group) bool { return len(g.Variants) == 0 })
}

// order puts the variants of a source together, and sources of different origins next to each other: the service has a
// source once for all its variants, and no origin gets everything at once.
func (p *planner) order() {
	for _, g := range p.plan.Groups {
		slices.SortStableFunc(g.Variants, func(a, b Variant) int {
			return cmp.Or(cmp.Compare(a.Quality, b.Quality), cmp.Compare(a.Width, b.Width))
		})
	}
	p.plan.Groups = interleave(p.plan.Groups)
}

// interleave spreads the groups of every origin evenly over the whole: the i-th of an origin's n groups comes at
// (i+½)/n of the way.
func interleave(groups []Group) []Group {
	sizes := map[string]int{}
	for _, g := range groups {
		sizes[g.Origin]++
	}
	type placed struct {
		Group
		at float64
	}
	passed := map[string]int{}
	order := make([]placed, len(groups))
	for i, g := range groups {
		order[i] = placed{g, (float64(passed[g.Origin]) + 0.5) / float64(sizes[g.Origin])}
		passed[g.Origin]++
	}
	slices.SortStableFunc(order, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.Origin, b.Origin))
	})
	for i, o := range order {
		groups[i] = o.Group
	}
	return groups
}

func (p *planner) count() {
	c := &p.plan.Counts
	c.Sources = len(p.plan.Groups)
	for _, g := range p.plan.Groups {
		c.Variants += len(g.Variants)
		if size := g.Variants[0].SourceBytes; size > 0 {
			c.SourceBytes += size
			c.SourcesMeasured++
		}
	}
}
