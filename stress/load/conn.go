package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// conn is a connection with at most one request under way.
type conn struct {
	fd         int
	class      *class
	connecting bool
	busy       bool
	use        int   // requests sent on it
	due        int64 // of the request under way
	written    int64 // when it was written, in nanoseconds since 1970
	arrived    int64 // when what was read last had arrived

	// The answer so far.
	head       []byte // until its empty line
	inBody     bool
	status     int
	left       int // bytes of the body, or of a chunk with its line end
	chunked    bool
	size       []byte // the line of a chunk's size
	inChunk    bool
	last       bool // the chunk of size 0 has begun
	body       int
	retryAfter bool
	closing    bool
}

func (k *conn) begin(due int64) {
	k.busy, k.due = true, due
	k.use++
	k.head, k.size = k.head[:0], k.size[:0]
	k.inBody, k.chunked, k.inChunk, k.last, k.retryAfter, k.closing = false, false, false, false, false, false
	k.status, k.left, k.body = 0, 0, 0
}

// connect opens a connection for a request, which is sent once it stands.
func (d *driver) connect(c *class, due int64) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("load: socket: %w", err)
	}
	k := &conn{fd: fd, class: c, connecting: true, busy: true, due: due}
	for len(d.conns) <= fd {
		d.conns = append(d.conns, nil)
	}
	d.conns[fd] = k
	c.open++
	c.opened++
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("load: TCP_NODELAY: %w", err)
	}
	// Not all kernels and networks have it; then the time of reading counts.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	if err := unix.Connect(fd, &d.to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		d.fail(k, fmt.Errorf("connecting: %w", err))
		return nil
	}
	c.sent.push(entry{due, k, k.use}) // connecting has its time limit, too
	return d.watch(fd, unix.EPOLL_CTL_ADD, unix.EPOLLOUT)
}

// drop closes a connection.
func (d *driver) drop(k *conn) {
	c := k.class
	if !k.busy {
		for i, f := range c.free {
			if f == k {
				c.free = append(c.free[:i], c.free[i+1:]...)
				break
			}
		}
	}
	k.busy = false
	_ = unix.Close(k.fd)
	d.conns[k.fd] = nil
	c.open--
}

// ready goes on with a connection that stands, or has something to read.
func (d *driver) ready(fd int) error {
	k := d.conns[fd]
	if k == nil {
		return nil // closed a moment ago, in the same batch of events
	}
	if k.connecting {
		k.connecting = false
		if code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
			d.fail(k, fmt.Errorf("connecting: %w", errors.Join(err, unix.Errno(code))))
			return nil
		}
		if err := d.watch(fd, unix.EPOLL_CTL_MOD, unix.EPOLLIN); err != nil {
			return err
		}
		return d.send(k, k.due)
	}
	n, control, _, _, err := unix.Recvmsg(fd, d.buffer, d.control, 0)
	k.arrived = arrival(d.control[:max(control, 0)])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case !k.busy: // the server closed a connection at rest, as it may
		d.drop(k)
		return nil
	case err != nil:
		d.fail(k, fmt.Errorf("reading: %w", err))
		return nil
	case n == 0:
		d.fail(k, io.ErrUnexpectedEOF)
		return nil
	}
	done, err := k.parse(d.buffer[:n])
	switch {
	case err != nil:
		d.fail(k, err)
		return nil
	case done:
		return d.answered(k)
	}
	return nil
}

// arrival is the time that the kernel noted for the last byte of a message, or now.
func arrival(control []byte) int64 {
	const header = unix.SizeofCmsghdr
	if len(control) >= header+16 && int32(binary.NativeEndian.Uint32(control[8:])) == unix.SOL_SOCKET && int32(binary.NativeEndian.Uint32(control[12:])) == unix.SO_TIMESTAMPNS {
		return int64(binary.NativeEndian.Uint64(control[header:]))*int64(time.Second) + int64(binary.NativeEndian.Uint64(control[header+8:]))
	}
	return time.Now().UnixNano()
}

// errAnswer says that what came is no answer.
var errAnswer = errors.New("malformed answer")

// maxHead is the most that an answer's header may take.
const maxHead = 16 << 10

// parse reads on and reports whether the answer is complete.
func (k *conn) parse(b []byte) (done bool, err error) {
	if !k.inBody {
		k.head = append(k.head, b[:min(len(b), maxHead)]...)
		end := bytes.Index(k.head, []byte("\r\n\r\n"))
		if end < 0 {
			if len(k.head) >= maxHead {
				return false, fmt.Errorf("%w: a header of %d bytes", errAnswer, len(k.head))
			}
			return false, nil
		}
		before := len(k.head) - min(len(b), maxHead)
		b = b[end+4-before:]
		if err := k.parseHead(k.head[:end]); err != nil {
			return false, err
		}
		k.inBody = true
	}
	if k.chunked {
		return k.parseChunks(b)
	}
	if len(b) > k.left {
		return false, fmt.Errorf("%w: %d bytes too many", errAnswer, len(b)-k.left)
	}
	k.left -= len(b)
	k.body += len(b)
	return k.left == 0, nil
}

func (k *conn) parseHead(head []byte) error {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return fmt.Errorf("%w: %.40q", errAnswer, line)
	}
	k.status = number(line[9:12])
	length := -1
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			length = number(value)
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			k.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("retry-after")):
			k.retryAfter = number(value) > 0
		case bytes.EqualFold(name, []byte("connection")):
			k.closing = bytes.EqualFold(value, []byte("close"))
		}
	}
	switch {
	case k.status == 304 || k.status == 204:
		k.chunked, k.left = false, 0
	case !k.chunked && length < 0:
		return fmt.Errorf("%w: neither a length nor chunks", errAnswer)
	case !k.chunked:
		k.left = length
	}
	return nil
}

// number is a decimal number, or -1.
func number(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' || n > 1<<40 {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	if len(b) == 0 {
		return -1
	}
	return n
}

// parseChunks reads on in a chunked body. A server sends no trailers that were not asked for.
func (k *conn) parseChunks(b []byte) (done bool, err error) {
	for len(b) > 0 {
		if k.inChunk {
			n := min(len(b), k.left)
			k.left -= n
			b = b[n:]
			if k.left > 0 {
				continue
			}
			k.inChunk = false
			if k.last {
				return len(b) == 0, nil
			}
			continue
		}
		end := bytes.IndexByte(b, '\n')
		k.size = append(k.size, b[:max(end, 0)]...)
		if end < 0 {
			if k.size = append(k.size, b...); len(k.size) > 32 {
				return false, fmt.Errorf("%w: chunk size %q", errAnswer, k.size)
			}
			return false, nil
		}
		b = b[end+1:]
		size, err := strconv.ParseUint(string(bytes.TrimSpace(k.size)), 16, 31)
		if err != nil {
			return false, fmt.Errorf("%w: chunk size: %w", errAnswer, err)
		}
		k.size = k.size[:0]
		k.body += int(size)
		k.left, k.inChunk, k.last = int(size)+2, true, size == 0
	}
	return false, nil
}
