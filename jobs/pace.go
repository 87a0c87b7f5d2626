package jobs

import (
	"math"
	"time"
)

const (
	// paceLong and paceRecent are how far back measurements count, in seconds: what is older by that has lost two
	// thirds of its weight.
	paceLong, paceRecent = 60.0, 10.0
	// floorLong and floorRecent are the weight, in attempts, that measurements keep however old they are: they are
	// the best guess there is.
	floorLong, floorRecent = 32.0, 8.0
)

// pace measures how fast slots become free.
//
// It sets the time that slots were held against the number of attempts that ended. The mean of the attempts that
// ended would be wrong whenever load changes: if a hundred jobs share a CPU, the first to end were quick, and the
// many that will take long have not ended. The time they have been running counts here, so the estimate is that of
// the real throughput from the first moments on; and an origin that stops answering is noticed before the first
// attempt there runs into its time limit. (It is the maximum likelihood estimate of a mean where some observations
// are still going on.)
//
// Very different jobs make any short measurement a matter of luck. Under overload each lucky moment would let in
// jobs for which there is no time, and they stay. So a long measurement counts, and a short one only where it is
// worse. To be too careful for a minute costs nothing: the queue is shorter, but not empty. The long one is made only
// while jobs wait: attempts that do not have to share their CPU take less of a slot than they will then.
type pace struct {
	at     time.Time // up to when the sums go
	long   yield     // while jobs waited
	recent yield
	took   sample // what attempts took, in seconds
	gaps   sample // what was added to the seconds held between two ends
	gap    float64
}

// yield is what was got for holding slots. It fades with time.
type yield struct {
	ended float64 // attempts
	held  float64 // seconds that slots were held, by attempts that still run too
	past  float64 // of them, by attempts that were done with their origin
}

// fading returns how much is left of a weight after some time, but not below the floor, and how much of the time that
// took.
func fading(weight, dt, window, floor float64) (left, taken float64) {
	if weight <= floor {
		return 1, 0
	}
	taken = min(dt, window*math.Log(weight/floor))
	return math.Exp(-taken / window), taken
}

// advance lets time pass, in seconds, during which that many slots were held.
func (y *yield) advance(dt, window, floor float64, running, past int) {
	left, taken := fading(y.ended, dt, window, floor)
	held := window*(1-left) + dt - taken
	y.ended *= left
	y.held = y.held*left + float64(running)*held
	y.past = y.past*left + float64(past)*held
}

func (y *yield) add(z yield, weight float64) {
	y.ended += weight * z.ended
	y.held += weight * z.held
	y.past += weight * z.past
}

// sample is the moments of what was seen. It fades with time.
type sample struct{ count, sum, squares float64 }

func (s *sample) see(x float64) {
	s.count++
	s.sum += x
	s.squares += x * x
}

func (s *sample) fade(left float64) {
	s.count, s.sum, s.squares = s.count*left, s.sum*left, s.squares*left
}

func (s *sample) add(z sample, weight float64) {
	s.count += weight * z.count
	s.sum += weight * z.sum
	s.squares += weight * z.squares
}

func (s sample) deviation() float64 {
	if s.count == 0 {
		return 0
	}
	mean := s.sum / s.count
	return math.Sqrt(max(0, s.squares/s.count-mean*mean))
}

// variation is the coefficient of variation.
func (s sample) variation() float64 {
	if s.sum == 0 {
		return 0
	}
	return s.deviation() / (s.sum / s.count)
}

// advance lets time pass, during which that many slots were held, some of them by attempts done with their origin,
// and that many jobs waited for one.
func (p *pace) advance(now time.Time, running, past, waiting int) {
	dt := now.Sub(p.at).Seconds()
	p.at = now
	if dt <= 0 {
		return
	}
	p.gap += float64(running) * dt
	p.recent.advance(dt, paceRecent, floorRecent, running, past)
	if waiting == 0 {
		running, past = 0, 0
	}
	p.long.advance(dt, paceLong, floorLong, running, past)
	left, _ := fading(p.took.count, dt, paceLong, floorLong)
	p.took.fade(left)
	p.gaps.fade(left)
}

// end counts an attempt that has just ended while that many jobs waited.
func (p *pace) end(took time.Duration, waiting int) {
	p.recent.ended++
	if waiting > 0 {
		p.long.ended++
	}
	p.took.see(took.Seconds())
	p.gaps.see(p.gap)
	p.gap = 0
}

// measured tells whether anything is known.
func (p *pace) measured() bool { return p.recent.ended > 0 }

// known is from how many attempts. When jobs begin to wait, what is known of calmer times counts for little.
func (p *pace) known() float64 { return max(p.long.ended, min(p.recent.ended, floorLong)) }

// with returns the pace with that many more attempts like those of prior.
func (p pace) with(prior *pace, attempts float64) pace {
	if prior.recent.ended > 0 {
		p.recent.add(prior.recent, attempts/prior.recent.ended)
		p.took.add(prior.took, attempts/prior.took.count)
		p.gaps.add(prior.gaps, attempts/prior.gaps.count)
	}
	if prior.long.ended > 0 {
		p.long.add(prior.long, attempts/prior.long.ended)
	}
	return p
}

// mean is how many seconds of a slot an attempt costs. Something must have been measured.
func (p *pace) mean() float64 {
	mean := p.recent.held / p.recent.ended
	if p.long.ended >= floorRecent {
		mean = max(mean, p.long.held/p.long.ended)
	}
	return mean
}

// spread is how far the line is from moving evenly: the coefficient of variation of what attempts took, or of the
// slot-seconds from one end to the next, whichever is greater. (Where attempts queue up for a CPU they all take about
// as long, however different they are; where they do not, their ends come at random however different they are.) It
// is at least 1, that of random ends, and 2 as long as few attempts are known: the rare ones that take very long may
// not have been among them.
func (p *pace) spread() float64 {
	const few = 200
	return max(1+min(1, few/p.known()), p.took.variation(), p.gaps.variation())
}

// deviation is the standard deviation, in seconds, of what attempts took.
func (p *pace) deviation() float64 { return p.took.deviation() }
