//go:build e2e

package fleet

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"imgopt/valkey/valkeytest"
)

// However Valkey is reached, replicas are one through it.
func TestConnections(t *testing.T) {
	t.Parallel()
	certificates := valkeytest.NewTLS(t)
	secure := valkeytest.Start(t, valkeytest.Options{TLS: certificates, User: "imgopt", Password: "se/cret?"})
	query := url.Values{"ca": {certificates.CA}, "cert": {certificates.Cert}, "key": {certificates.Key}}.Encode()
	plain := valkeytest.Start(t, valkeytest.Options{Password: "secret"})
	for _, c := range []struct {
		name, url string
		flags     []string
	}{
		{"TLS and a user", secure.URL() + "?" + query, nil},
		{"rediss", strings.Replace(secure.URL(), "valkeys:", "rediss:", 1) + "?" + query, []string{"--storage.type=redis"}},
		{"redis and a database", strings.Replace(plain.URL(), "valkey:", "redis:", 1) + "/3", []string{"--storage.type=redis"}},
		{"a database and a prefix", plain.URL(), []string{"--storage.db=4", "--storage.prefix=shop:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleet(t, c.url).run(2, c.flags...)
			f.together(f.all, c.name)
			f.all[0].queueEmpty()
			for _, r := range f.all {
				if err := r.whole(); err != nil {
					t.Error(err)
				}
				if strings.Contains(r.log(), "secret") || strings.Contains(r.log(), url.QueryEscape("se/cret?")) {
					t.Errorf("%s tells the password", r.name)
				}
			}
		})
	}
	// Those with another database or prefix are others.
	a, b := newFleet(t, plain.URL()+"/5"), newFleet(t, plain.URL()+"/5")
	b.origin = a.origin
	a.run(1)
	b.run(1, "--storage.prefix=other:")
	v := a.fresh(1)[0]
	a.all[0].must(v)
	b.all[0].must(v)
	if n, _ := a.origin.fetched(v); n != 2 {
		t.Errorf("two with different prefixes have fetched an image %d times, want 2", n)
	}
}

// Images that the shared tier does not take get to those who wait for them all the same.
func TestLargeResults(t *testing.T) {
	t.Parallel()
	server := valkeytest.Start(t, valkeytest.Options{})
	f := newFleet(t, server.URL())
	const small = "--cache.valkey.maxEntry=1024" // every image here is larger
	webs := []*replica{f.add("web-1", "--role=web", small), f.add("web-2", "--role=web", small)}
	f.add("worker-1", "--role=worker", small)
	f.add("worker-2", "--role=worker", small)
	startAll(f.all...)
	f.storm(webs, f.fresh(20), 400, true).check(t, "results that the tier does not take")
	webs[0].queueEmpty()
}

// An origin that fails is asked as often as for one request, and left alone for a while. What failed for good is a dead
// letter, for all replicas, until an operator has it done again.
func TestFailingOrigin(t *testing.T) {
	t.Parallel()
	const errorTTL = 3 * time.Second
	f, _ := startThree(t, valkeytest.Options{}, "--storage.errorTTL="+errorTTL.String())
	f.origin.set(func(o *origin) { o.fails = http.StatusInternalServerError })
	v := f.fresh(1)[0]
	ask := func(n int) (failed time.Time) {
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				a, err := f.all[i%3].image(v)
				if err != nil || a.status != http.StatusBadGateway {
					t.Errorf("from a failing origin: %v %v, want 502", a, err)
				}
				mu.Lock()
				defer mu.Unlock()
				if failed.IsZero() {
					failed = time.Now()
				}
			})
		}
		all.Wait()
		return failed
	}
	failed := ask(90)
	first, _ := f.origin.fetched(v)
	if first < 1 || first > 3 {
		t.Errorf("90 requests: the origin was asked %d times, want three at most", first)
	}
	ask(30)
	after := time.Since(failed)
	again, _ := f.origin.fetched(v)
	t.Logf("a failing origin: asked %d times for 90 requests, %d times for 30 more until %v after that", first, again-first, round(after))
	if again != first && after < errorTTL-time.Second {
		t.Errorf("the origin was asked again %v after it had failed", after)
	}
	q, err := f.all[1].queue()
	if err != nil {
		t.Fatal(err)
	}
	if q.DeadTotal != 1 || len(q.Dead) != 1 || q.Dead[0].Href != v.href || q.Dead[0].Attempts != first {
		t.Errorf("%d dead letters: %+v, want the one of %s after %d attempts", q.DeadTotal, q.Dead, v.href, first)
	}
	f.origin.set(func(o *origin) { o.fails = 0 })
	took := within(t, errorTTL+busy, "it works again", func() error {
		for _, r := range f.all {
			a, err := r.image(v)
			if err == nil {
				err = a.isImage()
			}
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
		return nil
	})
	t.Logf("the origin works again: so does the image after %v", round2(took))
	var done struct{ Retried int }
	if err := f.all[2].post("/queue/retry", map[string]any{"all": true}, &done); err != nil || done.Retried != 1 {
		t.Errorf("retrying the dead letter: %+v %v, want one", done, err)
	}
	f.all[0].queueEmpty()
}

// The metrics say that Valkey is away, and what that costs.
func TestMetrics(t *testing.T) {
	t.Parallel()
	f, server := startThree(t, valkeytest.Options{})
	const up, relocated = "imgopt_valkey_up", "imgopt_queue_relocated_total"
	says := func(want float64) {
		t.Helper()
		for _, r := range f.all {
			eventually(t, r.name+" tells", func() error {
				m := r.metrics()
				if got, ok := m[up]; !ok || got != want {
					return fmt.Errorf("%s is %v (%t), want %v", up, got, ok, want)
				}
				return nil
			})
		}
	}
	says(1)
	server.Kill()
	says(0)
	for _, v := range f.fresh(3) {
		f.all[0].must(v)
	}
	if n := f.all[0].metrics().sum(relocated); n != 3 {
		t.Errorf("%s is %v after three images, want 3", relocated, n)
	}
	server.Restart()
	says(1)
	f.together(f.all, "afterwards")
	if n := f.all[0].metrics().sum(relocated); n != 3 {
		t.Errorf("%s is %v with Valkey, want 3 as before", relocated, n)
	}
}
