//go:build e2e

package fleet

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"imgopt/valkey/valkeytest"
)

// balancer knows which replicas want requests, as one in front of them does: from /readyz.
type balancer struct {
	mu    sync.Mutex
	ready []*replica
}

// probeEvery is less than the shutdown delay, so that a replica that stops is not asked any more when it has stopped.
const (
	probeEvery    = 100 * time.Millisecond
	shutdownDelay = "1s"
)

// newBalancer asks until the test ends.
func newBalancer(t testing.TB, replicas []*replica) *balancer {
	b := &balancer{}
	b.probe(replicas)
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(probeEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				b.probe(replicas)
			}
		}
	})
	t.Cleanup(func() { close(stop); done.Wait() })
	return b
}

func (b *balancer) probe(replicas []*replica) {
	ok := make([]bool, len(replicas))
	var all sync.WaitGroup
	for i, r := range replicas {
		all.Go(func() { ok[i], _ = r.ready() })
	}
	all.Wait()
	var ready []*replica
	for i, r := range replicas {
		if ok[i] {
			ready = append(ready, r)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready = ready
}

func (b *balancer) replicas() []*replica {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ready
}

// Replicas are ended and started again one after the other, with jobs under way. Nobody notices.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	f, _ := startThree(t, valkeytest.Options{}, "--shutdownDelay="+shutdownDelay)
	f.origin.set(func(o *origin) { o.delay = 200 * time.Millisecond })
	b := newBalancer(t, f.all)
	w := f.startTraffic(trafficOptions{hits: 60, misses: 6, replicas: b.replicas})
	w.lasts(time.Second)
	for range choose(1, 5) {
		for _, r := range f.all {
			from := w.mark()
			// Somebody has a connection at hand on which nothing was asked yet. That is no reason to wait.
			idle, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			stopped := r.term()
			_ = idle.Close()
			if limit := time.Second + busy; stopped > limit {
				t.Errorf("%s stopped in %v, want %v at most", r.name, stopped, limit)
			}
			began := time.Now()
			r.start()
			started := time.Since(began)
			eventually(t, "the balancer asks it again", func() error {
				if n := len(b.replicas()); n < len(f.all) {
					return fmt.Errorf("%d replicas are asked", n)
				}
				return nil
			})
			w.lasts(500 * time.Millisecond)
			w.between(from, w.mark()).check(t, fmt.Sprintf("%s restarted (stopped in %v, ready after %v)", r.name, round2(stopped), round2(started)))
		}
	}
	w.onlyHits(func() { f.together(f.all, "afterwards") })
	w.finish()
	// A replica that starts anew finds in Valkey what it had in memory. (A look there that takes too long is a miss, which
	// happens where the machine has much else to do.)
	again := 0
	for _, k := range w.hits {
		if n, _ := f.origin.fetched(k.variant); n > 1 {
			again++
		}
	}
	t.Logf("of %d images that all had %d were made again", len(w.hits), again)
	if again > len(w.hits)/4 {
		t.Errorf("of %d images that all had %d were made again", len(w.hits), again)
	}
	f.all[0].queueEmpty()
}
