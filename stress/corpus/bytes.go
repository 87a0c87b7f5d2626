package corpus

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// Big- and little-endian integers.
func be16(v ...int) []byte {
	var b []byte
	for _, n := range v {
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	return b
}

func be32(v ...int) []byte {
	var b []byte
	for _, n := range v {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return b
}

func le16(v ...int) []byte {
	var b []byte
	for _, n := range v {
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
	}
	return b
}

func le32(v ...int) []byte {
	var b []byte
	for _, n := range v {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// fill is n bytes of c.
func fill(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n) }

// match is the size that one match of the deflate stream below stands for.
const match = 258

// zeros is a zlib stream of n zero bytes, of which there must be one. Fixed Huffman codes make it 158 times smaller and, unlike a
// compressor, take no time: after the first literals every match is the same 13 bits, so eight of them are the same 13 bytes.
func zeros(n int) []byte {
	matches := (n - 1) / match
	var w bits
	w.put(1, 1) // the last block
	w.put(1, 2) // fixed Huffman codes
	for range n - matches*match {
		w.code(0x30, 8) // literal 0
	}
	write := func(w *bits, matches int) {
		for range matches {
			w.code(0xc5, 8) // length 258
			w.code(0, 5)    // distance 1
		}
	}
	write(&w, matches%8)
	if eights := matches / 8; eights > 0 {
		write(&w, 8)
		period := bits{acc: w.acc, n: w.n}
		write(&period, 8)
		w.out = append(w.out, bytes.Repeat(period.out, eights-1)...)
	}
	w.code(0, 7) // end of block
	w.flush()
	return join([]byte{0x78, 0x01}, w.out, be32(n%65521<<16|1)) // Adler-32 of zeros
}

// bits writes a deflate stream: least significant bit first, Huffman codes most significant bit first.
type bits struct {
	out []byte
	acc uint32
	n   int
}

func (w *bits) put(v uint32, count int) {
	w.acc |= v << w.n
	for w.n += count; w.n >= 8; w.n -= 8 {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
	}
}

func (w *bits) code(v uint32, count int) {
	for i := count - 1; i >= 0; i-- {
		w.put(v>>i&1, 1)
	}
}

func (w *bits) flush() {
	if w.n > 0 {
		w.put(0, 8-w.n)
	}
}

// deflated is b as a zlib stream, as small as a compressor makes it: a thousand times smaller where b is one byte repeated.
func deflated(b []byte) []byte {
	var out bytes.Buffer
	written(zlib.NewWriter(&out), b)
	return out.Bytes()
}

// repeated is a zlib stream of n times c, a thousand times smaller. A compressor makes what stands for a mebibyte once.
func repeated(c byte, n int) []byte {
	const block, modulus = 1 << 20, 65521
	all, char := uint64(n), uint64(c)
	a, b := (1+all*char)%modulus, (all+all*(all+1)/2%modulus*char)%modulus // Adler-32
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestCompression) // a level that there is
	part := fill(c, block)
	var middle []byte
	if blocks := n / block; blocks > 1 {
		_, _ = w.Write(part)
		_ = w.Flush()
		first := out.Len()
		_, _ = w.Write(part)
		_ = w.Flush() // ends a byte: the next block may stand behind it, or the same one again
		middle = bytes.Repeat(out.Bytes()[first:], blocks-2)
		n -= blocks * block
	}
	begun := out.Len()
	written(w, fill(c, n))
	return join([]byte{0x78, 0xda}, out.Bytes()[:begun], middle, out.Bytes()[begun:], be32(int(b<<16|a)))
}

// gzipped is b as a gzip file.
func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	written(w, b)
	return out.Bytes()
}

// written writes b to a compressor that writes to memory, which cannot fail.
func written(w io.WriteCloser, b []byte) {
	_, _ = w.Write(b)
	_ = w.Close()
}

// checksum is the CRC-32 of PNG and gzip.
func checksum(b []byte) []byte { return be32(int(crc32.ChecksumIEEE(b))) }
