package fetch

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/andybalholm/brotli"
)

// pack encodes b with codings in the order of a Content-Encoding header.
func pack(t testing.TB, b []byte, codings ...string) []byte {
	for _, name := range codings {
		var out bytes.Buffer
		var w io.WriteCloser
		switch name {
		case "gzip":
			w = gzip.NewWriter(&out)
		case "deflate":
			w = zlib.NewWriter(&out)
		case "raw":
			w, _ = flate.NewWriter(&out, -1)
		case "br":
			w = brotli.NewWriterLevel(&out, 5)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		w.Close()
		b = out.Bytes()
	}
	return b
}

// bits writes brotli data by hand.
type bits struct {
	out  []byte
	used int
}

func (b *bits) add(n int, v uint) *bits {
	for range n {
		if b.used%8 == 0 {
			b.out = append(b.out, 0)
		}
		b.out[b.used/8] |= byte(v&1) << (b.used % 8)
		v >>= 1
		b.used++
	}
	return b
}

// greedyBrotli is data of some two kilobytes that makes a decoder allocate all it can: a window of 16 MiB, which the
// only block says that it fills, and 256 Huffman tables of each kind (RFC 7932, section 9.2).
func greedyBrotli() []byte {
	b := new(bits)
	simple := func(symbolBits int) { b.add(2, 1).add(2, 0).add(symbolBits, 0) } // a prefix code with one symbol
	number256 := func() { b.add(1, 1).add(3, 7).add(7, 127) }
	b.add(4, 0b1111)                       // a window of 24 bits
	b.add(1, 0).add(2, 2).add(24, 1<<24-1) // not the last block; its length
	b.add(1, 0)                            // compressed
	for range 3 {                          // literals, commands, distances
		number256()
		simple(9) // block types
		simple(5) // block lengths
		b.add(2, 0)
	}
	b.add(2, 3).add(4, 15) // the largest alphabet of distances
	for range 256 {
		b.add(2, 0) // context modes
	}
	for range 2 { // context maps of literals and distances
		number256()
		b.add(1, 0)
		simple(8)
		b.add(1, 0)
	}
	for _, symbolBits := range []int{8, 10, 10} {
		for range 256 {
			simple(symbolBits)
		}
	}
	return append(b.out, make([]byte, 100)...)
}

// What is reserved for a decoder is at least what it allocates, garbage included, whatever the data.
func TestDecoderMemory(t *testing.T) {
	random := make([]byte, 200_000)
	rand.NewChaCha8([32]byte{1}).Read(random)
	text := bytes.Repeat([]byte("all work and no play makes jack a dull boy. "), 5000)
	small := []byte("<svg/>")
	for name, tt := range map[string]struct {
		coding coding
		data   []byte
		least  int64 // that the data is worth the test
	}{
		"gzip":          {gzipCoding, pack(t, text, "gzip"), 30_000},
		"gzip, random":  {gzipCoding, pack(t, random, "gzip"), 30_000},
		"gzip, small":   {gzipCoding, pack(t, small, "gzip"), 30_000},
		"zlib":          {deflateCoding, pack(t, text, "deflate"), 30_000},
		"raw":           {deflateCoding, pack(t, text, "raw"), 30_000},
		"br":            {brotliCoding, pack(t, text, "br"), 60_000},
		"br, random":    {brotliCoding, pack(t, random, "br"), 60_000},
		"br, small":     {brotliCoding, pack(t, small, "br"), 30_000},
		"br, greedy":    {brotliCoding, greedyBrotli(), 18 << 20},
		"br, cut short": {brotliCoding, greedyBrotli()[:5], 30_000},
	} {
		m := &recorder{}
		sink := make([]byte, 8<<10)
		total := allocated(func() {
			r := decodeAll(t.Context(), bytes.NewReader(tt.data), []coding{tt.coding}, 1<<30, &account{memory: m})
			for {
				if _, err := r.Read(sink); err != nil {
					return
				}
			}
		})
		if total > m.peak || total < tt.least {
			t.Errorf("%s: %d bytes allocated, %d reserved", name, total, m.peak)
		}
		if tt.coding.window == nil && m.peak > inflateMemory+inputBuffer {
			t.Errorf("%s: %d reserved", name, m.peak)
		}
	}
}

// The window that brotli data asks for, by its first byte.
func TestBrotliWindow(t *testing.T) {
	for lgwin := 10; lgwin <= 24; lgwin++ {
		var out bytes.Buffer
		w := brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: 5, LGWin: lgwin})
		w.Write(make([]byte, 100))
		w.Close()
		if got := brotliWindow(out.Bytes()[0]); got != 3<<lgwin/2 {
			t.Errorf("%d bits: %d bytes", lgwin, got)
		}
	}
}
