package prewarm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, href string
		want          bool
	}{
		{"/products/**", "/products/a/b.jpg", true},
		{"/products/**", "/products", true},
		{"/products/*", "/products/a/b.jpg", false},
		{"/products/*", "/products/a.jpg?v=1/2", true},
		{"/products/**", "https://cdn.example/products/a.jpg", true},
		{"/**/*.{jpg,png}", "/a/b.png", true},
		{"https://cdn.example/**", "https://cdn.example/a/b.jpg?x", true},
		{"https://cdn.example/**", "https://cdn.example:8443/a.jpg", false},
		{"https://*.example/**", "https://cdn.example/a.jpg", true},
		{"https://cdn.example/**", "/a.jpg", false},
		{"http*://**", "https://cdn.example/a.jpg", true},
		{"*.jpg", "/a/b.jpg", true},
		{"*.jpg", "https://cdn.example/a/b.jpg?x.png", true},
		{"*.jpg", "/a.jpg/b", false},
		{"a?.jpg", "/x/a1.jpg", true},
		{"/", "https://cdn.example", true},
		{"[", "/[", false},
	} {
		if got := Match(c.pattern, c.href); got != c.want {
			t.Errorf("Match(%q, %q) = %t", c.pattern, c.href, got)
		}
	}
}

const someURLs = `
/a.png
/b.png
https://cdn.example/c.jpg
/_next/image?url=%2Fd.png&w=640&q=75
/_next/image?w=640&q=75&url=/d.png
https://cdn.example/e.jpg
`

func TestFilters(t *testing.T) {
	site := newSite(t, plainOptions())
	found := find(t, site, fromStdin(), someURLs)
	for _, c := range []struct {
		name               string
		change             func(*Options)
		variants, sources  int
		filtered, limited  int
		formats, onlyWidth string
	}{
		{"all", func(*Options) {}, 4*6 + 2, 5, 0, 0, "[webp original]", ""},
		{"formats", func(o *Options) { o.Formats = []string{"original"} }, 4*3 + 1, 5, 0, 0, "[original]", ""},
		{"widths", func(o *Options) { o.Widths = []int{32} }, 4 * 2, 4, 4, 0, "[webp original]", "32"},
		{"include", func(o *Options) { o.Include = []string{"https://**", "/d*"} }, 2*6 + 2, 3, 12, 0, "[webp original]", ""},
		{"exclude", func(o *Options) { o.Exclude = []string{"*.jpg", "/a.png"} }, 6 + 2, 2, 18, 0, "[webp original]", ""},
		{"both", func(o *Options) { o.Include, o.Exclude = []string{"https://**"}, []string{"*/c.*", "c.*"} }, 6, 1, 22, 0, "[webp original]", ""},
		{"limit", func(o *Options) { o.Limit = 7 }, 7, 2, 0, 19, "[webp original]", ""},
		{"large limit", func(o *Options) { o.Limit = 1000 }, 26, 5, 0, 0, "[webp original]", ""},
		{"quality", func(o *Options) { o.Qualities = []int{75} }, 26, 5, 0, 0, "[webp original]", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := fromStdin()
			c.change(&o)
			plan := NewPlan(found, o)
			n := plan.Counts
			if n.Variants != c.variants || n.Sources != c.sources || n.Filtered != c.filtered || n.Limited != c.limited {
				t.Errorf("%+v", n)
			}
			var formats []string
			for _, s := range plan.byFormat() {
				formats = append(formats, s.Value)
			}
			if fmt.Sprint(formats) != c.formats {
				t.Errorf("formats %v", formats)
			}
			if widths := plan.byWidth(); c.onlyWidth != "" && (len(widths) != 1 || widths[0].Value != c.onlyWidth) {
				t.Errorf("widths %v", widths)
			}
			total := 0
			for _, s := range plan.byOrigin() {
				total += s.Variants
			}
			if len(planned(plan)) != n.Variants || total != n.Variants {
				t.Errorf("%d variants in groups, %d by origin", len(planned(plan)), total)
			}
		})
	}
	if d := NewPlan(found, fromStdin()).Counts.Duplicates; d != 2 {
		t.Errorf("%d duplicates: d.png is asked for by two urls, in two formats", d)
	}
}

// What --exclude leaves out is no failure, even if the rules would refuse it.
func TestRefusedAndExcluded(t *testing.T) {
	site := newSite(t, plainOptions())
	found := find(t, site, fromStdin(), "https://evil.example/a.png\n/_next/image?url=https%3A%2F%2Fevil.example%2Fb.png&w=32&q=75\n/_next/image?w=1\n")
	if p := NewPlan(found, fromStdin()); len(p.Refused) != 3 {
		t.Errorf("refused %v", p.Refused)
	}
	o := fromStdin()
	o.Exclude = []string{"https://evil.example/**"}
	if p := NewPlan(found, o); len(p.Refused) != 1 || p.Refused[0].Problem != `"url" parameter is required` {
		t.Errorf("refused %v", p.Refused)
	}
}

func TestOrder(t *testing.T) {
	var groups []Group
	for _, g := range strings.Fields("a1 a2 a3 a4 a5 a6 b1 b2 b3 c1") {
		groups = append(groups, Group{Source: g, Origin: g[:1]})
	}
	var got []string
	for _, g := range interleave(groups) {
		got = append(got, g.Source)
	}
	want := strings.Fields("a1 b1 a2 a3 b2 c1 a4 a5 b3 a6")
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	plan := NewPlan(find(t, newSite(t, plainOptions()), fromStdin(), someURLs), fromStdin())
	for _, g := range plan.Groups {
		if !slices.IsSortedFunc(g.Variants, func(a, b Variant) int { return a.Width - b.Width }) {
			t.Errorf("%s: not by width", g.Source)
		}
		for _, v := range g.Variants {
			if v.Href != g.Source || v.Origin != g.Origin {
				t.Errorf("%s %s is among %s of %s", v.Href, v.Origin, g.Source, g.Origin)
			}
		}
	}
}

// fallback files of a build are left to what pages ask for, whichever is found first.
func TestFallback(t *testing.T) {
	dir := tree(t, map[string]string{".next/required-server-files.json": "{}", "public/a.png": "x", "public/b.png": "xx"})
	o := fromStdin()
	o.NextDir = dir
	plan := NewPlan(find(t, newSite(t, plainOptions()), o, "/_next/image?url=%2Fa.png&w=32&q=75\n"), o)
	got := planned(plan)
	slices.Sort(got)
	want := []string{"original url=%2Fa.png&w=32&q=75"}
	for _, w := range []string{"1080", "32", "640"} {
		want = append(want, "original url=%2Fb.png&w="+w+"&q=75")
	}
	if got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "webp") }); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// Named in a list as well, it is wanted in all widths.
	plan = NewPlan(find(t, newSite(t, plainOptions()), o, "/_next/image?url=%2Fa.png&w=32&q=75\n/a.png"), o)
	if plan.Counts.Variants != 12 || plan.Counts.SourceBytes != 3 {
		t.Errorf("%+v", plan.Counts)
	}
}
