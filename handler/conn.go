package handler

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

const (
	// writePart is how much may be written until the write timeout starts anew.
	writePart = 256 << 10
	// A refused client gets this long, and to send this much more, before its connection is cut.
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
	// writeBuffer is the size of fasthttp's buffer. It holds the headers of an image; of a body it holds only what
	// fits after them, which is copied for nothing.
	writeBuffer = 1 << 10
	// gatherMin is the size from which on a body is sure to overflow the buffer.
	gatherMin = 2 * writeBuffer
)

// conn is the server's side of a connection. It is used by one goroutine, except for Close.
type conn struct {
	net.Conn
	writeTimeout time.Duration
	deadline     time.Time   // the write deadline in force
	linger       atomic.Bool // set while refusing, read by whoever closes

	gather bool        // the next Write is held back
	head   []byte      // what was held back
	parts  [2][]byte   // room for vector
	vector net.Buffers // what a gathered write still has to write
}

// gatherNext says that the next Write is the beginning of more to come: it is to be sent together with the Write
// that follows it. The caller must be sure that one does. fasthttp writes an answer through a buffer: with a body of
// gatherMin bytes or more, the buffer is flushed when it is full, with the rest still to be written.
func (c *conn) gatherNext() { c.gather = true }

// Write writes b in parts, each within the write timeout.
func (c *conn) Write(b []byte) (int, error) {
	if c.gather {
		c.gather = false
		c.head = append(c.head, b...)
		return len(b), nil
	}
	for written := 0; ; {
		part := b[written:min(len(b), written+writePart)]
		if err := c.extend(); err != nil {
			return written, err
		}
		n, err := c.writePart(part)
		written += n
		if err != nil || written == len(b) {
			return written, err
		}
	}
}

// writePart writes what was held back and then b, and returns how much of b it wrote.
func (c *conn) writePart(b []byte) (int, error) {
	if len(c.head) == 0 {
		return c.Conn.Write(b)
	}
	held := int64(len(c.head))
	c.parts = [2][]byte{c.head, b}
	c.vector = c.parts[:]
	n, err := c.vector.WriteTo(c.Conn)
	c.parts, c.vector = [2][]byte{}, nil
	c.head = c.head[:0]
	return int(max(n-held, 0)), err
}

// extend makes sure that at least seven eighths of the write timeout are left. Setting a deadline costs more than
// looking at the clock.
func (c *conn) extend() error {
	now := time.Now()
	if c.deadline.Sub(now) >= c.writeTimeout-c.writeTimeout/8 {
		return nil
	}
	c.deadline = now.Add(c.writeTimeout)
	return c.SetWriteDeadline(c.deadline)
}

// Close closes the connection; after a refusal it first lets the client read the answer.
func (c *conn) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() {
		if err := half.CloseWrite(); err == nil && c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			// Whatever ends this, the connection is closed next.
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
		}
	}
	return c.Conn.Close()
}
