//go:build e2e

package stress

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"imgopt/stress/corpus"
)

// soakLimits have small caches, so that they are full when the warm-up ends.
var soakLimits = limits{Workers: 2, Body: 8 * mib, Cache: 8 * mib, Sources: 64 * mib, Responses: 64 * mib, Decoding: 768 * mib, Codec: 512 * mib}

// soak is everything that happens at once.
type soak struct {
	s      *service
	o      *origin
	images []string
	read   map[string][]byte
	client *http.Client
	before resting

	mu     sync.Mutex
	counts map[string]map[int]int // by kind of request, by status; 0 is a client that left
	bad    int
}

// TestSoak runs a mixture of everything for the time that SOAK says (2m, 20m) and compares what the processes hold at
// its beginning, after a warm-up, with what they hold at its end.
func TestSoak(t *testing.T) {
	during, err := time.ParseDuration(os.Getenv("SOAK"))
	if os.Getenv("SOAK") == "" {
		t.Skip("SOAK is not set: SOAK=2m or SOAK=20m runs it")
	}
	if err != nil || during < 30*time.Second {
		t.Fatalf("SOAK=%q: want a duration of at least 30s", os.Getenv("SOAK"))
	}
	o := startOrigin(t, "127.0.0.1")
	s := startService(t, append(soakLimits.flags(t), "--origin=http://"+o.addr, "--images.formats=image/avif,image/webp", "--images.minimumCacheTTL=1",
		"--fetch.timeout=1s", "--timeout=5s", "--transform.timeout=2s", "--transform.maxJobs=0", "--log.level=info",
		"--cache.disk.path="+filepath.Join(t.TempDir(), "cache"), "--cache.disk.max=32MiB")...)
	k := &soak{s: s, o: o, images: testImages(t), read: map[string][]byte{}, client: newClient(t, 64, patience), counts: map[string]map[int]int{}}
	for _, name := range k.images {
		k.read[name] = testImage(t, name)
	}
	k.publish()
	for i := range hitKeys { // the hits are there before anything else competes for the codecs
		k.ask(t, "hit", fmt.Sprintf("/photo/hit-%d.jpg", i), 256, http.StatusOK)
	}
	k.before = s.resting(t)

	ctx, cancel := context.WithTimeout(t.Context(), during)
	defer cancel()
	stop := s.watch(t)
	var running sync.WaitGroup
	k.traffic(t, ctx, &running)
	samples := k.sample(t, ctx)
	running.Wait()
	seen := stop()
	s.mustRun(t)
	k.client.CloseIdleConnections()
	s.backAtRest(t, k.before, o)
	soakLimits.check(t, seen, 64)
	k.judge(t, samples, seen, during)
}

// publish puts what does not change into the origin.
func (k *soak) publish() {
	hour := "public, max-age=3600"
	k.o.put("photo", served{body: k.read["photo-640.jpg"], cacheControl: hour})
	k.o.put("stale", served{body: k.read["photo-641.jpg"], cacheControl: "public, max-age=1", etag: `"the same"`})
	k.o.put("slow", served{body: k.read["photo-640.jpg"], wait: 3 * time.Second})
	large := make([]byte, 2*mib)
	copy(large, "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")
	k.o.put("large", served{body: large, cacheControl: hour})
}

// traffic starts everything.
func (k *soak) traffic(t *testing.T, ctx context.Context, running *sync.WaitGroup) {
	// every runs a kind of request that many times a second, numbered, until the end. One that takes longer than its
	// share of a second delays the next.
	every := func(perSecond float64, do func(n int, r *rand.Rand)) {
		running.Go(func() {
			r := rand.New(rand.NewPCG(uint64(perSecond*1000), 3))
			tick := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if k.s.Alive() {
					do(n, r)
				}
			}
		})
	}
	every(100, func(n int, _ *rand.Rand) {
		k.ask(t, "hit", fmt.Sprintf("/photo/hit-%d.jpg", n%hitKeys), 256, http.StatusOK)
	})
	every(8, func(n int, _ *rand.Rand) { k.ask(t, "miss", fmt.Sprintf("/photo/miss-%d.jpg", n), 640, http.StatusOK) })
	every(5, func(n int, _ *rand.Rand) { k.ask(t, "stale", fmt.Sprintf("/stale/%d.jpg", n%10), 64, http.StatusOK) })
	every(2, func(n int, r *rand.Rand) { // another image each time
		k.o.put("changing", served{body: numbered(k.read["photo-640.jpg"], n), cacheControl: "public, max-age=1", etag: fmt.Sprintf("%q", fmt.Sprint(n))})
		k.ask(t, "changing", fmt.Sprintf("/changing/%d.jpg", r.IntN(5)), 64, http.StatusOK)
	})
	every(5, func(n int, r *rand.Rand) {
		name := k.images[r.IntN(len(k.images))]
		key := "broken-" + strconv.Itoa(n)
		k.o.put(key, served{body: corpus.Flip(k.read[name], name, n)})
		k.ask(t, "broken", "/"+key+"/"+name, 64, 0)
		k.o.drop(key)
	})
	every(0.5, func(n int, _ *rand.Rand) {
		k.ask(t, "timeout", fmt.Sprintf("/slow/%d.jpg", n), 64, http.StatusGatewayTimeout)
	})
	every(5, func(n int, _ *rand.Rand) {
		k.ask(t, "not found", fmt.Sprintf("/none/%d.jpg", n), 64, http.StatusNotFound)
	})
	every(10, func(int, *rand.Rand) { k.ask(t, "bad width", "/photo/hit-0.jpg", 65, http.StatusBadRequest) })
	every(4, func(n int, r *rand.Rand) { // clients that leave, at every stage
		leaving, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(60))*time.Millisecond)
		defer cancel()
		_, err := ask(leaving, k.client, k.s.image(fmt.Sprintf("/photo/left-%d.jpg", n), 640), "Accept", acceptWebP)
		if err != nil {
			k.count("left", 0)
		}
	})
	for i := range 4 {
		running.Go(func() {
			for n := 0; ctx.Err() == nil && k.s.Alive(); n++ {
				k.readSlowly(t, ctx, fmt.Sprintf("/large/%d-%d.heic", i, n%20))
			}
		})
	}
}

func (k *soak) count(kind string, status int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.counts[kind] == nil {
		k.counts[kind] = map[int]int{}
	}
	k.counts[kind][status]++
}

// ask asks and counts. want is the status that must come, 0 for any that is none of a server's error.
func (k *soak) ask(t *testing.T, kind, href string, width, want int) {
	a, err := ask(context.Background(), k.client, k.s.image(href, width), "Accept", acceptWebP)
	if err != nil {
		k.complain(t, "%s %s: %v", kind, href, err)
		return
	}
	k.count(kind, a.status)
	if want != 0 && a.status != want || want == 0 && a.status > 500 {
		k.complain(t, "%s %s: %v", kind, href, a)
	}
}

func (k *soak) complain(t *testing.T, format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.bad++; k.bad <= 20 {
		t.Errorf(format, args...)
	}
}

// readSlowly reads the beginning of a large answer in small pieces and hangs up.
func (k *soak) readSlowly(t *testing.T, ctx context.Context, href string) {
	conn, err := net.Dial("tcp", k.s.addr)
	if err != nil {
		k.complain(t, "a slow reader: %v", err)
		return
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: slow.test\r\n\r\n", path(href, 64)); err != nil {
		k.complain(t, "a slow reader: %v", err)
		return
	}
	piece := make([]byte, 8<<10)
	for range 30 {
		if _, err := io.ReadFull(conn, piece); err != nil {
			k.count("slow reader, ended", 0) // refused for want of memory, perhaps
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	k.count("slow reader", 0)
}

// held is what the processes hold at a moment.
type held struct{ service, codecs, goroutines, descriptors float64 }

// sampleEvery is the time between two looks.
const sampleEvery = 500 * time.Millisecond

// sample looks until the end.
func (k *soak) sample(t *testing.T, ctx context.Context) []held {
	var samples []held
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return samples
		case <-tick.C:
		}
		if !k.s.Alive() {
			return samples
		}
		h := held{service: float64(usageOf(k.s.PID()).resident)}
		for _, pid := range k.s.children() {
			h.codecs += float64(usageOf(pid).anonymous)
		}
		at := k.s.resting(t)
		h.goroutines, h.descriptors = at.goroutines, at.descriptors
		samples = append(samples, h)
	}
}

// judge compares the first and the last third of what was seen after the warm-up, a fifth of the time.
func (k *soak) judge(t *testing.T, samples []held, seen peaks, during time.Duration) {
	samples = samples[len(samples)/5:]
	third := len(samples) / 3
	if third < 10 {
		t.Fatalf("%d samples are too few", len(samples))
	}
	r := newReport("soak")
	r.line("%v of hits, misses, stale and broken images, time-outs, leaving and slow clients at once.", during)
	rows := [][]string{{"median", "first third", "last third", "may grow to"}}
	values := map[string]any{}
	for _, c := range []struct {
		name  string
		get   func(held) float64
		share float64 // of growth that is noise
		more  float64 // and this, in the value's unit
		unit  float64
	}{
		{"service, resident, MiB", func(h held) float64 { return h.service }, 0.10, 8 * mib, mib},
		{"codecs, private, MiB", func(h held) float64 { return h.codecs }, 0.15, 16 * mib, mib},
		{"goroutines", func(h held) float64 { return h.goroutines }, 0.10, 20, 1},
		{"descriptors", func(h held) float64 { return h.descriptors }, 0.10, 20, 1},
	} {
		first, last := median(samples[:third], c.get), median(samples[len(samples)-third:], c.get)
		most := first*(1+c.share) + c.more
		show := func(v float64) string { return strconv.FormatFloat(v/c.unit, 'f', 0, 64) }
		rows = append(rows, []string{c.name, show(first), show(last), show(most)})
		values[c.name] = []float64{first / c.unit, last / c.unit}
		if last > most {
			t.Errorf("%s: %s in the first third, %s in the last", c.name, show(first), show(last))
		}
	}
	r.table(rows)

	m := k.s.metrics(t)
	reasons := m.sum("imgopt_codec_jobs_total", `outcome="timeout"`) + m.sum("imgopt_codec_jobs_total", `outcome="crashed"`) + m.sum("imgopt_codec_jobs_total", `outcome="canceled"`)
	lost, worn := m.sum("imgopt_codec_replaced_total", `reason="lost"`), m.sum("imgopt_codec_replaced_total", `reason="worn"`)
	if lost > reasons || worn > 0 {
		t.Errorf("codec processes replaced: %v lost although %v jobs were timed out, crashed or cancelled; %v worn", lost, reasons, worn)
	}
	var kinds []string
	k.mu.Lock()
	for kind, counts := range k.counts {
		kinds = append(kinds, fmt.Sprintf("%s %v", kind, counts))
	}
	k.mu.Unlock()
	r.line("Requests by status: %s.", strings.Join(slices.Sorted(slices.Values(kinds)), "; "))
	r.line("Codec processes replaced: %.0f after a time-out, a crash or a cancelled job (of which there were %.0f).", lost, reasons)
	r.table(soakLimits.rows(seen, 64))
	values["requests"], values["replaced"], values["peaks"], values["seconds"] = k.counts, lost, seen, during.Seconds()
	r.Limits, r.Values = soakLimits, values
	r.finish(t)
}

func median(samples []held, get func(held) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = get(s)
	}
	return quantile(values, 0.5)
}
