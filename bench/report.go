package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// report is what one part found.
type report struct {
	Started   string
	Machine   machine
	Settings  map[string]any
	Rounds    int
	Quick     bool              `json:",omitempty"`
	Cold      *coldResults      `json:",omitempty"`
	Mixed     *mixResult        `json:",omitempty"`
	Hits      *hitResults       `json:",omitempty"`
	Latency   *curveResults     `json:",omitempty"`
	Burst     *burstResult      `json:",omitempty"`
	Neighbour *neighbourResults `json:",omitempty"`
	Memory    *memoryResult     `json:",omitempty"`
	Startup   *startResult      `json:",omitempty"`
	Isolation *isolationResults `json:",omitempty"`
	Fleet     *fleetResult      `json:",omitempty"`
	Quality   *qualityResult    `json:",omitempty"`
	// Other is the result of a part that this type need not know.
	Other tabled `json:",omitempty"`
	// Claims are what was measured of the targets, Plots what bench/plot draws.
	Claims []claim `json:",omitempty"`
	Plots  []plot  `json:",omitempty"`
}

// tabled are results that can show themselves as Markdown. They may also make claims about targets and have plots.
type tabled interface {
	table(b *strings.Builder, rounds int)
}

type claiming interface{ claims() []claim }

type plotting interface{ plots() []plot }

// results are those that there are.
func (r *report) results() []tabled {
	var out []tabled
	if r.Cold != nil {
		out = append(out, r.Cold)
	}
	if r.Mixed != nil {
		out = append(out, r.Mixed)
	}
	if r.Hits != nil {
		out = append(out, r.Hits)
	}
	if r.Latency != nil {
		out = append(out, r.Latency)
	}
	if r.Burst != nil {
		out = append(out, r.Burst)
	}
	if r.Neighbour != nil {
		out = append(out, r.Neighbour)
	}
	if r.Memory != nil {
		out = append(out, r.Memory)
	}
	if r.Startup != nil {
		out = append(out, r.Startup)
	}
	if r.Isolation != nil {
		out = append(out, r.Isolation)
	}
	if r.Fleet != nil {
		out = append(out, r.Fleet)
	}
	if r.Quality != nil {
		out = append(out, r.Quality)
	}
	if r.Other != nil {
		out = append(out, r.Other)
	}
	return out
}

// write stores the figures of one part as JSON and as a table.
func (r *report) write(dir, part string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the results folder: %w", err)
	}
	for _, result := range r.results() {
		if c, ok := result.(claiming); ok {
			r.Claims = append(r.Claims, c.claims()...)
		}
		if p, ok := result.(plotting); ok {
			r.Plots = append(r.Plots, p.plots()...)
		}
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, part+".json"), append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	table := r.table()
	fmt.Print("\n", table)
	if err := os.WriteFile(filepath.Join(dir, part+".md"), []byte(table), 0o644); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}

func (r *report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d CPUs (%s), %s; %s. Medians (range) of %d alternating rounds.\n", r.Started, r.Machine.CPUs, r.Machine.CPU, r.Machine.Go, r.Machine.shortVersions(), r.Rounds)
	if r.Quick {
		b.WriteString("\n**Made with -quick: these figures say whether the measurement works, nothing more.**\n")
	}
	var settings []string
	for _, name := range slices.Sorted(maps.Keys(r.Settings)) {
		settings = append(settings, fmt.Sprintf("%s %v", name, r.Settings[name]))
	}
	if len(settings) > 0 {
		fmt.Fprintf(&b, "\nSettings: %s.\n", strings.Join(settings, ", "))
	}
	for _, result := range r.results() {
		result.table(&b, r.Rounds)
	}
	if len(r.Claims) > 0 {
		b.WriteString("\n")
		claimTable(&b, r.Claims)
	}
	for _, p := range r.Plots {
		fmt.Fprintf(&b, "\n![%s](bench/results/%s.svg)\n", p.Title, p.Name)
	}
	return b.String()
}

func values[T any](samples []T, f func(T) float64) []float64 {
	var out []float64
	for _, s := range samples {
		out = append(out, f(s))
	}
	slices.Sort(out)
	return out
}

func median[T any](samples []T, f func(T) float64) float64 {
	v := values(samples, f)
	if len(v) == 0 {
		return 0
	}
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// ratios has the ratio of each round: a drift of the machine's speed is in both halves of it.
func ratios[T any](a, b []T, f func(T) float64) []float64 {
	var out []float64
	for i := range min(len(a), len(b)) {
		if d := f(b[i]); d > 0 {
			out = append(out, f(a[i])/d)
		}
	}
	return out
}

// ratio is the median of the rounds' ratios.
func ratio[T any](a, b []T, f func(T) float64) float64 {
	return median(ratios(a, b, f), func(x float64) float64 { return x })
}

func spread[T any](samples []T, f func(T) float64, format string) string {
	v := values(samples, f)
	if len(v) == 0 {
		return "–"
	}
	return fmt.Sprintf(format+" ("+format+"–"+format+")", median(samples, f), v[0], v[len(v)-1])
}

func sampleRate(s sample) float64   { return s.Rate }
func sampleCPU(s sample) float64    { return s.CPU }
func sampleMemory(s sample) float64 { return mib(s.Memory) }

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
