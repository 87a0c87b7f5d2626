package jobs

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"imgopt/failure"
)

// ErrUnavailable says that a Remote cannot be used now: its server is away, slow, full, or has too much to do. Whoever
// has work does it without the queue.
var ErrUnavailable = errors.New("job queue is not available")

// TooLongError says that all processes together would hardly begin a job in time, so that it was not enqueued.
type TooLongError struct {
	// Wait is the estimated wait for a free worker.
	Wait time.Duration
}

// Error tells the wait.
func (e *TooLongError) Error() string {
	return fmt.Sprintf("job queue: the wait for a worker would be about %v", e.Wait.Round(time.Millisecond))
}

// Remote is a Queue that several processes share, who wait for each other's results. The results themselves do not
// travel through it: Outcome.Ref says where they are.
//
// What can only be done with the server fails with ErrUnavailable when it cannot be reached, soon; Lease never does, it
// waits until the server is back. A Complete that failed so is remembered, and told to the server when it is back if
// the lease still is in force. Enqueue of an interactive item may also fail with *TooLongError.
type Remote interface {
	Queue
	// Await registers that this process wants to know how the job with that key ends. It is called before Enqueue, so
	// that no end can be missed: the channel also gets the end of a job that ended between the two, and the outcome that
	// is kept of one that ended a moment ago, unless the item was enqueued Anew. It gets at most one end for each job
	// that Enqueue told of, and has room for it. cancel ends the registration. Of several for one key each is told.
	Await(key Key) (ends <-chan Ending, cancel func())
	// Up tells whether the queue can be used now. changed is closed when that has changed.
	Up() (up bool, changed <-chan struct{})
	// OnJoin has f called, from any goroutine, when somebody in another process begins to wait for a background job that
	// this one has leased. It is called before the first Lease. That a call gets lost is possible.
	OnJoin(f func(Key))
	// Peers is how many other processes work on jobs of this queue, as far as is known.
	Peers() int
}

// Ending is how a job ended, as another process learns it.
type Ending struct {
	// Failure is why it failed, nil if it did not.
	Failure *failure.Error
	// Ref is the Outcome's.
	Ref []byte
	// Lost says that the queue does not know the job any more, because its server has lost what it had. Nothing is
	// known about its end.
	Lost bool
}

// ErrCancelled is the failure of a queued job that an operator has cancelled.
func ErrCancelled() *failure.Error {
	return failure.New(http.StatusServiceUnavailable, "cancelled", textUnavailable)
}
