//go:build e2e

package fleet

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// storm is many requests at once for few variants that nobody has yet.
type storm struct {
	requests, variants int
	// fetches and encodes is what it cost; most is the most that one variant was fetched.
	fetches, encodes, most int
	took, p50, p99         time.Duration
	hits                   int
	wrong                  []string
}

// ask sends the requests, spread over the replicas. When all are held at the origin's gate nothing can be answered
// before every request has arrived; otherwise late ones find what the early ones have made.
func (f *fleet) storm(replicas []*replica, variants []variant, requests int, held bool) storm {
	f.t.Helper()
	s := storm{requests: requests, variants: len(variants)}
	eventually(f.t, "nobody has work", func() error {
		if n := total(f.all, "imgopt_jobs_in_flight"); n > 0 {
			return fmt.Errorf("%v jobs", n)
		}
		return nil
	})
	encodesBefore, waitingBefore := encodes(f.all), int(total(replicas, "imgopt_http_requests_in_flight"))
	if held {
		f.origin.hold()
		defer f.origin.release()
	}
	type result struct {
		answer *answer
		err    error
	}
	results := make([]result, requests)
	began := time.Now()
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() {
			a, err := replicas[i%len(replicas)].image(variants[i/len(replicas)%len(variants)])
			results[i] = result{a, err}
		})
	}
	if held {
		within(f.t, patience, "all requests have arrived", func() error {
			if n := int(total(replicas, "imgopt_http_requests_in_flight")) - waitingBefore; n < requests {
				return fmt.Errorf("%d of %d", n, requests)
			}
			return nil
		})
		f.origin.release()
	}
	all.Wait()
	s.took = time.Since(began)
	first := map[variant]*answer{}
	var times []time.Duration
	for i, r := range results {
		v := variants[i/len(replicas)%len(variants)]
		err := r.err
		if err == nil {
			err = r.answer.isImage()
		}
		if err != nil {
			s.wrong = append(s.wrong, fmt.Sprintf("%s: %v", v.href, err))
			continue
		}
		times = append(times, r.answer.took)
		if r.answer.header.Get("X-Nextjs-Cache") == "HIT" {
			s.hits++
		}
		if first[v] == nil {
			first[v] = r.answer
		}
		if !bytes.Equal(first[v].body, r.answer.body) || first[v].header.Get("ETag") != r.answer.header.Get("ETag") {
			s.wrong = append(s.wrong, fmt.Sprintf("%s: answers differ", v.href))
		}
	}
	slices.Sort(times)
	if n := len(times); n > 0 {
		s.p50, s.p99 = times[n/2], times[n*99/100]
	}
	bodies := map[string]bool{}
	for _, a := range first {
		bodies[string(a.body)] = true
	}
	if len(bodies) != len(first) {
		s.wrong = append(s.wrong, fmt.Sprintf("%d variants have %d different bodies", len(first), len(bodies)))
	}
	s.fetches, s.most = f.origin.fetched(variants...)
	s.encodes = encodes(f.all) - encodesBefore
	return s
}

func (s storm) String() string {
	return fmt.Sprintf("%d requests, %d variants: %d fetches, %d encodings, %d hits, p50 %v, p99 %v, all %v",
		s.requests, s.variants, s.fetches, s.encodes, s.hits, round(s.p50), round(s.p99), round(s.took))
}

// check wants each variant fetched and made once, and every request answered alike.
func (s storm) check(t testing.TB, what string) {
	t.Helper()
	t.Logf("%s: %v", what, s)
	if len(s.wrong) > 0 {
		t.Errorf("%s: %d of %d answers are wrong: %q", what, len(s.wrong), s.requests, s.wrong[:min(5, len(s.wrong))])
	}
	if s.fetches != s.variants || s.most != 1 || s.encodes != s.variants {
		t.Errorf("%s: %d variants: %d fetches (%d of one), %d encodings, want one each", what, s.variants, s.fetches, s.most, s.encodes)
	}
}

func round(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}

// together wants that the replicas do work once: what a storm does when all is well, small.
func (f *fleet) together(replicas []*replica, what string) {
	f.t.Helper()
	f.storm(replicas, f.fresh(10), 120, true).check(f.t, what)
}
