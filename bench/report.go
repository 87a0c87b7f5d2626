package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

type coldResult struct {
	Format        string
	Width, Images int
	Imgopt, Floor []sample
}

type hitResult struct {
	Tier        string
	Connections int
	Samples     []hitSample
}

type report struct {
	Started, Go  string
	CPUs, Rounds int
	BytesPerHit  int64
	Cold         []coldResult
	Isolation    []isolationResult
	Hits         []hitResult
	Fleet        *fleetResult `json:",omitempty"`
}

// write stores the figures of one part as JSON and as a table.
func (r *report) write(dir, part string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the results folder: %w", err)
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
	fmt.Fprintf(&b, "%s, %d CPUs, %s; medians (range) of %d alternating rounds.\n", r.Started, r.CPUs, r.Go, r.Rounds)
	if len(r.Cold) > 0 {
		b.WriteString("\nCold images from one 6-megapixel JPEG, q=75, against the bare loop of the same pipeline (same bytes):\n\n" +
			"| format, width | imgopt, images/s | bare loop, images/s | ratio | imgopt, CPU s/image | bare loop, CPU s/image | ratio | imgopt, peak memory |\n|---|---|---|---|---|---|---|---|\n")
		for _, c := range r.Cold {
			rate := func(s sample) float64 { return s.Rate }
			cpu := func(s sample) float64 { return s.CPU }
			memory := func(s sample) float64 { return float64(s.Memory) / (1 << 20) }
			fmt.Fprintf(&b, "| %s %d | %s | %s | %.2f | %s | %s | %.2f | %.0f MiB |\n", c.Format, c.Width,
				spread(c.Imgopt, rate, "%.2f"), spread(c.Floor, rate, "%.2f"), ratio(c.Imgopt, c.Floor, rate),
				spread(c.Imgopt, cpu, "%.4f"), spread(c.Floor, cpu, "%.4f"), ratio(c.Imgopt, c.Floor, cpu), median(c.Imgopt, memory))
		}
	}
	if len(r.Isolation) > 0 {
		fmt.Fprintf(&b, "\nThe same cold images with codecs in processes of their own and in the service's (`transform.isolation`), medians of %d alternating rounds:\n\n", len(r.Isolation[0].Process))
		b.WriteString("| format, width | process, CPU s/image | none, CPU s/image | ratio of CPU | process, images/s | none, images/s |\n|---|---|---|---|---|---|\n")
		for _, c := range r.Isolation {
			rate := func(s sample) float64 { return s.Rate }
			cpu := func(s sample) float64 { return s.CPU }
			fmt.Fprintf(&b, "| %s %d | %s | %s | %.3f | %.2f | %.2f |\n", c.Format, c.Width,
				spread(c.Process, cpu, "%.4f"), spread(c.None, cpu, "%.4f"), ratio(c.Process, c.None, cpu), median(c.Process, rate), median(c.None, rate))
		}
	}
	if len(r.Hits) > 0 {
		fmt.Fprintf(&b, "\nHits, %d keys of %d KB in turn, through the listener (wrk, one thread, on the same CPUs):\n\n", hitKeys, r.BytesPerHit/1000)
		b.WriteString("| tier | connections | answers/s | p50 ms | p99 ms | CPU µs/answer | peak memory |\n|---|---|---|---|---|---|---|\n")
		for _, h := range r.Hits {
			fmt.Fprintf(&b, "| %s | %d | %s | %.2f | %.2f | %.1f | %.0f MiB |\n", h.Tier, h.Connections,
				spread(h.Samples, func(s hitSample) float64 { return s.Rate }, "%.0f"),
				median(h.Samples, func(s hitSample) float64 { return s.P50 }),
				median(h.Samples, func(s hitSample) float64 { return s.P99 }),
				median(h.Samples, func(s hitSample) float64 { return s.CPU * 1e6 }),
				median(h.Samples, func(s hitSample) float64 { return float64(s.Memory) / (1 << 20) }))
		}
	}
	if r.Fleet != nil {
		r.Fleet.table(&b)
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
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// ratio is the median of the rounds' ratios: a drift of the machine's speed is in both halves of a round.
func ratio[T any](a, b []T, f func(T) float64) float64 {
	var out []float64
	for i := range a {
		out = append(out, f(a[i])/f(b[i]))
	}
	return median(out, func(x float64) float64 { return x })
}

func spread[T any](samples []T, f func(T) float64, format string) string {
	v := values(samples, f)
	return fmt.Sprintf(format+" ("+format+"–"+format+")", median(samples, f), v[0], v[len(v)-1])
}
