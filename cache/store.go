package cache

import (
	"context"
	"errors"
	"fmt"
)

// Store keeps entries. Implementations are safe for concurrent use.
type Store interface {
	// Get returns the entry of k. Every error satisfies errors.Is(err, ErrMiss). The entry may be stale: whether
	// it is, only the caller's clock says.
	Get(ctx context.Context, k Key) (*Entry, error)
	// Put keeps e as the entry of k in place of any other. The store may hold on to e and its Body. An entry that is
	// too large to be kept is ErrTooLarge; it still displaces the one it was meant to replace.
	Put(ctx context.Context, k Key, e *Entry) error
	// Delete forgets k. That k is absent is no error.
	Delete(ctx context.Context, k Key) error
	// Close releases what the store holds and waits for its goroutines. Then Get misses and Put fails with ErrClosed.
	// Closing twice is harmless.
	Close() error
}

// Errors that callers tell apart with errors.Is.
var (
	// ErrMiss is what every failed Get is.
	ErrMiss = errors.New("cache: miss")
	// ErrTooLarge says that an entry does not fit and was not kept. It is no malfunction.
	ErrTooLarge = errors.New("cache: entry is too large to be kept")
	// ErrUnavailable says that a tier cannot be reached now, which whoever watches over it makes known.
	ErrUnavailable = errors.New("cache: tier is not available")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("cache: closed")
	// ErrVersion says that an encoded entry was written by another version of this program. It is as good as absent,
	// but not damaged.
	ErrVersion = errors.New("cache: entry of another version")
	// ErrEmpty says that an entry without a body was to be stored, which Next refuses as well.
	ErrEmpty = errors.New("cache: entry without a body")
)

// MissError is a miss with a cause worth logging. A plain absence is the bare ErrMiss.
type MissError struct{ Cause error }

// Error describes the miss and its cause.
func (e *MissError) Error() string { return "cache: miss: " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *MissError) Unwrap() error { return e.Cause }

// Is makes every MissError an ErrMiss.
func (e *MissError) Is(target error) bool { return target == ErrMiss }

// CorruptError says that an encoded entry is damaged.
type CorruptError struct {
	// Reason says what gave it away, for example "body checksum".
	Reason string
}

// Error describes the damage.
func (e *CorruptError) Error() string { return "cache: corrupt entry: " + e.Reason }

// IOError is a failure of the medium a store writes to.
type IOError struct {
	// Op is what was being done, for example "write".
	Op string
	// Reason is a short stable label for logs and metrics: "no_space", "read_only", "permission" or "io".
	Reason string
	// Err is the cause, usually a syscall.Errno.
	Err error
}

// Error describes what failed and why.
func (e *IOError) Error() string { return fmt.Sprintf("cache: %s (%s): %v", e.Op, e.Reason, e.Err) }

// Unwrap returns the cause.
func (e *IOError) Unwrap() error { return e.Err }

// Stats is a snapshot of one store, for metrics. The counters grow from 0 for as long as the store lives.
type Stats struct {
	// Entries and Bytes are what the store holds now, bytes including the store's own overhead.
	Entries, Bytes int64
	// MaxBytes is the limit of Bytes.
	MaxBytes int64
	// Hits counts entries found, stale ones included.
	Hits uint64
	// Misses counts entries not found, for whatever reason.
	Misses uint64
	// Evictions counts entries removed to make room.
	Evictions uint64
	// Rejected counts entries that were too large to be kept.
	Rejected uint64
	// Errors counts failures of the medium in Get, Put, Delete and upkeep.
	Errors uint64
	// Corrupt counts damaged entries found; each was also a miss.
	Corrupt uint64
}
