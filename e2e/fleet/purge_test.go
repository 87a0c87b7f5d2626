//go:build e2e

package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"imgopt/valkey/valkeytest"
)

// heardWithin is how soon a purge holds in replicas that can be reached, missedWithin in those that missed it, once they
// can (they look every five seconds), on a busy machine.
const (
	heardWithin  = 2 * time.Second
	missedWithin = 10 * time.Second
)

// library is some photos with the answers that are right now.
type library struct {
	f      *fleet
	photos []variant
	now    map[string][]byte // by href
}

// warm has every replica answer with every photo, so that all tiers have it.
func (l *library) warm() {
	l.f.t.Helper()
	l.now = map[string][]byte{}
	for _, v := range l.photos {
		for _, r := range l.f.all {
			a := r.must(v)
			if l.now[v.href] == nil {
				l.now[v.href] = a.body
			}
			if !bytes.Equal(a.body, l.now[v.href]) {
				l.f.t.Errorf("%s at %s is another image", v.href, r.name)
			}
		}
	}
}

var errOld = errors.New("the purged image is still served")

// anew checks that a replica answers with a new image for what was purged, and returns how long that took to be so.
func (l *library) anew(r *replica, v variant, limit time.Duration, old []byte) time.Duration {
	l.f.t.Helper()
	return within(l.f.t, limit, v.href+" at "+r.name, func() error {
		a := r.must(v)
		if bytes.Equal(a.body, old) {
			return errOld
		}
		if now := l.now[v.href]; now != nil && !bytes.Equal(a.body, now) {
			l.f.t.Errorf("%s at %s is neither the old nor the new image", v.href, r.name)
		}
		l.now[v.href] = a.body
		return nil
	})
}

// kept checks that a replica has everything but what was purged, without asking the origin.
func (l *library) kept(fetches map[string]int) {
	l.f.t.Helper()
	for _, v := range l.photos {
		for _, r := range l.f.all {
			if a := r.must(v); a.header.Get("X-Nextjs-Cache") != "HIT" || !bytes.Equal(a.body, l.now[v.href]) {
				l.f.t.Errorf("%s at %s: %v, want a hit", v.href, r.name, a)
			}
		}
		if n, _ := l.f.origin.fetched(v); n != fetches[v.href] {
			l.f.t.Errorf("%s was fetched %d times, want %d", v.href, n, fetches[v.href])
		}
	}
}

// What is purged at one replica is made anew by all, once, whatever tier it is in, and whether they were there or not.
func TestPurge(t *testing.T) {
	t.Parallel()
	server := valkeytest.Start(t, valkeytest.Options{})
	f := newFleet(t, server.URL())
	proxy := valkeytest.NewProxy(t, server.Addr())
	one, two, cut := f.add("replica-1"), f.add("replica-2"), f.add("replica-3", "--storage.url="+proxy.URL())
	for _, r := range f.all {
		r.flags = append(r.flags, "--cache.disk.path="+filepath.Join(r.dir, "cache"), "--cache.disk.max=64MiB")
	}
	startAll(f.all...)
	l := &library{f: f}
	for _, href := range []string{"/shop/1.jpg", "/shop/2.jpg", "/shop/3.jpg", "/shopping.jpg", "/other.jpg"} {
		l.photos = append(l.photos, variant{href, 256})
	}
	l.warm()
	fetches := map[string]int{}
	for _, v := range l.photos {
		fetches[v.href] = 1
	}
	l.kept(fetches)

	for _, c := range []struct {
		field  string
		value  any
		purges []string
	}{
		{"url", "/shop/2.jpg", []string{"/shop/2.jpg"}},
		{"prefix", "/shop/", []string{"/shop/1.jpg", "/shop/2.jpg", "/shop/3.jpg"}},
		{"all", true, []string{"/shop/1.jpg", "/shop/2.jpg", "/shop/3.jpg", "/shopping.jpg", "/other.jpg"}},
	} {
		old := map[string][]byte{}
		for _, href := range c.purges {
			f.origin.change(href)
			old[href], l.now[href] = l.now[href], nil
			fetches[href]++
		}
		p := one.purge(c.field, c.value)
		var slowest time.Duration
		for _, href := range c.purges {
			for _, r := range f.all {
				slowest = max(slowest, l.anew(r, variant{href, 256}, heardWithin, old[href]))
			}
		}
		t.Logf("%s %v: %d replicas heard, all three have new images after %v at most", c.field, c.value, p.Heard, round(slowest))
		if p.Pending || p.Heard != len(f.all) {
			t.Errorf("%s %v: %+v, want all replicas to have heard", c.field, c.value, p)
		}
		l.kept(fetches)
	}

	v := variant{"/shop/1.jpg", 256}
	change := func() []byte {
		old := l.now[v.href]
		l.now[v.href] = nil
		f.origin.change(v.href)
		return old
	}
	t.Run("a replica that was stopped", func(t *testing.T) {
		two.term()
		old := change()
		p := one.purge("url", v.href)
		l.anew(one, v, 0, old)
		two.start()
		t.Logf("%d heard; the one that was stopped has the new image %v after it was ready", p.Heard, round(l.anew(two, v, missedWithin, old)))
		l.anew(cut, v, heardWithin, old)
	})
	t.Run("a replica that was cut off", func(t *testing.T) {
		proxy.Cut()
		eventually(t, "it notices", cut.degraded)
		old := change()
		p := one.purge("url", v.href)
		l.anew(one, v, 0, old)
		l.anew(two, v, heardWithin, old)
		if a := cut.must(v); !bytes.Equal(a.body, old) {
			t.Errorf("the one that is cut off knows of the purge")
		}
		proxy.Mend()
		t.Logf("%d heard; the one that was cut off has the new image after %v", p.Heard, round(l.anew(cut, v, missedWithin, old)))
		eventually(t, "it is whole", cut.whole)
	})
	t.Run("at a replica that is cut off", func(t *testing.T) {
		proxy.Cut()
		eventually(t, "it notices", cut.degraded)
		old := change()
		p := cut.purge("url", v.href)
		if !p.Pending {
			t.Errorf("%+v, want it to be pending", p)
		}
		l.anew(cut, v, 0, old)
		proxy.Mend()
		took := max(l.anew(one, v, missedWithin, old), l.anew(two, v, missedWithin, old))
		t.Logf("the others have the new image after %v", round(took))
		eventually(t, "it is whole", cut.whole)
	})
	t.Run("what is being made", func(t *testing.T) { purgeInTheMiddle(t, f, one) })
	t.Run("Valkey forgets", func(t *testing.T) {
		// The purge is known to the replicas, and that is enough for one that was away.
		two.term()
		old := change()
		one.purge("url", v.href)
		server.Restart()
		eventually(t, "the others have it again", func() error { return errors.Join(one.whole(), cut.whole()) })
		l.anew(one, v, 0, old)
		two.start()
		t.Logf("the one that was stopped has the new image %v after it was ready", round(l.anew(two, v, missedWithin, old)))
	})
	f.together(f.all, "afterwards")
}

// A replica that was away is ready when it knows what was purged meanwhile, not before. A web process is ready soonest.
func TestPurgedBeforeReady(t *testing.T) {
	t.Parallel()
	f := newFleet(t, valkeytest.Start(t, valkeytest.Options{}).URL())
	f.add("worker", "--role=worker")
	one, two := f.add("web-1", "--role=web"), f.add("web-2", "--role=web")
	two.flags = append(two.flags, "--cache.disk.path="+filepath.Join(two.dir, "cache"), "--cache.disk.max=64MiB")
	startAll(f.all...)
	for range choose(5, 30) {
		v := f.fresh(1)[0]
		old := one.must(v).body
		two.must(v)
		two.term()
		f.origin.change(v.href)
		one.purge("url", v.href)
		two.start()
		if a := two.must(v); bytes.Equal(a.body, old) {
			t.Error("it was ready, and served what had been purged")
		}
	}
}

// purgeInTheMiddle purges an image while its old source is being fetched, for requests at all replicas. None of them may
// bring the old image back.
func purgeInTheMiddle(t *testing.T, f *fleet, at *replica) {
	v := f.fresh(1)[0]
	f.origin.hold()
	defer f.origin.release()
	var asking sync.WaitGroup
	bodies := make([][]byte, len(f.all))
	for i, r := range f.all {
		asking.Go(func() {
			a, err := r.image(v)
			if err == nil {
				err = a.isImage()
			}
			if err != nil {
				t.Errorf("%s: %v", r.name, err)
				return
			}
			bodies[i] = a.body
		})
	}
	eventually(t, "the old source is being fetched", func() error {
		if n, _ := f.origin.fetched(v); n == 0 {
			return errors.New("no fetch")
		}
		return nil
	})
	eventually(t, "all ask", func() error {
		if n := total(f.all, "imgopt_http_requests_in_flight"); int(n) < len(f.all) {
			return fmt.Errorf("%v of %d", n, len(f.all))
		}
		return nil
	})
	f.origin.change(v.href)
	at.purge("url", v.href)
	f.origin.release()
	asking.Wait()
	var now []byte
	for _, r := range f.all {
		a := r.must(v)
		if now == nil {
			now = a.body
		}
		if !bytes.Equal(a.body, now) {
			t.Errorf("%s serves another image than the others", r.name)
		}
	}
	old := 0
	for _, b := range bodies {
		if !bytes.Equal(b, now) {
			old++
		}
	}
	n, _ := f.origin.fetched(v)
	t.Logf("%d of %d requests from before the purge got the old image; %d fetches", old, len(bodies), n)
	if n != 2 {
		t.Errorf("%d fetches, want 2: one of before, one of after the purge", n)
	}
}
