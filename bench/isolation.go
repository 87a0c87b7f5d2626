package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// isolationResult is one format and width with codecs in processes of their own and in the service's.
type isolationResult struct {
	Format        string
	Width, Images int
	Process, None []sample
}

type isolationResults []isolationResult

// isolation measures what codec processes cost: the same cold images through the whole service with
// transform.isolation process and none, in alternating rounds. What counts is the processor time of the whole
// process tree per image. w=828 webp, which the project's limit of 3 % is about, comes first.
func isolation(ctx context.Context, s settings, r *report) error {
	photo, err := source(s.images)
	if err != nil {
		return err
	}
	up, err := serveFiles([]string{photo})
	if err != nil {
		return err
	}
	defer up.close()
	cases := slices.Clone(coldCases)
	slices.SortStableFunc(cases, func(a, b coldCase) int { return first(a) - first(b) })
	var results isolationResults
	for _, c := range cases {
		if c.width == 640 || s.quick && c.width != 828 {
			continue
		}
		if s.coldImages > 0 {
			c.images = s.coldImages
		}
		result := isolationResult{Format: c.format, Width: c.width, Images: c.images}
		for round := range s.isolationRounds {
			// Which one runs first changes with every round: the second one finds a warmer machine.
			var process, none sample
			order := []func() error{
				func() (err error) {
					process, err = runCold(ctx, up, photo, imgopt(s, nameImgopt, "--transform.isolation", "process"), c)
					return err
				},
				func() (err error) {
					none, err = runCold(ctx, up, photo, imgopt(s, nameImgopt, "--transform.isolation", "none"), c)
					return err
				},
			}
			if round%2 == 1 {
				slices.Reverse(order)
			}
			for _, run := range order {
				if err := run(); err != nil {
					return err
				}
			}
			result.Process, result.None = append(result.Process, process), append(result.None, none)
			fmt.Printf("isolation %s %d: process %.4f CPU s, none %.4f CPU s, ratio %.3f\n", c.format, c.width, process.CPU, none.CPU, process.CPU/none.CPU)
		}
		results = append(results, result)
	}
	r.Isolation = &results
	return nil
}

func first(c coldCase) int {
	if c.format == "webp" && c.width == 828 {
		return 0
	}
	return 1
}

func (rs *isolationResults) table(b *strings.Builder, rounds int) {
	fmt.Fprintf(b, "\nThe same cold images with codecs in processes of their own and in the service's (`transform.isolation`), medians of %d alternating rounds:\n\n", rounds)
	b.WriteString("| format, width | process, CPU s/image | none, CPU s/image | ratio of CPU | process, images/s | none, images/s |\n|---|---|---|---|---|---|\n")
	for _, c := range *rs {
		fmt.Fprintf(b, "| %s %d | %s | %s | %.3f | %.2f | %.2f |\n", c.Format, c.Width,
			spread(c.Process, sampleCPU, "%.4f"), spread(c.None, sampleCPU, "%.4f"), ratio(c.Process, c.None, sampleCPU), median(c.Process, sampleRate), median(c.None, sampleRate))
	}
}
