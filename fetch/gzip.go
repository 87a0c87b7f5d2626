package fetch

import (
	"bufio"
	"compress/flate"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// gzipReader decodes "gzip" (RFC 1952). compress/gzip is stricter than zlib about data that ends early and about what
// follows a member, and laxer about header flags, so only the inflating itself is taken from the standard library.
type gzipReader struct {
	in    *bufio.Reader
	flate io.ReadCloser // reused for every member
	crc   uint32        // of the member's data
	size  uint32        // of the member's data, modulo 2³²
	err   error         // how the data ended; nil inside a member
}

var (
	errGzipHeader   = errors.New("gzip: bad header")
	errGzipChecksum = errors.New("gzip: wrong checksum")
	errGzipLength   = errors.New("gzip: wrong length")
	errNotStarted   = errors.New("gzip: before the first member")
)

func newGzipReader(in *bufio.Reader) io.Reader {
	return &gzipReader{in: in, flate: flate.NewReader(in), err: errNotStarted}
}

func (g *gzipReader) Read(p []byte) (int, error) {
	if g.err == errNotStarted {
		g.err = settle(g.begin())
	}
	for {
		if g.err != nil {
			return 0, g.err
		}
		n, err := g.flate.Read(p)
		g.crc = crc32.Update(g.crc, crc32.IEEETable, p[:n])
		g.size += uint32(n)
		if err == io.EOF {
			err = g.end()
		}
		g.err = settle(err)
		if n > 0 {
			return n, nil
		}
		if g.err == nil && len(p) == 0 {
			return 0, nil
		}
	}
}

// begin reads the header of a member. io.EOF means the data ends within it.
func (g *gzipReader) begin() error {
	const flagHeaderCRC, flagExtra, flagName, flagComment, flagsReserved = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 0xe0
	h := headerReader{in: g.in}
	// zlib judges as soon as it has two bytes, so data that is not gzip is an error even if it is that short.
	if id := h.next(2); h.err == nil && (id[0] != 0x1f || id[1] != 0x8b) {
		return errGzipHeader
	}
	var flags byte
	if f := h.next(2); h.err == nil {
		if flags = f[1]; f[0] != 8 || flags&flagsReserved != 0 {
			return errGzipHeader
		}
	}
	h.next(6) // time, extra flags, operating system
	if flags&flagExtra != 0 {
		if length := h.next(2); h.err == nil {
			h.skip(int(binary.LittleEndian.Uint16(length[:])))
		}
	}
	if flags&flagName != 0 {
		h.skipString()
	}
	if flags&flagComment != 0 {
		h.skipString()
	}
	if flags&flagHeaderCRC != 0 {
		want := uint16(h.crc)
		if got := h.next(2); h.err == nil && binary.LittleEndian.Uint16(got[:]) != want {
			return errGzipHeader
		}
	}
	if h.err != nil {
		return h.err
	}
	g.crc, g.size = 0, 0
	return g.flate.(flate.Resetter).Reset(g.in, nil)
}

// end reads the trailer of a member and begins the next one. io.EOF means there is none.
func (g *gzipReader) end() error {
	h := headerReader{in: g.in}
	if sum := h.next(4); h.err == nil && binary.LittleEndian.Uint32(sum[:]) != g.crc {
		return errGzipChecksum
	}
	if size := h.next(4); h.err == nil && binary.LittleEndian.Uint32(size[:]) != g.size {
		return errGzipLength
	}
	if h.err != nil {
		return h.err
	}
	following, err := g.in.Peek(1)
	if err != nil {
		return err
	}
	if following[0] == 0 { // padding
		return io.EOF
	}
	return g.begin()
}

// headerReader reads small fields, keeps their checksum and remembers the first error.
type headerReader struct {
	in  *bufio.Reader
	crc uint32
	err error
}

// next returns a field of n ≤ 6 bytes.
func (h *headerReader) next(n int) (field [6]byte) {
	if h.err != nil {
		return field
	}
	_, h.err = io.ReadFull(h.in, field[:n])
	h.crc = crc32.Update(h.crc, crc32.IEEETable, field[:n])
	return field
}

func (h *headerReader) skip(n int) {
	for ; n > 0 && h.err == nil; n-- {
		h.next(1)
	}
}

// skipString skips to after the next zero byte.
func (h *headerReader) skipString() {
	for h.err == nil {
		if c := h.next(1); c[0] == 0 {
			return
		}
	}
}
