package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pageRate is how many pages a second are asked for: about a quarter of one CPU.
	pageRate = 20
	// stormClients ask for new images all the time, avif and webp in turn, each as soon as it has the one before.
	stormClients = 8
	stormWidth   = 828
)

// neighbourSample is one run: what pages took, and images per second beside them.
type neighbourSample struct {
	Pages  loopResult
	Images float64
	// CPU is the processor time of all servers, in CPUs.
	CPU, Driver float64
	Memory      int64
}

// neighbourResult is one way of having the images made.
type neighbourResult struct {
	Name string
	// Arbitration says what decides between pages and images.
	Arbitration string
	Samples     []neighbourSample
}

type neighbourResults struct {
	PageRate, Clients int
	// Autogroup is the kernel's sched_autogroup_enabled.
	Autogroup string
	Ways      []neighbourResult
}

// way is how images are made beside the pages; no images at all without start.
type way struct {
	name, arbitration string
	// inside has the pages' own process make them.
	inside bool
	start  func(context.Context) (*stack, error)
	// session is whether it is in a scheduling group of its own.
	session bool
}

const (
	wayAlone   = "the page alone"
	wayInside  = "images in the same Next.js"
	wayDefault = "images in imgopt"
)

// neighbour measures what a storm of images does to pages on the same machine.
func neighbour(ctx context.Context, s settings, r *report) error {
	photo, err := source(s.images)
	if err != nil {
		return err
	}
	up, dir, done, err := prepare([]string{photo})
	if err != nil {
		return err
	}
	defer done()
	beside := func(name, arbitration string, session bool, args ...string) way {
		return way{name: name, arbitration: arbitration, session: session, start: func(ctx context.Context) (*stack, error) {
			cache, err := os.MkdirTemp(dir, "cache-")
			if err != nil {
				return nil, err
			}
			return startImgopt(ctx, s, session, append([]string{"--cache.disk.path", cache}, args...))
		}}
	}
	ways := []way{
		{name: wayAlone, arbitration: "–"},
		{name: wayInside, arbitration: "none: threads of one process", inside: true},
		{name: "images in a second Next.js", arbitration: "none: both nice 0", start: next(s, false).start},
		beside(wayDefault, "codec processes nice 15 (default), one for each CPU", false),
		beside("images in imgopt, fewer workers", "codec processes nice 15, one fewer than CPUs", false, "--transform.workers", fmt.Sprint(max(1, runtime.NumCPU()-1))),
		beside("images in imgopt, not niced", "none: `transform.nice: 0`", false, "--transform.nice", "0"),
		beside("images in imgopt, own session", "nice 15, but in a scheduling group of its own, where niceness means nothing to others", true),
	}
	if s.quick {
		ways = ways[:4]
	}
	result := &neighbourResults{PageRate: pageRate, Clients: stormClients, Autogroup: oneLine("/proc/sys/kernel/sched_autogroup_enabled")}
	r.Neighbour = result
	for _, w := range ways {
		result.Ways = append(result.Ways, neighbourResult{Name: w.name, Arbitration: w.arbitration})
	}
	for round := range s.rounds {
		for i := range ways {
			n := (i + round) % len(ways)
			sm, err := runNeighbour(ctx, s, up, photo, ways[n])
			if err != nil {
				return fmt.Errorf("%s: %w", ways[n].name, err)
			}
			result.Ways[n].Samples = append(result.Ways[n].Samples, sm)
			fmt.Printf("neighbour, %s: page p50 %.1f ms, p95 %.1f ms, %.1f images/s\n", ways[n].name, sm.Pages.P50, sm.Pages.P95, sm.Images)
		}
	}
	return nil
}

func runNeighbour(ctx context.Context, s settings, up *upstream, photo string, w way) (sm neighbourSample, err error) {
	pages, err := next(s, false).start(ctx)
	if err != nil {
		return sm, err
	}
	stacks := []*stack{pages}
	defer func() {
		for _, st := range stacks {
			peak, closed := st.close()
			sm.Memory += peak
			err = errors.Join(err, closed)
		}
	}()
	images := pages
	if w.start != nil {
		if images, err = w.start(ctx); err != nil {
			return sm, err
		}
		stacks = append(stacks, images)
	}
	if err := sameGroup(pages, images, w.session); err != nil {
		return sm, err
	}
	client := newClient(64)
	defer client.CloseIdleConnections()
	if err := closedLoop(ctx, 2, 100, func(i int) error { return page(ctx, client, pages.base, i) }); err != nil {
		return sm, fmt.Errorf("warming up the pages: %w", err)
	}
	var made atomic.Int64
	stop := func() error { return nil }
	if w.inside || w.start != nil {
		if err := warmUp(ctx, client, images, up, photo, next(s, true), coldCase{format: "webp", width: stormWidth}); err != nil {
			return sm, err
		}
		stop = storm(ctx, images.base, up, photo, &made)
		select { // until the storm is everywhere
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	used := func() (sum float64) {
		for _, st := range stacks {
			sum += st.cpu()
		}
		return sum
	}
	before, cpu, driver, began := made.Load(), used(), ownCPU(), time.Now()
	sm.Pages, err = openLoop(ctx, pageRate, s.neighbourFor, func(ctx context.Context, i int) (int, error) {
		err := page(ctx, client, pages.base, i)
		if status, ok := statusOf(err); ok {
			return status, nil
		}
		return http.StatusOK, err
	})
	wall := time.Since(began).Seconds()
	sm.Images, sm.CPU, sm.Driver = float64(made.Load()-before)/wall, (used()-cpu)/wall, (ownCPU()-driver)/wall
	return sm, errors.Join(err, stop())
}

// page asks for a page and sees that it is one.
func page(ctx context.Context, client *http.Client, base string, i int) error {
	b, err := body(ctx, client, fmt.Sprintf("%s/?v=%d", base, i), "text/html")
	if err == nil && !strings.Contains(string(b), "<h1>Products, page") {
		err = fmt.Errorf("page %d is none: %.200s", i, b)
	}
	return err
}

// storm asks for new images until the returned function is called, which reports what went wrong.
func storm(ctx context.Context, base string, up *upstream, photo string, made *atomic.Int64) func() error {
	ctx, cancel := context.WithCancel(ctx)
	client := newClient(stormClients)
	var taken atomic.Int64
	var wg sync.WaitGroup
	failures := make(chan error, stormClients)
	for range stormClients {
		wg.Go(func() {
			for {
				n := int(taken.Add(1))
				format := []string{"avif", "webp"}[n%2]
				a, err := get(ctx, client, base+nextTarget(variant(up, photo, n), stormWidth, format), accepts(format))
				if ctx.Err() != nil {
					return
				}
				if err == nil && a.cache != "MISS" {
					err = fmt.Errorf("storm: %s, want a miss", a.cache)
				}
				if err != nil {
					failures <- err
					return
				}
				made.Add(1)
			}
		})
	}
	return func() error {
		cancel()
		wg.Wait()
		client.CloseIdleConnections()
		close(failures)
		return <-failures
	}
}

// sameGroup sees that both are in one scheduling group, or are not, as the measurement claims.
func sameGroup(a, b *stack, different bool) error {
	group := func(s *stack) string {
		return strings.Fields(oneLine(fmt.Sprintf("/proc/%d/autogroup", s.parts[0].PID())) + " -")[0]
	}
	cgroup := func(s *stack) string { return oneLine(fmt.Sprintf("/proc/%d/cgroup", s.parts[0].PID())) }
	if group(a) != "-" && (group(a) != group(b)) != different {
		return fmt.Errorf("scheduling groups %s and %s", group(a), group(b))
	}
	if cgroup(a) != cgroup(b) {
		return fmt.Errorf("control groups %s and %s", cgroup(a), cgroup(b))
	}
	return nil
}

// oneLine is what a file says, or nothing.
func oneLine(file string) string {
	b, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
