package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"imgopt/handler"
	"imgopt/valkey/valkeytest"
)

// Two editions share a job folder for a while. A job that the earlier one has begun is its own until it is done.
func TestReloadFilesystem(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	f := newConfigFile(t, "maxAttempts: 3\nimages: {minimumCacheTTL: 1}\n")
	p := startService(t, "--origin="+o.URL, f.flag(), "--storage.type=filesystem", "--storage.path="+folder, "--fetch.timeout=1m", "--timeout=2m")
	owners := func() int {
		entries, err := os.ReadDir(filepath.Join(folder, "owners"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	get(t, p.image("/a.jpg", 64), "Accept", "image/webp")
	o.pause()
	eventually(t, "the entry is stale", func() bool {
		return get(t, p.image("/a.jpg", 64), "Accept", "image/webp").header.Get("X-Nextjs-Cache") == "STALE"
	})
	eventually(t, "the revalidation is under way", func() bool { return o.fetches.Load() == 2 })
	inFlight := asking(p.image("/b.jpg", 64), "Accept", "image/webp")
	eventually(t, "a source is being fetched", func() bool { return o.fetches.Load() == 3 })

	f.write(t, "maxAttempts: 2\nimages: {minimumCacheTTL: 3600}\n")
	if status, answer := p.reload(t); status != http.StatusOK {
		t.Fatalf("%d %+v", status, answer)
	}
	if n := owners(); n != 2 {
		t.Errorf("%d queues in the folder, want both", n)
	}
	// The new edition finds the job stored and leased, and leaves it alone.
	checkHeader(t, get(t, p.image("/a.jpg", 64), "Accept", "image/webp"), map[string]string{"X-Nextjs-Cache": "STALE"})
	o.resume()
	if r := wait(t, inFlight); r.status != http.StatusOK {
		t.Errorf("asked before the reload: %v", r)
	}
	eventually(t, "the earlier queue is closed", func() bool { return owners() == 1 })
	eventually(t, "the revalidation is done", func() bool {
		return p.metric(t, `imgopt_cache_revalidations_total{outcome="unchanged"}`) == 1
	})
	if n := o.fetches.Load(); n != 3 {
		t.Errorf("%d fetches, want 3", n)
	}
	for _, dir := range []string{"queued", "leased", "dead"} {
		if files, err := os.ReadDir(filepath.Join(folder, dir)); err != nil || len(files) > 0 {
			t.Errorf("%s holds %v, %v", dir, files, err)
		}
	}
}

// Nothing of an edition stays when it is over.
func TestReloadLeaves(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	f := newConfigFile(t, "timeout: 10s\n")
	p := startService(t, "--origin="+o.URL, f.flag(), "--storage.type=filesystem", "--storage.path="+t.TempDir(), "--log.access=false")
	count := 0
	reload := func() {
		t.Helper()
		count++
		f.write(t, fmt.Sprintf("timeout: %dms\n", 10000+count))
		if status, answer := p.reload(t); status != http.StatusOK || len(answer.Changed) != 1 {
			t.Fatalf("%d %+v", status, answer)
		}
		// A connection to the origin is kept by the edition that has opened it.
		if r := get(t, p.image(fmt.Sprintf("/%d.jpg", count), 64)); r.status != http.StatusOK {
			t.Fatalf("%v", r)
		}
	}
	descriptors := func() int {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	goroutines := func() float64 { return p.metric(t, "go_goroutines") }
	reload()
	beforeFDs, beforeGo := descriptors(), goroutines()
	if beforeGo == 0 {
		t.Fatal("no go_goroutines")
	}
	const rounds = 30
	for range rounds {
		reload()
	}
	// A few come and go with requests.
	eventually(t, "what editions had open is closed", func() bool {
		return descriptors() < beforeFDs+rounds/3 && goroutines() < beforeGo+rounds/3
	})
}

// Replicas that share Valkey are reloaded one after the other while requests come in, and not one of them fails. What
// does not change what images are made of leaves them together; another origin parts them.
func TestReloadValkey(t *testing.T) {
	t.Parallel()
	valkeytest.Need(t)
	server := valkeytest.Start(t, valkeytest.Options{})
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	f := newConfigFile(t, "fetch: {timeout: 7s}\norigin: ["+o.URL+"]\n")
	var replicas [2]*process
	for i := range replicas {
		replicas[i] = startService(t, f.flag(), "--storage.type=valkey", "--storage.url="+server.URL(), "--transform.workers=1", "--log.access=false", "--storage.timeout=5s")
	}
	queue := func(p *process) (q handler.QueueReport) {
		t.Helper()
		if err := json.Unmarshal(get(t, p.admin+"/queue").body, &q); err != nil {
			t.Fatal(err)
		}
		return q
	}
	together := func(when string) {
		t.Helper()
		eventually(t, when+" both replicas are in the same queue", func() bool {
			a, b := queue(replicas[0]), queue(replicas[1])
			own := 0
			for _, w := range a.Workers {
				if w.Version == a.Version {
					own++
				}
			}
			return own == len(replicas) && a.Version == b.Version
		})
	}
	together("at the start")
	version := queue(replicas[0]).Version

	var stop atomic.Bool
	var asked atomic.Int64
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for !stop.Load() {
				n := asked.Add(1)
				r, err := ask(http.MethodGet, replicas[i%2].image(fmt.Sprintf("/%d.jpg", n), 64), "Accept", "image/webp")
				if err != nil || r.status != http.StatusOK {
					t.Errorf("%v, %v", r, err)
					return
				}
			}
		})
	}
	for i := range 6 {
		f.write(t, fmt.Sprintf("fetch: {timeout: %ds}\norigin: [%s]\n", 8+i, o.URL))
		for _, p := range replicas {
			if status, answer := p.reload(t); status != http.StatusOK || len(answer.Changed) != 1 {
				t.Errorf("%d %+v", status, answer)
			}
		}
		before := asked.Load()
		eventually(t, "requests go on", func() bool { return asked.Load() > before+4 || t.Failed() })
	}
	stop.Store(true)
	clients.Wait()
	t.Logf("%d images, %d fetches", asked.Load(), o.fetches.Load())
	together("after the reloads") // and the earlier queues have gone
	if v := queue(replicas[1]).Version; v != version {
		t.Errorf("the version is %q, was %q", v, version)
	}

	other := newOrigin(t, testImage(t, "photo-641.jpg"))
	f.write(t, "fetch: {timeout: 7s}\norigin: ["+other.URL+"]\n")
	if status, answer := replicas[0].reload(t); status != http.StatusOK {
		t.Fatalf("%d %+v", status, answer)
	}
	a := get(t, replicas[0].image("/1.jpg", 64), "Accept", "image/webp")
	b := get(t, replicas[1].image("/1.jpg", 64), "Accept", "image/webp")
	if a.status != http.StatusOK || b.status != http.StatusOK || a.sum() == b.sum() {
		t.Errorf("of two origins: %v, %v", a, b)
	}
	if v := queue(replicas[0]).Version; v == version {
		t.Errorf("the version is %q still", v)
	}
	if status, answer := replicas[1].reload(t); status != http.StatusOK {
		t.Fatalf("%d %+v", status, answer)
	}
	if r := get(t, replicas[1].image("/1.jpg", 64), "Accept", "image/webp"); r.status != http.StatusOK || r.sum() != a.sum() {
		t.Errorf("of the same origin: %v", r)
	}
	if n := other.fetches.Load(); n != 1 {
		t.Errorf("%d fetches from the new origin, want 1 for both", n)
	}
	together("at the end")
}

// Web and worker are told at the same moment that the origin is another one, again and again. Their jobs are others from
// then on, and still nobody's request fails.
func TestReloadWebAndWorker(t *testing.T) {
	t.Parallel()
	valkeytest.Need(t)
	server := valkeytest.Start(t, valkeytest.Options{})
	origins := []*origin{newOrigin(t, testImage(t, "photo-640.jpg")), newOrigin(t, testImage(t, "photo-641.jpg"))}
	f := newConfigFile(t, "origin: ["+origins[0].URL+"]\n")
	flags := []string{f.flag(), "--storage.type=valkey", "--storage.url=" + server.URL(), "--transform.workers=1", "--log.access=false", "--timeout=10s", "--storage.timeout=5s"}
	worker := startProcess(t, "imgopt", append([]string{"serve", "--role=worker", "--adminListen=127.0.0.1:0", "--log.format=json"}, flags...)...)
	worker.admin = "http://" + worker.logged(t, listening("admin")).Address
	web := startService(t, append(flags, "--role=web")...)

	// Not before there is a worker for it.
	f.write(t, "origin: ["+origins[1].URL+"]\n")
	if status, answer := web.reload(t); status != http.StatusConflict || !strings.Contains(answer.Error, "origin") || !strings.Contains(answer.Error, "workers") {
		t.Errorf("web before worker: %d %+v", status, answer)
	}
	if r := get(t, web.image("/0.jpg", 64), "Accept", "image/webp"); r.status != http.StatusOK {
		t.Errorf("after the refusal: %v", r)
	}

	var stop atomic.Bool
	var asked atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				r, err := ask(http.MethodGet, web.image(fmt.Sprintf("/%d.jpg", asked.Add(1)), 64), "Accept", "image/webp")
				if err != nil || r.status != http.StatusOK {
					t.Errorf("%v, %v", r, err)
					return
				}
			}
		})
	}
	for i := range 4 {
		next := origins[(i+1)%2]
		f.write(t, "origin: ["+next.URL+"]\n")
		before := next.fetches.Load()
		web.signal(t, syscall.SIGHUP)
		worker.signal(t, syscall.SIGHUP)
		if l := web.reloaded(t, i+2); l.Changed != "origin" {
			t.Errorf("the web process has logged %+v", l)
		}
		eventually(t, "the next origin is asked", func() bool { return next.fetches.Load() > before+4 || t.Failed() })
	}
	stop.Store(true)
	clients.Wait()
	t.Logf("%d images", asked.Load())
	for _, p := range []*process{web, worker} {
		p.signal(t, syscall.SIGTERM)
		if code := p.exitCode(t); code != exitOK {
			t.Errorf("exit code %d", code)
		}
	}
}
