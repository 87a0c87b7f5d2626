package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// fleetResult is what several processes do together through Valkey.
type fleetResult struct {
	// Throughput has one run with one worker and one with two in each round.
	Throughput []scaling
	// Latency has the time of a miss in one process alone, and through Valkey, one request after the other.
	Latency []latencies
}

// scaling is images per second with one worker and with two, each pinned to a CPU of its own, and what one and two
// processes of the bare loop make in between: how much more two CPUs of this machine do than one.
type scaling struct {
	Format                   string
	ClientsPerWorker, Images int
	One, Two                 []sample
	FloorOne, FloorTwo       []sample
}

// latencies are the times of one kind of miss, in milliseconds, one entry for each round.
type latencies struct {
	What     string
	Requests int
	// Alone is one process with storage.type memory; Same one process that asks and works through Valkey; Other one
	// that asks and another that works.
	Alone, Same, Other []latency
}

type latency struct{ P50, P99 float64 }

const (
	fleetImages   = 60  // of one run with one worker; twice as many with two
	fleetRequests = 600 // of one run of latencies
	fleetWidth    = 828
	noopBytes     = 50_000
)

// fleet measures web and worker processes that share a Valkey server.
func fleet(ctx context.Context, s settings, r *report) error {
	photo, err := source(s.images)
	if err != nil {
		return err
	}
	result := &fleetResult{}
	r.Fleet = result
	dir, err := tempDir()
	if err != nil {
		return err
	}
	defer removeDir(dir)
	for _, n := range []scaling{
		{Format: "webp", ClientsPerWorker: 2, Images: fleetImages},
		{Format: "webp", ClientsPerWorker: 6, Images: fleetImages},
		{Format: "avif", ClientsPerWorker: 6, Images: fleetImages / 4},
	} {
		if s.coldImages > 0 {
			n.Images = s.coldImages
		}
		for range s.rounds {
			if err := n.round(ctx, s, photo, dir); err != nil {
				return err
			}
		}
		result.Throughput = append(result.Throughput, n)
	}
	result.Latency, err = fleetLatency(ctx, s)
	return err
}

// round measures one and two of each.
func (n *scaling) round(ctx context.Context, s settings, photo, dir string) error {
	for workers := 1; workers <= 2; workers++ {
		c := coldCase{format: n.Format, width: fleetWidth, images: n.Images * workers}
		bare, err := runFloor(ctx, s, photo, dir, c, workers)
		if err != nil {
			return err
		}
		ours, err := runWorkers(ctx, s.imgopt, photo, workers, n.ClientsPerWorker, c)
		if err != nil {
			return err
		}
		if workers == 1 {
			n.FloorOne, n.One = append(n.FloorOne, bare), append(n.One, ours)
		} else {
			n.FloorTwo, n.Two = append(n.FloorTwo, bare), append(n.Two, ours)
		}
		fmt.Printf("fleet %s %d, %d clients for each worker: %d workers %.2f/s, bare loop %.2f/s\n", n.Format, fleetWidth, n.ClientsPerWorker, workers, ours.Rate, bare.Rate)
	}
	return nil
}

// member is a process of the fleet.
type member struct {
	process *process
	base    string // of the public listener
}

// startMember runs imgopt on a CPU ("" for any) and waits until it is ready.
func startMember(ctx context.Context, binary, cpu string, args ...string) (*member, error) {
	public, err := freePort()
	if err != nil {
		return nil, err
	}
	admin, err := freePort()
	if err != nil {
		return nil, err
	}
	argv := append([]string{binary, "serve", "--listen", fmt.Sprintf("127.0.0.1:%d", public), "--adminListen", fmt.Sprintf("127.0.0.1:%d", admin),
		"--log.access=false", "--demo=false", "--transform.workers=1", "--images.localPatterns", `[{"pathname":"/**"}]`, "--images.formats", "image/avif,image/webp"}, args...)
	if cpu != "" {
		argv = append([]string{"taskset", "-c", cpu}, argv...)
	}
	p, err := startProcess(ctx, launch{argv: argv})
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, func() error { return answers(fmt.Sprintf("http://127.0.0.1:%d/readyz", admin)) }); err != nil {
		return nil, err
	}
	return &member{process: p, base: fmt.Sprintf("http://127.0.0.1:%d", public)}, nil
}

func (m *member) close() error { return m.process.stop() }

// startValkey runs a server that keeps nothing, and returns its url.
func startValkey(ctx context.Context) (*member, string, error) {
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	p, err := startProcess(ctx, launch{argv: []string{"valkey-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"}})
	if err != nil {
		return nil, "", fmt.Errorf("%w (scripts/valkey installs it)", err)
	}
	if err := p.await(ctx, func() error { return dials(address) }); err != nil {
		return nil, "", err
	}
	return &member{process: p}, "valkey://" + address, nil
}

// team is what serves one measurement, in the order in which it ends.
type team []*member

func (t team) close() error {
	var errs []error
	for _, m := range t {
		errs = append(errs, m.close())
	}
	return errors.Join(errs...)
}

// startTeam starts a Valkey server, one web process, and workers that are pinned to a CPU each if told so. It returns
// where to ask.
func startTeam(ctx context.Context, binary, origin string, workers int, pin bool, args ...string) (t team, base string, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	server, url, err := startValkey(ctx)
	if err != nil {
		return nil, "", err
	}
	t = team{server}
	args = append([]string{"--storage.type", "valkey", "--storage.url", url, "--origin", origin}, args...)
	add := func(cpu string, args ...string) (*member, error) {
		m, err := startMember(ctx, binary, cpu, args...)
		if err == nil {
			t = append(team{m}, t...)
		}
		return m, err
	}
	if workers == 0 {
		m, err := add("", args...)
		if err != nil {
			return t, "", err
		}
		return t, m.base, nil
	}
	for i := range workers {
		cpu := ""
		if pin {
			cpu = fmt.Sprint(i)
		}
		if _, err := add(cpu, append(slices.Clone(args), "--role", "worker")...); err != nil {
			return t, "", err
		}
	}
	web, err := add("", append(slices.Clone(args), "--role", "web")...)
	if err != nil {
		return t, "", err
	}
	return t, web.base, nil
}

// runWorkers asks for so many variants.
func runWorkers(ctx context.Context, binary, photo string, workers, clientsPerWorker int, c coldCase) (result sample, err error) {
	t, base, err := startTeam(ctx, binary, "file://"+filepath.Dir(photo), workers, true)
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	clients, total := clientsPerWorker*workers, int64(c.images)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var wg sync.WaitGroup
	failures := make(chan error, clients)
	began := time.Now()
	for range clients {
		wg.Go(func() {
			for i := next.Add(1); i <= total; i = next.Add(1) {
				if err := miss(ctx, client, base, filepath.Base(photo), i, c.width, "image/"+c.format); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	wg.Wait()
	wall := time.Since(began).Seconds()
	close(failures)
	return sample{Rate: float64(total) / wall}, <-failures
}

// miss asks for a variant that nobody has asked for: the query makes it another one of the same file.
func miss(ctx context.Context, client *http.Client, base, name string, i int64, width int, accept string) error {
	path := fmt.Sprintf("/_next/image?url=%%2F%s%%3Fv%%3D%d&w=%d&q=75", name, i, width)
	a, err := get(ctx, client, base+path, accept)
	if err == nil && a.cache != "MISS" {
		err = fmt.Errorf("%s: %s, want a miss", path, a.cache)
	}
	return err
}

// fleetLatency measures what a job through Valkey adds, with a source that is passed on unchanged, which is no work, and
// with a tiny one that is encoded.
func fleetLatency(ctx context.Context, s settings) ([]latencies, error) {
	dir, err := tempDir()
	if err != nil {
		return nil, err
	}
	defer removeDir(dir)
	tiny, err := os.ReadFile("testdata/images/64x64.png")
	if err != nil {
		return nil, err
	}
	head, foot := `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><!--`, `--></svg>`
	drawing := head + strings.Repeat("x", noopBytes-len(head)-len(foot)) + foot
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "tiny.png"), tiny, 0o644), os.WriteFile(filepath.Join(dir, "noop.svg"), []byte(drawing), 0o644)); err != nil {
		return nil, err
	}
	var all []latencies
	requests := fleetRequests
	if s.quick {
		requests = fleetRequests / 6
	}
	for _, c := range []struct{ what, file string }{{"50 kB passed on unchanged", "noop.svg"}, {"64 × 64 pixels encoded", "tiny.png"}} {
		l := latencies{What: c.what, Requests: requests}
		for range s.rounds {
			times, err := runLatency(ctx, s.imgopt, "file://"+dir, c.file, requests)
			if err != nil {
				return nil, err
			}
			l.Alone, l.Same, l.Other = append(l.Alone, times[0]), append(l.Same, times[1]), append(l.Other, times[2])
			fmt.Printf("fleet latency, %s: alone %.2f/%.2f ms, same %.2f/%.2f ms, other %.2f/%.2f ms (p50/p99)\n", c.what,
				times[0].P50, times[0].P99, times[1].P50, times[1].P99, times[2].P50, times[2].P99)
		}
		all = append(all, l)
	}
	return all, nil
}

// runLatency asks for one miss after the other, of one process alone, of one with Valkey, and of a web process in turn,
// so that what else the machine does is in the times of all three alike.
func runLatency(ctx context.Context, binary, origin, file string, requests int) (result [3]latency, err error) {
	const svg = "--images.dangerouslyAllowSVG=true"
	var all team
	defer func() { err = errors.Join(err, all.close()) }()
	alone, err := startMember(ctx, binary, "", "--origin", origin, svg)
	if err != nil {
		return result, err
	}
	all = append(all, alone)
	bases := []string{alone.base}
	for workers := range 2 { // none: the one that is asked works
		t, base, err := startTeam(ctx, binary, origin, workers, false, svg)
		if err != nil {
			return result, err
		}
		all, bases = append(all, t...), append(bases, base)
	}
	client := &http.Client{}
	defer client.CloseIdleConnections()
	const warmUp = 50
	var times [len(result)][]float64
	for i := range int64(warmUp + requests) {
		for n, base := range bases {
			began := time.Now()
			if err := miss(ctx, client, base, file, i, 64, "image/webp"); err != nil {
				return result, err
			}
			if i >= warmUp {
				times[n] = append(times[n], float64(time.Since(began))/float64(time.Millisecond))
			}
		}
	}
	for n, t := range times {
		slices.Sort(t)
		result[n] = latency{P50: t[len(t)/2], P99: t[len(t)*99/100]}
	}
	return result, nil
}

// table shows the figures.
func (f *fleetResult) table(b *strings.Builder, _ int) {
	b.WriteString("\nOne web process and one or two workers, each pinned to a CPU, that share a Valkey server; clients, web process and server are on the same two CPUs. " +
		"Beside it the bare loop of libvips, as one process and as two: what two CPUs of this machine do more than one. Cold images 828 pixels wide from one 6-megapixel JPEG:\n\n" +
		"| format | clients for each worker | 1 worker, images/s | 2 workers, images/s | ratio | bare loop, ratio |\n|---|---|---|---|---|---|\n")
	rate := func(s sample) float64 { return s.Rate }
	for _, n := range f.Throughput {
		fmt.Fprintf(b, "| %s | %d | %s | %s | %.2f | %.2f |\n", n.Format, n.ClientsPerWorker, spread(n.One, rate, "%.2f"), spread(n.Two, rate, "%.2f"),
			ratio(n.Two, n.One, rate), ratio(n.FloorTwo, n.FloorOne, rate))
	}
	fmt.Fprintf(b, "\nThe time of a miss, %d for each in turn, one after the other, as an HTTP client sees it: in one process alone, through Valkey in one process, and from a web process to a worker. What Valkey adds is the median of the rounds' differences:\n\n", f.Latency[0].Requests)
	b.WriteString("| job | alone, p50 ms | p99 | through Valkey, p50 | p99 | web and worker, p50 | p99 | added, p50 | p99 |\n|---|---|---|---|---|---|---|---|---|\n")
	p50 := func(l latency) float64 { return l.P50 }
	p99 := func(l latency) float64 { return l.P99 }
	for _, l := range f.Latency {
		fmt.Fprintf(b, "| %s | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |\n", l.What, median(l.Alone, p50), median(l.Alone, p99),
			median(l.Same, p50), median(l.Same, p99), median(l.Other, p50), median(l.Other, p99), added(l, p50), added(l, p99))
	}
}

func added(l latencies, f func(latency) float64) float64 {
	var all []float64
	for i := range l.Alone {
		all = append(all, f(l.Other[i])-f(l.Alone[i]))
	}
	return median(all, func(x float64) float64 { return x })
}
