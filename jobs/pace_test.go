package jobs

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// near fails unless got is within a share of want.
func near(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if math.Abs(got-want) > share*want {
		t.Errorf("%s is %.4g, want about %.4g", what, got, want)
	}
}

// paceClock drives a pace.
type paceClock struct {
	pace
	running, waiting int
}

func newPaceClock() *paceClock { return &paceClock{pace: pace{at: time.Unix(1e9, 0)}, waiting: 1} }

func (c *paceClock) pass(d time.Duration) { c.advance(c.at.Add(d), c.running, 0, c.waiting) }

func (c *paceClock) ends(took time.Duration) { c.end(took, c.waiting) }

// TestPaceIsThroughput: slots are always full, and something ends every 50 ms, however long it took. That is what
// counts, from the first second on: 16 slots make 20 jobs a second, so one costs 0.8 s of a slot.
func TestPaceIsThroughput(t *testing.T) {
	c := newPaceClock()
	c.running = 16
	for n := range 400 {
		c.pass(50 * time.Millisecond)
		// The first to end have not run for long: a mean of them would tell of a tenth of the truth.
		c.ends(min(time.Duration(n+1)*50*time.Millisecond, 800*time.Millisecond))
		if n == 20 || n == 100 || n == 399 {
			near(t, "the mean", c.mean(), 0.8, 0.01)
		}
	}
	if c.known() < 100 || c.known() > 400 {
		t.Errorf("known from %v attempts", c.known())
	}
}

// TestPaceNoticesSilence: attempts that do not end count while they run.
func TestPaceNoticesSilence(t *testing.T) {
	c := newPaceClock()
	for range 100 {
		c.running = 1
		c.pass(100 * time.Millisecond)
		c.ends(100 * time.Millisecond)
		c.running = 0
		c.pass(time.Second)
	}
	near(t, "the mean", c.mean(), 0.1, 0.01)
	c.running = 16
	c.pass(5 * time.Second)
	if c.mean() < 1 {
		t.Errorf("the mean is still %v after 16 attempts hung for 5 s", c.mean())
	}
}

// TestPaceFollows: what gets slower is believed at once, what gets faster within a minute or two, and in the time
// between somebody who measures for one second only is not believed.
func TestPaceFollows(t *testing.T) {
	c := newPaceClock()
	run := func(seconds int, took time.Duration) {
		c.running = 10
		for range seconds * int(10*time.Second/took) {
			c.pass(took / 10)
			c.ends(took)
		}
	}
	run(120, 200*time.Millisecond)
	near(t, "the mean", c.mean(), 0.2, 0.01)
	run(1, 10*time.Millisecond)
	near(t, "the mean after a lucky second", c.mean(), 0.2, 0.7)
	run(200, 200*time.Millisecond)
	run(40, 2*time.Second)
	near(t, "the mean after 40 s of attempts that take longer", c.mean(), 2, 0.2)
	run(240, 200*time.Millisecond)
	near(t, "the mean", c.mean(), 0.2, 0.1)
}

// TestPaceOfCalmTimes: what attempts cost while nobody waits is the best guess when somebody does, but no more than a
// guess, and forgotten when it is known better.
func TestPaceOfCalmTimes(t *testing.T) {
	c := newPaceClock()
	c.running, c.waiting = 4, 0
	for range 3000 {
		c.pass(50 * time.Millisecond) // 20 a second, each 0.2 s
		c.ends(200 * time.Millisecond)
	}
	near(t, "the mean", c.mean(), 0.2, 0.01)
	near(t, "what is known", c.known(), floorLong, 0.01)
	c.running, c.waiting = 16, 100
	for n := range 800 {
		c.pass(50 * time.Millisecond) // still 20 a second
		c.ends(800 * time.Millisecond)
		if n == 200 {
			near(t, "the mean after 10 s", c.mean(), 0.8, 0.05)
		}
	}
	near(t, "the mean", c.mean(), 0.8, 0.01)
	if c.known() < 500 {
		t.Errorf("known from %v attempts", c.known())
	}
}

// TestPaceKeepsTheBestGuess: idle time takes certainty, but not all.
func TestPaceKeepsTheBestGuess(t *testing.T) {
	c := newPaceClock()
	c.running = 1
	for range 1000 {
		c.pass(50 * time.Millisecond)
		c.ends(50 * time.Millisecond)
	}
	c.running = 0
	c.pass(24 * time.Hour)
	near(t, "the mean", c.mean(), 0.05, 0.01)
	near(t, "what is known", c.known(), floorLong, 0.01)
	near(t, "what is known of late", c.recent.ended, floorRecent, 0.01)
}

func TestPaceSpread(t *testing.T) {
	feed := func(draw func(*rand.Rand) float64, n int) *paceClock {
		r := rand.New(rand.NewPCG(1, 1))
		c := newPaceClock()
		c.running = 1
		for range n {
			took := time.Duration(draw(r) * float64(time.Second))
			c.pass(took)
			c.ends(took)
		}
		return c
	}
	even := feed(func(*rand.Rand) float64 { return 0.01 }, 10000)
	near(t, "the spread of equal attempts", even.spread(), 1, 0.05)
	near(t, "their deviation", even.deviation()+1, 1, 1e-6)
	few := feed(func(*rand.Rand) float64 { return 0.01 }, 10)
	near(t, "the spread of few attempts", few.spread(), 2, 0.01)
	two := feed(func(r *rand.Rand) float64 { // mean 0.109, deviation 0.297
		if r.Float64() < 0.1 {
			return 1
		}
		return 0.01
	}, 10000)
	near(t, "the spread of very different attempts", two.spread(), 0.297/0.109, 0.1)
	near(t, "their deviation", two.deviation(), 0.297, 0.1)
}

// TestPaceWithPrior: an origin that is not known is taken for an average one.
func TestPaceWithPrior(t *testing.T) {
	all, one := newPaceClock(), newPaceClock()
	unknown := one.with(&all.pace, 2)
	if unknown.measured() {
		t.Error("nothing is known, and yet something is")
	}
	all.running = 1
	for range 100 {
		all.pass(100 * time.Millisecond)
		all.ends(100 * time.Millisecond)
	}
	unknown = one.with(&all.pace, 2)
	near(t, "the mean of an unknown origin", unknown.mean(), 0.1, 0.01)
	one.running = 1
	for range 20 {
		one.pass(time.Second)
		one.ends(time.Second)
	}
	known := one.with(&all.pace, 2)
	near(t, "the mean of a known one", known.mean(), 0.9, 0.05)
}
