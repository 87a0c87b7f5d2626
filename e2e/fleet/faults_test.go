//go:build e2e

package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"imgopt/valkey/valkeytest"
)

// fault is one way in which Valkey can be lost, and comes back.
type fault struct {
	what string
	lose func()
	// noticed is what every replica must tell while it is lost; nil: nothing.
	noticed func(*replica) error
	// back ends the fault; nil: it ends by itself.
	back func()
	// away is how long it lasts after it was noticed.
	away time.Duration
	// warnings is how many lines a replica may write about it.
	warnings int
}

// constantly is the load during which Valkey is lost. The origin takes its time, so that there are always jobs under way.
func (f *fleet) constantly() *traffic {
	f.t.Helper()
	f.origin.set(func(o *origin) { o.delay = 150 * time.Millisecond })
	w := f.startTraffic(trafficOptions{hits: 60, misses: 4, replicas: f.public})
	w.lasts(time.Second)
	return w
}

// suffer goes through a fault under load. No request may fail for it; afterwards the replicas are one again.
func (w *traffic) suffer(x fault) {
	w.t.Helper()
	f, from := w.f, w.mark()
	wrote := map[*replica]int{}
	for _, r := range f.all {
		wrote[r] = len(r.log())
	}
	x.lose()
	if x.noticed != nil {
		for _, r := range f.all {
			eventually(w.t, x.what+": "+r.name+" notices", func() error { return x.noticed(r) })
		}
	}
	w.lasts(x.away)
	if x.back != nil {
		x.back()
	}
	back := time.Now()
	for _, r := range f.all {
		eventually(w.t, x.what+": "+r.name+" has it again", r.whole)
	}
	took := time.Since(back)
	w.lasts(time.Second)
	span := w.between(from, w.mark())
	span.check(w.t, x.what)
	for _, r := range f.all {
		counts := map[string]int{}
		n := 0
		for _, l := range r.lines(wrote[r]) {
			if l.Level != "INFO" && l.Level != "DEBUG" {
				n++
			}
			counts[l.Level+" "+l.Msg]++
		}
		var told []string
		for _, what := range slices.Sorted(maps.Keys(counts)) {
			told = append(told, fmt.Sprintf("%d× %s", counts[what], what))
		}
		if r == f.all[0] {
			w.t.Logf("%s: back after %v; the log of one replica: %s", x.what, round2(took), strings.Join(told, ", "))
		}
		if n > x.warnings {
			w.t.Errorf("%s: %s wrote %d warnings, want %d at most: %s", x.what, r.name, n, x.warnings, strings.Join(told, ", "))
		}
	}
	w.onlyHits(func() { f.together(f.public(), x.what+": afterwards") })
}

// away is how long Valkey is lost.
func away() time.Duration { return choose(3*time.Second, 10*time.Second) }

// A server that dies and comes back with what it had, hangs, is full, or forgets what it had, while it is used.
func TestValkeyLost(t *testing.T) {
	t.Parallel()
	f, server := startThree(t, valkeytest.Options{Persist: true})
	w := f.constantly()
	w.suffer(fault{what: "killed, and back with its data", lose: server.Kill, noticed: (*replica).degraded, back: server.Restart, away: away(), warnings: 2})
	w.suffer(fault{what: "hangs", lose: server.Pause, noticed: (*replica).degraded, back: server.Continue, away: away(), warnings: 2})
	w.suffer(fault{what: "full", lose: func() { server.SetMaxMemory(1<<20, "noeviction") }, noticed: (*replica).toldFull,
		back: func() { server.SetMaxMemory(0, "noeviction") }, away: away(), warnings: 3})
	w.suffer(fault{what: "emptied", lose: func() { server.Do("FLUSHALL") }, away: time.Second, warnings: 2})
	w.finish()
	f.all[0].queueEmpty()
}

// toldFull tells whether the log says that Valkey is full.
func (r *replica) toldFull() error {
	for _, l := range r.lines(0) {
		if l.Level == "WARN" && strings.Contains(l.Msg, "full") {
			return nil
		}
	}
	return fmt.Errorf("%s has not said that Valkey is full", r.name)
}

// A server that dies and comes back with nothing.
func TestValkeyForgets(t *testing.T) {
	t.Parallel()
	f, server := startThree(t, valkeytest.Options{})
	w := f.constantly()
	for range choose(1, 5) {
		w.suffer(fault{what: "killed, and back without its data", lose: server.Kill, noticed: (*replica).degraded, back: server.Restart, away: away(), warnings: 2})
	}
	w.suffer(fault{what: "restarted at once", lose: server.Restart, away: time.Second, warnings: 2})
	w.finish()
	f.all[0].queueEmpty()
}

// A server that is away when the replicas start.
func TestValkeyLate(t *testing.T) {
	t.Parallel()
	server := valkeytest.Start(t, valkeytest.Options{})
	server.Kill()
	f := newFleet(t, server.URL()).run(3)
	for _, r := range f.all {
		if err := r.degraded(); err != nil {
			t.Error(err)
		}
	}
	w := f.startTraffic(trafficOptions{hits: 60, misses: 4, replicas: f.public})
	w.lasts(time.Second)
	w.suffer(fault{what: "there at last", lose: server.Restart, warnings: 0})
	w.finish()
	f.all[0].queueEmpty()
}
