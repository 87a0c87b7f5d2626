package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"imgopt/config"
)

// configFile is a configuration file that a test changes.
type configFile string

func newConfigFile(t *testing.T, text string) configFile {
	f := configFile(filepath.Join(t.TempDir(), "imgopt.yaml"))
	f.write(t, text)
	return f
}

func (f configFile) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(string(f), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (f configFile) flag() string { return "--config=" + string(f) }

// reloadLine is what the log says of a reload.
type reloadLine struct {
	Level, Msg, By, Changed, Error string
	Restart                        string `json:"need a restart"`
}

// reloads returns the lines about reloads.
func (p *process) reloads(t *testing.T) (out []reloadLine) {
	t.Helper()
	for line := range strings.Lines(p.stderr.String()) {
		var l reloadLine
		if json.Unmarshal([]byte(line), &l) == nil && l.By != "" {
			out = append(out, l)
		}
	}
	return out
}

// reloaded waits for the nth line about a reload.
func (p *process) reloaded(t *testing.T, n int) reloadLine {
	t.Helper()
	var all []reloadLine
	eventually(t, fmt.Sprintf("reload %d was logged", n), func() bool { all = p.reloads(t); return len(all) >= n })
	return all[n-1]
}

// reload has the configuration read again by request.
func (p *process) reload(t *testing.T) (status int, answer struct {
	Changed, NeedRestart []string
	Error                string
}) {
	t.Helper()
	r, err := ask(http.MethodPost, p.admin+"/reload", "Content-Type", "application/json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(r.body, &answer); err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	return r.status, answer
}

// Every key says whether a reload can put it in force.
func TestReloadKeys(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, f := range config.Flags() {
		known[f.Name] = true
		if _, ok := reloadable[f.Name]; !ok {
			t.Errorf("%s is missing in reloadable", f.Name)
		}
	}
	for key := range reloadable {
		if !known[key] {
			t.Errorf("%s in reloadable is no key", key)
		}
	}
}

// SIGHUP changes the rules while requests come in all the time, and not one of them fails. What is in memory stays.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	const one, two = "images: {qualities: [75]}\n", "images: {qualities: [50, 75], minimumCacheTTL: 60}\n"
	f := newConfigFile(t, one)
	p := startService(t, "--origin="+o.URL, f.flag(), "--log.access=false", "--transform.queue=10000")
	other := strings.Replace(p.image("/hit.jpg", 64), "q=75", "q=50", 1)
	if r := get(t, other); r.status != http.StatusBadRequest {
		t.Fatalf("quality 50 before: %v", r)
	}
	first := get(t, p.image("/hit.jpg", 64), "Accept", "image/webp")

	var stop atomic.Bool
	var misses, hits atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				n := misses.Add(1)
				r, err := ask(http.MethodGet, p.image(fmt.Sprintf("/%d.jpg", n), 64), "Accept", "image/webp")
				if err != nil || r.status != http.StatusOK || r.sum() != first.sum() {
					t.Errorf("a miss: %v, %v", r, err)
					return
				}
			}
		})
		clients.Go(func() {
			for !stop.Load() {
				hits.Add(1)
				r, err := ask(http.MethodGet, p.image("/hit.jpg", 64), "Accept", "image/webp")
				if err != nil || r.status != http.StatusOK || r.header.Get("X-Nextjs-Cache") != "HIT" || r.sum() != first.sum() {
					t.Errorf("a hit: %v, %v", r, err)
					return
				}
			}
		})
	}
	const rounds = 10
	for i := range rounds {
		text, status := two, http.StatusOK
		if i%2 == 1 {
			text, status = one, http.StatusBadRequest
		}
		f.write(t, text)
		p.signal(t, syscall.SIGHUP)
		if l := p.reloaded(t, i+1); l.Level != "INFO" || l.By != bySignal || l.Changed != "images.qualities, images.minimumCacheTTL" || l.Restart != "" {
			t.Errorf("reload %d was logged as %+v", i+1, l)
		}
		// Logged is in force.
		if r := get(t, other); r.status != status {
			t.Errorf("quality 50 after reload %d: %v, want %d", i+1, r, status)
		}
		before := misses.Load()
		eventually(t, "requests go on", func() bool { return misses.Load() > before+4 || t.Failed() })
	}
	stop.Store(true)
	clients.Wait()
	t.Logf("%d reloads during %d misses and %d hits", rounds, misses.Load(), hits.Load())
	// The hit in quality 75 and in 50, and each miss: all were fetched once, across all editions.
	if n := o.fetches.Load(); n != misses.Load()+2 {
		t.Errorf("%d fetches for %d images", n, misses.Load()+2)
	}
	for series, want := range map[string]float64{
		"imgopt_reload_successful":     1,
		"imgopt_reload_failures_total": 0,
	} {
		if got := p.metric(t, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.exitCode(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// A configuration that cannot be put in force is refused as a whole, with the reason, and costs nothing.
func TestReloadRefused(t *testing.T) {
	t.Parallel()
	const good = "images: {qualities: [75]}\n"
	f := newConfigFile(t, "origin: ["+imagesOrigin(t)+"]\n"+good)
	p := startService(t, f.flag())
	working := func() {
		t.Helper()
		if r := get(t, p.image("/photo-640.jpg", 64)); r.status != http.StatusOK {
			t.Errorf("an image: %v", r)
		}
		if r := get(t, strings.Replace(p.image("/photo-640.jpg", 64), "q=75", "q=50", 1)); r.status != http.StatusBadRequest {
			t.Errorf("quality 50: %v", r)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for i, bad := range []struct {
		text string
		want []string // in the reason
	}{
		{"origin: [" + imagesOrigin(t) + "]\nimages: {qualities: [50, 101]}\n", []string{string(f) + ":2", "images.qualities", "101", "from 1 to 100"}},
		{"origin: [" + imagesOrigin(t) + "]\nimages: {qualities: [50], quality: 3}\n", []string{"images.quality", "unknown"}},
		{"images: {qualities: [50]}\n", []string{"origin", "not set"}},
		// This one is found out when the new edition is made.
		{"origin: [file://" + missing + "]\nimages: {qualities: [50]}\n", []string{missing, "want a directory"}},
	} {
		f.write(t, bad.text)
		p.signal(t, syscall.SIGHUP)
		l := p.reloaded(t, 2*i+1)
		status, answer := p.reload(t)
		if status != http.StatusConflict || len(answer.Changed) > 0 {
			t.Errorf("%q: POST /reload: %d %+v, want 409", bad.text, status, answer)
		}
		for _, want := range bad.want {
			if l.Level != "ERROR" || l.By != bySignal || !strings.Contains(l.Error, want) {
				t.Errorf("%q: logged as %+v, want an error with %q", bad.text, l, want)
			}
			if !strings.Contains(answer.Error, want) {
				t.Errorf("%q: POST /reload says %q, want %q in it", bad.text, answer.Error, want)
			}
		}
		working()
		if ok, failures := p.metric(t, "imgopt_reload_successful"), p.metric(t, "imgopt_reload_failures_total"); ok != 0 || failures != float64(2*i+2) {
			t.Errorf("imgopt_reload_successful %v, failures %v", ok, failures)
		}
	}
	if r := get(t, p.admin+"/readyz"); r.status != http.StatusOK {
		t.Errorf("/readyz: %v", r)
	}
	f.write(t, "origin: ["+imagesOrigin(t)+"]\n"+good)
	if status, answer := p.reload(t); status != http.StatusOK || len(answer.Changed)+len(answer.NeedRestart) != 0 {
		t.Errorf("the first configuration again: %d %+v", status, answer)
	}
	if ok := p.metric(t, "imgopt_reload_successful"); ok != 1 {
		t.Errorf("imgopt_reload_successful is %v at the end", ok)
	}
	working()
}

// What belongs to the process keeps its value, and whoever reloads is told; the rest is put in force.
func TestReloadNeedsRestart(t *testing.T) {
	t.Parallel()
	f := newConfigFile(t, "log: {access: true}\n")
	p := startService(t, "--origin="+imagesOrigin(t), f.flag())
	f.write(t, "log: {access: false}\ncache: {memory: 1MiB}\ncompress: false\nbasePath: /shop\ndemo: false\n")
	changed, restart := []string{"basePath", "compress", "demo"}, []string{"cache.memory", "log.access"}
	for i := range 2 {
		status, answer := p.reload(t)
		if status != http.StatusOK || !slices.Equal(answer.Changed, changed) || !slices.Equal(answer.NeedRestart, restart) {
			t.Errorf("%d %+v, want %v and %v", status, answer, changed, restart)
		}
		l := p.reloaded(t, i+1)
		if l.Level != "WARN" || l.By != byRequest || l.Changed != strings.Join(changed, ", ") || l.Restart != strings.Join(restart, ", ") {
			t.Errorf("logged as %+v", l)
		}
		changed = nil // it is in force; the others still are not
	}
	if r := get(t, p.image("/photo-640.jpg", 64)); r.status != http.StatusNotFound {
		t.Errorf("without the new basePath: %v", r)
	}
	if r := get(t, p.public+"/shop"+imagePath("/shop/photo-640.jpg", 64)); r.status != http.StatusOK {
		t.Errorf("with the new basePath: %v", r)
	}
	if r := get(t, p.admin+"/demo"); r.status != http.StatusNotFound {
		t.Errorf("/demo: %v", r)
	}
	p.logged(t, func(l logLine) bool { return l.Msg == "request" })
	f.write(t, "log: {access: true}\nbasePath: /shop\n")
	if status, answer := p.reload(t); status != http.StatusOK || !slices.Equal(answer.Changed, []string{"compress", "demo"}) || len(answer.NeedRestart) != 0 {
		t.Errorf("after it was changed back: %d %+v", status, answer)
	}
	if r := get(t, p.admin+"/demo"); r.status != http.StatusOK {
		t.Errorf("/demo again: %v", r)
	}
}

// Who has asked before the reload is answered as before it, by an edition that goes when all are answered. Who asks
// after it is not kept waiting for them.
func TestReloadOrigin(t *testing.T) {
	t.Parallel()
	before, after := newOrigin(t, testImage(t, "photo-640.jpg")), newOrigin(t, testImage(t, "photo-641.jpg"))
	f := newConfigFile(t, "origin: ["+before.URL+"]\n")
	p := startService(t, f.flag(), "--fetch.timeout=1m", "--timeout=2m", "--transform.workers=1")
	hit := get(t, p.image("/a.jpg", 64), "Accept", "image/webp")

	before.pause()
	inFlight := asking(p.image("/b.jpg", 64), "Accept", "image/webp")
	eventually(t, "the source is being fetched", func() bool { return before.fetches.Load() == 2 })
	f.write(t, "origin: ["+after.URL+"]\n")
	// To the whole group, as a terminal sends it: the codecs must not mind.
	codecs := children(t, p)
	send(t, -p.cmd.Process.Pid, syscall.SIGHUP)
	if l := p.reloaded(t, 1); l.Changed != "origin" {
		t.Fatalf("logged as %+v", l)
	}
	for _, href := range []string{"/a.jpg", "/b.jpg"} {
		r := get(t, p.image(href, 64), "Accept", "image/webp")
		checkHeader(t, r, map[string]string{"X-Nextjs-Cache": "MISS"})
		if want, ok := nextSum(t, "photo-641.jpg", 64, "image/webp"); r.sum() == hit.sum() || ok && r.sum() != want {
			t.Errorf("%s is not the new origin's: %v", href, r)
		}
	}
	// The metrics know of both editions.
	if n := p.metric(t, `imgopt_jobs_in_flight{priority="interactive"}`); n != 1 {
		t.Errorf("%v jobs in flight, want the one of before", n)
	}
	before.resume()
	if r := wait(t, inFlight); r.status != http.StatusOK || r.sum() != hit.sum() {
		t.Errorf("asked before the reload: %v", r)
	}
	if now := children(t, p); !slices.Equal(now, codecs) {
		t.Errorf("the codec processes are %v, were %v", now, codecs)
	}

	// And back: what was in memory is there still.
	f.write(t, "origin: ["+before.URL+"]\n")
	if status, answer := p.reload(t); status != http.StatusOK {
		t.Fatalf("%d %+v", status, answer)
	}
	back := get(t, p.image("/a.jpg", 64), "Accept", "image/webp")
	checkHeader(t, back, map[string]string{"X-Nextjs-Cache": "HIT", "ETag": hit.header.Get("ETag")})
}

// The end of the process waits for earlier editions as for the one in force, and nothing is reloaded any more.
func TestReloadThenStop(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	f := newConfigFile(t, "compress: true\n")
	p := startService(t, "--origin="+o.URL, f.flag(), "--fetch.timeout=1m", "--timeout=2m", "--shutdownTimeout=20s")
	o.pause()
	inFlight := asking(p.image("/a.jpg", 64), "Accept", "image/webp")
	eventually(t, "the source is being fetched", func() bool { return o.fetches.Load() == 1 })
	f.write(t, "compress: false\n")
	if status, answer := p.reload(t); status != http.StatusOK {
		t.Fatalf("%d %+v", status, answer)
	}
	p.signal(t, syscall.SIGTERM)
	eventually(t, "/readyz says no", func() bool { return get(t, p.admin+"/readyz").status == http.StatusServiceUnavailable })
	eventually(t, "reloads are refused", func() bool {
		status, answer := p.reload(t)
		return status == http.StatusServiceUnavailable && strings.Contains(answer.Error, "stopping")
	})
	p.signal(t, syscall.SIGHUP) // and this does not end the process before its time
	o.resume()
	if r := wait(t, inFlight); r.status != http.StatusOK {
		t.Errorf("the request in flight: %v", r)
	}
	if code := p.exitCode(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	p.logged(t, func(l logLine) bool { return l.Msg == "stopped" })
}
