package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
)

// watchedConn is a connection that tells when nothing is left over on it.
//
// A server that sends more than its answer (a wrong Content-Length, a body after 304) must not have the rest taken for
// the answer to the next request: that would put the bytes of one url, which may be a stranger's upload, under another.
// net/http looks for such leftovers on a connection that waits for its next request, and closes it, but it offers the
// connection for reuse before it looks: under load some requests get there first. So a request that is given a used
// connection first waits for net/http to have looked (settleConn).
type watchedConn struct {
	net.Conn

	mu      sync.Mutex
	reading bool
	reads   int // that have begun
	closed  bool
	changed chan struct{} // closed at the next change of these; nil if nobody waits for it
}

func newWatchedConn(c net.Conn) *watchedConn { return &watchedConn{Conn: c} }

func (w *watchedConn) Read(p []byte) (int, error) {
	w.change(func() { w.reading, w.reads = true, w.reads+1 })
	n, err := w.Conn.Read(p)
	w.change(func() { w.reading = false })
	return n, err
}

// Close closes the connection.
func (w *watchedConn) Close() error {
	err := w.Conn.Close()
	w.change(func() { w.closed = true })
	return err
}

func (w *watchedConn) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// resting waits until the connection is being read from, which net/http does only when it has used up all that came
// before, or is closed. It returns which read that is, or 0 for a closed connection or when ctx ends.
func (w *watchedConn) resting(ctx context.Context) int {
	for {
		w.mu.Lock()
		if w.closed || w.reading {
			read := w.reads
			if w.closed {
				read = 0
			}
			w.mu.Unlock()
			return read
		}
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return 0
		}
	}
}

// settleConn returns when conn, which net/http wants to use again, has nothing left over from earlier answers in any
// buffer of this process or of the kernel, or is closed because it had; net/http then takes another one.
func settleConn(ctx context.Context, conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	w, ok := conn.(*watchedConn)
	if !ok {
		return
	}
	for read := w.resting(ctx); read != 0; {
		if unread(w.Conn) {
			w.Close()
			return
		}
		// If the same read still waits, it waited when the kernel had nothing.
		again := w.resting(ctx)
		if again == read {
			return
		}
		read = again
	}
}

// unread reports whether the kernel holds data of conn, or its end.
func unread(conn net.Conn) bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false // a pipe has no buffer
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	var peekErr error
	err = raw.Control(func(fd uintptr) {
		_, _, peekErr = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err != nil || !errors.Is(peekErr, syscall.EAGAIN) && !errors.Is(peekErr, syscall.EINTR)
}
