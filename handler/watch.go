package handler

import (
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"imgopt/failure"
)

// statusClientGone is the status in metrics and the log of a request whose client left before it was answered. It is
// nginx's; nobody gets to see it.
const statusClientGone = 499

// ReasonClientGone is the Outcome.Reason of such a request.
const ReasonClientGone = "client_gone"

var errClientGone = failure.New(statusClientGone, ReasonClientGone, "")

// watchDelay is how long a request waits before anyone looks after its client: what is answered sooner is not worth
// a goroutine.
const watchDelay = 10 * time.Millisecond

// watch looks after the client of a request that waits for work.
type watch struct {
	conn  *conn
	leave func()
	timer *time.Timer // nil: this kind of connection cannot be watched
	ended sync.WaitGroup
	gone  bool // to be read once it has ended
}

// watch calls leave, at most once, when the client closes its side of the connection or breaks it. A client that only
// stops sending counts as gone, too: Node (http.Server with httpAllowHalfOpen: false, its default) drops the exchange
// then. The caller must call stop before it reads from the connection or closes it.
//
// No byte is read, so that a next request that is already there stays where it is: the kernel is asked whether the
// other side has ended, each time Go's poller says that something has happened on the socket.
func (c *conn) watch(leave func()) *watch {
	w := &watch{conn: c, leave: leave}
	if _, ok := c.Conn.(syscall.Conn); !ok {
		return w
	}
	// The time to read a request is over sooner than the time to wait for an answer. fasthttp sets the deadline anew
	// before it reads again.
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return w
	}
	w.ended.Add(1)
	w.timer = time.AfterFunc(watchDelay, w.run)
	return w
}

func (w *watch) run() {
	defer w.ended.Done()
	raw, err := w.conn.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return
	}
	// Its error is the deadline that ends the watch, or a connection closed from here.
	_ = raw.Read(func(fd uintptr) bool {
		w.gone = hasEnded(int32(fd))
		return w.gone
	})
	if w.gone {
		w.leave()
	}
}

// stop ends the watch and reports whether the client has left.
func (w *watch) stop() bool {
	if w.timer == nil || w.timer.Stop() {
		return false
	}
	// Setting deadlines fails only for a connection that is closed, which ends the watch as well.
	_ = w.conn.SetReadDeadline(time.Unix(1, 0))
	w.ended.Wait()
	_ = w.conn.SetReadDeadline(time.Time{})
	return w.gone
}

// hasEnded reports whether the other side of a socket has closed it, for writing or altogether, whatever it has sent
// before.
func hasEnded(fd int32) bool {
	const ended = unix.POLLRDHUP | unix.POLLHUP | unix.POLLERR
	fds := [1]unix.PollFd{{Fd: fd, Events: unix.POLLRDHUP}}
	for {
		n, err := unix.Poll(fds[:], 0)
		if err == unix.EINTR {
			continue
		}
		return err == nil && n > 0 && fds[0].Revents&ended != 0
	}
}
