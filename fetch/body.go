package fetch

import (
	"errors"
	"io"
)

// errTooLarge ends a body that is larger than it may be.
var errTooLarge = errors.New("body too large")

// networkError is an error of the connection below a body, as opposed to one of the body's encoding.
type networkError struct{ err error }

func (e *networkError) Error() string { return e.err.Error() }
func (e *networkError) Unwrap() error { return e.err }

// networkReader reads a body from the network. It marks the errors, so that a connection that was cut
// (io.ErrUnexpectedEOF) is not taken for compressed data that just ends early.
type networkReader struct{ r io.Reader }

func (n *networkReader) Read(p []byte) (int, error) {
	count, err := n.r.Read(p)
	if err != nil && err != io.EOF {
		err = &networkError{err}
	}
	return count, err
}

const (
	// firstRead is the first buffer for a body of unknown length.
	firstRead = 32 << 10
	// trustedHint is how much memory a Content-Length is believed before anything of the body has arrived, and the
	// largest buffer for a body of unknown length.
	trustedHint = 1 << 20
	// trust is how many times as much as has arrived a Content-Length is believed.
	trust = 4
)

// gatherer collects a body of which the length is not known, or not believed, in parts that are joined once at the
// end. Every buffer is in the account before it is allocated.
//
// One buffer that doubles would hold up to three times the body (the old one, its double and the copy of what is in
// that) where this holds twice as much, and leave twice the garbage: for 5 MiB of unknown length 21 MiB are allocated
// instead of 10.4 (BenchmarkReadAll), which takes twice the time.
type gatherer struct {
	hint, limit int64
	held        *account
	full        [][]byte
	size        int64  // of full
	buf         []byte // is being filled
}

// readAll reads r to its end. It returns errTooLarge as soon as there are more than limit bytes. hint is the expected
// length or negative; it only saves copying. Afterwards the account holds the length of the result and nothing else.
func readAll(r io.Reader, hint, limit int64, held *account) ([]byte, error) {
	g := gatherer{hint: hint, limit: limit, held: held}
	if err := g.next(); err != nil {
		return nil, err
	}
	for idle := 0; ; {
		n, err := r.Read(g.buf[len(g.buf):cap(g.buf)])
		g.buf = g.buf[:len(g.buf)+n]
		switch {
		case g.received() > limit:
			return nil, errTooLarge
		case err == io.EOF:
			return g.join()
		case err != nil:
			return nil, err
		case n > 0:
			idle = 0
		default:
			if idle++; idle == 100 {
				return nil, io.ErrNoProgress
			}
		}
		if len(g.buf) == cap(g.buf) {
			if err := g.next(); err != nil {
				return nil, err
			}
		}
	}
}

func (g *gatherer) received() int64 { return g.size + int64(len(g.buf)) }

// next provides the next buffer.
func (g *gatherer) next() error {
	received := g.received()
	// One byte more than the body, to see its end without another buffer, or the limit crossed.
	var size int64
	switch rest := g.hint + 1 - received; {
	case rest <= 0: // unknown, or wrong
		size = min(max(received/2, firstRead), trustedHint)
	case received == 0:
		size = min(rest, trustedHint+1)
	case g.hint <= trust*received:
		return g.last()
	default:
		size = received
	}
	size = min(size, g.limit+1-received)
	if err := g.held.grow(size); err != nil {
		return err
	}
	if len(g.buf) > 0 {
		g.full = append(g.full, g.buf)
		g.size = received
	}
	g.buf = make([]byte, 0, size)
	return nil
}

// last provides one buffer for all of the expected body.
func (g *gatherer) last() error {
	size := min(g.hint, g.limit) + 1
	if err := g.held.grow(size); err != nil {
		return err
	}
	whole := g.copyTo(make([]byte, 0, size))
	g.full, g.size, g.buf = nil, 0, whole
	return g.held.grow(-int64(len(whole)))
}

// join returns the body in a buffer that is no larger than it, for it may stay in a cache that counts its length.
func (g *gatherer) join() ([]byte, error) {
	body := g.buf
	if len(g.full) > 0 || cap(body)-len(body) > 1 {
		size := g.received()
		if err := g.held.grow(size); err != nil {
			return nil, err
		}
		body = g.copyTo(make([]byte, 0, size))
	}
	return body, g.held.resize(int64(len(body)))
}

func (g *gatherer) copyTo(b []byte) []byte {
	for _, part := range g.full {
		b = append(b, part...)
	}
	return append(b, g.buf...)
}
