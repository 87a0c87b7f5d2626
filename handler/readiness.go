package handler

import (
	"context"
	"sync/atomic"
	"time"
)

// Check is one thing that has to be in order for the service to take requests.
type Check struct {
	// Name says what is checked, in a word or two.
	Name string
	// Run returns what is wrong, or nil. It should take no longer than ctx allows.
	Run func(ctx context.Context) error
}

// checkTimeout is the time all checks have together: less than what probes wait by default in Kubernetes (1 s) would
// cut off, so that they get to read the reason.
const checkTimeout = 900 * time.Millisecond

// Readiness says whether the service wants requests.
type Readiness struct {
	checks   []Check
	draining atomic.Bool
}

// NewReadiness returns a service that is ready when all checks pass.
func NewReadiness(checks ...Check) *Readiness { return &Readiness{checks: checks} }

// Drain makes the service not ready for good. Call it when shutting down, before the listener is closed, so that
// whoever distributes requests learns it in time.
func (r *Readiness) Drain() { r.draining.Store(true) }

// Failure is a failed check.
type Failure struct {
	Name  string `json:"name"`
	Error string `json:"error"`
}

// Failing runs the checks and returns those that failed; none means ready.
func (r *Readiness) Failing(ctx context.Context) []Failure {
	if r.draining.Load() {
		return []Failure{{"shutdown", "shutting down"}}
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	failing := []Failure{}
	for _, c := range r.checks {
		if err := c.Run(ctx); err != nil {
			failing = append(failing, Failure{c.Name, loggable(err.Error())})
		}
	}
	return failing
}
