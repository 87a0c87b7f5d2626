package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// srcset are the widths that next/image asks for by default (deviceSizes and imageSizes) of a photo 2,725 pixels wide, but
// for the one beyond that.
var srcset = []int{32, 48, 64, 96, 128, 256, 384, 640, 750, 828, 1080, 1200, 1920, 2048}

var srcsetFormats = []string{"webp", "avif"}

// patiently keeps a busy machine from ending an encoding, which would be fewer processor seconds.
var patiently = []string{"--transform.timeout", "1m", "--timeout", "5m"}

// srcsetSample is one run for all variants of one photo: processor seconds of the whole process tree from its start on,
// seconds until the last variant was there, and how often the photo was fetched. Of a command, Whole is the time from its
// start to its end.
type srcsetSample struct {
	CPU, Wall float64
	Whole     float64 `json:",omitempty"`
	Fetches   int64
}

// prewarmResult compares `imgopt prewarm` into a folder with one request each to a fresh imgopt.
type prewarmResult struct {
	Widths           []int
	Formats          []string
	Clients          int
	Requests, Direct []srcsetSample
}

// prewarmed measures what it takes to have a whole srcset of one 6-megapixel photo in a folder. The codecs are as many in
// both: one for each CPU. Afterwards every variant must be a hit, with the same bytes.
func prewarmed(ctx context.Context, s settings, r *report) error {
	photo, err := source(s.images)
	if err != nil {
		return err
	}
	up, dir, done, err := prepare([]string{photo})
	if err != nil {
		return err
	}
	defer done()
	result := &prewarmResult{Widths: srcset, Formats: srcsetFormats, Clients: 2 * runtime.NumCPU()}
	if s.quick {
		result.Widths = []int{64, 640, 828}
	}
	r.Other = result
	for round := range s.rounds {
		url := variant(up, photo, round)
		var requests, direct srcsetSample
		var asked, warmed map[string]answer
		order := []func() error{
			func() (err error) { requests, asked, err = result.runRequests(ctx, s, up, dir, url); return err },
			func() (err error) { direct, warmed, err = result.runDirect(ctx, s, up, dir, url); return err },
		}
		if round%2 == 1 { // the second one finds a warmer machine
			slices.Reverse(order)
		}
		for _, run := range order {
			if err := run(); err != nil {
				return err
			}
		}
		for name, a := range asked {
			if warmed[name].sum != a.sum || warmed[name].etag != a.etag || warmed[name].cache != "HIT" {
				return fmt.Errorf("%s: pre-warmed it is another answer (%s)", name, warmed[name].cache)
			}
		}
		result.Requests, result.Direct = append(result.Requests, requests), append(result.Direct, direct)
		fmt.Printf("prewarm: one request each %.2f CPU s, %.2f s, %d fetches; directly %.2f CPU s, %.2f s (%.2f s in all), %d fetches; CPU %.3f\n",
			requests.CPU, requests.Wall, requests.Fetches, direct.CPU, direct.Wall, direct.Whole, direct.Fetches, direct.CPU/requests.CPU)
	}
	return nil
}

// variants calls f for each, as closedLoop does.
func (p *prewarmResult) variants(ctx context.Context, st *stack, url string, state string) (map[string]answer, error) {
	client := newClient(p.Clients)
	defer client.CloseIdleConnections()
	n := len(p.Widths) * len(p.Formats)
	answers := make([]answer, n)
	names := make([]string, n)
	err := closedLoop(ctx, p.Clients, n, func(i int) (err error) {
		width, format := p.Widths[i/len(p.Formats)], p.Formats[i%len(p.Formats)]
		names[i] = fmt.Sprintf("%s %d", format, width)
		answers[i], err = get(ctx, client, st.base+nextTarget(url, width, format), accepts(format))
		if err == nil && answers[i].cache != state {
			err = fmt.Errorf("%s: %s, want %s", names[i], answers[i].cache, state)
		}
		return err
	})
	all := map[string]answer{}
	for i, name := range names {
		all[name] = answers[i]
	}
	return all, err
}

func (p *prewarmResult) runRequests(ctx context.Context, s settings, up *upstream, dir, url string) (sm srcsetSample, all map[string]answer, err error) {
	st, err := imgoptDisk(s, nameImgopt, dir, patiently...).start(ctx)
	if err != nil {
		return sm, nil, err
	}
	defer func() {
		_, closed := st.close()
		err = errors.Join(err, closed)
	}()
	fetches, began := up.fetches.Load(), time.Now()
	if all, err = p.variants(ctx, st, url, "MISS"); err != nil {
		return sm, nil, err
	}
	sm.Wall = time.Since(began).Seconds()
	sm.CPU, sm.Fetches = st.cpu(), up.fetches.Load()-fetches
	return sm, all, nil
}

func (p *prewarmResult) runDirect(ctx context.Context, s settings, up *upstream, dir, url string) (sm srcsetSample, all map[string]answer, err error) {
	cache, err := os.MkdirTemp(dir, "warm-")
	if err != nil {
		return sm, nil, err
	}
	list := filepath.Join(cache, "urls")
	if err := os.WriteFile(list, []byte(url+"\n"), 0o600); err != nil {
		return sm, nil, err
	}
	cache = filepath.Join(cache, "cache")
	var widths []string
	for _, w := range p.Widths {
		widths = append(widths, strconv.Itoa(w))
	}
	argv := append([]string{s.imgopt, "prewarm", "--json", "--urls", list, "--widths", strings.Join(widths, ","), "--formats", strings.Join(p.Formats, ","),
		"--cache.disk.path", cache, "--concurrency", strconv.Itoa(p.Clients)}, append(imgoptArgs(), patiently...)...)
	fetches, began := up.fetches.Load(), time.Now()
	c, err := startProcess(ctx, launch{argv: argv})
	if err != nil {
		return sm, nil, err
	}
	ended := c.Wait()
	sm.Whole = time.Since(began).Seconds()
	text, err := os.ReadFile(c.log.Name())
	state := c.State()
	if err := errors.Join(ended, err, c.stop()); err != nil {
		return sm, nil, fmt.Errorf("pre-warming: %w: %s", err, text)
	}
	// Its own, and that of the codecs, for which it has waited.
	sm.CPU, sm.Fetches = (state.UserTime() + state.SystemTime()).Seconds(), up.fetches.Load()-fetches
	var report struct{ Seconds float64 }
	if from := strings.IndexByte(string(text), '{'); from < 0 || json.Unmarshal(text[from:], &report) != nil {
		return sm, nil, fmt.Errorf("pre-warming said no report: %s", text)
	}
	sm.Wall = report.Seconds

	st, err := imgopt(s, nameImgopt, "--cache.disk.path", cache).start(ctx)
	if err != nil {
		return sm, nil, err
	}
	defer func() {
		_, closed := st.close()
		err = errors.Join(err, closed)
	}()
	all, err = p.variants(ctx, st, url, "HIT")
	return sm, all, err
}

func srcsetCPU(s srcsetSample) float64     { return s.CPU }
func srcsetWall(s srcsetSample) float64    { return s.Wall }
func srcsetWhole(s srcsetSample) float64   { return s.Whole }
func srcsetFetches(s srcsetSample) float64 { return float64(s.Fetches) }

func (p *prewarmResult) table(b *strings.Builder, _ int) {
	fmt.Fprintf(b, "\nA whole srcset of one 6-megapixel photo into an empty folder: %d widths × %s. Every variant is a hit afterwards, with the same bytes. "+
		"One request each: %d clients in a closed loop, to an imgopt that has just started. CPU is that of all processes, their start included.\n\n",
		len(p.Widths), strings.Join(p.Formats, ", "), p.Clients)
	b.WriteString("| | fetches | CPU s | wall s | with start and end, s |\n|---|---|---|---|---|\n")
	fmt.Fprintf(b, "| one request each | %s | %s | %s | |\n", spread(p.Requests, srcsetFetches, "%.0f"), spread(p.Requests, srcsetCPU, "%.2f"), spread(p.Requests, srcsetWall, "%.2f"))
	fmt.Fprintf(b, "| `imgopt prewarm` | %s | %s | %s | %s |\n", spread(p.Direct, srcsetFetches, "%.0f"), spread(p.Direct, srcsetCPU, "%.2f"), spread(p.Direct, srcsetWall, "%.2f"), spread(p.Direct, srcsetWhole, "%.2f"))
	fmt.Fprintf(b, "| ratio | | %.3f | %.3f | |\n", ratio(p.Direct, p.Requests, srcsetCPU), ratio(p.Direct, p.Requests, srcsetWall))
}

func (p *prewarmResult) claims() []claim {
	what := fmt.Sprintf("%d widths × %s", len(p.Widths), strings.Join(p.Formats, ", "))
	return []claim{
		{Target: "prewarm-fetches", Case: what, Values: values(p.Direct, srcsetFetches)},
		{Target: "prewarm-cpu", Case: what, Values: ratios(p.Direct, p.Requests, srcsetCPU)},
	}
}
