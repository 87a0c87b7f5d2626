package jobs

import (
	"context"
	"errors"
	"net/http"
	"time"

	"imgopt/failure"
)

// Reasons of the refusals that this package makes, all 503.
const (
	reasonQueueFull    = "queue_full"        // no room
	reasonOriginFull   = "origin_queue_full" // no room for jobs of that origin
	reasonQueueWait    = "queue_wait"        // it would take too long
	reasonOriginWait   = "origin_queue_wait" // it would take too long because of that origin
	reasonQueueAway    = "queue_unavailable"
	reasonShuttingDown = "shutting_down"
)

const (
	textUnavailable = "Service Unavailable"
	// saturationHold is how long after a refusal the service still counts as saturated.
	saturationHold = 5 * time.Second
)

var (
	errWait       = errors.New("the wait for a slot would be too long")
	errOriginWait = errors.New("the wait for another job of this origin to end would be too long")
)

// budgetOf is the time a call has for its job.
func (d *Dispatcher[R]) budgetOf(ctx context.Context) time.Duration {
	budget := d.opt.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(deadline))
	}
	return budget
}

// decision is whether a job may join the line.
type decision struct {
	refused bool
	shared  bool // for reasons that all origins share
	wait    time.Duration
}

// decide tells whether a new job of the origin would be done within its budget. One that finds a slot free is never
// refused, however long attempts took so far: otherwise nothing would ever be measured again.
func (l *line) decide(origin string, budget time.Duration) decision {
	x, now := l.lanes[origin], time.Now()
	shared, own := l.ahead(now), l.behind(x, now)
	f := shared
	if own.seconds > f.seconds {
		f = own
	}
	if f.seconds == 0 {
		return decision{}
	}
	d := decision{wait: duration(f.seconds)}
	if p := l.pace(x); f.late(&p, budget) {
		d.refused = true
		// Of other origins, a job would be refused too; or what the origin's own jobs wait for is no matter of it; or
		// the origin's pace makes the difference, but most of the time is spent in line.
		d.shared = shared.late(&l.all, budget) || x.contends() ||
			own.seconds <= shared.seconds && 2*shared.high(&p) > budget.Seconds()
	}
	return d
}

// late tells whether a job that waits that long will hardly be done within its budget, at that pace.
func (f forecast) late(p *pace, budget time.Duration) bool {
	if f.seconds == 0 {
		return false
	}
	b := budget.Seconds()
	// What attempts take beyond the mean counts too, but a few that take very long must not keep all out.
	return f.high(p)+p.mean()+min(3*p.deviation(), b/2) > b
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// tooLong refuses a call before anything is queued.
func (d *Dispatcher[R]) tooLong(job Job, verdict decision) error {
	reason, cause := reasonOriginWait, errOriginWait
	if verdict.shared {
		reason, cause = reasonQueueWait, errWait
	}
	return d.refuse(job, Interactive, d.unavailable(reason, cause, verdict.wait))
}

// unavailable is a 503 that says when to come again.
func (d *Dispatcher[R]) unavailable(reason string, cause error, wait time.Duration) *failure.Error {
	f := failure.Wrap(http.StatusServiceUnavailable, reason, textUnavailable, cause)
	f.RetryAfter = min(max(wait, time.Second), d.opt.Timeout)
	return f
}

// refusal says what a queue's error means to the caller. f is the flight of a job that somebody waits for.
func (d *Dispatcher[R]) refusal(job Job, f *flight[R], err error) *failure.Error {
	var long *TooLongError
	switch {
	case errors.As(err, &long):
		d.mu.Lock()
		if f != nil {
			f.refused = true
			d.place(f)
		}
		d.saturation.refused(time.Now())
		d.mu.Unlock()
		return d.unavailable(reasonQueueWait, err, long.Wait)
	case errors.Is(err, ErrFull):
		d.mu.Lock()
		if f != nil {
			f.refused = true // not before itself
			d.place(f)
		}
		origin := job.Spec.Origin()
		wait := d.line.decide(origin, d.opt.Timeout).wait
		own := errors.Is(err, ErrOriginFull)
		if f != nil && (!own || d.line.lanes[origin].contends()) {
			d.saturation.refused(time.Now())
		}
		d.mu.Unlock()
		if own {
			return d.unavailable(reasonOriginFull, err, wait)
		}
		return d.unavailable(reasonQueueFull, err, wait)
	case errors.Is(err, ErrClosed):
		return errShuttingDown()
	default:
		return d.unavailable(reasonQueueAway, err, 0)
	}
}

func errShuttingDown() *failure.Error {
	f := failure.Wrap(http.StatusServiceUnavailable, reasonShuttingDown, textUnavailable, errStopping)
	f.RetryAfter = time.Second // another replica, or the next process
	return f
}

// saturation tells since when people's jobs are turned away for reasons that all origins share.
type saturation struct {
	since, last time.Time // first and last refusal; since is zero when it is over
}

func (s *saturation) refused(now time.Time) {
	if s.lasts(now) == 0 {
		s.since = now
	}
	s.last = now
}

// lasts returns for how long, 0 if it is over; in the first moment it is a nanosecond.
func (s *saturation) lasts(now time.Time) time.Duration {
	if s.since.IsZero() || now.Sub(s.last) >= saturationHold {
		return 0
	}
	return max(1, now.Sub(s.since))
}

// ease ends the saturation when nobody waits and a quarter of the slots that one origin may hold is free. One free
// slot would not do: where nobody may wait, because attempts take long, one is free for a moment now and then.
func (s *saturation) ease(l *line) {
	if l.waiting == 0 && 4*l.running <= 3*l.share {
		s.since = time.Time{}
	}
}
