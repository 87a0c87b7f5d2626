package fetch

import (
	"bufio"
	"compress/flate"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
)

// Content-Encoding as decodeResponseBody of next/dist/server/image-optimizer.js undoes it with Node's zlib. What the
// decoders do with damaged data was measured there; testdata/decode.json holds the answers:
//   - data that ends early counts as complete, with what could be decoded of it;
//   - data that contradicts itself is an error, also when only a checksum is wrong;
//   - what follows the end of deflate and brotli data is ignored; after the end of gzip data, a zero byte and all
//     after it is ignored, and anything else is the next gzip member.

// maxCodings is how many codings one body may have.
const maxCodings = 5

var errTooManyCodings = fmt.Errorf("more than %d content codings", maxCodings)

// coding is a known content coding.
type coding struct {
	// memory is what undoing it takes in bytes, beside the input's buffer and what comes out; window, if not nil, is
	// what it takes in addition, told by the first byte.
	memory int64
	window func(first byte) int64
	open   func(in *bufio.Reader) io.Reader
}

// What decoders hold at most, in bytes; TestDecoderMemory measures it. Usual data takes far less (40 KiB to inflate,
// 80 KiB for small brotli data), but how much it is shows only when the decoder has allocated it.
const (
	// inputBuffer is the buffer before every decoder.
	inputBuffer = 4 << 10
	// inflateMemory is the state of compress/flate with its window of 32 KiB and two Huffman tables, which grow with
	// the number of long codes.
	inflateMemory = 128 << 10
	// brotliMemory is the state of brotli and three groups of 256 Huffman tables.
	brotliMemory = 3 << 20
)

var (
	gzipCoding    = coding{memory: inflateMemory, open: newGzipReader}
	deflateCoding = coding{memory: inflateMemory, open: newDeflateReader}
	brotliCoding  = coding{memory: brotliMemory, window: brotliWindow, open: newBrotliReader}
)

// parseCodings reads a Content-Encoding header and returns the codings in the order they are to be undone. It returns
// none for a header with a coding that it does not know, "identity" included: such a body is taken as it is.
func parseCodings(header string) ([]coding, error) {
	if header == "" {
		return nil, nil
	}
	names := strings.Split(strings.ToLower(header), ",")
	if len(names) > maxCodings {
		return nil, errTooManyCodings
	}
	var codings []coding
	for i := len(names) - 1; i >= 0; i-- {
		switch strings.TrimSpace(names[i]) {
		case "gzip", "x-gzip":
			codings = append(codings, gzipCoding)
		case "deflate":
			codings = append(codings, deflateCoding)
		case "br":
			codings = append(codings, brotliCoding)
		default:
			return nil, nil
		}
	}
	return codings, nil
}

// decodeAll undoes codings on body. What each of them reads may be little larger than limit, the most that may come
// out in the end: no encoder makes more of less, and a body that decompresses into something huge and from there into
// nothing would otherwise cost time without ever reaching the limit of the result. Next.js has only its timeout there.
func decodeAll(ctx context.Context, body io.Reader, codings []coding, limit int64, held *account) io.Reader {
	for _, c := range codings {
		body = &decoder{coding: c, held: held, in: &layer{ctx: ctx, r: body, left: limit + limit/16 + 64<<10}}
	}
	return body
}

// decoder undoes one coding. It holds nothing before the first Read, and asks the account for everything.
type decoder struct {
	coding
	held *account
	in   *layer
	out  io.Reader // nil until the first byte is there
}

func (d *decoder) Read(p []byte) (int, error) {
	if d.out == nil {
		if err := d.start(); err != nil {
			d.out = failedReader{settle(err)}
		}
	}
	return d.out.Read(p)
}

func (d *decoder) start() error {
	if err := d.held.grow(inputBuffer + d.memory); err != nil {
		return err
	}
	in := bufio.NewReaderSize(d.in, inputBuffer)
	if d.window != nil {
		first, err := in.Peek(1)
		if err != nil {
			return err
		}
		if err := d.held.grow(d.window(first[0])); err != nil {
			return err
		}
	}
	d.out = d.open(in)
	return nil
}

// failedReader is a decoder that could not start.
type failedReader struct{ err error }

func (f failedReader) Read([]byte) (int, error) { return 0, f.err }

// layer is what a decoder reads: the body or the result of another decoder, up to a limit and while ctx lasts.
type layer struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

func (l *layer) Read(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, &networkError{err}
	}
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	if l.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// corruptError is data that contradicts itself.
type corruptError struct{ err error }

func (e *corruptError) Error() string { return e.err.Error() }
func (e *corruptError) Unwrap() error { return e.err }

// settle sorts the error of a decoder. io.ErrUnexpectedEOF can only be its own, for data that ends early, because
// everything below it reports other errors or io.EOF.
func settle(err error) error {
	var network *networkError
	var memory *memoryError
	var corrupt *corruptError
	switch {
	case err == nil, err == io.EOF:
		return err
	case err == io.ErrUnexpectedEOF:
		return io.EOF
	case errors.Is(err, errTooLarge), errors.As(err, &network), errors.As(err, &memory), errors.As(err, &corrupt):
		return err
	default:
		return &corruptError{err}
	}
}

// deflateReader decodes "deflate": zlib data, or raw deflate data as some servers send it. The first byte tells.
type deflateReader struct {
	in  *bufio.Reader
	out io.Reader // nil until the first byte is known
}

func newDeflateReader(in *bufio.Reader) io.Reader { return &deflateReader{in: in} }

func (d *deflateReader) Read(p []byte) (int, error) {
	if d.out == nil {
		first, err := d.in.Peek(1)
		if err != nil {
			return 0, settle(err)
		}
		if first[0]&0x0f == 8 {
			if d.out, err = zlib.NewReader(d.in); err != nil {
				d.out = failedReader{settle(err)}
			}
		} else {
			d.out = flate.NewReader(d.in)
		}
	}
	n, err := d.out.Read(p)
	if err == io.EOF {
		// More data is of no interest, but a connection that was cut is.
		if _, more := d.in.Peek(1); more != nil {
			err = more
		}
	}
	return n, settle(err)
}

// brotliReader decodes "br".
type brotliReader struct{ out io.Reader }

func newBrotliReader(in *bufio.Reader) io.Reader { return brotliReader{brotli.NewReader(in)} }

// brotliWindow returns how much the window takes of brotli data that starts with first (RFC 7932, section 9.1): its
// size, and half of it for the smaller one that it may replace. The decoder allocates as much as the data says it is
// going to need, so a few bytes can make it 16 MiB.
func brotliWindow(first byte) int64 {
	bits := 16
	switch n, m := int(first>>1&7), int(first>>4&7); {
	case first&1 == 0:
	case n != 0:
		bits = 17 + n
	case m > 1:
		bits = 8 + m
	case m == 1: // invalid, and refused before a window is allocated
		bits = 0
	default:
		bits = 17
	}
	return 3 << bits / 2
}

// brotliExcess is the text of the only error that brotli has for data after the end; the value is not exported.
const brotliExcess = "brotli: excessive input"

// Read also catches a panic of the decoder: it is a translation of C code, and input that makes it index out of range
// must cost this body, not the process.
func (b brotliReader) Read(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			n, err = 0, &corruptError{fmt.Errorf("brotli: decoder panicked: %v", v)}
		}
	}()
	n, err = b.out.Read(p)
	if err != nil && err.Error() == brotliExcess {
		err = io.EOF
	}
	return n, settle(err)
}
