//go:build e2e

package fleet

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// traffic is a constant load of hits and misses, whatever is answered: requests are sent when they are due.
type traffic struct {
	f    *fleet
	t    testing.TB
	o    trafficOptions
	hits []known
	stop chan struct{}
	done sync.WaitGroup

	quiet   sync.RWMutex // held for reading by every miss
	mu      sync.Mutex
	began   time.Time
	results []result
	misses  []variant
	nobody  int // requests for which there was no replica to ask
}

type trafficOptions struct {
	// hits and misses a second.
	hits, misses int
	// replicas returns who may be asked now.
	replicas func() []*replica
}

// known is a variant with the answer that was given first.
type known struct {
	variant
	body []byte
	etag string
}

// result is what came of one request.
type result struct {
	at      time.Duration
	miss    bool
	replica string
	status  int
	took    time.Duration
	wrong   string
}

// hitVariants is how many different variants are asked for again and again.
const hitVariants = 20

// startTraffic warms the hits up and begins. It ends with finish, or with the test.
func (f *fleet) startTraffic(o trafficOptions) *traffic {
	f.t.Helper()
	w := &traffic{f: f, t: f.t, o: o, stop: make(chan struct{}), began: time.Now()}
	for _, v := range f.fresh(hitVariants) {
		k := known{variant: v}
		for _, r := range o.replicas() {
			a := r.must(v)
			if k.body == nil {
				k.body, k.etag = a.body, a.header.Get("ETag")
			}
			if !bytes.Equal(k.body, a.body) || k.etag != a.header.Get("ETag") {
				f.t.Fatalf("%s differs at %s", v.href, r.name)
			}
		}
		w.hits = append(w.hits, k)
	}
	w.began = time.Now()
	w.every(o.hits, w.hit)
	w.every(o.misses, w.miss)
	f.t.Cleanup(w.end)
	return w
}

// every calls f so many times a second, each in a goroutine of its own.
func (w *traffic) every(rate int, f func(i int)) {
	if rate == 0 {
		return
	}
	w.done.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-w.stop:
				return
			case <-tick.C:
				w.done.Go(func() { f(i) })
			}
		}
	})
}

// pick returns a replica in turn, or nil if there is none.
func (w *traffic) pick(i int) *replica {
	all := w.o.replicas()
	if len(all) == 0 {
		w.mu.Lock()
		w.nobody++
		w.mu.Unlock()
		return nil
	}
	return all[i%len(all)]
}

// hit asks for a variant that every replica had; each fifth client has it already.
func (w *traffic) hit(i int) {
	r := w.pick(i)
	if r == nil {
		return
	}
	k := w.hits[i/3%len(w.hits)]
	var header []string
	if i%5 == 0 {
		header = []string{"If-None-Match", k.etag}
	}
	began := time.Now()
	a, err := r.image(k.variant, header...)
	w.note(result{replica: r.name}, began, a, err, func() string {
		switch {
		case a.status == http.StatusNotModified && header != nil:
			return ""
		case a.status != http.StatusOK:
			return a.String()
		case !bytes.Equal(a.body, k.body):
			return "another image"
		}
		return ""
	})
}

// miss asks for a new variant, two replicas at the same time.
func (w *traffic) miss(i int) {
	if !w.quiet.TryRLock() {
		return
	}
	defer w.quiet.RUnlock()
	w.mu.Lock()
	v := variant{fmt.Sprintf("/traffic/%d-%d.jpg", w.began.UnixNano(), i), 128}
	w.misses = append(w.misses, v)
	w.mu.Unlock()
	var mu sync.Mutex
	var first []byte
	var both sync.WaitGroup
	for second := range 2 {
		r := w.pick(i + second)
		if r == nil {
			continue
		}
		both.Go(func() {
			began := time.Now()
			a, err := r.image(v)
			w.note(result{replica: r.name, miss: true}, began, a, err, func() string {
				if err := a.isImage(); err != nil {
					return err.Error()
				}
				mu.Lock()
				defer mu.Unlock()
				if first == nil {
					first = a.body
				}
				if !bytes.Equal(first, a.body) {
					return "two replicas differ"
				}
				return ""
			})
		})
	}
	both.Wait()
}

// onlyHits calls f while no new images are asked for, so that what is made is made for f.
func (w *traffic) onlyHits(f func()) {
	w.quiet.Lock()
	defer w.quiet.Unlock()
	f()
}

// lasts lets the traffic go on for some time.
func (w *traffic) lasts(d time.Duration) { time.Sleep(d) } // the load is real, and so is its time

// note records what came of a request.
func (w *traffic) note(r result, began time.Time, a *answer, err error, check func() string) {
	r.took = time.Since(began)
	if err != nil {
		r.wrong = err.Error()
	} else {
		r.status, r.wrong = a.status, check()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.at = began.Sub(w.began)
	w.results = append(w.results, r)
}

// mark is a moment, to look at what happened since.
func (w *traffic) mark() time.Duration { return time.Since(w.began) }

// end stops sending and waits for the last answers.
func (w *traffic) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.done.Wait()
}

// report is what happened in a span of time.
type report struct {
	hits, misses              int
	byStatus                  map[int]int
	hitP50, hitP99, hitMax    time.Duration
	missP50, missP99, missMax time.Duration
	wrong                     []string
}

// between summarizes the requests sent in a span.
func (w *traffic) between(from, to time.Duration) report {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := report{byStatus: map[int]int{}}
	var hits, misses []time.Duration
	for _, one := range w.results {
		if one.at < from || one.at >= to {
			continue
		}
		r.byStatus[one.status]++
		if one.wrong != "" {
			r.wrong = append(r.wrong, fmt.Sprintf("%v after %v at %s (miss: %t): %s", round(one.at-from), round(one.took), one.replica, one.miss, one.wrong))
		}
		if one.miss {
			misses = append(misses, one.took)
		} else {
			hits = append(hits, one.took)
		}
	}
	r.hits, r.misses = len(hits), len(misses)
	r.hitP50, r.hitP99, r.hitMax = quantiles(hits)
	r.missP50, r.missP99, r.missMax = quantiles(misses)
	return r
}

func quantiles(d []time.Duration) (p50, p99, most time.Duration) {
	if len(d) == 0 {
		return
	}
	slices.Sort(d)
	return d[len(d)/2], d[len(d)*99/100], d[len(d)-1]
}

func (r report) String() string {
	var status []string
	for _, s := range slices.Sorted(maps.Keys(r.byStatus)) {
		status = append(status, fmt.Sprintf("%d×%d", r.byStatus[s], s))
	}
	return fmt.Sprintf("%d hits (p50 %v, p99 %v, max %v), %d misses (p50 %v, p99 %v, max %v): %s", r.hits, round(r.hitP50), round(r.hitP99), round(r.hitMax),
		r.misses, round(r.missP50), round(r.missP99), round(r.missMax), strings.Join(status, " "))
}

// check wants every request answered with the image.
func (r report) check(t testing.TB, what string) {
	t.Helper()
	t.Logf("%s: %v", what, r)
	if r.hits+r.misses == 0 {
		t.Errorf("%s: nothing was asked", what)
	}
	if len(r.wrong) > 0 {
		t.Errorf("%s: %d of %d requests failed: %s", what, len(r.wrong), r.hits+r.misses, strings.Join(r.wrong[:min(8, len(r.wrong))], "\n  "))
	}
}

// finish ends the traffic, checks all of it, and tells how many misses were fetched more than once.
func (w *traffic) finish() report {
	w.t.Helper()
	w.end()
	r := w.between(0, 1<<62)
	r.check(w.t, "all of it")
	again := 0
	for _, v := range w.misses {
		if n, _ := w.f.origin.fetched(v); n > 1 {
			again++
		}
	}
	w.t.Logf("of %d new images %d were fetched more than once", len(w.misses), again)
	if w.nobody > 0 {
		w.t.Errorf("%d requests had nobody to ask", w.nobody)
	}
	return r
}
