package jobs_test

import (
	"testing"
	"testing/synctest"
	"time"

	"imgopt/jobs"
)

// fetching and encoding are what images take: most are small, some are not. Two CPUs do about 25 a second.
var (
	fetching = mixed(40*time.Millisecond, 300*time.Millisecond, 0.1)
	encoding = mixed(30*time.Millisecond, 500*time.Millisecond, 0.1)
)

// overload is ten times of what two CPUs, or 32 slots, can do.
var overload = []struct {
	name    string
	streams []*stream
	slots   bool // the slots are what is scarce, not the CPUs
	rare    bool // few jobs make most of the work, so that little is known before many have been done
}{
	{"one origin", []*stream{{rate: 250, fetch: fetching, burn: encoding}}, false, false},
	{"clients leave", []*stream{{rate: 250, fetch: fetching, burn: encoding, leave: 8 * time.Second}}, false, false},
	{"many origins, some clients leave", []*stream{
		{rate: 100, fetch: fetching, burn: encoding},
		{rate: 50, fetch: fetching, burn: encoding, leave: 10 * time.Second},
		{rate: 60, origin: "https://a", fetch: fetching, burn: encoding, leave: 20 * time.Second},
		{rate: 40, origin: "https://b", fetch: fetching, burn: encoding},
	}, false, false},
	{"few enormous images", []*stream{{rate: 250, fetch: fetching, burn: mixed(20*time.Millisecond, 2*time.Second, 0.03)}}, false, true},
	{"callers with little time", []*stream{
		{rate: 150, fetch: fetching, burn: encoding, budget: 5 * time.Second},
		{rate: 100, fetch: fetching, burn: encoding},
	}, false, false},
	{"slow origins", []*stream{
		{rate: 100, origin: "https://a", fetch: mixed(time.Second, 4*time.Second, 0.2), burn: exactly(time.Millisecond)},
		{rate: 100, origin: "https://b", fetch: mixed(time.Second, 4*time.Second, 0.2), burn: exactly(time.Millisecond)},
	}, true, false},
}

// TestOverload: ten times what can be done, for a minute. What is accepted is done in time, what is not is told so at
// once, nothing idles, and it is over when it is over.
func TestOverload(t *testing.T) {
	for _, test := range overload {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const minute = time.Minute
				l := newLoad(t, 1, 2)
				l.run(minute, 0.07, test.streams, func(jobs.Stats) {}) // a usual minute: 70 % of what can be done

				var looks, idle, held int
				var last jobs.Stats
				began, burned := time.Now(), l.burned()
				l.run(minute, 1, test.streams, func(s jobs.Stats) {
					looks++
					held += s.InFlight
					if q := s.Queue.Interactive; q.Queued > q.Delayed+q.HeldBack && s.InFlight < s.Capacity {
						idle++
					}
					last = s
				})
				burned = l.burned() - burned
				over := time.Now()
				// Then half of what can be done.
				l.run(minute, 0.05, test.streams, func(s jobs.Stats) {
					switch {
					case time.Since(over) > 40*time.Second && (s.SaturatedFor != 0 || s.Waiting > 100):
						t.Fatalf("%v after: %+v", time.Since(over), s)
					case s.Waiting == 0 && s.InFlight < s.Capacity/2 && (s.SaturatedFor != 0 || s.EstimatedWait != 0):
						t.Fatalf("nobody waits: %+v", s)
					}
				})
				l.all.Wait()
				if usual := l.tally(began.Add(-minute), nil).calls - l.tally(began, nil).calls; usual < 500 {
					t.Fatalf("only %d calls before", usual)
				}
				y := l.tally(began, nil)
				t.Log(y)
				if y.inTime() < 0.99 || y.accepted < 500 {
					t.Errorf("accepted, but not done in time: %v", y)
				}
				if y.reasons["queue_full"]+y.reasons["origin_queue_full"] > y.refused/10 {
					t.Errorf("refused for room rather than for the wait: %v", y)
				}
				if idle > 0 {
					t.Errorf("in %d of %d looks a slot was free and a job ready", idle, looks)
				}
				if cpu := burned.Seconds() / (2 * minute.Seconds()); !test.slots && cpu < 0.95 {
					t.Errorf("only %.1f %% of the CPUs used", 100*cpu)
				}
				if used := float64(held) / float64(looks*last.Capacity); test.slots && (used < 0.95 || last.Utilization < 0.95) {
					t.Errorf("only %.1f %% of the slots used, or %.1f %% as the service says", 100*used, 100*last.Utilization)
				}
				if last.SaturatedFor < 50*time.Second {
					t.Errorf("after a minute of it saturated for %v", last.SaturatedFor)
				}
				for _, s := range test.streams { // who has less time is refused until the line is that much shorter
					late := l.tally(began, s).lastRefusal.Sub(over)
					if late > 10*time.Second && s.budget == 0 && !test.rare || late > 40*time.Second {
						t.Errorf("still refused %v after", late)
					}
				}
			})
		})
	}
}

// TestOverloadCold: the same from the first second of the process's life, when nothing is known. Then the forecast
// may be wrong for the first who come, most so where what takes long is rare.
func TestOverloadCold(t *testing.T) {
	for _, test := range overload {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := newLoad(t, 2, 2)
				l.run(time.Minute, 1, test.streams, func(jobs.Stats) {})
				l.all.Wait()
				y := l.tally(time.Time{}, nil)
				t.Log(y)
				if least := map[bool]float64{false: 0.97, true: 0.75}[test.rare]; y.inTime() < least {
					t.Errorf("accepted, but not done in time: %v", y)
				}
			})
		})
	}
}

// TestSlowOriginHurtsItself: a host that takes 7 s, or does not answer, is asked for a hundred images a second. The
// images of others do not notice, beyond the CPU time that its images take.
func TestSlowOriginHurtsItself(t *testing.T) {
	for name, slow := range map[string]*stream{
		"slow":          {rate: 100, origin: "https://slow", fetch: exactly(7 * time.Second), burn: encoding},
		"clients leave": {rate: 100, origin: "https://slow", fetch: exactly(7 * time.Second), burn: encoding, leave: 5 * time.Second},
		"hangs":         {rate: 100, origin: "https://slow", fetch: exactly(time.Hour), burn: encoding},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				local := &stream{rate: 11, fetch: fetching, burn: encoding}
				other := &stream{rate: 4, origin: "https://other", fetch: fetching, burn: encoding}
				l := newLoad(t, 1, 2)
				l.run(30*time.Second, 1, []*stream{local, other}, func(jobs.Stats) {})
				began := time.Now()
				alone := l.tally(time.Time{}, nil)
				saturated := time.Duration(0)
				l.run(2*time.Minute, 1, []*stream{slow, local, other}, func(s jobs.Stats) {
					saturated = max(saturated, s.SaturatedFor)
				})
				l.all.Wait()
				for _, s := range []*stream{local, other} {
					y := l.tally(began, s)
					t.Logf("%q: %v", s.origin, y)
					if y.refused > y.calls/200 || y.ok < y.calls*99/100 || y.p99 > alone.p99+3*time.Second {
						t.Errorf("%q: %v; without the slow one %v", s.origin, y, alone)
					}
				}
				y := l.tally(began, slow)
				t.Logf("%q: %v", slow.origin, y)
				if y.refused < y.calls*9/10 || y.reasons["origin_queue_wait"] < y.refused*9/10 {
					t.Errorf("the slow one: %v", y)
				}
				if saturated > 10*time.Second {
					t.Errorf("a slow origin made the service saturated for %v", saturated)
				}
			})
		})
	}
}

// TestBurst: what comes at once but can be done in time is not refused, also after a quiet hour.
func TestBurst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newLoad(t, 1, 2)
		s := &stream{rate: 10, fetch: fetching, burn: encoding}
		l.run(time.Minute, 1, []*stream{s}, func(jobs.Stats) {})
		l.all.Wait()
		time.Sleep(time.Hour)
		began := time.Now()
		for range 200 { // some 8 s of work
			l.begin(s)
		}
		synctest.Wait()
		l.all.Wait()
		if y := l.tally(began, nil); y.ok != 200 {
			t.Errorf("%v", y)
		}
	})
}
