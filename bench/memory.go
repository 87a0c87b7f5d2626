package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// memoryImages are made one after the other in one process' life.
	memoryImages = 20_000
	memoryWidth  = 64
)

// memorySources are small, so that it takes minutes.
var memorySources = []string{"orientation-6.jpg", "jpeg-420.jpg", "png-rgb-8.png", "webp-lossy.webp", "alpha-soft-edge.png", "jpeg-progressive.jpg", "64x64.png"}

// memoryPoint is the memory of the process tree after so many images.
type memoryPoint struct {
	Images int64
	Bytes  int64
}

type memoryRun struct {
	Points []memoryPoint
	// Second and Last are the medians of the second and the last quarter of the images.
	Second, Last float64
	Peak         int64
	Rate         float64
}

type memoryResult struct {
	Images int
	Peers  []memoryPeer
}

type memoryPeer struct {
	Name string
	Runs []memoryRun
}

// memory measures whether memory stays what it is while many images are made.
func memory(ctx context.Context, s settings, r *report) error {
	var mix []string
	for _, name := range memorySources {
		mix = append(mix, filepath.Join("testdata/images", name))
	}
	up, dir, done, err := prepare(nil, mix...)
	if err != nil {
		return err
	}
	defer done()
	result := &memoryResult{Images: memoryImages}
	if s.quick {
		result.Images = memoryImages / 20
	}
	r.Memory = result
	// The memory cache is full long before the second quarter: what grows then is no cache.
	peers := []peer{imgoptDisk(s, nameImgopt, dir, "--cache.memory", "8MiB"), next(s, false)}
	result.Peers = make([]memoryPeer, len(peers))
	for round := range s.memoryRounds {
		for i := range peers {
			n := (i + round) % len(peers)
			run, err := runMemory(ctx, up, peers[n], result.Images)
			if err != nil {
				return fmt.Errorf("%s: %w", peers[n].name, err)
			}
			result.Peers[n].Name = peers[n].name
			result.Peers[n].Runs = append(result.Peers[n].Runs, run)
			fmt.Printf("memory, %s: %d images at %.0f/s, second quarter %.0f MiB, last %.0f MiB, peak %d MiB\n", peers[n].name, result.Images, run.Rate,
				run.Second/(1<<20), run.Last/(1<<20), run.Peak>>20)
		}
	}
	return nil
}

func runMemory(ctx context.Context, up *upstream, p peer, images int) (run memoryRun, err error) {
	st, err := p.start(ctx)
	if err != nil {
		return run, err
	}
	var done atomic.Int64
	points := watch(st.pids, func(bytes int64) { run.Points = append(run.Points, memoryPoint{done.Load(), bytes}) })
	client := newClient(4 * runtime.NumCPU())
	defer client.CloseIdleConnections()
	began := time.Now()
	err = closedLoop(ctx, 4*runtime.NumCPU(), images, func(i int) error {
		a, err := get(ctx, client, st.base+p.target(fmt.Sprintf("%s/mix/%d", up.base, i), memoryWidth, "webp"), "image/webp")
		if err == nil && (a.cache != "MISS" || a.contentType != "image/webp") {
			err = fmt.Errorf("image %d: %s, %s, want a new webp", i, a.cache, a.contentType)
		}
		done.Add(1)
		return err
	})
	run.Rate = float64(images) / time.Since(began).Seconds()
	run.Peak = points.close()
	_, closed := st.close()
	quarter := func(n int) float64 {
		var in []float64
		for _, pt := range run.Points {
			if q := int(4 * pt.Images / int64(images)); min(q, 3) == n {
				in = append(in, float64(pt.Bytes))
			}
		}
		if len(in) == 0 {
			return 0
		}
		slices.Sort(in)
		return in[len(in)/2]
	}
	run.Second, run.Last = quarter(1), quarter(3)
	run.Points = thinned(run.Points, memoryPoints)
	return run, errors.Join(err, closed)
}

// memoryPoints is how many points of a run are kept.
const memoryPoints = 150

// thinned are every so many of the points, at most n and the last.
func thinned(all []memoryPoint, n int) []memoryPoint {
	step := (len(all) + n - 1) / n
	if step <= 1 {
		return all
	}
	var out []memoryPoint
	for i := 0; i < len(all)-1; i += step {
		out = append(out, all[i])
	}
	return append(out, all[len(all)-1])
}
