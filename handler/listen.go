package handler

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// ListenOptions configures Wrap. The zero value of a limit is its default.
type ListenOptions struct {
	// WriteTimeout is the time a client has to take 256 KiB of an answer. Default 30 s.
	WriteTimeout time.Duration
}

const defaultWriteTimeout = 30 * time.Second

// The time between attempts to accept a connection while the process has no descriptors left.
const acceptRetryMin, acceptRetryMax = 5 * time.Millisecond, time.Second

// Wrap returns a listener for the applications of this package. It makes up for what fasthttp lacks:
//   - running out of descriptors or memory does not end the server: accepting waits and goes on;
//   - the write timeout is one for each part of an answer, so that it limits the rate and not the size;
//   - a client that is refused while it still sends gets to read why: its connection is half-closed and drained for
//     a moment, where closing it at once would have the kernel throw the answer away;
//   - headers and body leave in one system call without being copied together, which is a sixth of the CPU of a hit.
func Wrap(ln net.Listener, o ListenOptions) net.Listener {
	return &listener{
		Listener:     ln,
		writeTimeout: orDefault(o.WriteTimeout, defaultWriteTimeout),
		closed:       make(chan struct{}),
	}
}

type listener struct {
	net.Listener
	writeTimeout time.Duration
	once         sync.Once
	closed       chan struct{}
}

// Accept returns the next connection. Its only errors are final.
func (l *listener) Accept() (net.Conn, error) {
	for wait := acceptRetryMin; ; wait = min(2*wait, acceptRetryMax) {
		c, err := l.Listener.Accept()
		if err == nil {
			return &conn{Conn: c, writeTimeout: l.writeTimeout}, nil
		}
		if !isTransient(err) {
			return nil, err
		}
		select {
		case <-l.closed:
			return nil, net.ErrClosed
		case <-time.After(wait):
		}
	}
}

// Close closes the listener and ends an Accept that waits.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// isTransient reports whether accepting may succeed later: the client went away, or the system is short of something.
func isTransient(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR, syscall.EPROTO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
