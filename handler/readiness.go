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
}

// checkTimeout is the time all checks have together: less than what probes wait by default in Kubernetes (1 s) would
// cut off, so that they get to read the reason.
const checkTimeout = 900 * time.Millisecond

// Readiness says whether the service wants requests.
type Readiness struct {
	checks   []*check
	draining atomic.Bool
}

// NewReadiness returns a service that is ready when all checks pass.
func NewReadiness(checks ...Check) *Readiness {
	r := &Readiness{}
	for _, c := range checks {
		r.checks = append(r.checks, &check{Check: c})
	}
	return r
}

// Drain makes the service not ready for good. Call it when shutting down, before the listener is closed, so that
// whoever distributes requests learns it in time.
func (r *Readiness) Drain() { r.draining.Store(true) }

// Draining reports whether Drain was called.
func (r *Readiness) Draining() bool { return r.draining.Load() }

// Failure is a failed check.
type Failure struct {
	Name  string `json:"name"`
	Error string `json:"error"`
}

// Failing runs the checks, all at once, and returns those that failed; none means ready. A check that takes too long
// has failed.
func (r *Readiness) Failing(ctx context.Context) []Failure {
	if r.draining.Load() {
		return []Failure{{"shutdown", "shutting down"}}
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	runs := make([]*run, len(r.checks))
	for i, c := range r.checks {
		runs[i] = c.start()
	}
	failing := []Failure{}
	for i, c := range r.checks {
		if err := runs[i].wait(ctx); err != nil {
			failing = append(failing, Failure{c.Name, loggable(err.Error())})
		}
	}
	return failing
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
