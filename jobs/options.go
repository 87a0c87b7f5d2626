package jobs

import (
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"time"

	"imgopt/tracing"
)

// Options configure a Dispatcher. Start from Defaults: every value is taken as it stands.
type Options struct {
	// Concurrency bounds the interactive jobs running at once, in whatever stage.
	Concurrency int
	// Background bounds the background jobs running at once, in addition to Concurrency, so that they never hold
	// a slot that a waiting client needs.
	Background int
	// CPUs is how many jobs the work does at once in its CPU stage. Where other processes do jobs of the same queue, this
	// one takes no more than it can begin with soon: see crowd.go. 0 sets no such limit.
	CPUs int
	// Workless says that this process only asks for work that others do. It needs a Remote queue.
	Workless bool
	// OriginShare is the share of Concurrency, and of Background, that the jobs of one origin may hold, above 0 and
	// up to 1, rounded down: at least one, and where there are several, one stays for others. 1 turns it off.
	OriginShare float64
	// Timeout bounds one job: waiting, all attempts and the pauses between them. A background job's time begins
	// with its first attempt, and anew if it ran out while the job was queued.
	Timeout time.Duration
	// Lease is how long a job stays leased to a process that shows no sign of life; it is renewed every third of
	// it. It must be longer than Timeout. 0: Timeout + 15 s.
	Lease time.Duration
	// MaxAttempts bounds the attempts of one job; 1 means no retries.
	MaxAttempts int
	// Backoff is the longest pause before the first retry, BackoffMax before any; the pause is drawn evenly
	// between zero and the limit, which doubles from retry to retry (full jitter).
	Backoff, BackoffMax time.Duration
	// RetryBudget is how many retries each first attempt of any job pays for; 0.2 lets a failing origin see at
	// most 20 % more requests than a healthy one.
	RetryBudget float64
	// RetryReserve is how many retries per second are allowed besides, so that a quiet service may retry.
	RetryReserve float64
	// Observe, if set, is told what happens to jobs. It is called from many goroutines and must not block.
	Observe func(Event)
	// Tracer makes the spans of jobs; nil makes none.
	Tracer *tracing.Tracer
	// Log gets what an operator must see; nil means slog.Default().
	Log *slog.Logger
}

// Multiples of the workers that Defaults uses.
const (
	concurrencyPerWorker = 16
	backgroundPerWorker  = 4
)

// Defaults returns the options for a process whose CPU stage runs on that many workers; 0 means one per CPU that
// the runtime uses.
func Defaults(workers int) Options {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return Options{
		Concurrency:  concurrencyPerWorker * workers,
		Background:   backgroundPerWorker * workers,
		OriginShare:  defaultOriginShare,
		Timeout:      30 * time.Second,
		MaxAttempts:  3,
		Backoff:      200 * time.Millisecond,
		BackoffMax:   5 * time.Second,
		RetryBudget:  0.2,
		RetryReserve: 1,
	}
}

// leaseMargin is what a lease lasts beyond the time limit, by default.
const leaseMargin = 15 * time.Second

// Validate names the first option with an impossible value.
func (o Options) Validate() error {
	finite := func(f float64) bool { return f >= 0 && !math.IsInf(f, 1) }
	switch {
	case o.Concurrency < 1:
		return fmt.Errorf("jobs: Concurrency is %d, must be at least 1", o.Concurrency)
	case o.CPUs < 0:
		return fmt.Errorf("jobs: CPUs is %d, must be 0 or more", o.CPUs)
	case o.Background < 1:
		return fmt.Errorf("jobs: Background is %d, must be at least 1", o.Background)
	case !(o.OriginShare > 0 && o.OriginShare <= 1):
		return fmt.Errorf("jobs: OriginShare is %v, must be above 0 and up to 1", o.OriginShare)
	case o.Timeout <= 0:
		return fmt.Errorf("jobs: Timeout is %v, must be positive", o.Timeout)
	case o.Lease != 0 && o.Lease <= o.Timeout:
		return fmt.Errorf("jobs: Lease is %v, must be longer than Timeout (%v)", o.Lease, o.Timeout)
	case o.MaxAttempts < 1:
		return fmt.Errorf("jobs: MaxAttempts is %d, must be at least 1", o.MaxAttempts)
	case o.Backoff <= 0 || o.BackoffMax < o.Backoff:
		return fmt.Errorf("jobs: Backoff is %v and BackoffMax %v, must be positive and ascending", o.Backoff, o.BackoffMax)
	case !finite(o.RetryBudget):
		return fmt.Errorf("jobs: RetryBudget is %v, must be 0 or more", o.RetryBudget)
	case !finite(o.RetryReserve):
		return fmt.Errorf("jobs: RetryReserve is %v, must be 0 or more", o.RetryReserve)
	}
	return nil
}

// originSlots is how many of the slots the jobs of one origin may hold.
func originSlots(share float64, slots int) int {
	if share == 1 {
		return slots
	}
	return max(1, min(int(share*float64(slots)), slots-1))
}

// lease returns the lease's length in force.
func (o Options) lease() time.Duration {
	if o.Lease == 0 {
		return o.Timeout + leaseMargin
	}
	return o.Lease
}
