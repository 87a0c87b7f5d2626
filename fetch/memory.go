package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"imgopt/failure"
)

// Memory bounds what fetches hold at once: the body, the buffers it is gathered in, and its decoders. Not in it are the
// header of an answer (at most 16.5 KiB) and the buffers of a connection (8 KiB).
type Memory interface {
	// Resize sets how many bytes the fetch holds, in all. It is called before they are allocated and waits until
	// there is room for them; an error, which it must return when ctx ends, ends the fetch. Less than before is
	// given back without waiting.
	Resize(ctx context.Context, bytes int64) error
}

// memoryError is a Memory that gave no room.
type memoryError struct{ err error }

func (e *memoryError) Error() string { return "wait for memory: " + e.err.Error() }
func (e *memoryError) Unwrap() error { return e.err }

// account is what one fetch holds. The zero value is that of a fetch without a Memory: nothing is counted.
type account struct {
	memory Memory
	caller context.Context // waits for room
	limit  *stopwatch      // stands still meanwhile; nil for a file
	held   int64
}

// grow asks for n more bytes.
func (a *account) grow(n int64) error { return a.resize(a.held + n) }

// resize sets what is held. An error is a *memoryError.
func (a *account) resize(bytes int64) error {
	if a.memory == nil || bytes == a.held {
		return nil
	}
	if a.limit != nil && bytes > a.held {
		// Others hold the memory: that the origin waits too is not its fault.
		a.limit.pause()
		defer a.limit.resume()
	}
	if err := a.memory.Resize(a.caller, bytes); err != nil {
		if cause := context.Cause(a.caller); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", err, cause)
		}
		return &memoryError{err}
	}
	a.held = bytes
	return nil
}

// memoryFailure is for a fetch that got no room for its source. It is the service that is short of something, so the
// client is to come back, and trying again at once would make it worse.
func memoryFailure(cause error) *failure.Error {
	f := failure.Wrap(http.StatusServiceUnavailable, "source_memory", "Service Unavailable", cause)
	f.RetryAfter = time.Second
	return f
}

// stopwatch calls a function after some time, in which the time between pause and resume does not count. Except for
// that call it belongs to one goroutine.
type stopwatch struct {
	timer   *time.Timer
	left    time.Duration // when it runs again, or as of since
	since   time.Time
	stopped bool
}

func startStopwatch(d time.Duration, expired func()) *stopwatch {
	return &stopwatch{timer: time.AfterFunc(d, expired), left: d, since: time.Now()}
}

func (s *stopwatch) pause() {
	if s.stopped = s.timer.Stop(); s.stopped {
		s.left -= time.Since(s.since)
	}
}

// resume does nothing for a stopwatch that had expired before it was paused.
func (s *stopwatch) resume() {
	if s.stopped {
		s.stopped, s.since = false, time.Now()
		s.timer.Reset(s.left)
	}
}

// end stops for good.
func (s *stopwatch) end() { s.timer.Stop() }
