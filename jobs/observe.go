package jobs

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// EventType says what happened.
type EventType uint8

const (
	// Queued: a job was accepted that was not there yet.
	Queued EventType = iota
	// Coalesced: a call joined a job that was there already.
	Coalesced
	// Refused: a call was turned away before any work; Err says why.
	Refused
	// Started: an attempt begins; for the first one, Wait is the time since the job was accepted.
	Started
	// Attempted: an attempt ended after Run, with Err if it failed.
	Attempted
	// Retried: the attempt will be repeated after Delay.
	Retried
	// BudgetExhausted: the attempt would be repeated, but all jobs together have used up their retries.
	BudgetExhausted
	// Finished: the job ended with Outcome, Total after it was accepted.
	Finished
)

var eventTypes = [...]string{"queued", "coalesced", "refused", "started", "attempted", "retried", "budget_exhausted", "finished"}

// String returns a snake_case label.
func (t EventType) String() string {
	if int(t) < len(eventTypes) {
		return eventTypes[t]
	}
	return fmt.Sprintf("event(%d)", uint8(t))
}

// Outcomes of Finished events: a fixed set of labels.
const (
	OutcomeOK        = "ok"        // a result
	OutcomeFailed    = "failed"    // a final failure
	OutcomeExhausted = "exhausted" // retryable, but attempts, budget or time for another one were spent
	OutcomeTimeout   = "timeout"   // the job's time ran out
	OutcomePanic     = "panic"     // the work panicked
	OutcomeAbandoned = "abandoned" // nobody waited any more, dropped while not running
	OutcomeShutdown  = "shutdown"  // cut short by Close
)

// Event is something that happened to a job. Fields without meaning for its type are zero.
type Event struct {
	Type     EventType
	Key      Key
	Kind     Kind
	Priority Priority
	Attempt  int
	Outcome  string
	Err      error
	// Wait, Run, Delay, Total: see the event types.
	Wait, Run, Delay, Total time.Duration
}

// counters of a dispatcher since it was made.
type counters struct {
	accepted, coalesced, refused      atomic.Uint64
	attempts, retries, budgetFailures atomic.Uint64
	abandoned, panics                 atomic.Uint64
	inFlight                          [priorities]atomic.Int64
}

// Stats is a snapshot of a dispatcher. Counts are since New.
type Stats struct {
	Queue QueueStats
	// InFlight and InFlightBackground are the jobs running now, in this process.
	InFlight, InFlightBackground int
	// Capacity and CapacityBackground are how many may.
	Capacity, CapacityBackground int
	// Utilization is the share of Capacity that was in use, from 0 to 1, averaged over about the last ten seconds.
	// The jobs of one origin alone do not get beyond Options.OriginShare.
	Utilization float64
	// Waiting is how many jobs that somebody here waits for are in line for a slot.
	Waiting int
	// EstimatedWait is how long a job enqueued now would wait for a slot, if it was of the origin with the longest
	// line.
	EstimatedWait time.Duration
	// SaturatedFor is for how long people's jobs have been refused for reasons that all origins share: there is no
	// room, or the wait would be too long. 0 when they are not: 5 s after the last such refusal, or as soon as nobody
	// waits and a quarter of the slots is free.
	SaturatedFor time.Duration
	// Accepted jobs, calls that joined one, calls that were refused.
	Accepted, Coalesced, Refused uint64
	// Attempts of all jobs, the retries among them, retries not made because the budget was spent.
	Attempts, Retries, BudgetExhausted uint64
	// BudgetBalance is how many retries the budget would pay for now.
	BudgetBalance float64
	// Abandoned jobs were dropped because nobody waited; Panics were caught in the work.
	Abandoned, Panics uint64
}

// Stats returns a snapshot. It fails only if the queue cannot be asked; the rest is filled in even then.
func (d *Dispatcher[R]) Stats(ctx context.Context) (Stats, error) {
	s := Stats{
		InFlight:           int(d.count.inFlight[Interactive].Load()),
		InFlightBackground: int(d.count.inFlight[Background].Load()),
		Capacity:           d.opt.Concurrency,
		CapacityBackground: d.opt.Background,
		Accepted:           d.count.accepted.Load(),
		Coalesced:          d.count.coalesced.Load(),
		Refused:            d.count.refused.Load(),
		Attempts:           d.count.attempts.Load(),
		Retries:            d.count.retries.Load(),
		BudgetExhausted:    d.count.budgetFailures.Load(),
		BudgetBalance:      d.budget.balance(),
		Abandoned:          d.count.abandoned.Load(),
		Panics:             d.count.panics.Load(),
	}
	d.mu.Lock()
	now := time.Now()
	s.EstimatedWait = duration(d.line.longest(now))
	s.Utilization, s.Waiting = d.line.usage, d.line.waiting
	s.SaturatedFor = d.saturation.lasts(now)
	d.mu.Unlock()
	var err error
	if s.Queue, err = d.queue.Stats(ctx); err != nil {
		return s, fmt.Errorf("asking the job queue: %w", err)
	}
	return s, nil
}

// emit counts an event and passes it on. No lock is held.
func (d *Dispatcher[R]) emit(e Event) {
	switch e.Type {
	case Queued:
		d.count.accepted.Add(1)
	case Coalesced:
		d.count.coalesced.Add(1)
	case Refused:
		d.count.refused.Add(1)
	case Started:
		d.count.attempts.Add(1)
	case Retried:
		d.count.retries.Add(1)
	case BudgetExhausted:
		d.count.budgetFailures.Add(1)
	case Finished:
		if e.Outcome == OutcomeAbandoned {
			d.count.abandoned.Add(1)
		}
	}
	if d.opt.Observe != nil {
		d.opt.Observe(e)
	}
}
