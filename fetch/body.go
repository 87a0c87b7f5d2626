package fetch

import (
	"bytes"
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
	// firstRead is the buffer for a body of unknown length.
	firstRead = 32 << 10
	// trustedHint is how much memory a Content-Length is believed before anything of the body has arrived.
	trustedHint = 1 << 20
)

// readAll reads r to its end. It returns errTooLarge as soon as there are more than limit bytes. hint is the expected
// length or negative; it only saves copying.
func readAll(r io.Reader, hint, limit int64) ([]byte, error) {
	// One byte more than the body, to see its end without growing, or the limit crossed.
	size := int64(firstRead)
	if hint >= 0 {
		size = min(hint, trustedHint) + 1
	}
	buf := make([]byte, 0, min(size, limit+1))
	for idle := 0; ; {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, errTooLarge
		case err == io.EOF:
			if cap(buf)-len(buf) > 1+len(buf)/4 {
				buf = bytes.Clone(buf) // it may stay in a cache that counts its length
			}
			return buf, nil
		case err != nil:
			return nil, err
		case n > 0:
			idle = 0
		default:
			if idle++; idle == 100 {
				return nil, io.ErrNoProgress
			}
		}
		if len(buf) == cap(buf) {
			buf = grow(buf, hint, limit)
		}
	}
}

// grow moves buf to a larger buffer: the expected size if that is near, else twice its own.
func grow(buf []byte, hint, limit int64) []byte {
	size := 2 * int64(cap(buf))
	if want := hint + 1; want > int64(cap(buf)) && want <= 2*size {
		size = want
	}
	larger := make([]byte, len(buf), min(size, limit+1))
	copy(larger, buf)
	return larger
}
