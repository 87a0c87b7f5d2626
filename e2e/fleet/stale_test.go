//go:build e2e

package fleet

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imgopt/valkey/valkeytest"
)

// A stale image is revalidated once for all replicas, and served meanwhile: when it is asked for everywhere at once, and
// when it is asked for again and again until every replica has the new one.
func TestRevalidatedOnce(t *testing.T) {
	t.Parallel()
	const ttl, spread = 4 * time.Second, 1500 * time.Millisecond
	f, _ := startThree(t, valkeytest.Options{}, "--images.minimumCacheTTL=4")
	f.origin.set(func(o *origin) { o.control = "public, max-age=4" })
	variants := f.fresh(5)
	each(f.all, func(r *replica) {
		for _, v := range variants {
			r.must(v)
		}
	})
	for round := range choose(2, 10) {
		time.Sleep(ttl + 200*time.Millisecond) // the time of the processes under test is real
		before, _ := f.origin.fetched(variants...)
		var stale, hits, other atomic.Int64
		var all sync.WaitGroup
		began := time.Now()
		for i := range 300 {
			all.Go(func() {
				if i >= 150 {
					time.Sleep(time.Duration(i-150) * spread / 150)
				}
				a, err := f.all[i%3].image(variants[i/3%len(variants)])
				if err == nil {
					err = a.isImage()
				}
				if err != nil {
					t.Error(err)
					return
				}
				switch a.header.Get("X-Nextjs-Cache") {
				case "STALE":
					stale.Add(1)
				case "HIT":
					hits.Add(1)
				default:
					other.Add(1)
				}
			})
		}
		all.Wait()
		answered := time.Since(began)
		eventually(t, "revalidated", func() error {
			if after, _ := f.origin.fetched(variants...); after-before < len(variants) {
				return fmt.Errorf("%d of %d", after-before, len(variants))
			}
			return nil
		})
		time.Sleep(500 * time.Millisecond) // more would come now
		after, _ := f.origin.fetched(variants...)
		t.Logf("round %d: %d stale, %d hits, %d others in %v; %d images, %d fetches", round+1, stale.Load(), hits.Load(), other.Load(), round2(answered), len(variants), after-before)
		if n := after - before; n != len(variants) && answered < ttl-time.Second {
			t.Errorf("%d images were revalidated with %d fetches", len(variants), n)
		}
		if other.Load() != 0 || stale.Load() == 0 {
			t.Errorf("%d stale, %d hits, %d others: a stale image is served as it is", stale.Load(), hits.Load(), other.Load())
		}
		if answered >= ttl-time.Second {
			t.Logf("the machine is too busy to tell: the answers took %v, and what was revalidated first may be stale again", answered)
		}
	}
	f.all[0].queueEmpty()
}
