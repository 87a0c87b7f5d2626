package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// target is something that has to be reached. Values are ratios unless a unit is given.
type target struct {
	Key, What, Against string
	Limit              float64
	AtMost             bool // the limit is a maximum
	Unit               string
}

// points is the unit of a difference between two scores.
const points = "points"

// targets are what the project set itself, on two CPUs, as ratios within one run.
var targets = []target{
	{Key: "hits-next", What: "hits, memory tier: answers/s", Against: "Next.js", Limit: 7},
	{Key: "hits-nginx", What: "hits, memory tier: answers/s", Against: "nginx, static files", Limit: 0.55},
	{Key: "hits-p99", What: "hits, memory tier: p99", Against: "Next.js", Limit: 0.125, AtMost: true},
	{Key: "304-next", What: "304s: answers/s", Against: "Next.js", Limit: 12},
	{Key: "disk-next", What: "hits, disk tier: answers/s", Against: "Next.js", Limit: 4},
	{Key: "cold-rate", What: "cold: images/s, same bytes", Against: "bare sharp loop", Limit: 0.95},
	{Key: "cold-cpu", What: "cold: CPU per image", Against: "bare sharp loop", Limit: 1.05, AtMost: true},
	{Key: "burst-fetches", What: "identical cold requests: fetches", Against: "–", Limit: 1, AtMost: true, Unit: "fetches"},
	{Key: "burst-time", What: "identical cold requests: time to the last answer", Against: "Next.js", Limit: 1, AtMost: true},
	{Key: "storm-memory", What: "mixed cold storm: peak memory, all processes", Against: "Next.js", Limit: 0.5, AtMost: true},
	{Key: "memory-flat", What: "20,000 images: memory in the last quarter", Against: "the second quarter", Limit: 1.05, AtMost: true},
	{Key: "page-p95", What: "page p95 beside a storm of images, same scheduling group", Against: "the page alone", Limit: 2, AtMost: true},
	{Key: "page-images", What: "images/s beside the page", Against: "images inside Next.js", Limit: 0.85},
	{Key: "prewarm-fetches", What: "srcset of one source: fetches", Against: "–", Limit: 1, AtMost: true, Unit: "fetches"},
	{Key: "prewarm-cpu", What: "srcset of one source: CPU", Against: "one request each", Limit: 0.95, AtMost: true},
	{Key: "fast-cpu", What: "profile `fast`: CPU per image", Against: "profile `next`", Limit: 0.5, AtMost: true},
	{Key: "fast-score", What: "profile `fast`: mean SSIMULACRA2, lowest of all qualities", Against: "profile `next`", Limit: 0, Unit: points},
	{Key: "small-bytes", What: "profile `small`: bytes", Against: "profile `next`", Limit: 0.85, AtMost: true},
	{Key: "small-score", What: "profile `small`: mean SSIMULACRA2, lowest of all qualities", Against: "profile `next`", Limit: 0, Unit: points},
	{Key: "start", What: "start to first answer", Against: "–", Limit: 100, AtMost: true, Unit: "ms"},
}

// claim is what was measured for a target in one case: a value for each round.
type claim struct {
	Target, Case string
	Values       []float64
}

// reached says whether a value keeps to the limit, and how far it is from it, as a share of the limit; that of a difference
// is the difference.
func (t target) reached(value float64) (bool, float64) {
	distance := value - t.Limit
	if t.Unit != points {
		distance /= t.Limit
	}
	if t.AtMost {
		return distance <= 0, distance
	}
	return distance >= 0, distance
}

// verdict is what reached says, in words.
func (t target) verdict(value float64) string {
	ok, distance := t.reached(value)
	says := "yes"
	if !ok {
		says = "**no**"
	}
	switch percent := 100 * distance; {
	case t.Unit == points:
		return says
	case percent >= 0.5:
		return fmt.Sprintf("%s, %.0f %% above", says, percent)
	case percent <= -0.5:
		return fmt.Sprintf("%s, %.0f %% below", says, -percent)
	}
	return says
}

func (t target) limit() string {
	sign := "≥"
	if t.AtMost {
		sign = "≤"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", sign, t.number(t.Limit), t.unit()))
}

func (t target) unit() string {
	if t.Unit == "" {
		return "×"
	}
	return t.Unit
}

func (t target) number(v float64) string {
	switch t.Unit {
	case "":
		return fmt.Sprintf("%.3g", v)
	case points:
		return fmt.Sprintf("%+.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// claimTable holds what was measured against what was to be reached.
func claimTable(b *strings.Builder, claims []claim) {
	b.WriteString("| what | case | against | wanted | measured (range) | reached |\n|---|---|---|---|---|---|\n")
	for _, t := range targets {
		for _, c := range claims {
			if c.Target != t.Key || len(c.Values) == 0 {
				continue
			}
			v := slices.Sorted(slices.Values(c.Values))
			m := median(v, func(x float64) float64 { return x })
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s (%s–%s) | %s |\n", t.What, c.Case, t.Against, t.limit(), t.number(m), t.number(v[0]), t.number(v[len(v)-1]), t.verdict(m))
		}
	}
}

// summarize writes one table of all targets from the results of all parts that lie in the folder.
func summarize(dir string) error {
	var all []claim
	missing := map[string]bool{}
	for _, t := range targets {
		missing[t.Key] = true
	}
	for _, p := range parts {
		b, err := os.ReadFile(filepath.Join(dir, p.name+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the results: %w", err)
		}
		var r struct{ Claims []claim }
		if err := json.Unmarshal(b, &r); err != nil {
			return fmt.Errorf("reading %s.json: %w", p.name, err)
		}
		for _, c := range r.Claims {
			missing[c.Target] = false
			all = append(all, c)
		}
	}
	var b strings.Builder
	b.WriteString("What was to be reached, as ratios within one run on the same machine: medians (range) of the rounds.\n\n")
	claimTable(&b, all)
	var open []string
	for _, t := range targets {
		if missing[t.Key] {
			open = append(open, t.What)
		}
	}
	if len(open) > 0 {
		fmt.Fprintf(&b, "\nNot measured: %s.\n", strings.Join(open, "; "))
	}
	if err := os.WriteFile(filepath.Join(dir, "targets.md"), []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("writing the targets: %w", err)
	}
	return nil
}
