package valkeycache_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/cache/valkeycache"
	"imgopt/valkey"
	"imgopt/valkey/valkeytest"
)

// replica is what one process has.
type replica struct {
	*cache.Tiered
	t      *testing.T
	client *valkey.Client
	purges *cache.Purges
	skew   time.Duration // of its clock
}

func newReplica(t *testing.T, url, prefix, dir string) *replica {
	t.Helper()
	c := connect(t, url, prefix)
	// a poll that would only come after the test, so that what is tested is that replicas are told
	p, err := cache.OpenPurges(cache.PurgeOptions{Dir: dir, Shared: valkeycache.NewPurges(c), Poll: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{t: t, client: c, purges: p, Tiered: cache.NewTieredWith(p,
		cache.Tier{Name: "memory", Store: newMemory(t)},
		cache.Tier{Name: "disk", Store: newDisk(t, dir)},
		cache.Tier{Name: "valkey", Store: newStore(t, valkeycache.Options{Client: c})},
	)}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("closing a replica: %v", err)
		}
	})
	r.synced(time.Time{})
	return r
}

// synced waits until the replica has been in step after a moment.
func (r *replica) synced(after time.Time) {
	r.t.Helper()
	valkeytest.Eventually(r.t, 20*time.Second, func() error {
		if !r.purges.Stats().Synced.After(after) {
			return errors.New("not in step")
		}
		return nil
	})
}

// begin starts work on a url; the returned function ends it.
func (r *replica) begin(n byte, href string) (store func()) {
	mark, began := r.Mark(), time.Now().Add(r.skew)
	return func() {
		r.t.Helper()
		e := &cache.Entry{Href: href, Body: []byte("body"), StoredAt: began, ExpiresAt: began.Add(24 * time.Hour), Mark: mark}
		if err := r.Put(r.t.Context(), cache.Key{n}, e); err != nil {
			r.t.Errorf("Put: %v", err)
		}
	}
}

func (r *replica) has(n byte) bool {
	r.t.Helper()
	_, err := r.Get(r.t.Context(), cache.Key{n})
	if err != nil && !errors.Is(err, cache.ErrMiss) {
		r.t.Errorf("Get: %v", err)
	}
	return err == nil
}

// gone waits until no replica has the entry any more.
func gone(t *testing.T, n byte, replicas ...*replica) {
	t.Helper()
	for i, r := range replicas {
		valkeytest.Eventually(t, 20*time.Second, func() error {
			if r.has(n) {
				return fmt.Errorf("replica %d still has entry %d", i, n)
			}
			return nil
		})
	}
}

func wantAll(t *testing.T, n byte, replicas ...*replica) {
	t.Helper()
	for i, r := range replicas {
		if !r.has(n) {
			t.Errorf("replica %d does not have entry %d", i, n)
		}
	}
}

func (r *replica) purge(p cache.Purge) cache.PurgeReport {
	r.t.Helper()
	report, err := r.Purge(r.t.Context(), p)
	if err != nil {
		r.t.Errorf("Purge: %v", err)
	}
	return report
}

func TestPurgeReachesEveryReplica(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	a, b := newReplica(t, server.URL(), prefix, t.TempDir()), newReplica(t, server.URL(), prefix, t.TempDir())
	a.skew, b.skew = -time.Hour, time.Hour
	valkeytest.Eventually(t, 10*time.Second, func() error { // both listen
		if report := a.purge(cache.Purge{URL: "/nothing"}); report.Heard != 2 || report.Pending {
			return fmt.Errorf("report: %+v", report)
		}
		return nil
	})
	for n, href := range []string{"/img/a.jpg", "/img/b.jpg", "https://x/c.jpg"} {
		a.begin(byte(n), href)()
		wantAll(t, byte(n), a, b) // b has it from Valkey, and then in memory and on disk
	}
	inWork := b.begin(3, "/img/a.jpg")
	a.purge(cache.Purge{URL: "/img/a.jpg"})
	if a.has(0) {
		t.Error("it is still here")
	}
	gone(t, 0, a, b)
	inWork()
	gone(t, 3, a, b)
	wantAll(t, 1, a, b)
	wantAll(t, 2, a, b)

	b.begin(0, "/img/a.jpg")() // made anew, by the replica whose clock is ahead
	wantAll(t, 0, a, b)
	b.purge(cache.Purge{Prefix: "/img/"})
	gone(t, 0, a, b)
	gone(t, 1, a, b)
	wantAll(t, 2, a, b)
	a.begin(0, "/img/a.jpg")() // by the one whose clock is behind
	wantAll(t, 0, a)
	b.purge(cache.Purge{All: true})
	for n := range byte(3) {
		gone(t, n, a, b)
	}
}

// The entry that the clock of a replica dates before the purged one must not lose to it in Valkey.
func TestMadeAnewByAClockThatIsBehind(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	a, b := newReplica(t, server.URL(), prefix, t.TempDir()), newReplica(t, server.URL(), prefix, t.TempDir())
	b.skew = -time.Hour
	a.begin(1, "/a")()
	a.purge(cache.Purge{URL: "/a"})
	gone(t, 1, a, b)
	b.begin(1, "/a")()
	wantAll(t, 1, b, a)
}

// A replica whose connection was cut during a purge finds out when it is back.
func TestPurgeWhileCutOff(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	proxy := valkeytest.NewProxy(t, server.Addr())
	prefix := newPrefix()
	a, b := newReplica(t, server.URL(), prefix, t.TempDir()), newReplica(t, proxy.URL(), prefix, t.TempDir())
	a.begin(1, "/a")()
	a.begin(2, "/b")()
	wantAll(t, 1, a, b)
	wantAll(t, 2, a, b)
	proxy.Cut()
	a.purge(cache.Purge{URL: "/a"})
	gone(t, 1, a)
	b.begin(3, "/a")() // b does not know
	wantAll(t, 1, b)
	wantAll(t, 3, b)
	if report := b.purge(cache.Purge{URL: "/b"}); !report.Pending {
		t.Errorf("report of the one that is cut off: %+v", report)
	}
	if b.has(2) {
		t.Error("the purge does not hold where it was asked for")
	}
	wantAll(t, 2, a)
	proxy.Mend()
	for n := range byte(4) {
		gone(t, n, a, b)
	}
	valkeytest.Eventually(t, 10*time.Second, func() error {
		if n := b.purges.Stats().Pending; n != 0 {
			return fmt.Errorf("%d purges are still pending", n)
		}
		return nil
	})
	b.begin(1, "/a")()
	b.begin(2, "/b")()
	wantAll(t, 1, a, b)
	wantAll(t, 2, a, b)
}

// A replica that was not running finds out when it starts, before it could serve what it has on disk.
func TestPurgeWhileStopped(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	prefix, dir := newPrefix(), t.TempDir()
	a, b := newReplica(t, server.URL(), prefix, t.TempDir()), newReplica(t, server.URL(), prefix, dir)
	b.begin(1, "/a")()
	b.begin(2, "/b")()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	a.purge(cache.Purge{Prefix: "/a"})
	b = newReplica(t, server.URL(), prefix, dir)
	if b.has(1) {
		t.Error("what was purged is served")
	}
	wantAll(t, 2, a, b)
}

// Valkey is away while one purges, forgets everything, and comes back.
func TestPurgeWithoutValkey(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	a, b := newReplica(t, server.URL(), prefix, t.TempDir()), newReplica(t, server.URL(), prefix, t.TempDir())
	a.begin(1, "/a")()
	a.begin(2, "/b")()
	a.begin(3, "/c")()
	for n := range byte(3) {
		wantAll(t, n+1, a, b)
	}
	a.purge(cache.Purge{URL: "/a"})
	gone(t, 1, a, b)
	server.Kill()
	a.purge(cache.Purge{URL: "/b"})
	if a.has(2) {
		t.Error("the purge does not hold where it was asked for")
	}
	wantAll(t, 2, b)
	server.Restart()
	gone(t, 2, a, b)
	gone(t, 1, a, b)
	wantAll(t, 3, a, b) // from memory and disk
	c := newReplica(t, server.URL(), prefix, t.TempDir())
	valkeytest.Eventually(t, 10*time.Second, func() error {
		if n := c.purges.Stats().Records; n != 2 {
			return fmt.Errorf("a new replica knows %d purges, want both", n)
		}
		return nil
	})
}

func TestPurgeInACluster(t *testing.T) {
	t.Parallel()
	cluster := valkeytest.StartCluster(t, 3, 0, true, valkeytest.Options{})
	prefix := newPrefix()
	a, b := newReplica(t, cluster.URL(), prefix, t.TempDir()), newReplica(t, cluster.URL(), prefix, t.TempDir())
	for n := range byte(20) {
		a.begin(n, fmt.Sprint("/", n))()
		wantAll(t, n, a, b)
	}
	a.purge(cache.Purge{Prefix: "/1"})
	for n := range byte(20) {
		if strings.HasPrefix(fmt.Sprint(n), "1") {
			gone(t, n, a, b)
		} else {
			wantAll(t, n, a, b)
		}
	}
}

func TestPurgeAcrossAFailover(t *testing.T) {
	t.Parallel()
	set := valkeytest.Sentinels(t, valkeytest.Options{})
	prefix := newPrefix()
	a, b := newReplica(t, set.URL(), prefix, t.TempDir()), newReplica(t, set.URL(), prefix, t.TempDir())
	a.begin(1, "/a")()
	a.begin(2, "/b")()
	wantAll(t, 1, a, b)
	wantAll(t, 2, a, b)
	a.purge(cache.Purge{URL: "/a"})
	first := set.Primary()
	first.Kill()
	b.purge(cache.Purge{URL: "/b"}) // pending
	set.Failover(first)
	gone(t, 1, a, b)
	gone(t, 2, a, b)
}
