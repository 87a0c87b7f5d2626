package handler

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"imgopt/cache"
)

// fileMin is the size in bytes from which on a body is sent from its file without passing the heap. Below, copying it costs
// as much (measured up to 24 KiB) and takes no call to the connection of its own.
const fileMin = 16 << 10

// succeedFromFile answers with an image that is on disk, or that it has not changed, which takes no more than its
// header. It reports false if Get has to be asked; then it has changed nothing.
func (h *public) succeedFromFile(ctx *fasthttp.RequestCtx, a *answer) bool {
	// What is recorded goes the way that is. HEAD is rare.
	if a.conn == nil || !ctx.IsGet() || a.trace.Sampled() {
		return false
	}
	o := h.opener.Open(a.params)
	if o == nil {
		return false
	}
	d, m, err := h.describe(o.ContentType(), o.ETag(), o.MaxAge(), a.params.Static)
	if err != nil {
		_ = o.Close() // opened for reading: nothing can be lost
		return false  // Get finds it as well
	}
	notModified := h.notModified(&ctx.Request.Header, o.ETag())
	if o.Wanted() || !notModified && !h.sends(a.conn, o, &d) {
		_ = o.Close()
		return false
	}
	o.Hit()
	if notModified {
		_ = o.Close()
	} else {
		// From here on whatever ends the exchange closes the file.
		a.Bytes = int(o.Size())
		ctx.Response.SetBodyStream(&fileBody{opened: o, conn: a.conn, load: h.load}, a.Bytes)
		if a.Bytes >= gatherMin {
			a.conn.gatherNext()
		}
		d.describeBody(h.settings, o.Href(), m)
	}
	h.setHeaders(ctx, a, &d, &Result{State: cache.Hit}, notModified)
	return true
}

// sends reports whether a body is to be sent from its file, which is counted then.
func (h *public) sends(c *conn, o *cache.Opened, d *described) bool {
	if d.compressible || !c.sendsFiles() || !h.load.openFile() {
		return false
	}
	if !o.Sendable() {
		h.load.closeFile()
		return false
	}
	return true
}

// fileBody is a body that fasthttp has write itself, and closes when it is done with it, however that came about.
type fileBody struct {
	opened *cache.Opened
	conn   *conn
	load   *Load
	read   int64 // what Read has read
}

// smallBodies recycles room for what is not worth a system call of its own.
var smallBodies = sync.Pool{New: func() any { return new([fileMin]byte) }}

// WriteTo writes the body behind its headers, which w, a buffer before the connection, has written or still holds.
func (f *fileBody) WriteTo(w io.Writer) (int64, error) {
	size := f.opened.Size()
	if size >= fileMin {
		fd, offset := f.opened.File()
		n, err := f.conn.sendFile(fd, offset, size)
		if err != nil {
			err = fmt.Errorf("sending a file: %w", err)
		}
		return n, err
	}
	buf := smallBodies.Get().(*[fileMin]byte)
	defer smallBodies.Put(buf)
	b := buf[:size]
	if n, err := f.opened.ReadAt(b, 0); err != nil {
		return 0, fmt.Errorf("reading a body, %d of %d bytes: %w", n, size, err)
	}
	n, err := w.Write(b)
	return int64(n), err
}

// Read reads the body, as a body stream has to be able to; fasthttp uses WriteTo.
func (f *fileBody) Read(b []byte) (int, error) {
	n, err := f.opened.ReadAt(b, f.read)
	f.read += int64(n)
	return n, err
}

// Close closes the file.
func (f *fileBody) Close() error {
	f.load.closeFile()
	return f.opened.Close()
}

// transfer is what is left to do of a file's part.
type transfer struct {
	raw    syscall.RawConn
	write  func(fd uintptr) bool // sendPart, made once
	fd     int
	offset int64
	left   int // of the part
	err    error
}

// sendsFiles reports whether files can be sent on this kind of connection.
func (c *conn) sendsFiles() bool {
	if c.file.raw != nil {
		return true
	}
	s, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	c.file.raw, c.file.write = raw, c.sendPart
	return true
}

// sendFile sends what was held back and n bytes of a file, in parts as Write does. It returns how much of the file it has
// sent.
func (c *conn) sendFile(fd int, offset, n int64) (sent int64, err error) {
	if c.mute {
		return n, nil
	}
	f := &c.file
	f.fd, f.offset = fd, offset
	for sent < n && err == nil {
		part := int(min(n-sent, writePart))
		f.left, f.err = part, nil
		c.partLeft, c.partBegan = 0, time.Now()
		if err = c.extend(c.partBegan); err == nil {
			err = c.transfer()
		}
		sent += int64(part - f.left)
	}
	f.left = 0
	return sent, err
}

// transfer sends a part, in as much time as the client has for it.
func (c *conn) transfer() error {
	for {
		err := c.file.raw.Write(c.file.write)
		if err == nil {
			return c.file.err
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if more, failed := c.bear(); failed != nil || !more {
			return orDefault(failed, err)
		}
	}
}

// sendPart sends as much as the socket takes, and reports whether that was all or failed. What was held back leaves
// together with the beginning of the file.
func (c *conn) sendPart(socket uintptr) bool {
	f := &c.file
	for f.err == nil && (len(c.head) > 0 || f.left > 0) {
		var n int
		var err error
		if len(c.head) > 0 {
			n, err = unix.SendmsgN(int(socket), c.head, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			c.head = c.head[:copy(c.head, c.head[max(n, 0):])]
		} else {
			n, err = unix.Sendfile(int(socket), f.fd, &f.offset, f.left)
			if n == 0 && err == nil {
				err = io.ErrUnexpectedEOF // somebody has cut the file off
			}
			f.left -= max(n, 0)
		}
		switch err {
		case nil, unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			f.err = err
		}
	}
	return true
}
