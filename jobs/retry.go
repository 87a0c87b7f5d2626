package jobs

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"

	"imgopt/failure"
)

// Reasons of the failures that this package makes.
const (
	reasonExhausted    = "retries_exhausted"
	reasonDeadline     = "deadline"      // the job's time ran out while it was worked on
	reasonQueueTimeout = "queue_timeout" // the job's time ran out before it was started
	reasonPanic        = "panic"
	reasonWorkersDied  = "workers_died"
)

const textInternal = "Internal Server Error"

// upstreamRetryAfter is offered by the errors of an upstream that said when to come again.
type upstreamRetryAfter interface{ UpstreamRetryAfter() time.Duration }

// mostKept is how long at most a failure is remembered because the upstream asked to be left alone. It may be back
// before, and people do not wait for that.
const mostKept = 30 * time.Second

// keepFailure returns how long a failure answers for those who ask again: as long as the upstream asked to be left alone,
// within reason, or 0 if it did not ask.
func keepFailure(err error) time.Duration {
	var told upstreamRetryAfter
	if !errors.As(err, &told) {
		return 0
	}
	return min(told.UpstreamRetryAfter(), mostKept)
}

// What becomes of a job after an attempt.
type action uint8

const (
	doFinish   action = iota // the job ends
	doRetry                  // another attempt after delay
	doHandBack               // this process is stopping: others, or the next one, do it
	doLose                   // it is another worker's by now
)

type verdict struct {
	do    action
	err   error // for those who wait
	delay time.Duration
}

// judge decides what becomes of the job after an attempt that returned err.
func (a *attempt[R]) judge(err error) verdict {
	d := a.d
	if err == nil {
		return verdict{}
	}
	cause := context.Cause(a.ctx)
	switch {
	case errors.Is(cause, ErrLeaseLost):
		return verdict{do: doLose}
	case errors.Is(cause, errStopping):
		return verdict{do: doHandBack, err: errShuttingDown()}
	}
	f := failure.From(err)
	if cause != nil && (f.Retryable || f.Timeout || errors.Is(err, context.Canceled)) {
		late := timeout(reasonDeadline, err)
		if f.Timeout && f.Text != "" {
			late.Text = f.Text
		}
		return verdict{err: late}
	}
	if !f.Retryable {
		return verdict{err: err}
	}
	if a.lease.Attempt >= d.opt.MaxAttempts {
		return verdict{err: exhausted(err)}
	}
	delay := d.opt.backoff(a.lease.Attempt)
	var told upstreamRetryAfter
	if errors.As(err, &told) {
		delay = max(delay, told.UpstreamRetryAfter())
	}
	again := delay
	if a.lane != nil {
		again += d.waitAgain(a.lease)
	}
	if !time.Now().Add(again).Before(a.lease.Deadline) {
		return verdict{err: exhausted(err)} // no time for another attempt: better told now than then
	}
	if !d.budget.withdraw() {
		d.emit(Event{Type: BudgetExhausted, Key: a.lease.Key, Kind: a.lease.Kind, Priority: a.lease.Priority,
			Attempt: a.lease.Attempt, Err: err})
		return verdict{err: exhausted(err)}
	}
	return verdict{do: doRetry, delay: delay}
}

// backoff draws the pause after the given attempt, evenly between zero and a limit that doubles. The library's
// random factor 1 around half the limit is exactly that.
func (o Options) backoff(attempt int) time.Duration {
	b := backoff.ExponentialBackOff{
		InitialInterval:     max(1, o.Backoff/2),
		MaxInterval:         max(1, o.BackoffMax/2),
		Multiplier:          2,
		RandomizationFactor: 1,
	}
	// A function of the number alone, because the attempts of one job may be made by different processes.
	var pause time.Duration
	for range attempt {
		pause = b.NextBackOff()
	}
	return pause
}

// exhausted is the failure of a job that could be tried again, but not by us: 504 if the last attempt ran into a
// time limit, 502 otherwise, with the last attempt's text.
func exhausted(last error) *failure.Error {
	f := failure.From(last)
	e := &failure.Error{Status: http.StatusBadGateway, Reason: reasonExhausted, Text: f.Text, Timeout: f.Timeout, Cause: last}
	if f.Timeout {
		e.Status = http.StatusGatewayTimeout
	}
	return e
}

func panicked(cause error) *failure.Error {
	return failure.Wrap(http.StatusInternalServerError, reasonPanic, textInternal, cause)
}

// outcome labels the end of a job.
func outcome(err error) string {
	f := failure.From(err)
	switch {
	case f == nil:
		return OutcomeOK
	case errors.Is(err, errStopping):
		return OutcomeShutdown
	case errors.Is(err, context.Canceled) && f.Reason == "canceled":
		return OutcomeAbandoned
	}
	switch f.Reason {
	case reasonExhausted:
		return OutcomeExhausted
	case reasonDeadline, reasonQueueTimeout:
		return OutcomeTimeout
	case reasonPanic:
		return OutcomePanic
	}
	return OutcomeFailed
}

// emitFinished tells about the end of a job.
func (d *Dispatcher[R]) emitFinished(job Job, p Priority, accepted time.Time, err error) {
	d.emit(Event{Type: Finished, Key: job.Key, Kind: job.Kind, Priority: p, Attempt: job.Attempt,
		Outcome: outcome(err), Err: err, Total: max(0, time.Since(accepted))})
}
