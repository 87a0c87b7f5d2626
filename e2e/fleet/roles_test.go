//go:build e2e

package fleet

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"imgopt/valkey/valkeytest"
)

// webTimeout is the time that a request may take here.
const webTimeout = 4 * time.Second

var timeoutFlag = "--timeout=" + webTimeout.String()

// isRefused tells what is wrong with the answer to a request for which there is no worker: it is refused at once, with
// when to ask again, or its time runs out while it waits for a worker to come.
func (a *answer) isRefused(limit time.Duration) error {
	switch {
	case a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "":
		return nil
	case a.status == http.StatusGatewayTimeout && a.took >= limit-100*time.Millisecond:
		return nil
	}
	return fmt.Errorf("%v after %v, Retry-After %q: want 503 with Retry-After, or to wait for %v", a, a.took, a.header.Get("Retry-After"), limit)
}

// Those who answer and those who make images are different processes.
func TestRoles(t *testing.T) {
	t.Parallel()
	server := valkeytest.Start(t, valkeytest.Options{})
	f := newFleet(t, server.URL())
	webs := []*replica{f.add("web-1", "--role=web", timeoutFlag), f.add("web-2", "--role=web", timeoutFlag)}
	for _, web := range webs {
		web.launch()
		eventually(t, web.name+" waits for a worker", func() error {
			web.mustRun()
			if ready, why := web.ready(); ready || !strings.Contains(why, "worker") {
				return fmt.Errorf("/readyz: %t %s", ready, why)
			}
			return nil
		})
	}
	// A worker is told to listen and does not.
	forbidden := freeAddr(t)
	var workers []*replica
	for i := range 2 {
		workers = append(workers, f.add(fmt.Sprintf("worker-%d", i+1), "--role=worker", "--listen="+forbidden, timeoutFlag))
	}
	startAll(workers...)
	for _, web := range webs {
		t.Logf("%s is ready %v after the workers", web.name, round2(web.awaitReady()))
		if n := web.children(); len(n) != 0 {
			t.Errorf("%s has codecs: %v", web.name, n)
		}
	}
	for _, worker := range workers {
		if n := worker.children(); len(n) == 0 {
			t.Errorf("%s has no codecs", worker.name)
		}
	}
	if c, err := net.Dial("tcp", forbidden); err == nil {
		_ = c.Close()
		t.Error("a worker has a public listener")
	}
	f.storm(webs, f.fresh(20), 200, true).check(t, "two webs, two workers")
	if n := encodes(webs); n != 0 {
		t.Errorf("webs have made %d images", n)
	}
	for _, worker := range workers {
		t.Logf("%s has made %d images", worker.name, encodes([]*replica{worker}))
	}
	hit := f.fresh(1)[0]
	each(webs, func(r *replica) { r.must(hit) })

	t.Run("no worker", func(t *testing.T) { noWorker(t, f, webs, workers, hit) })
	t.Run("another pipeline", func(t *testing.T) { anotherPipeline(t, f, webs, workers) })
	f.together(webs, "afterwards")
	webs[0].queueEmpty()
}

// noWorker ends all workers: hits go on, misses are refused in time, or wait for one that comes.
func noWorker(t *testing.T, f *fleet, webs, workers []*replica, hit variant) {
	workers[0].kill()
	workers[1].term()
	for _, web := range webs {
		if a := web.must(hit); a.header.Get("X-Nextjs-Cache") != "HIT" {
			t.Errorf("%s without workers: %v", web.name, a)
		}
	}
	miss := f.fresh(1)[0]
	a, err := webs[0].image(miss)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a miss without workers: %v after %v, Retry-After %q", a, round2(a.took), a.header.Get("Retry-After"))
	if err := a.isRefused(webTimeout); err != nil {
		t.Errorf("a miss without workers: %v", err)
	}
	if limit := webTimeout + busy; a.took > limit {
		t.Errorf("a miss without workers was refused after %v, want %v at most", a.took, limit)
	}
	for _, web := range webs {
		if ready, why := web.ready(); !ready {
			t.Errorf("%s serves hits and is not ready: %s", web.name, why)
		}
	}
	// One that comes does what was waited for.
	late := f.fresh(1)[0]
	answered := make(chan error, 1)
	go func() {
		a, err := webs[1].image(late)
		if err == nil {
			err = a.isImage()
		}
		answered <- err
	}()
	startAll(workers...)
	if err := <-answered; err != nil {
		t.Logf("a miss while the workers start: %v", err)
	}
	webs[0].must(late)
	webs[0].must(miss)
}

// anotherPipeline has a web with another configuration: its jobs are not for these workers, and do them no harm.
func anotherPipeline(t *testing.T, f *fleet, webs, workers []*replica) {
	other := f.add("web-svg", "--role=web", "--images.dangerouslyAllowSVG=true", timeoutFlag)
	other.launch()
	eventually(t, "it waits for a worker of its own", func() error {
		if ready, why := other.ready(); ready || !strings.Contains(why, "worker") {
			return fmt.Errorf("/readyz: %t %s", ready, why)
		}
		return nil
	})
	svg, photo := variant{"/drawing.svg", 256}, f.fresh(1)[0]
	before, fetched := encodes(workers), 0
	for _, v := range []variant{svg, photo} {
		a, err := other.image(v)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s for a web without workers of its own: %v after %v", v.href, a, round2(a.took))
		if err := a.isRefused(webTimeout); err != nil {
			t.Errorf("%s: %v", v.href, err)
		}
	}
	if fetched, _ = f.origin.fetched(svg, photo); fetched != 0 || encodes(workers) != before {
		t.Errorf("workers of another configuration have fetched %d sources and made %d images", fetched, encodes(workers)-before)
	}
	for _, web := range webs {
		a, err := web.image(svg)
		if err != nil || a.status != http.StatusBadRequest {
			t.Errorf("a drawing from %s: %v %v, want 400", web.name, a, err)
		}
		web.must(photo)
	}
	f.add("worker-svg", "--role=worker", "--images.dangerouslyAllowSVG=true").start()
	other.awaitReady()
	a, err := other.image(svg)
	if err != nil || a.status != http.StatusOK || !bytes.Contains(a.body, []byte("<svg")) {
		t.Errorf("a drawing: %v %v", a, err)
	}
	if a := other.must(photo); a.header.Get("X-Nextjs-Cache") == "" {
		t.Errorf("a photo: %v", a)
	}
	for _, r := range []*replica{other, webs[0]} {
		q, err := r.queue()
		if err != nil {
			t.Fatal(err)
		}
		if q.DeadTotal != 0 {
			t.Errorf("dead letters: %+v", q.Dead)
		}
	}
}
