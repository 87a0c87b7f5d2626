package handler

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ListenOptions configures Wrap. The zero value of a limit is its default.
type ListenOptions struct {
	// WriteTimeout is the time a client has to take 256 KiB of an answer. Default 30 s.
	WriteTimeout time.Duration
	// PressureTimeout takes the place of WriteTimeout, if it is shorter, for bodies of 64 KiB and more while those
	// being sent take more than half of Options.ResponseMemory. Default 5 s: 52 KB/s.
	PressureTimeout time.Duration
	// Spare is how many descriptors are set aside for when the process has none left. Each lets one connection be
	// accepted, answered once and closed. It is meant for a listener whose few clients need an answer just then, as
	// probes do. Default 0.
	Spare int
	// Name is what the log calls the listener.
	Name string
	// Log gets a line when connections can no longer be accepted and one when they can again. Nil turns it off.
	Log *slog.Logger
	// AcceptFailed, when set, is told about every attempt to accept a connection that failed.
	AcceptFailed func()
}

const (
	defaultWriteTimeout    = 30 * time.Second
	defaultPressureTimeout = 5 * time.Second
)

// The time between attempts to accept a connection while the process has no descriptors left. Who has spare ones asks
// more often: for its clients, a probe say, a second is too late.
const (
	acceptRetryMin   = 5 * time.Millisecond
	acceptRetryMax   = time.Second
	acceptRetrySpare = 50 * time.Millisecond
)

// acceptCalm is for how long accepting must not have failed to count as working again. At its limit a process fails
// and succeeds by turns, as connections come and go.
const acceptCalm = 5 * time.Second

// Wrap returns a listener for the applications of this package. It makes up for what fasthttp lacks:
//   - running out of descriptors or memory does not end the server: accepting waits and goes on;
//   - the write timeout is one for each part of an answer, so that it limits the rate and not the size;
//   - a client that is refused while it still sends gets to read why: its connection is half-closed and drained for
//     a moment, where closing it at once would have the kernel throw the answer away;
//   - headers and body leave in one system call without being copied together, which is a sixth of the CPU of a hit;
//   - what a client has asked for is dropped when it leaves, and what it is being sent is counted: see Options;
//   - a server that is shut down does not wait for clients that have connected and sent nothing;
//   - the kernel keeps no more than 256 KiB for a client that is slow, where it would keep up to 4 MiB.
func Wrap(ln net.Listener, o ListenOptions) net.Listener {
	l := &listener{
		Listener:        ln,
		writeTimeout:    orDefault(o.WriteTimeout, defaultWriteTimeout),
		pressureTimeout: orDefault(o.PressureTimeout, defaultPressureTimeout),
		retryMax:        acceptRetryMax,
		name:            o.Name,
		log:             o.Log,
		failed:          o.AcceptFailed,
		closed:          make(chan struct{}),
	}
	if l.failed == nil {
		l.failed = func() {}
	}
	if o.Spare > 0 {
		l.spare = newSpare(o.Spare)
		l.retryMax = acceptRetrySpare
	}
	return l
}

type listener struct {
	net.Listener
	writeTimeout    time.Duration
	pressureTimeout time.Duration
	retryMax        time.Duration
	name            string
	log             *slog.Logger
	failed          func()
	spare           *spare // nil: none
	once            sync.Once
	closed          chan struct{}
	unused          unused

	// Of the goroutine that accepts: when it first and last failed for want of descriptors, and how often.
	since, last time.Time
	tries       int
}

// maxUnsent is how many bytes the kernel takes for a connection before they can be sent. Without that limit a slow
// reader costs megabytes of kernel memory, a copy for each, where the image is here once for all of them and counted.
// It does not slow fast readers down: what is on its way to them is not part of it. (Measured on loopback: 0.27 MB
// instead of 2.8 MB are taken for a client that does not read, and large bodies cost a third less CPU.)
const maxUnsent = 256 << 10

// limitUnsent sets maxUnsent. It is one of half a dozen options that are set for every connection anyway. A kernel or a
// kind of connection that does not know it works without.
func limitUnsent(c net.Conn) {
	s, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent) })
}

// Accept returns the next connection. Its only errors are final.
func (l *listener) Accept() (net.Conn, error) {
	for wait := acceptRetryMin; ; wait = min(2*wait, l.retryMax) {
		c, err := l.Listener.Accept()
		if err == nil {
			return l.accepted(c, l.works()), nil
		}
		if !isTransient(err) {
			return nil, err
		}
		l.fails(err)
		if isShort(err) && l.spare != nil && hasPending(l.Listener) && l.spare.lend() {
			if c, err := l.Listener.Accept(); err == nil {
				return l.accepted(c, true), nil
			}
		}
		select {
		case <-l.closed:
			return nil, net.ErrClosed
		case <-time.After(wait):
		}
	}
}

// accepted returns a connection that was accepted, in a time when descriptors are short or in another. If it has one
// that should be set aside, it is to give it back soon.
func (l *listener) accepted(nc net.Conn, short bool) *conn {
	limitUnsent(nc)
	c := &conn{Conn: nc, writeTimeout: l.writeTimeout, pressureTimeout: l.pressureTimeout}
	if short && l.spare != nil && !l.spare.refill() {
		c.borrowed, c.closed = true, func() { l.spare.refill() }
	}
	l.unused.add(c)
	return c
}

// fails counts a failure and logs the first one of a row.
func (l *listener) fails(err error) {
	l.failed()
	if !isShort(err) {
		return // one client's bad luck
	}
	l.last = time.Now()
	l.tries++
	if l.spare != nil {
		l.spare.refill()
	}
	if l.tries > 1 {
		return
	}
	l.since = l.last
	if l.log != nil {
		l.log.Error("cannot accept connections", "listener", l.name, "error", err)
	}
}

// works ends a row of failures, unless the last one was a moment ago. It reports whether there was a row.
func (l *listener) works() bool {
	if l.tries == 0 {
		return false
	}
	if time.Since(l.last) >= acceptCalm {
		if l.log != nil {
			l.log.Info("accepting connections again", "listener", l.name, "after", time.Since(l.since), "failures", l.tries)
		}
		l.tries = 0
	}
	return true
}

// Close closes the listener and ends an Accept that waits.
func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.unused.end()
		if l.spare != nil {
			l.spare.close()
		}
	})
	return l.Listener.Close()
}

// isTransient reports whether accepting may succeed later: the client went away, or the system is short of something.
func isTransient(err error) bool {
	return isShort(err) || isAny(err, syscall.ECONNABORTED, syscall.EINTR, syscall.EPROTO)
}

// isShort reports whether the process or the system has run out of descriptors or memory.
func isShort(err error) bool {
	return isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM)
}

func isAny(err error, numbers ...syscall.Errno) bool {
	for _, e := range numbers {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
