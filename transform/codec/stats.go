package codec

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"imgopt/transform"
)

// Stats is a snapshot of a pool.
type Stats struct {
	// Workers is the number of processes, Busy how many are encoding, Waiting how many calls wait for one.
	Workers, Busy, Waiting int64
	// Encoded, Failed, TimedOut, Crashed and Canceled count tries by their end (a try whose process was lost through
	// no fault of the source counts as canceled); Poisoned those refused untried.
	Encoded, Failed, TimedOut, Crashed, Canceled, Poisoned uint64
	// Replaced counts processes started after the first ones, Recycled those of them that replaced a worn one,
	// Stopped those that replaced one which a signal had stopped.
	Replaced, Recycled, Stopped uint64
	// BusyTime is how long processes have been encoding, all together, jobs under way included: its growth per second,
	// divided by Workers, is the utilization. WaitTime is how long calls have waited for a process.
	BusyTime, WaitTime time.Duration
}

// counters is what Stats is made from. A job touches each once or twice.
type counters struct {
	waiting, waited                              atomic.Int64
	encoded, failed, timedOut, crashed, canceled atomic.Uint64
	poisoned, replaced, recycled, stopped        atomic.Uint64

	mu    sync.Mutex
	busy  int64
	spent time.Duration // busy time up to since
	since time.Time
}

// begin and end say that a process has a job, and has none any more.
func (c *counters) begin(now time.Time) { c.advance(now, 1) }
func (c *counters) end(now time.Time)   { c.advance(now, -1) }

func (c *counters) advance(now time.Time, by int64) (busy int64, spent time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.After(c.since) { // two callers may come in another order than they looked at the clock
		c.spent += time.Duration(c.busy) * now.Sub(c.since)
		c.since = now
	}
	c.busy += by
	return c.busy, c.spent
}

func (c *counters) count(result string) {
	switch result {
	case "ok":
		c.encoded.Add(1)
	case "failed":
		c.failed.Add(1)
	case "timeout":
		c.timedOut.Add(1)
	case "crashed":
		c.crashed.Add(1)
	default:
		c.canceled.Add(1)
	}
}

func outcomeOf(err error) string {
	var codec *transform.CodecError
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errGone), errors.Is(err, errLost), errors.Is(err, errStopped):
		return "gone"
	case errors.Is(err, errCrashed):
		return "crashed"
	case errors.Is(err, errStarved), errors.As(err, &codec) && codec.TimedOut:
		return "timeout"
	case errors.As(err, &codec):
		return "failed"
	default:
		return "canceled"
	}
}

// Stats returns what the pool is doing and has done.
func (p *Pool) Stats() Stats {
	busy, spent := p.stats.advance(time.Now(), 0)
	return Stats{
		Workers: int64(p.settings.Options.Workers), Busy: busy, Waiting: p.stats.waiting.Load(),
		Encoded: p.stats.encoded.Load(), Failed: p.stats.failed.Load(), TimedOut: p.stats.timedOut.Load(),
		Crashed: p.stats.crashed.Load(), Canceled: p.stats.canceled.Load(), Poisoned: p.stats.poisoned.Load(),
		Replaced: p.stats.replaced.Load(), Recycled: p.stats.recycled.Load(), Stopped: p.stats.stopped.Load(),
		BusyTime: spent, WaitTime: time.Duration(p.stats.waited.Load()),
	}
}
