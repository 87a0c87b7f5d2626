package handler

import (
	"net"
	"sync/atomic"

	"github.com/valyala/fasthttp"
)

// Load is what the public application has on its hands at the moment, and what its limits have done. The zero value
// is ready: give it to one application as Options.Load. Its methods may be called at any time.
type Load struct {
	waiting     atomic.Int64
	connections atomic.Int64
	sending     atomic.Int64 // bytes of the bodies being sent, each counted once
	limit       atomic.Int64 // of sending; 0: none
	cut         atomic.Uint64
	files       atomic.Int64 // open for answers that are sent from them
}

// Waiting returns how many requests wait for work: they were not answered from memory.
func (l *Load) Waiting() int { return int(l.waiting.Load()) }

// Connections returns how many connections are open.
func (l *Load) Connections() int { return int(l.connections.Load()) }

// ResponsesCut returns how many clients were cut off because they did not take their answer in time.
func (l *Load) ResponsesCut() uint64 { return l.cut.Load() }

// ResponseMemory returns how many bytes the large bodies being sent take and Options.ResponseMemory. Nobody ever
// waits for it: who does not fit is refused.
func (l *Load) ResponseMemory() (used, limit int64, waiting int) {
	return l.sending.Load(), l.limit.Load(), 0
}

// adopt counts connections, and makes those of Wrap the application's. A connection is new before any other goroutine
// knows it.
func (l *Load) adopt(nc net.Conn, state fasthttp.ConnState) {
	switch state {
	case fasthttp.StateNew:
		l.connections.Add(1)
		if c, ok := nc.(*conn); ok {
			c.load = l
		}
	case fasthttp.StateClosed, fasthttp.StateHijacked:
		l.connections.Add(-1)
	}
}

// enter counts a request that waits for work, unless limit wait already.
func (l *Load) enter(limit int64) bool {
	if l.waiting.Add(1) > limit {
		l.waiting.Add(-1)
		return false
	}
	return true
}

func (l *Load) leave() { l.waiting.Add(-1) }

// pressed reports whether the bodies being sent take more than half of what they may.
func (l *Load) pressed() bool {
	limit := l.limit.Load()
	return limit > 0 && l.sending.Load() > limit/2
}

// maxFiles is how many answers may be sent from files at once: each has a file open until its client has taken it. The
// others are sent from memory, where they are counted.
const maxFiles = 256

// openFile counts a file that an answer is sent from, unless maxFiles are.
func (l *Load) openFile() bool {
	if l.files.Add(1) > maxFiles {
		l.files.Add(-1)
		return false
	}
	return true
}

func (l *Load) closeFile() { l.files.Add(-1) }

// filesPressed reports whether more than half of the files are in use.
func (l *Load) filesPressed() bool { return l.files.Load() > maxFiles/2 }

// sendingMin is the size in bytes from which on a body being sent is counted. What is smaller has left the process as
// soon as it is written, however slow its reader is: it fits into the buffer that the kernel has for a socket.
const sendingMin = 64 << 10

// sending is a body that connections may be sending. It lives with the entry, so that all of them count it once.
type sending struct {
	body []byte
	refs atomic.Int64 // connections that send it
}

// endsWith reports whether b is the end of the body: not the same bytes, the same memory.
func (s *sending) endsWith(b []byte) bool {
	return len(b) > 0 && len(s.body) > 0 && &b[len(b)-1] == &s.body[len(s.body)-1]
}

// hold counts one more connection that sends s, and the bytes of s with the first of them. It reports false when
// there is no room for another body; one is allowed whatever its size.
func (l *Load) hold(s *sending) bool {
	for {
		if n := s.refs.Load(); n > 0 {
			if s.refs.CompareAndSwap(n, n+1) {
				return true
			}
			continue
		}
		// Room first: whoever sees the reference may count on it.
		if !l.reserve(int64(len(s.body))) {
			return false
		}
		if s.refs.CompareAndSwap(0, 1) {
			return true
		}
		l.sending.Add(-int64(len(s.body)))
	}
}

// release takes back one hold.
func (l *Load) release(s *sending) {
	if s.refs.Add(-1) == 0 {
		l.sending.Add(-int64(len(s.body)))
	}
}

func (l *Load) reserve(n int64) bool {
	limit := l.limit.Load()
	for {
		used := l.sending.Load()
		if limit > 0 && used > 0 && used+n > limit {
			return false
		}
		if l.sending.CompareAndSwap(used, used+n) {
			return true
		}
	}
}
