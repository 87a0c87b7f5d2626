//go:build e2e

package fleet

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"imgopt/valkey/valkeytest"
)

// A web process that cannot reach Valkey has nobody to work for it: it waits for a moment, then says so, and serves what
// it has.
func TestWebCutOff(t *testing.T) {
	t.Parallel()
	server := valkeytest.Start(t, valkeytest.Options{})
	proxy := valkeytest.NewProxy(t, server.Addr())
	f := newFleet(t, server.URL())
	web := f.add("web-1", "--role=web", "--storage.url="+proxy.URL())
	f.add("worker-1", "--role=worker")
	startAll(f.all...)
	hit := f.fresh(1)[0]
	web.must(hit)

	held, late := f.fresh(1)[0], f.fresh(1)[0]
	ask := func(v variant) <-chan *answer {
		got := make(chan *answer, 1)
		go func() {
			a, err := web.image(v)
			if err != nil {
				t.Error(err)
			}
			got <- a
		}()
		return got
	}
	// A moment without Valkey costs nothing but that: neither what is being waited for nor what is asked meanwhile.
	f.origin.hold()
	before := ask(held)
	eventually(t, "the source is being fetched", func() error {
		if n, _ := f.origin.fetched(held); n == 0 {
			return errors.New("no fetch")
		}
		return nil
	})
	proxy.Cut()
	f.origin.release()
	eventually(t, "it notices", web.degraded)
	during := ask(late)
	if a := web.must(hit); a.header.Get("X-Nextjs-Cache") != "HIT" {
		t.Errorf("a hit without Valkey: %v", a)
	}
	proxy.Mend()
	for what, got := range map[string]<-chan *answer{"asked before": before, "asked meanwhile": during} {
		if a := <-got; a != nil {
			t.Logf("Valkey was away for a moment: a miss %s: %v after %v", what, a.status, round2(a.took))
			if err := a.isImage(); err != nil {
				t.Errorf("Valkey was away for a moment: a miss %s: %v", what, err)
			}
		}
	}
	eventually(t, "it is whole", web.whole)

	// When it stays away, misses are refused, and soon.
	proxy.Cut()
	eventually(t, "it notices", web.degraded)
	if a := <-ask(f.fresh(1)[0]); a != nil {
		t.Logf("a miss without Valkey: %v after %v", a, round2(a.took))
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.took > busy {
			t.Errorf("a miss without Valkey: %v after %v, Retry-After %q, want 503 with Retry-After soon", a, a.took, a.header.Get("Retry-After"))
		}
	}
	proxy.Mend()
	eventually(t, "it is whole", web.whole)
	web.must(held)
	f.together([]*replica{web}, "afterwards")
	web.queueEmpty()
}

// Processes start, and end, while Valkey hangs: it takes them hardly longer.
func TestHangingValkey(t *testing.T) {
	t.Parallel()
	server := valkeytest.Start(t, valkeytest.Options{})
	f := newFleet(t, server.URL()).run(3)
	v := f.fresh(1)[0]
	each(f.all, func(r *replica) { r.must(v) })
	server.Pause()
	defer server.Continue()
	const soon = 5*time.Second + busy
	var mu sync.Mutex
	var slowest time.Duration
	each(f.all[:2], func(r *replica) { // one knows that Valkey hangs, one has to find out
		if r == f.all[0] {
			eventually(t, "it notices", r.degraded)
		}
		r.client.http.CloseIdleConnections()
		took := r.term()
		mu.Lock()
		defer mu.Unlock()
		slowest = max(slowest, took)
	})
	began := time.Now()
	startAll(f.all[:2]...)
	t.Logf("while Valkey hangs two replicas end within %v and are ready again after %v", round2(slowest), round2(time.Since(began)))
	if slowest > soon || time.Since(began) > soon {
		t.Errorf("want %v at most", soon)
	}
	f.all[0].must(f.fresh(1)[0])
	server.Continue()
	for _, r := range f.all {
		eventually(t, r.name+" is whole", r.whole)
	}
	f.together(f.all, "afterwards")
	f.all[0].queueEmpty()
}
