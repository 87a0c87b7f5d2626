package handler

import (
	"sync"
	"time"
)

// closingGrace is how long a client that has connected and sent nothing may still send a request after its listener was
// closed. (fasthttp waits for the whole read timeout of such connections before a server is shut down: browsers and
// balancers keep some for later.)
const closingGrace = 200 * time.Millisecond

// unused are the connections of a listener on which nothing was ever read.
type unused struct {
	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
}

func (u *unused) add(c *conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conns == nil {
		u.conns = make(map[*conn]struct{})
	}
	u.conns[c] = struct{}{}
	c.unused, c.fresh = u, true
}

// used forgets a connection, when its first bytes came or it was closed.
func (u *unused) used(c *conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.conns, c)
}

// end gives all of them little time.
func (u *unused) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for c := range u.conns {
		_ = c.Conn.SetReadDeadline(time.Now().Add(closingGrace))
	}
}

// deadline sets a read deadline of an unused connection, or an earlier one if the listener is closed.
func (u *unused) deadline(c *conn, t time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, still := u.conns[c]; still && u.closed {
		if soon := time.Now().Add(closingGrace); t.IsZero() || t.After(soon) {
			t = soon
		}
	}
	return c.Conn.SetReadDeadline(t)
}
