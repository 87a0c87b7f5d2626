package valkey

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// When commands are no longer sent: after three failures in a row, or when half of the last sixteen failed.
const (
	rowMask      = 1<<failuresInRow - 1
	windowMask   = 1<<window - 1
	window       = 16
	windowFailed = window / 2
	// failuresInRow is small because each may have cost a request the whole time limit.
	failuresInRow = 3
)

// How long a breaker stays open before the first probe, and between probes. One that opens again soon after it was
// closed, because the probes pass and the commands do not, waits longer each time.
const (
	firstProbe = 100 * time.Millisecond
	maxBetween = time.Second
	maxHold    = 10 * time.Second
	steady     = 30 * time.Second
)

// breaker decides whether commands for one part of the deployment are sent. Commands use its atomic half, the
// client's one goroutine the other.
type breaker struct {
	broken  atomic.Bool
	history atomic.Uint32 // a bit per command, 1 for failed, the latest lowest

	// of the goroutine that probes
	known    bool      // it has seen broken
	closedAt time.Time // when it was last closed
	reopened int       // how often it broke soon after that
	between  time.Duration
	probeAt  time.Time
}

// record notes how a command ended and reports whether the breaker broke by it.
func (b *breaker) record(failed bool) (broke bool) {
	for {
		old := b.history.Load()
		now := old << 1
		if failed {
			now |= 1
		}
		if !failed && old == 0 {
			return false // the usual case writes nothing
		}
		if !b.history.CompareAndSwap(old, now) {
			continue
		}
		if now&rowMask != rowMask && bits.OnesCount32(now&windowMask) < windowFailed {
			return false
		}
		return b.broken.CompareAndSwap(false, true)
	}
}

// opened notes that the breaker was found broken at now, and when to probe.
func (b *breaker) opened(now time.Time) {
	b.known = true
	if now.Sub(b.closedAt) < steady {
		b.reopened++
	} else {
		b.reopened = 0
	}
	b.between = firstProbe
	b.probeAt = now.Add(min(firstProbe<<min(b.reopened, 20), maxHold))
}

// probed notes a probe that failed at now.
func (b *breaker) probed(now time.Time) {
	b.between = min(2*b.between, maxBetween)
	b.probeAt = now.Add(b.between)
}

// close lets commands through again.
func (b *breaker) close(now time.Time) {
	b.known, b.closedAt = false, now
	b.history.Store(0)
	b.broken.Store(false)
}
