// Command bench measures imgopt as a whole, beside what it replaces: Next.js' own optimizer, other optimizers from npm,
// nginx with static files, and bare loops of the same pipeline. What is compared runs in alternation in one run; medians
// and ranges are printed, and written to the results folder as JSON and Markdown, with what bench/plot draws of them.
// It starts everything itself, and ends what it started; traffic goes to loopback only. See bench/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

type settings struct {
	imgopt, floor, images, peers, out  string
	imgproxy, imagor                   string
	photos, scorer, encode             string
	search, encodings                  string
	qualityRounds, searchWidth         int
	rounds                             int
	hitSeconds                         int
	coldImages                         int
	isolationRounds, memoryRounds      int
	latencyFor, curveFor, neighbourFor time.Duration
	only                               string
	quick                              bool
}

// used are the settings that a part goes by, for its results.
func (s settings) used(part string) map[string]any {
	all := map[string]any{}
	switch part {
	case "cold-jpeg", "cold-webp", "cold-avif", "isolation":
		if s.coldImages > 0 {
			all["cold-images"] = s.coldImages
		}
		if part != "isolation" {
			all["latency-for"] = s.latencyFor.String()
		}
	case "mixed":
		all["latency-for"] = s.latencyFor.String()
	case "hits", "profile":
		all["hit-seconds"] = s.hitSeconds
	case "latency":
		all["curve-for"] = s.curveFor.String()
	case "neighbour":
		all["neighbour-for"] = s.neighbourFor.String()
	}
	return all
}

// parts are the measurements, in the order in which they run. Each has results of its own.
var parts []part

type part struct {
	name    string
	measure func(context.Context, settings, *report) error
}

func init() {
	parts = []part{
		{"cold-jpeg", coldPart("jpeg")}, {"cold-webp", coldPart("webp")}, {"cold-avif", coldPart("avif")},
		{"mixed", mixed},
		{"hits", hits},
		{"latency", curve},
		{"burst", burst},
		{"neighbour", neighbour},
		{"memory", memory},
		{"startup", startup},
		{"isolation", isolation},
		{"fleet", fleet},
		{"profile", profile},
		{"prewarm", prewarmed},
		{"quality", measureQuality},
	}
}

func main() {
	var s settings
	flag.StringVar(&s.imgopt, "imgopt", "bin/imgopt", "the binary to measure")
	flag.StringVar(&s.floor, "floor", ".build/bench/floor", "the bare loop of libvips")
	flag.StringVar(&s.images, "images", ".build/bench/large", "folder with the large source images")
	flag.StringVar(&s.peers, "peers", "bench/peers", "folder with what imgopt is compared with, installed")
	flag.StringVar(&s.out, "out", "bench/results", "folder for the results")
	flag.StringVar(&s.photos, "photos", ".build/photos", "folder with the photographs of the quality measurement")
	flag.StringVar(&s.scorer, "scorer", "bench/quality", "folder with what scores images, installed")
	flag.StringVar(&s.encode, "encode", ".build/bench/encode", "what makes the images of the quality measurement")
	flag.StringVar(&s.imgproxy, "imgproxy", "", "base url of a running imgproxy that may fetch from loopback, to compare with, too")
	flag.StringVar(&s.imagor, "imagor", "", "base url of a running imagor that may fetch from loopback, to compare with, too")
	flag.IntVar(&s.rounds, "rounds", 3, "alternating rounds")
	flag.IntVar(&s.hitSeconds, "hit-seconds", 4, "length of one wrk run")
	flag.IntVar(&s.coldImages, "cold-images", 0, "images of one cold run (0: chosen by format and width)")
	flag.IntVar(&s.isolationRounds, "isolation-rounds", 5, "alternating rounds of the isolation measurement, whose differences are small")
	flag.IntVar(&s.memoryRounds, "memory-rounds", 3, "alternating rounds of the memory measurement, which are long")
	flag.IntVar(&s.qualityRounds, "quality-rounds", 2, "how often each image of the quality measurement is made")
	flag.DurationVar(&s.latencyFor, "latency-for", 5*time.Second, "length of one open loop")
	flag.DurationVar(&s.curveFor, "curve-for", 3*time.Second, "length of one rate of hits")
	flag.DurationVar(&s.neighbourFor, "neighbour-for", 12*time.Second, "length of one open loop of pages")
	flag.StringVar(&s.only, "only", "", "parts to run, with commas (default: all)")
	flag.BoolVar(&s.quick, "quick", false, "one short round of everything: whether it works and what has changed much, not for claims")
	flag.StringVar(&s.search, "search", "", "measure nothing, but find qualities of -encodings for this format (jpeg, webp or avif) that look as Next.js' do")
	flag.StringVar(&s.encodings, "encodings", "encodings.json", "file for -search: a JSON list of transform.Encoding, without qualities")
	flag.IntVar(&s.searchWidth, "search-width", 640, "width of the images of -search")
	summary := flag.Bool("summary", false, "only write the table of targets anew, from the results that there are")
	flag.Parse()
	if s.quick {
		s.rounds, s.isolationRounds, s.memoryRounds, s.qualityRounds = 1, 1, 1, 1
		s.hitSeconds, s.latencyFor, s.curveFor, s.neighbourFor = 1, time.Second, time.Second, 4*time.Second
		if s.coldImages == 0 {
			s.coldImages = 8
		}
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var err error
	switch {
	case *summary:
		err = summarize(s.out)
	case s.search != "":
		err = search(ctx, s)
	default:
		err = measure(ctx, s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, s settings) error {
	only := strings.FieldsFunc(s.only, func(r rune) bool { return r == ',' })
	for _, name := range only {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("-only %s: there is no such part", name)
		}
	}
	for _, path := range []*string{&s.imgopt, &s.floor, &s.images, &s.peers, &s.photos, &s.scorer, &s.encode} { // programs start in folders of their own
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	// A part that fails keeps no other from being measured.
	var errs []error
	for _, p := range parts {
		if len(only) > 0 && !slices.Contains(only, p.name) {
			continue
		}
		if err := s.run(ctx, p); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", p.name, err)
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(append(errs, summarize(s.out))...)
}

// partLimit is when a part is given up: several times of what it takes.
const partLimit = 25 * time.Minute

// run runs a part and writes its results.
func (s settings) run(ctx context.Context, p part) error {
	ctx, cancel := context.WithTimeout(ctx, partLimit)
	defer cancel()
	began := time.Now()
	r := &report{Started: began.UTC().Format(time.RFC3339), Machine: describe(ctx, s), Rounds: s.rounds, Quick: s.quick, Settings: s.used(p.name)}
	switch p.name {
	case "isolation":
		r.Rounds = s.isolationRounds
	case "memory":
		r.Rounds = s.memoryRounds
	case "profile":
		r.Rounds = 1
	case "quality":
		r.Rounds = s.qualityRounds
	}
	if err := p.measure(ctx, s, r); err != nil {
		return err
	}
	if err := r.write(s.out, p.name); err != nil {
		return err
	}
	fmt.Printf("\n%s took %s\n\n", p.name, time.Since(began).Round(time.Second))
	return nil
}

// tempDir makes a folder for one part, which removeDir takes away.
func tempDir() (string, error) {
	dir, err := os.MkdirTemp("", "imgopt-bench-*")
	if err != nil {
		return "", fmt.Errorf("making a temporary folder: %w", err)
	}
	return dir, nil
}

func removeDir(dir string) {
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench: removing a temporary folder:", err)
	}
}
