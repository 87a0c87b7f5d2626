package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// mixSources are the sources of the mixed set: of six megapixels in every format, and what else lies in an
// application's public folder. The first are in the folder of large images, the others in testdata/images.
var (
	mixLarge   = []string{"photo-6mp.jpg", "photo-6mp.webp", "photo-6mp.avif", "photo-6mp.png"}
	mixSources = []string{"photo.jpg", "photo-640.jpg", "png-graphic.png", "orientation-6-photo.jpg", "contact-sheet.webp", "photo-face.jpg",
		"alpha-soft-edge.png", "photo-641.jpg", "jpeg-p3.jpg", "webp-alpha.webp", "jpeg-cmyk-profile.jpg", "png-palette-8.png", "jpeg-progressive.jpg"}
	mixWidths  = []int{640, 828, 1080, 1920, 384, 750, 1200}
	mixFormats = []string{"avif", "webp", "webp"}
)

// mixImages is how many variants of the mixed set are made: each source in turn, at a width and in a format that change
// with cycles of other lengths.
const mixImages = 136

type mixResult struct {
	Images, Clients int
	Peers           []participant
	OfferedRate     float64
	Latency         []timed
	Different       int // of the other peers' images, those whose bytes are not Next.js'
}

// mixRequest is the n-th request of the set.
func mixRequest(up *upstream, p peer, n int) (target, accept string) {
	format := mixFormats[n%len(mixFormats)]
	return p.target(fmt.Sprintf("%s/mix/%d", up.base, n), mixWidths[n%len(mixWidths)], format), accepts(format)
}

// mixed measures a storm of new images of many sizes and kinds: throughput, processor time and the peak of memory.
func mixed(ctx context.Context, s settings, r *report) error {
	var mix []string
	for i, name := range mixSources {
		mix = append(mix, filepath.Join("testdata/images", name))
		if i%3 == 0 && i/3 < len(mixLarge) {
			mix = append(mix, filepath.Join(s.images, mixLarge[i/3]))
		}
	}
	up, dir, done, err := prepare(nil, mix...)
	if err != nil {
		return err
	}
	defer done()
	result := &mixResult{Images: mixImages, Clients: 4 * runtime.NumCPU()}
	if s.quick {
		result.Images = 17
	}
	r.Mixed = result
	peers := append([]peer{imgoptDisk(s, nameImgopt, dir), next(s, false), ipx(s)}, elsewhere(s)...)
	result.Peers = make([]participant, len(peers))
	sums := map[string][]string{}
	for round := range s.rounds {
		for i := range peers {
			n := (i + round) % len(peers)
			sm, made, err := runMix(ctx, up, peers[n], result)
			if err != nil {
				return fmt.Errorf("%s: %w", peers[n].name, err)
			}
			sums[peers[n].name] = made
			result.Peers[n].Name = peers[n].name
			result.Peers[n].Samples = append(result.Peers[n].Samples, sm)
			fmt.Printf("mixed, %s: %.2f/s, %.4f CPU s, peak %d MiB\n", peers[n].name, sm.Rate, sm.CPU, sm.Memory>>20)
		}
	}
	for i, sum := range sums[nameNext] {
		if sums[nameImgopt][i] != sum {
			return fmt.Errorf("variant %d: imgopt makes other bytes than Next.js", i)
		}
		if sums["ipx"][i] != sum {
			result.Different++
		}
	}
	result.OfferedRate = latencyShare * median(result.Peers[1].Samples, func(s sample) float64 { return s.Rate })
	result.Latency = []timed{{Name: nameImgopt}, {Name: nameNext}}
	for round := range s.rounds {
		for i := range result.Latency {
			t, p := &result.Latency[(i+round)%2], peers[(i+round)%2]
			l, err := mixLoop(ctx, s, up, p, result.OfferedRate)
			if err != nil {
				return fmt.Errorf("latency of %s: %w", p.name, err)
			}
			t.Loops = append(t.Loops, l)
			fmt.Printf("mixed at %.1f/s, %s: p50 %.0f ms, p95 %.0f ms, %d of %d in time\n", l.Rate, p.name, l.P50, l.P95, l.Good, l.Due)
		}
	}
	return nil
}

// warmMix makes one image of each format, with numbers that the measurement does not reach.
func warmMix(ctx context.Context, st *stack, up *upstream, p peer) error {
	client := newClient(8)
	defer client.CloseIdleConnections()
	return closedLoop(ctx, 4, 12, func(i int) error {
		target, accept := mixRequest(up, p, 1_000_000+i)
		_, err := get(ctx, client, st.base+target, accept)
		return err
	})
}

func runMix(ctx context.Context, up *upstream, p peer, m *mixResult) (result sample, sums []string, err error) {
	st, err := p.start(ctx)
	if err != nil {
		return sample{}, nil, err
	}
	defer func() {
		var closed error
		result.Memory, closed = st.close()
		err = errors.Join(err, closed)
	}()
	if err := warmMix(ctx, st, up, p); err != nil {
		return sample{}, nil, err
	}
	client := newClient(m.Clients)
	defer client.CloseIdleConnections()
	sums = make([]string, m.Images)
	cpu, driver, began := st.cpu(), ownCPU(), time.Now()
	var bytes int64
	var mu sync.Mutex
	if err := closedLoop(ctx, m.Clients, m.Images, func(i int) error {
		target, accept := mixRequest(up, p, i)
		a, err := get(ctx, client, st.base+target, accept)
		switch {
		case err != nil:
			return err
		case p.tells && a.cache != "MISS":
			return fmt.Errorf("variant %d: %s, want a miss", i, a.cache)
		case a.contentType != accept:
			return fmt.Errorf("variant %d: content type %q, want %q", i, a.contentType, accept)
		}
		sums[i] = hex.EncodeToString(a.sum[:])
		mu.Lock()
		bytes += a.size
		mu.Unlock()
		return nil
	}); err != nil {
		return sample{}, nil, err
	}
	wall, n := time.Since(began).Seconds(), float64(m.Images)
	return sample{Rate: n / wall, CPU: (st.cpu() - cpu) / n, Driver: (ownCPU() - driver) / n, Bytes: bytes / int64(m.Images)}, sums, nil
}

func mixLoop(ctx context.Context, s settings, up *upstream, p peer, rate float64) (l loopResult, err error) {
	st, err := p.start(ctx)
	if err != nil {
		return l, err
	}
	defer func() {
		_, closed := st.close()
		err = errors.Join(err, closed)
	}()
	if err := warmMix(ctx, st, up, p); err != nil {
		return l, err
	}
	client := newClient(64)
	defer client.CloseIdleConnections()
	return openLoop(ctx, rate, 2*s.latencyFor, func(ctx context.Context, i int) (int, error) {
		target, accept := mixRequest(up, p, i)
		return ask(ctx, client, st.base+target, accept, p, "MISS")
	})
}
