package optimizer

import (
	"time"

	"imgopt/fetch"
	"imgopt/jobs"
	"imgopt/transform"
)

// Outcomes of a revalidation.
const (
	Changed   = "changed"
	Unchanged = "unchanged"
	Failed    = "failed"
)

// Observer is told what happens to jobs, for metrics. Its methods are called from many goroutines and must not
// block.
type Observer interface {
	// Fetched: an attempt to fetch a source for a job of that kind took d. src is nil when err is not.
	Fetched(kind jobs.Kind, d time.Duration, src *fetch.Source, err error)
	// Encoded: in bytes became out bytes, or err; d includes the wait for a free codec.
	Encoded(plan transform.Plan, d time.Duration, in, out int, err error)
	// PassedThrough: a source is served unchanged because of its type or because it is animated.
	PassedThrough(plan transform.Plan)
	// Revalidated: an entry's revalidation ended with one of the outcomes above.
	Revalidated(outcome string)
}

type silent struct{}

func (silent) Fetched(jobs.Kind, time.Duration, *fetch.Source, error) {}
func (silent) Encoded(transform.Plan, time.Duration, int, int, error) {}
func (silent) PassedThrough(transform.Plan)                           {}
func (silent) Revalidated(string)                                     {}
