package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"imgopt/failure"
	"imgopt/tracing"
)

// Errors of a Queue that a caller must tell apart.
var (
	// ErrFull says that the queue holds as many jobs of that priority as it may.
	ErrFull = errors.New("job queue is full")
	// ErrOriginFull is the ErrFull of one origin: the queue holds as many of its jobs of that priority as it may.
	ErrOriginFull = fmt.Errorf("%w for this origin", ErrFull)
	// ErrLeaseLost says that the lease expired and the job is, or may be, somebody else's.
	ErrLeaseLost = errors.New("job lease is lost")
	// ErrClosed says that the queue was closed.
	ErrClosed = errors.New("job queue is closed")
)

// Item is a job as a queue holds it.
type Item struct {
	Job
	// EnqueuedAt is when the job was first enqueued.
	EnqueuedAt time.Time
	// Deadline ends the job, waiting included. It is zero for a background job that has not been started in this
	// process: nobody's time runs while it waits.
	Deadline time.Time
	// Anew says that an outcome which the queue keeps of an earlier job with the same key does not count.
	Anew bool
	// Trace is the span of whoever asked, if that is recorded. A Miss is done below it; what else is done begins a trace
	// of its own, with a link to it.
	Trace tracing.Link
}

// Lease is the right to do a job until it expires. Its Item counts the attempt that begins with the lease.
type Lease struct {
	Item
	// Token tells this lease from every other one of the same job, so that a worker that lost its lease cannot
	// end its successor's.
	Token string
}

// Outcome is how a job ended.
type Outcome struct {
	// Failure is why the job failed, or nil.
	Failure *failure.Error
	// Ref is where other processes find the result, in at most 1 KiB; a Remote tells it to those who wait. Empty if the
	// job failed, or its result could not be shared.
	Ref []byte
	// Dead asks the queue to keep the failed job as a dead letter, if it keeps such.
	Dead bool
	// Keep is how long a queue that remembers outcomes does so with this one; 0 means as long as it usually does.
	Keep time.Duration
}

// Queue holds jobs between those who ask and those who work. A job's id is its key: at any time a queue holds it at
// most once, queued or leased. Delivery is at least once: a lease that expires gives the job to the next worker.
//
// The results of jobs worked on in this process never travel through the queue. Those who wait in other processes learn
// of an end through Remote.
//
// # Origins
//
// A queue keeps one origin (Spec.Origin) from taking what all share, in two ways. Neither is needed for anything
// else to work, and a queue may leave out both, or apply them per process only:
//   - room: Enqueue fails with ErrOriginFull where one origin's jobs fill more than Limits.OriginShare allows. A
//     queue on a server needs a counter per origin and priority for it, kept where jobs enter and leave the queue;
//     without one it never returns ErrOriginFull, and the dispatcher's estimate of waits, which knows this
//     process's jobs by origin, still refuses what an origin cannot do in time.
//   - slots: Lease passes over ready jobs of an origin that this process works on as often as LimitOrigins allows.
//     The count is per process, so no server is asked. One that hands jobs out in a fixed order (a stream) can
//     apply it by keeping apart a stream per origin, or to what it has read ahead; otherwise LimitOrigins returns
//     false, and the dispatcher estimates waits as if all origins were one.
//
// Which job comes first is the queue's to say as long as jobs of one origin and priority keep their order. Memory and
// Filesystem go by arrival over all origins, those at their limit left out.
//
// All methods may be called concurrently. Those that do I/O bound it themselves.
type Queue interface {
	// Enqueue adds an item. If its key is already queued or leased, the item joins that one (joined is true): an
	// interactive one raises the priority of a queued background one and sets its kind, deadline and trace, or extends
	// the deadline of a queued interactive one; a background one makes the job outlive its waiters, and last a
	// crash where the queue is durable. Fails with ErrFull if there is no room, ErrOriginFull if there is none for
	// the item's origin, ErrClosed after Close.
	Enqueue(ctx context.Context, item Item) (joined bool, err error)

	// Withdraw tells that nobody in this process waits for the job any more. The queue drops it if it is not
	// leased and nobody else asked for it, and tells whether it did.
	Withdraw(ctx context.Context, key Key) (dropped bool, err error)

	// Lease waits for a ready job of the priority and leases it for ttl. Background jobs are not leased while an
	// interactive one is ready, unless that one is held back by LimitOrigins; then only those of its own origin
	// are not. Fails with the context's error, or ErrClosed.
	Lease(ctx context.Context, p Priority, ttl time.Duration) (Lease, error)

	// LimitOrigins bounds how many jobs of one origin this process has leased at once, for each priority; ready
	// ones beyond that are held back. It is called before the first Lease, with at least 1 each. False says that
	// this queue does not do it.
	LimitOrigins(interactive, background int) (applied bool)

	// Extend makes the lease expire ttl from now, or fails with ErrLeaseLost.
	Extend(ctx context.Context, l Lease, ttl time.Duration) error

	// Complete ends the job. Fails with ErrLeaseLost if the lease is not current; the job is then another's.
	Complete(ctx context.Context, l Lease, o Outcome) error

	// Requeue gives the job back, to be leased no earlier than at, with the attempts, priority, and deadline that
	// l.Item now has. There is always room. Fails with ErrLeaseLost like Complete.
	Requeue(ctx context.Context, l Lease, at time.Time) error

	// Stats counts what the queue holds.
	Stats(ctx context.Context) (QueueStats, error)

	// Close ends all waiting Lease calls and hands back, without counting the attempt, what this process leased
	// and others can do.
	Close() error
}

// QueueStats counts what a queue holds now, and what happened since it was opened.
type QueueStats struct {
	Interactive, Background ClassStats
	// Leased is the number of jobs leased by this process.
	Leased int
	// Reclaimed counts leases that expired or whose process died.
	Reclaimed uint64
	// Buried counts dead letters.
	Buried uint64
	// Corrupt counts stored jobs that could not be read and were dropped.
	Corrupt uint64
	// StoreErrors counts failures to store a job: it is then held in memory only, or tried again later.
	StoreErrors uint64
}

// ClassStats counts the queued jobs of one priority.
type ClassStats struct {
	// Queued is the number of jobs not leased, those waiting for a retry included.
	Queued int
	// Delayed is how many of them wait for a retry.
	Delayed int
	// HeldBack is how many are ready but wait for their origin: for its other jobs, or for what people want of it.
	HeldBack int
	// Oldest is how long the first ready job has been ready, held back or not.
	Oldest time.Duration
}

// Limits bound the number of queued jobs, not counting leased ones. Joins and retries need no room.
type Limits struct {
	Interactive, Background int
	// OriginShare is the share of either limit that the jobs of one origin may fill while no other origin has any
	// queued, above 0 and up to 1. Of several origins that want more than there is each may fill less, so that
	// room is left for the next: an origin may have OriginShare/(1-OriginShare) times as many jobs queued as there
	// is room left, and always one. 1, or 0, turns it off.
	OriginShare float64
}

// defaultOriginShare is the share of the slots, and of the queue's room, that Defaults and DefaultLimits let one
// origin have. Most services have one origin, or one that matters, and the rest is idle then: so it must be most of
// it. A quarter is enough for others: with 16 slots to a worker it is 4, while one can keep a CPU busy.
const defaultOriginShare = 0.75

// DefaultLimits lets about as many interactive jobs wait as two CPUs do within the default time limit, and enough
// background jobs for a pre-warming run of some thousand variants.
func DefaultLimits() Limits {
	return Limits{Interactive: 1024, Background: 16384, OriginShare: defaultOriginShare}
}

func (l Limits) validate() error {
	if l.Interactive < 1 || l.Background < 1 {
		return errors.New("queue limits must be at least 1")
	}
	if !(l.OriginShare >= 0 && l.OriginShare <= 1) {
		return fmt.Errorf("the share of one origin is %v, must be above 0 and up to 1", l.OriginShare)
	}
	return nil
}

// originShare returns the share in force.
func (l Limits) originShare() float64 {
	if l.OriginShare == 0 {
		return 1
	}
	return l.OriginShare
}
