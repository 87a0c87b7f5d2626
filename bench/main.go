// Command bench measures imgopt as a whole: hits through the real listener with wrk, cold images against a bare loop
// of the same pipeline. What is compared runs in alternation in one run; medians and ranges are printed, and written
// to bench/results as JSON and Markdown. It starts everything itself; traffic goes to loopback only.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"time"
)

type settings struct {
	imgopt, floor, images, out string
	rounds                     int
	hitSeconds                 int
	coldImages                 int
	only                       string
}

func main() {
	var s settings
	flag.StringVar(&s.imgopt, "imgopt", "bin/imgopt", "the binary to measure")
	flag.StringVar(&s.floor, "floor", ".build/bench/floor", "the bare loop")
	flag.StringVar(&s.images, "images", "", "folder with the large source images")
	flag.StringVar(&s.out, "out", "bench/results", "folder for the results")
	flag.IntVar(&s.rounds, "rounds", 3, "alternating rounds")
	flag.IntVar(&s.hitSeconds, "hit-seconds", 8, "length of one wrk run")
	flag.IntVar(&s.coldImages, "cold-images", 0, "images of one cold run (0: chosen by format and width)")
	flag.StringVar(&s.only, "only", "", "hits or cold")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	r := &report{Started: time.Now().UTC().Format(time.RFC3339), CPUs: runtime.NumCPU(), Go: runtime.Version(), Rounds: s.rounds}
	if s.only != "hits" {
		if err := cold(ctx, s, r); err != nil {
			return fmt.Errorf("cold images: %w", err)
		}
	}
	if s.only != "cold" {
		if err := hits(ctx, s, r); err != nil {
			return fmt.Errorf("hits: %w", err)
		}
	}
	return r.write(s.out)
}
