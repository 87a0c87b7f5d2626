//go:build e2e

package fleet

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"imgopt/valkey/valkeytest"
)

// missedBeats is after how long a worker that shows no sign of life is dead (valkeyqueue: five beats of a second), and
// handed is how long it may take from then until its jobs are another's.
const (
	missedBeats = 5 * time.Second
	handed      = time.Second
)

// A worker that is killed, hangs, or is told to end in the middle of jobs costs those who wait some seconds and nothing
// else.
func TestWorkerLost(t *testing.T) {
	t.Parallel()
	server := valkeytest.Start(t, valkeytest.Options{})
	f := newFleet(t, server.URL())
	webs := []*replica{f.add("web-1", "--role=web"), f.add("web-2", "--role=web")}
	var workers []*replica
	for i := range 3 {
		workers = append(workers, f.add(fmt.Sprintf("worker-%d", i+1), "--role=worker", "--shutdownTimeout=2s"))
	}
	startAll(f.all...)
	w := f.startTraffic(trafficOptions{hits: 60, misses: 3, replicas: f.public})
	w.lasts(time.Second)

	for round := range choose(1, 5) {
		for _, how := range []struct {
			what       string
			lose, back func(*replica)
		}{
			{"killed", (*replica).kill, func(r *replica) { r.start() }},
			{"stopped", (*replica).pause, (*replica).resume},
			{"ended", (*replica).cutShort, func(r *replica) { r.start() }},
		} {
			victim := workers[round%len(workers)]
			from := w.mark()
			n, took := f.loseInTheMiddle(webs, victim, how.lose)
			w.between(from, w.mark()).check(t, fmt.Sprintf("worker %s: meanwhile", how.what))
			t.Logf("worker %s with %d jobs: %d requests answered after %v at the latest", how.what, n, 2*lostJobs, round2(took))
			if n == 0 {
				t.Errorf("the worker was %s without a job", how.what)
			}
			if limit := missedBeats + handed + busy; took > limit {
				t.Errorf("worker %s: the last answer came after %v, want %v at most", how.what, took, limit)
			}
			how.back(victim)
			before := encodes([]*replica{victim})
			eventually(t, "the worker works again", func() error {
				if n := encodes([]*replica{victim}); n <= before {
					return fmt.Errorf("%d encodings, %d before", n, before)
				}
				return nil
			})
		}
	}
	w.onlyHits(func() { f.together(webs, "afterwards") })
	w.finish()
	webs[0].queueEmpty()
}

// lostJobs are under way when a worker is lost, and busy is how much longer than on an idle machine they may take.
const (
	lostJobs = 24
	busy     = 5 * time.Second
)

func round2(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

// loseInTheMiddle has images made while the origin holds them, loses a worker that has some of the jobs, and lets the
// origin answer. It returns how many the worker had, and how long the last answer took from when the worker was lost.
// All must be answered, by both replicas alike.
func (f *fleet) loseInTheMiddle(webs []*replica, victim *replica, lose func(*replica)) (had int, took time.Duration) {
	f.t.Helper()
	f.origin.hold()
	defer f.origin.release()
	variants := f.fresh(lostJobs)
	answers := make([]*answer, 2*len(variants))
	var asking sync.WaitGroup
	for i := range answers {
		asking.Go(func() {
			a, err := webs[i%2].image(variants[i/2])
			if err == nil {
				err = a.isImage()
			}
			if err != nil {
				f.t.Errorf("%s: %v", variants[i/2].href, err)
				return
			}
			answers[i] = a
		})
	}
	eventually(f.t, "the worker has jobs", func() error {
		if had = int(victim.metrics().sum("imgopt_jobs_in_flight")); had < 2 {
			return fmt.Errorf("%d jobs", had)
		}
		return nil
	})
	lose(victim)
	began := time.Now()
	f.origin.release()
	asking.Wait()
	took = time.Since(began)
	for i := 0; i < len(answers); i += 2 {
		if a, b := answers[i], answers[i+1]; a != nil && b != nil && !bytes.Equal(a.body, b.body) {
			f.t.Errorf("%s: two answers differ", variants[i/2].href)
		}
	}
	return had, took
}
