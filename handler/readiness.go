package handler

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Check is one thing that has to be in order for the service to take requests.
type Check struct {
	// Name says what is checked, in a word or two.
	Name string
	// Run returns what is wrong, or nil. It must end when ctx does. It is not called again before it has returned, and
	// its result may answer several who ask at the same time.
	Run func(ctx context.Context) error
	// Optional marks what the service can do without: it is ready all the same, and tells.
	Optional bool
}

// checkTimeout is the time all checks have together: less than what probes wait by default in Kubernetes (1 s) would
// cut off, so that they get to read the reason.
const checkTimeout = 900 * time.Millisecond

// Readiness says whether the service wants requests.
type Readiness struct {
	checks   []*check
	draining atomic.Bool
	serving  context.Context // ends with Drain
	end      context.CancelFunc
}

// NewReadiness returns a service that is ready when all checks pass that are not optional.
func NewReadiness(checks ...Check) *Readiness {
	r := &Readiness{}
	r.serving, r.end = context.WithCancel(context.Background())
	for _, c := range checks {
		r.checks = append(r.checks, &check{Check: c})
	}
	return r
}

// Drain makes the service not ready for good. Call it when shutting down, before the listener is closed, so that
// whoever distributes requests learns it in time.
func (r *Readiness) Drain() {
	r.draining.Store(true)
	r.end()
}

// Draining reports whether Drain was called.
func (r *Readiness) Draining() bool { return r.draining.Load() }

// Failure is a failed check.
type Failure struct {
	Name  string `json:"name"`
	Error string `json:"error"`
}

// CheckResult is what a check found.
type CheckResult struct {
	Name string
	// Error is what is wrong; "" if nothing is.
	Error    string
	Optional bool
}

// Failing runs the checks, all at once, and returns those that failed and are not optional; none means ready. A check
// that takes too long has failed.
func (r *Readiness) Failing(ctx context.Context) []Failure { return r.report(ctx).Failing }

// report is the answer to a probe. When the service drains nothing needs to be checked.
func (r *Readiness) report(ctx context.Context) ReadyReport {
	if r.draining.Load() {
		return ReadyReport{Failing: []Failure{failureDraining}}
	}
	report := ReadyReport{Failing: []Failure{}}
	for _, c := range r.Results(ctx) {
		switch f := (Failure{c.Name, c.Error}); {
		case c.Error == "":
		case c.Optional:
			report.Degraded = append(report.Degraded, f)
		default:
			report.Failing = append(report.Failing, f)
		}
	}
	report.Ready = len(report.Failing) == 0
	return report
}

var failureDraining = Failure{"shutdown", "shutting down"}

// Results runs the checks, all at once, and returns what each has found, whether the service drains or not.
func (r *Readiness) Results(ctx context.Context) []CheckResult {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	runs := make([]*run, len(r.checks))
	for i, c := range r.checks {
		runs[i] = c.start()
	}
	results := make([]CheckResult, len(r.checks))
	for i, c := range r.checks {
		results[i] = CheckResult{Name: c.Name, Optional: c.Optional}
		if err := runs[i].wait(ctx); err != nil {
			results[i].Error = orDefault(loggable(err.Error()), "failed")
		}
	}
	return results
}

// check is a Check that runs at most once at a time: one that hangs in spite of its ctx costs one goroutine, not one
// per probe.
type check struct {
	Check
	mu      sync.Mutex
	running *run // nil: none
}

// run is one run of a check, for all who ask while it lasts.
type run struct {
	done chan struct{}
	err  error
}

// start returns the run under way, or a new one.
func (c *check) start() *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != nil {
		return c.running
	}
	r := &run{done: make(chan struct{})}
	c.running = r
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
		defer cancel()
		r.err = c.safely(ctx)
		c.mu.Lock()
		c.running = nil
		c.mu.Unlock()
		close(r.done)
	}()
	return r
}

// safely makes a panic, a bug that nobody but a probe would notice, a failed check.
func (c *check) safely(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return c.Run(ctx)
}

func (r *run) wait(ctx context.Context) error {
	select {
	case <-r.done:
		return r.err
	default:
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("no result: %w", ctx.Err())
	}
}
