package main

import (
	"context"
	"fmt"
	"slices"
)

// isolationResult is one format and width with codecs in processes of their own and in the service's.
type isolationResult struct {
	Format        string
	Width, Images int
	Process, None []sample
}

// isolation measures what codec processes cost: the same cold images through the whole service with
// transform.isolation process and none, in alternating rounds. What counts is the processor time of the whole
// process tree per image. w=828 webp, which the project's limit of 3 % is about, comes first.
func isolation(ctx context.Context, s settings, r *report) error {
	photo, err := source(s.images)
	if err != nil {
		return err
	}
	cases := slices.Clone(coldCases)
	slices.SortStableFunc(cases, func(a, b coldCase) int { return first(a) - first(b) })
	for _, c := range cases {
		if s.coldImages > 0 {
			c.images = s.coldImages
		}
		result := isolationResult{Format: c.format, Width: c.width, Images: c.images}
		for round := range s.isolationRounds {
			// Which one runs first changes with every round: the second one finds a warmer machine.
			var process, none sample
			order := []func() error{
				func() (err error) {
					process, err = runCold(ctx, s.imgopt, photo, c, "--transform.isolation", "process")
					return err
				},
				func() (err error) {
					none, err = runCold(ctx, s.imgopt, photo, c, "--transform.isolation", "none")
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
		r.Isolation = append(r.Isolation, result)
	}
	return nil
}

func first(c coldCase) int {
	if c.format == "webp" && c.width == 828 {
		return 0
	}
	return 1
}
