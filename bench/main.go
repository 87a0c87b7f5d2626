// Command bench measures imgopt as a whole: hits through the real listener with wrk, cold images against a bare loop
// of the same pipeline, codec processes against codecs in the service's own process, and what several processes do
// together through Valkey. What is compared runs in alternation in one run; medians and ranges are printed, and written
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
	isolationRounds            int
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
	flag.IntVar(&s.isolationRounds, "isolation-rounds", 5, "alternating rounds of the isolation measurement, whose differences are small")
	flag.StringVar(&s.only, "only", "", "cold, isolation, hits or fleet (default: all)")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	for _, part := range []struct {
		name    string
		rounds  int
		measure func(context.Context, settings, *report) error
	}{{"cold", s.rounds, cold}, {"isolation", s.isolationRounds, isolation}, {"hits", s.rounds, hits}, {"fleet", s.rounds, fleet}} {
		if s.only != "" && s.only != part.name {
			continue
		}
		r := &report{Started: time.Now().UTC().Format(time.RFC3339), CPUs: runtime.NumCPU(), Go: runtime.Version(), Rounds: part.rounds}
		if err := part.measure(ctx, s, r); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		if err := r.write(s.out, part.name); err != nil {
			return err
		}
	}
	return nil
}
