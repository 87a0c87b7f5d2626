package handler

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
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
	writeTimeout    time.Duration
	pressureTimeout time.Duration
	linger          atomic.Bool // set while refusing, read by whoever closes

	load *Load                   // of the application that serves the connection; nil for the admin one
	held atomic.Pointer[sending] // the body being sent, if it is counted

	last   byte // the last byte that was read
	bareLF bool // a line ended without a carriage return
	mute   bool // nobody is there to read: what is written is thrown away

	deadline  time.Time   // the write deadline in force
	partBegan time.Time   // when the part being written began
	partLeft  int         // how much of it is still to be written
	gather    bool        // the next Write is held back
	head      []byte      // what was held back
	parts     [2][]byte   // room for vector
	vector    net.Buffers // what a gathered write still has to write

	file transfer // of the file being sent

	unused *unused // where it is listed until its first bytes are read; nil: nowhere
	fresh  bool    // nothing was read yet; used by the goroutine that reads

	borrowed bool   // made with a descriptor that has to be given back soon
	closed   func() // called once the connection is closed; may be nil
}

// Read reads, and looks at the line ends. fasthttp takes a line feed for the end of a line, whatever is before it; of
// headers it shows that, of the request line it does not. There are no bodies in which a line feed could be anything
// else.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.fresh {
		c.fresh = false
		c.unused.used(c)
	}
	if n > 0 && !c.bareLF {
		c.bareLF = hasBareLF(c.last, b[:n])
		c.last = b[n-1]
	}
	return n, err
}

// SetReadDeadline sets the read deadline, which is a short one for a client that has sent nothing when its listener is
// closed.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.fresh {
		return c.unused.deadline(c, t)
	}
	return c.Conn.SetReadDeadline(t)
}

// hasBareLF reports whether b, which comes after the byte last, holds a line feed without a carriage return before it.
func hasBareLF(last byte, b []byte) bool {
	for {
		i := bytes.IndexByte(b, '\n')
		switch {
		case i < 0:
			return false
		case i > 0:
			last = b[i-1]
		}
		if last != '\r' {
			return true
		}
		last, b = '\n', b[i+1:]
	}
}

// hold counts a body that is to be sent next, and reports false when it must not be sent. What it counts is released
// when the body's last byte is written, when writing fails, or when the connection is closed.
func (c *conn) hold(s *sending) bool {
	c.letGo() // nothing can be held here; if it is, it is not counted for ever
	if c.load == nil {
		return true
	}
	if !c.load.hold(s) {
		return false
	}
	c.held.Store(s)
	return true
}

// letGo releases what hold counted. It may be called at any time, by anyone.
func (c *conn) letGo() {
	if c.held.Load() == nil {
		return // as nearly always
	}
	if s := c.held.Swap(nil); s != nil {
		c.load.release(s)
	}
}

// gatherNext says that the next Write is the beginning of more to come: it is to be sent together with the Write
// that follows it. The caller must be sure that one does. fasthttp writes an answer through a buffer: with a body of
// gatherMin bytes or more, the buffer is flushed when it is full, with the rest still to be written.
func (c *conn) gatherNext() { c.gather = true }

// sendNothing takes back what was announced of the next answer.
func (c *conn) sendNothing() {
	c.letGo()
	c.gather = false
}

// Write writes b in parts, each within the write timeout.
func (c *conn) Write(b []byte) (int, error) {
	if c.mute {
		return len(b), nil
	}
	if c.gather {
		c.gather = false
		c.head = append(c.head, b...)
		return len(b), nil
	}
	n, err := c.write(b)
	if s := c.held.Load(); s != nil && (err != nil || s.endsWith(b)) {
		c.letGo()
	}
	return n, err
}

func (c *conn) write(b []byte) (int, error) {
	if c.held.Load() == nil {
		c.partLeft = 0 // what is held may come in many small writes, which share their parts
	}
	for written := 0; ; {
		if c.partLeft == 0 {
			c.partLeft, c.partBegan = writePart, time.Now()
		}
		n, err := c.writePart(b[written:min(len(b), written+c.partLeft)])
		written += n
		c.partLeft -= n
		if err != nil || written == len(b) {
			return written, err
		}
	}
}

// writePart writes what was held back and then b, and returns how much of b it wrote. A client that is not cut off
// sooner while memory is short has the whole write timeout; whether it is, is asked each time the shorter one is over.
func (c *conn) writePart(b []byte) (int, error) {
	written, err := 0, c.extend(c.partBegan)
	if err == nil {
		written, err = c.send(b)
	}
	for errors.Is(err, os.ErrDeadlineExceeded) {
		more, failed := c.bear()
		if failed != nil {
			return written, failed
		}
		if !more {
			break
		}
		var n int
		n, err = c.send(b[written:])
		written += n
	}
	return written, err
}

// bear decides, when the time to write is over, whether the client has more for the part that is being written, and
// sets the deadline anew. Otherwise the client is cut off.
func (c *conn) bear() (more bool, err error) {
	left := time.Until(c.partBegan.Add(c.patience()))
	if left <= 0 {
		if c.load != nil {
			c.load.cut.Add(1)
		}
		return false, nil
	}
	return true, c.expire(time.Now().Add(min(left, c.step())))
}

// patience is how long a client may take for a part.
func (c *conn) patience() time.Duration {
	if c.load != nil && (c.held.Load() != nil && c.load.pressed() || c.file.left > 0 && c.load.filesPressed()) {
		return c.step()
	}
	return c.writeTimeout
}

// step is how long a write goes on before patience is asked again.
func (c *conn) step() time.Duration { return min(c.writeTimeout, c.pressureTimeout) }

// send is one write of what was held back and then b. It returns how much of b it wrote.
func (c *conn) send(b []byte) (int, error) {
	if len(c.head) == 0 {
		return c.Conn.Write(b)
	}
	c.parts = [2][]byte{c.head, b}
	c.vector = c.parts[:]
	n, err := c.vector.WriteTo(c.Conn)
	c.parts, c.vector = [2][]byte{}, nil
	if held := int64(len(c.head)); n >= held {
		c.head = c.head[:0]
		return int(n - held), err
	}
	c.head = append(c.head[:0], c.head[n:]...)
	return 0, err
}

// extend makes sure that a write that begins a part now has at least seven eighths of a step. Setting a deadline costs
// more than looking at the clock.
func (c *conn) extend(now time.Time) error {
	step := c.step()
	if left := c.deadline.Sub(now); step-step/8 <= left && left <= step {
		return nil
	}
	return c.expire(now.Add(step))
}

func (c *conn) expire(at time.Time) error {
	c.deadline = at
	return c.SetWriteDeadline(at)
}

// Close closes the connection; after a refusal it first lets the client read the answer.
func (c *conn) Close() error {
	c.letGo()
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() {
		if err := half.CloseWrite(); err == nil && c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			// Whatever ends this, the connection is closed next.
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
		}
	}
	if c.unused != nil {
		c.unused.used(c)
	}
	err := c.Conn.Close()
	if c.closed != nil {
		c.closed()
	}
	return err
}
