//go:build e2e

package stress

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// slowRequests go to the host that does not answer.
const slowRequests = 200

// Time limits in the tests of slow hosts.
const (
	slowFetch  = 2 * time.Second
	slowBudget = 5 * time.Second
)

// tarpit answers nothing, or a byte a second, while it is closed.
type tarpit struct {
	drips bool
	image []byte
	open  chan struct{}
}

func newTarpit(drips bool, image []byte) *tarpit {
	return &tarpit{drips: drips, image: image, open: make(chan struct{})}
}

// heal has it answer from now on.
func (p *tarpit) heal() { close(p.open) }

func (p *tarpit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-p.open:
		_, _ = w.Write(p.image) // whoever asked may have gone
		return
	default:
	}
	for i := 0; ; i++ {
		if p.drips {
			_, _ = w.Write(p.image[i : i+1])
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
			return
		}
	}
}

// TestSlowHost asks a host that never answers, or a byte a second, for many images. Those of a healthy host, and hits,
// come as if it were not there; nothing waits for it longer than the time limits say, and it is forgiven.
func TestSlowHost(t *testing.T) {
	for name, drips := range map[string]bool{"silent": false, "a byte a second": true} {
		t.Run(name, func(t *testing.T) { testSlowHost(t, drips) })
	}
}

func testSlowHost(t *testing.T, drips bool) {
	image := testImage(t, "photo-640.jpg")
	healthy := startOrigin(t, "127.0.0.1")
	healthy.put("photo", served{body: image})
	pit := newTarpit(drips, image)
	slowAddr, slowServer := serveHTTP(t, "127.0.0.1", pit)
	flags := append(small.flags(t), "--origin=http://"+healthy.addr, anyHost, "--images.dangerouslyAllowLocalIP",
		"--fetch.timeout="+slowFetch.String(), "--timeout="+slowBudget.String(), "--log.level=info")
	s := startService(t, append(flags, optional(t, "--fetch.breaker.openFor=1s")...)...)
	client := newClient(t, slowRequests, patience)
	ask := func(href string) (*answer, time.Duration, error) {
		asked := time.Now()
		a, err := ask(context.Background(), client, s.image(href, 64), "Accept", acceptWebP)
		return a, time.Since(asked), err
	}
	// round asks for new images of the healthy host and for a hit in turn, and returns how long they took.
	round := func(name string) (made, hits []time.Duration) {
		for i := range 100 {
			for _, q := range []struct {
				href string
				into *[]time.Duration
			}{{fmt.Sprintf("http://%s/photo/%s-%d.jpg", healthy.addr, name, i), &made}, {"/photo/hit.jpg", &hits}} {
				a, took, err := ask(q.href)
				if err != nil || a.status != http.StatusOK {
					t.Errorf("%s, %s: %v %v", name, q.href, a, err)
				}
				*q.into = append(*q.into, took)
			}
		}
		return made, hits
	}
	before := s.resting(t)
	alone, hitsAlone := round("alone")

	stop := s.watch(t)
	var slow sync.WaitGroup
	var mu sync.Mutex
	statuses, longest := map[int]int{}, time.Duration(0)
	for i := range slowRequests {
		slow.Go(func() {
			a, took, err := ask(fmt.Sprintf("http://%s/%d.jpg", slowAddr, i))
			mu.Lock()
			defer mu.Unlock()
			longest = max(longest, took)
			if err != nil {
				t.Errorf("the slow host: %v", err)
				return
			}
			if statuses[a.status]++; a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") == "" {
				t.Errorf("503 without Retry-After: %v", a)
			}
		})
	}
	beside, hitsBeside := round("beside")
	slow.Wait()
	seen := stop()
	for status, n := range statuses {
		switch status {
		case http.StatusGatewayTimeout, http.StatusBadGateway, http.StatusServiceUnavailable:
		default:
			t.Errorf("%d requests to the slow host were answered %d", n, status)
		}
	}
	if longest > slowBudget+time.Second {
		t.Errorf("a request to the slow host took %v", longest)
	}
	for _, c := range []struct {
		what          string
		alone, beside []time.Duration
	}{{"new images", alone, beside}, {"hits", hitsAlone, hitsBeside}} {
		was, is := quantile(c.alone, 0.9), quantile(c.beside, 0.9)
		t.Logf("%s: p90 %s alone, %s beside the slow host; max %s", c.what, ms(was), ms(is), ms(quantile(c.beside, 1)))
		if is > 3*was+200*time.Millisecond || quantile(c.beside, 1) > slowFetch {
			t.Errorf("%s wait for the slow host: p90 %s, alone %s; max %s", c.what, ms(is), ms(was), ms(quantile(c.beside, 1)))
		}
	}
	t.Logf("the slow host: %v, the longest %v", statuses, longest.Round(time.Millisecond))

	pit.heal()
	healed := time.Now()
	eventually(t, "the slow host is forgiven", func() bool {
		a, _, err := ask(fmt.Sprintf("http://%s/healed-%d.jpg", slowAddr, time.Now().UnixNano()))
		return err == nil && a.status == http.StatusOK
	})
	if d := time.Since(healed); d > 5*time.Second {
		t.Errorf("it took %v until the slow host was asked again", d)
	}
	s.mustRun(t)
	small.check(t, seen, slowRequests)
	client.CloseIdleConnections()
	slowServer.SetKeepAlivesEnabled(false)
	s.descriptorsBack(t, before, healthy)
}
