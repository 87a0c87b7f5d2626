package jobs

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// state is a lane as a test wants it.
type state struct {
	origin                   string
	running, waiting, paused int
	seconds                  float64 // an attempt takes
}

// lineOf makes a line of 32 slots with a share of 24, where attempts took that long.
func lineOf(states ...state) *line {
	l := newLine(32, 24)
	now := time.Now()
	for _, s := range states {
		x := l.lane(s.origin)
		x.running, x.waiting, x.paused = s.running, s.waiting, s.paused
		l.running += s.running
		l.waiting += s.waiting
		l.paused += s.paused
		l.settle(x)
		// Plenty of measurements, so that the prior does not matter, in proportion to what there would be.
		many := 1e4 * float64(max(1, s.running)) / s.seconds
		held := yield{ended: many, held: many * s.seconds}
		took := sample{many, many * s.seconds, many * s.seconds * s.seconds}
		x.pace = pace{at: now, long: held, recent: held, took: took, gaps: took}
		l.all.long.add(held, 1)
		l.all.recent.add(held, 1)
		l.all.took.add(took, 1)
		l.all.gaps.add(took, 1)
	}
	l.all.at = now
	return l
}

func TestForecast(t *testing.T) {
	for _, test := range []struct {
		name         string
		states       []state
		origin       string
		shared, both float64 // seconds for another origin, and for this one
	}{
		{"nothing there", nil, "a", 0, 0},
		{"free slots", []state{{"a", 10, 0, 0, 1}, {"b", 20, 0, 0, 1}}, "a", 0, 0},
		{"all slots held, nobody waits", []state{{"a", 16, 0, 0, 2}, {"b", 16, 0, 0, 2}}, "a", 2.0 / 32, 2.0 / 32},
		{"two origins wait", []state{{"a", 16, 31, 0, 1}, {"b", 16, 32, 0, 1}}, "a", 2, 2},
		{"one origin at its share", []state{{"a", 24, 48, 0, 1}}, "a", 0, 49.0 / 24},
		{"another one then finds a slot", []state{{"a", 24, 48, 0, 1}}, "b", 0, 0},
		{"or waits for one of eight", []state{{"a", 24, 480, 0, 7}, {"b", 8, 15, 0, 1}}, "b", 2, 2},
		{"a slow one waits for itself", []state{{"a", 24, 48, 0, 7}, {"b", 8, 15, 0, 1}}, "a", 2, 49 * 7.0 / 24},
		// Both want more than their share. The line moves at the pace of the work in it: 240 of 1 s and 24 of 10 s
		// for 32 slots, and what runs.
		{"two beyond their share", []state{{"a", 20, 240, 0, 1}, {"b", 12, 24, 0, 10}}, "c", (480 + 480.0/264) / 32, (480 + 480.0/264) / 32},
		{"pauses count once slots are held", []state{{"a", 16, 0, 31, 1}, {"b", 16, 0, 0, 1}}, "b", 1, 1},
		{"and not before", []state{{"a", 16, 0, 500, 1}, {"b", 15, 0, 0, 1}}, "b", 0, 0},
		{"nor for the share", []state{{"a", 23, 0, 500, 1}}, "a", 0, 0},
		{"nor beside one that waits for itself", []state{{"a", 24, 100, 0, 7}, {"b", 0, 0, 500, 1}}, "c", 0, 0},
		{"calls of one moment", []state{{"a", 0, 32, 0, 1}, {"b", 0, 32, 0, 1}}, "c", 33.0 / 32, 33.0 / 32},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := lineOf(test.states...)
				now := time.Now()
				shared, own := l.ahead(now).seconds, l.behind(l.lanes[test.origin], now).seconds
				near(t, "the wait that all share", 1+shared, 1+test.shared, 0.002)
				near(t, "the wait of the origin", 1+max(shared, own), 1+test.both, 0.002)
			})
		})
	}
}

// TestForecastWithoutShare: without a limit for one origin all are one line.
func TestForecastWithoutShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lineOf(state{"a", 32, 480, 0, 7}, state{"b", 0, 16, 0, 1})
		l.share = l.slots
		near(t, "the wait", l.ahead(time.Now()).seconds, (480*7+16+3376.0/496)/32, 0.001)
		if d := l.decide("b", 30*time.Second); !d.refused || !d.shared {
			t.Errorf("decided %+v", d)
		}
	})
}

// TestForecastHigh: the margin shrinks with what is known and with the length of the line.
func TestForecastHigh(t *testing.T) {
	p := newPaceClock()
	p.running = 1
	for range 1000 {
		p.pass(100 * time.Millisecond)
		p.ends(100 * time.Millisecond)
	}
	last := 1e9
	for _, jobs := range []float64{1, 10, 100, 1000} {
		f := forecast{seconds: 10, jobs: jobs, known: 100 * jobs}
		margin := f.high(&p.pace)/f.seconds - 1
		if margin <= 0 || margin >= last {
			t.Errorf("%v jobs: margin %v after %v", jobs, margin, last)
		}
		last = margin
	}
	if last > 0.2 {
		t.Errorf("margin %v for a thousand equal jobs", last)
	}
}

func TestDecide(t *testing.T) {
	const budget = 30 * time.Second
	for _, test := range []struct {
		name            string
		states          []state
		past            bool // what runs is done with its origin
		origin          string
		refused, shared bool
	}{
		{"no line", []state{{"a", 24, 0, 0, 1}}, false, "a", false, false},
		{"a short line", []state{{"a", 24, 100, 0, 1}}, false, "a", false, false},
		{"a long line of one origin", []state{{"a", 24, 1000, 0, 1}}, false, "a", true, false},
		{"which is not what takes long", []state{{"a", 24, 1000, 0, 1}}, true, "a", true, true},
		{"another origin beside it", []state{{"a", 24, 1000, 0, 1}}, false, "b", false, false},
		{"a long line of many", []state{{"a", 11, 400, 0, 1}, {"b", 11, 400, 0, 1}, {"c", 10, 400, 0, 1}}, false, "b", true, true},
		{"and one more", []state{{"a", 11, 400, 0, 1}, {"b", 11, 400, 0, 1}, {"c", 10, 400, 0, 1}}, false, "d", true, true},
		{"a slot is free, however slow", []state{{"a", 20, 0, 0, 50}}, false, "a", false, false},
		{"slower than the budget", []state{{"a", 24, 0, 0, 50}}, false, "a", true, false},
		{"too slow even for a short line of others", []state{{"slow", 10, 0, 0, 29}, {"b", 22, 0, 0, 0.1}}, false, "slow", true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := lineOf(test.states...)
				for _, x := range l.lanes {
					if test.past {
						x.pace.recent.past = x.pace.recent.held
					}
				}
				d := l.decide(test.origin, budget)
				if d.refused != test.refused || d.shared != test.shared {
					t.Errorf("decided %+v; want refused %v, shared %v", d, test.refused, test.shared)
				}
				if l.decide("no jobs", budget).refused != (test.shared && !test.past) {
					t.Error("an origin without jobs is not treated as the service is")
				}
			})
		})
	}
}

// TestLineKeepsCount: whatever happens, the sums are those of the lanes, and little is kept of what is over.
func TestLineKeepsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		l := newLine(8, 6)
		type job struct {
			x      *lane
			stands standing
			runs   bool
			past   bool
		}
		var there []*job
		for n := range 20000 {
			time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
			if len(there) < 100 && r.IntN(2) == 0 {
				j := &job{x: l.lane(fmt.Sprintf("origin %d", r.IntN(1+n/10)))}
				there = append(there, j)
			}
			if len(there) == 0 {
				continue
			}
			i := r.IntN(len(there))
			j := there[i]
			if j.stands == outside && !j.runs {
				j.x = l.lane(j.x.origin)
			}
			switch what := r.IntN(6); {
			case what == 0:
				l.move(j.x, j.stands, outside)
				j.stands = outside
			case what == 1 && !j.runs:
				l.move(j.x, j.stands, waits)
				j.stands = waits
			case what == 2 && !j.runs:
				l.move(j.x, j.stands, pauses)
				j.stands = pauses
			case what == 3 && !j.runs:
				l.start(j.x)
				j.runs = true
			case what == 4 && j.runs && !j.past:
				l.leave(j.x)
				j.past = true
			case what == 5:
				if j.runs {
					l.end(j.x, time.Second, j.past)
				}
				l.move(j.x, j.stands, outside)
				there = append(there[:i], there[i+1:]...)
			}
			f := l.ahead(time.Now())
			if f.seconds < 0 || f.high(&l.all) < f.seconds {
				t.Fatalf("forecast %+v, high %v", f, f.high(&l.all))
			}
		}
		var waiting, paused, running, past, busy int
		for _, x := range l.lanes {
			waiting, paused, running, past = waiting+x.waiting, paused+x.paused, running+x.running, past+x.past
			if has := x.waiting+x.paused+x.running > 0; has != (x.place >= 0) || has && l.busy[x.place] != x {
				t.Errorf("lane %+v is not where it belongs", x)
			} else if has {
				busy++
			}
		}
		if waiting != l.waiting || paused != l.paused || running != l.running || busy != len(l.busy) {
			t.Errorf("counted %d, %d, %d, %d; the line says %d, %d, %d, %d", waiting, paused, running, busy, l.waiting, l.paused, l.running, len(l.busy))
		}
		for _, j := range there {
			if j.past {
				past--
			}
		}
		if past != 0 {
			t.Errorf("%d too many are past their origin", past)
		}
		l.lane("one more")
		if idle := len(l.lanes) - len(l.busy); idle > lanesKept {
			t.Errorf("%d origins without jobs are remembered", idle)
		}
	})
}

func TestSaturation(t *testing.T) {
	at := time.Unix(1e9, 0)
	after := func(d time.Duration) time.Time { return at.Add(d) }
	var s saturation
	if s.lasts(at) != 0 {
		t.Error("saturated without a refusal")
	}
	s.refused(at)
	if s.lasts(at) == 0 {
		t.Error("not saturated at the first refusal")
	}
	for n := range 10 {
		s.refused(after(time.Duration(n) * 4 * time.Second))
	}
	if got := s.lasts(after(37 * time.Second)); got != 37*time.Second {
		t.Errorf("saturated for %v, want 37s", got)
	}
	if s.lasts(after(41*time.Second)) != 0 {
		t.Error("saturated 5 s after the last refusal")
	}
	s.refused(after(50 * time.Second))
	if got := s.lasts(after(51 * time.Second)); got != time.Second {
		t.Errorf("saturated for %v, want 1s: the first time was over", got)
	}
	for _, still := range []line{{slots: 32, share: 24, running: 19}, {slots: 32, share: 24, waiting: 1}, {slots: 1, share: 1, running: 1}} {
		if s.ease(&still); s.lasts(after(51*time.Second)) == 0 {
			t.Errorf("it is over with %d waiting, %d of %d running", still.waiting, still.running, still.slots)
		}
	}
	s.ease(&line{slots: 32, share: 24, running: 18})
	if s.lasts(after(51*time.Second)) != 0 {
		t.Error("it is not over though slots are free")
	}
}
