package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// coldCase is one format and width; images is how many are made in one run, so that it takes some seconds.
type coldCase struct {
	format        string
	width, images int
}

var coldCases = []coldCase{
	{"jpeg", 640, 96}, {"jpeg", 828, 80}, {"jpeg", 1920, 28},
	{"webp", 640, 96}, {"webp", 828, 72}, {"webp", 1920, 24},
	{"avif", 640, 32}, {"avif", 828, 24}, {"avif", 1920, 8},
}

// Names of participants that others are compared with.
const (
	nameImgopt = "imgopt"
	nameNext   = "next start"
	nameLoop   = "bare sharp loop"
	nameFloor  = "bare libvips loop"
)

// source is the 6-megapixel photo that -large makes.
func source(images string) (string, error) {
	found, err := filepath.Glob(filepath.Join(images, "*.jpg"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("no jpeg in %s", images)
	}
	return filepath.Abs(found[0])
}

// sample is one run: images per second, processor seconds per image, peak memory of all processes in bytes.
type sample struct {
	Rate, CPU float64
	Memory    int64
	// Driver is the processor time of clients and upstream, in seconds per image.
	Driver float64 `json:",omitempty"`
	// Bytes is the size of the image, and SHA256 says which it is.
	Bytes  int64  `json:",omitempty"`
	SHA256 string `json:",omitempty"`
}

// participant has the samples of one of those that are compared, one for each round.
type participant struct {
	Name    string
	Samples []sample
}

// coldResult is one format and width.
type coldResult struct {
	Format        string
	Width, Images int
	Peers         []participant
	// Latency is that of an open loop at OfferedRate requests a second; see openLoop.
	OfferedRate float64
	Latency     []timed
	// Different are those whose bytes are not Next.js'.
	Different []string
}

// timed has the outcomes of one of those that are compared, one for each round.
type timed struct {
	Name  string
	Loops []loopResult
}

type coldResults []coldResult

// coldPart measures one format: throughput in a closed loop with two requests for each CPU, so that no CPU waits for a
// client, and latency in an open loop at a rate that Next.js bears.
func coldPart(format string) func(context.Context, settings, *report) error {
	return func(ctx context.Context, s settings, r *report) error {
		photo, err := source(s.images)
		if err != nil {
			return err
		}
		up, dir, done, err := prepare([]string{photo})
		if err != nil {
			return err
		}
		defer done()
		var results coldResults
		for _, c := range coldCases {
			if c.format != format || s.quick && c.width != 828 {
				continue
			}
			if s.coldImages > 0 {
				c.images = s.coldImages
			}
			one, err := coldOne(ctx, s, up, photo, dir, c)
			if err != nil {
				return fmt.Errorf("%s %d: %w", c.format, c.width, err)
			}
			results = append(results, one)
		}
		r.Cold = &results
		return nil
	}
}

func coldOne(ctx context.Context, s settings, up *upstream, photo, dir string, c coldCase) (coldResult, error) {
	result := coldResult{Format: c.format, Width: c.width, Images: c.images}
	peers := []peer{imgoptDisk(s, nameImgopt, dir), next(s, false)}
	for _, p := range append([]peer{platformatic(s, "memory"), platformatic(s, "valkey"), ipx(s)}, elsewhere(s)...) {
		if p.makes(c.format) {
			peers = append(peers, p)
		}
	}
	runs := []func() (sample, error){
		func() (sample, error) { return runLoop(ctx, s, photo, c) },
		func() (sample, error) { return runFloor(ctx, s, photo, dir, c, runtime.NumCPU()) },
	}
	names := []string{nameLoop, nameFloor}
	for _, p := range peers {
		runs, names = append(runs, func() (sample, error) { return runCold(ctx, up, photo, p, c) }), append(names, p.name)
	}
	result.Peers = make([]participant, len(runs))
	sums := map[string]string{}
	for round := range s.rounds {
		for i := range runs {
			// Who is first changes with every round: those that follow find a warmer machine.
			n := (i + round) % len(runs)
			sm, err := runs[n]()
			if err != nil {
				return result, fmt.Errorf("%s: %w", names[n], err)
			}
			if before, ok := sums[names[n]]; ok && before != sm.SHA256 {
				return result, fmt.Errorf("%s: other bytes than in the round before", names[n])
			}
			sums[names[n]] = sm.SHA256
			result.Peers[n].Name = names[n]
			result.Peers[n].Samples = append(result.Peers[n].Samples, sm)
			fmt.Printf("cold %s %d, %s: %.2f/s, %.4f CPU s, %d MiB, %d bytes\n", c.format, c.width, names[n], sm.Rate, sm.CPU, sm.Memory>>20, sm.Bytes)
		}
	}
	for _, name := range names {
		if sums[name] != sums[nameNext] {
			result.Different = append(result.Different, name)
		}
	}
	for _, name := range []string{nameImgopt, nameLoop, nameFloor} {
		if sums[name] != sums[nameNext] {
			return result, fmt.Errorf("%s makes other bytes than Next.js", name)
		}
	}
	var nextRate float64
	for _, p := range result.Peers {
		if p.Name == nameNext {
			nextRate = median(p.Samples, func(s sample) float64 { return s.Rate })
		}
	}
	result.OfferedRate = latencyShare * nextRate
	var err error
	result.Latency, err = coldLatency(ctx, s, up, photo, dir, c, result.OfferedRate)
	return result, err
}

// latencyShare is the part of Next.js' throughput at which latency is measured: of everybody the same.
const latencyShare = 0.6

func coldLatency(ctx context.Context, s settings, up *upstream, photo, dir string, c coldCase, rate float64) ([]timed, error) {
	out := []timed{{Name: nameImgopt}, {Name: nameNext}}
	for round := range s.rounds {
		for i := range out {
			t := &out[(i+round)%len(out)]
			p := imgoptDisk(s, nameImgopt, dir)
			if t.Name == nameNext {
				p = next(s, false)
			}
			l, err := func() (l loopResult, err error) {
				st, err := p.start(ctx)
				if err != nil {
					return l, err
				}
				defer func() {
					_, closed := st.close()
					err = errors.Join(err, closed)
				}()
				client := newClient(64)
				defer client.CloseIdleConnections()
				if err := warmUp(ctx, client, st, up, photo, p, c); err != nil {
					return l, err
				}
				return openLoop(ctx, rate, s.latencyFor, func(ctx context.Context, i int) (int, error) {
					return ask(ctx, client, st.base+p.target(variant(up, photo, i), c.width, c.format), accepts(c.format), p, "MISS")
				})
			}()
			if err != nil {
				return nil, fmt.Errorf("latency of %s: %w", t.Name, err)
			}
			t.Loops = append(t.Loops, l)
			fmt.Printf("cold %s %d at %.1f/s, %s: p50 %.0f ms, p95 %.0f ms, %d of %d in time\n", c.format, c.width, rate, t.Name, l.P50, l.P95, l.Good, l.Due)
		}
	}
	return out, nil
}

// variant is the url of the n-th variant of a source. Numbers below zero are for warming up.
func variant(up *upstream, photo string, n int) string {
	return fmt.Sprintf("%s/%s?v=%d", up.base, filepath.Base(photo), n)
}

// warmUp has everybody load what is loaded with the first image: codecs, sharp, compiled code.
func warmUp(ctx context.Context, client *http.Client, st *stack, up *upstream, photo string, p peer, c coldCase) error {
	var wg sync.WaitGroup
	failed := make(chan error, 2*runtime.NumCPU())
	for i := range cap(failed) {
		wg.Go(func() {
			if _, err := get(ctx, client, st.base+p.target(variant(up, photo, -1-i), c.width, c.format), accepts(c.format)); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}

// runCold asks a fresh peer for c.images variants.
func runCold(ctx context.Context, up *upstream, photo string, p peer, c coldCase) (result sample, err error) {
	st, err := p.start(ctx)
	if err != nil {
		return sample{}, err
	}
	defer func() {
		var closed error
		result.Memory, closed = st.close()
		err = errors.Join(err, closed)
	}()
	clients := 2 * runtime.NumCPU()
	client := newClient(clients)
	defer client.CloseIdleConnections()
	if err := warmUp(ctx, client, st, up, photo, p, c); err != nil {
		return sample{}, err
	}
	first, err := get(ctx, client, st.base+p.target(variant(up, photo, -100), c.width, c.format), accepts(c.format))
	if err != nil {
		return sample{}, err
	}
	if want := "image/" + c.format; first.contentType != want {
		return sample{}, fmt.Errorf("content type %q, want %q", first.contentType, want)
	}
	cpu, driver, fetches, began := st.cpu(), ownCPU(), up.fetches.Load(), time.Now()
	if err := closedLoop(ctx, clients, c.images, func(i int) error {
		a, err := get(ctx, client, st.base+p.target(variant(up, photo, i), c.width, c.format), accepts(c.format))
		switch {
		case err != nil:
			return err
		case p.tells && a.cache != "MISS":
			return fmt.Errorf("variant %d: %s, want a miss", i, a.cache)
		case a.sum != first.sum:
			return fmt.Errorf("variant %d: other bytes than the one before", i)
		}
		return nil
	}); err != nil {
		return sample{}, err
	}
	wall, n := time.Since(began).Seconds(), float64(c.images)
	if fetched := up.fetches.Load() - fetches; p.once && fetched != int64(c.images) || fetched < int64(c.images) {
		return sample{}, fmt.Errorf("%d fetches for %d images", fetched, c.images)
	}
	return sample{Rate: n / wall, CPU: (st.cpu() - cpu) / n, Driver: (ownCPU() - driver) / n, Bytes: first.size, SHA256: hex.EncodeToString(first.sum[:])}, nil
}
