package corpus

import (
	"bytes"
	"strconv"
)

// Markers of JPEG.
const (
	soi = "\xff\xd8"
	eoi = "\xff\xd9"
)

func segment(marker byte, data ...[]byte) []byte {
	body := join(data...)
	return join([]byte{0xff, marker}, be16(len(body)+2), body)
}

// flat is a quantization table of ones.
var flat = segment(0xdb, []byte{0}, fill(1, 64))

// huffman is a table (class 0 for DC, 1 for AC) whose only code is a single zero bit.
func huffman(class, symbol byte) []byte {
	return segment(0xc4, []byte{class << 4, 1}, make([]byte, 15), []byte{symbol})
}

// frameHeader begins a frame: marker 0xc0 is baseline, 0xc2 progressive.
func frameHeader(marker byte, depth, w, h, components int, sampling byte) []byte {
	data := join([]byte{byte(depth)}, be16(h, w), []byte{byte(components)})
	for i := range components {
		data = append(data, byte(i+1), sampling, 0)
	}
	return segment(marker, data)
}

// scan begins a scan of the first components: of coefficients first to last, of bits high and low.
func scan(components, first, last, bits int) []byte {
	data := []byte{byte(components)}
	for i := range components {
		data = append(data, byte(i+1), 0)
	}
	return segment(0xda, data, []byte{byte(first), byte(last), byte(bits)})
}

// coded is the data of a scan: n bits, all of them zero, padded with ones as the standard wants.
func coded(n int) []byte {
	b := make([]byte, (n+7)/8)
	if n%8 != 0 {
		b[len(b)-1] = 0xff >> (n % 8)
	}
	return b
}

func blocks(w, h int) int { return ((w + 7) / 8) * ((h + 7) / 8) }

// greyJPEG is complete: every block is two bits, a DC difference of zero and the end of the block.
func greyJPEG(w, h int) []byte {
	return join([]byte(soi), flat, frameHeader(0xc0, 8, w, h, 1, 0x11), huffman(0, 0), huffman(1, 0), scan(1, 0, 63, 0),
		coded(2*blocks(w, h)), []byte(eoi))
}

// progressiveJPEG is a complete picture of many scans: a decoder has to walk all blocks for each of them, and to keep
// all coefficients meanwhile. A scan of AC coefficients is a few bytes: runs of blocks that have none.
func progressiveJPEG(w, h, scans int) []byte {
	n := blocks(w, h)
	return join([]byte(soi), flat, frameHeader(0xc2, 8, w, h, 1, 0x11), huffman(0, 0), scan(1, 0, 0, 0), coded(n),
		huffman(1, longRun), bytes.Repeat(join(scan(1, 1, 63, 0), emptyBlocks(n)), scans), []byte(eoi))
}

// longRun is the symbol of the longest runs of blocks without coefficients: 2^14 to 2^15-1 of them.
const longRun = 0xe0

// emptyBlocks is the data of a scan without coefficients over n blocks, for a table whose only code is longRun's. The
// last run may be longer than what is left.
func emptyBlocks(n int) []byte {
	const shortest, longest = 1 << 14, 1<<15 - 1
	var out []byte
	acc, count := uint64(0), 0
	put := func(v uint64, bits int) { // most significant bit first; a byte of ones is followed by a zero
		acc, count = acc<<bits|v, count+bits
		for ; count >= 8; count -= 8 {
			c := byte(acc >> (count - 8))
			out = append(out, c)
			if c == 0xff {
				out = append(out, 0)
			}
		}
	}
	for left := n; left > 0; left -= longest {
		put(0, 1)
		put(uint64(max(min(left, longest)-shortest, 0)), 14)
	}
	if count > 0 {
		put(1<<(8-count)-1, 8-count)
	}
	return out
}

func jpegs() []Case {
	g := &group{name: "jpeg"}
	for _, c := range []struct {
		name           string
		marker         byte
		depth, w, h, n int
		sampling       byte
	}{
		{"claims-baseline", 0xc0, 8, 16383, 16383, 3, 0x11},
		{"claims-progressive", 0xc2, 8, 16383, 16383, 3, 0x11},
		{"claims-arithmetic", 0xca, 8, 16383, 16383, 3, 0x11},
		{"claims-lossless", 0xc3, 8, 16383, 16383, 3, 0x11},
		{"claims-12-bits", 0xc1, 12, 16383, 16383, 3, 0x11},
		{"claims-most", 0xc2, 8, 65535, 65535, 4, 0x44},
		{"claims-a-line", 0xc2, 8, 65500, 1, 3, 0x44},
		{"claims-a-column", 0xc2, 8, 1, 65500, 3, 0x44},
		{"claims-255-components", 0xc0, 8, 1000, 1000, 255, 0x11},
		{"claims-no-components", 0xc0, 8, 1000, 1000, 0, 0x11},
		{"claims-sampling-15", 0xc2, 8, 1000, 1000, 3, 0xff},
		{"claims-sampling-0", 0xc0, 8, 1000, 1000, 3, 0x00},
		{"claims-depth-255", 0xc0, 255, 1000, 1000, 3, 0x11},
	} {
		components := min(max(c.n, 1), 4)
		g.raw("jpeg-"+c.name, []byte(soi), flat, frameHeader(c.marker, c.depth, c.w, c.h, c.n, c.sampling),
			huffman(0, 0), huffman(1, 0), scan(components, 0, 0, 0), coded(1000), []byte(eoi))
	}

	g.add("jpeg-grey-at-limit", func() []byte { return greyJPEG(16383, 16383) })
	g.add("jpeg-grey-over-limit", func() []byte { return greyJPEG(16384, 16384) })
	g.add("jpeg-grey-line", func() []byte { return greyJPEG(65500, 8) })
	for _, c := range []struct{ side, scans int }{{4096, 90}, {4096, 3000}, {16383, 1}, {16383, 90}, {16383, 1000}, {64, 50_000}} {
		name := "jpeg-progressive-" + strconv.Itoa(c.side) + "-scans-" + strconv.Itoa(c.scans)
		g.add(name, func() []byte { return progressiveJPEG(c.side, c.side, c.scans) })
	}
	g.add("jpeg-progressive-colour-at-limit", func() []byte { // 1.6 GB of coefficients
		n := blocks(16383, 16383)
		return join([]byte(soi), flat, frameHeader(0xc2, 8, 16383, 16383, 3, 0x11), huffman(0, 0), scan(3, 0, 0, 0), coded(3*n), []byte(eoi))
	})
	g.add("jpeg-arithmetic-scans", func() []byte {
		return join([]byte(soi), flat, frameHeader(0xca, 8, 16383, 16383, 1, 0x11),
			bytes.Repeat(join(scan(1, 0, 0, 0), fill(0, 100)), 90), []byte(eoi))
	})

	start, picture := []byte(soi), greyJPEG(64, 64)[len(soi):]
	repeated := func(name string, n int, part []byte) {
		g.add("jpeg-"+name, func() []byte { return join(start, bytes.Repeat(part, n), picture) })
	}
	repeated("tables", 50_000, flat)
	repeated("huffman-tables", 50_000, huffman(1, 0))
	repeated("comments", 100_000, segment(0xfe, []byte("comment")))
	repeated("large-comments", 100, segment(0xfe, fill('x', 65000)))
	repeated("restart-intervals", 100_000, segment(0xdd, be16(1)))
	repeated("app-segments", 50_000, segment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00")))
	repeated("starts", 100_000, []byte(soi))
	repeated("fill-bytes", 6<<20, []byte{0xff})
	g.add("jpeg-restarts", func() []byte {
		n := blocks(2000, 2000)
		b := join(start, flat, frameHeader(0xc0, 8, 2000, 2000, 1, 0x11), huffman(0, 0), huffman(1, 0), segment(0xdd, be16(1)), scan(1, 0, 63, 0))
		for i := range n {
			b = append(b, 0x3f, 0xff, 0xd0+byte(i%8))
		}
		return append(b, eoi...)
	})
	g.add("jpeg-restarts-only", func() []byte {
		return join(start, flat, frameHeader(0xc0, 8, 16383, 16383, 1, 0x11), huffman(0, 0), huffman(1, 0), segment(0xdd, be16(1)),
			scan(1, 0, 63, 0), bytes.Repeat([]byte("\xff\xd3"), 2<<20), []byte(eoi))
	})

	icc := func(n, of int, data []byte) []byte {
		return segment(0xe2, []byte("ICC_PROFILE\x00"), []byte{byte(n), byte(of)}, data)
	}
	g.add("jpeg-icc-large", func() []byte {
		b := start
		for i := range 100 {
			b = append(b, icc(i+1, 100, fill(0, 65000))...)
		}
		return join(b, picture)
	})
	repeated("icc-same-part", 100, icc(1, 255, fill(0, 65000)))
	for i, profile := range profiles() {
		g.raw("jpeg-icc-bomb-"+strconv.Itoa(i), start, icc(1, 1, profile), picture)
	}
	for i, exif := range [][]byte{exifLoop(), exifCount(), exifChain(), []byte("II*\x00\xff\xff\xff\xff"), nil} {
		g.raw("jpeg-exif-bomb-"+strconv.Itoa(i), start, segment(0xe1, []byte("Exif\x00\x00"), exif), picture)
	}
	g.raw("jpeg-exif-nested", start, segment(0xe1, []byte("Exif\x00\x00"), join(start, segment(0xe1, []byte("Exif\x00\x00"), exifLoop()), picture)), picture)
	g.raw("jpeg-no-scan", start, flat, frameHeader(0xc0, 8, 1000, 1000, 1, 0x11), []byte(eoi))
	g.raw("jpeg-two-frames", start, flat, frameHeader(0xc0, 8, 64, 64, 1, 0x11), frameHeader(0xc2, 8, 16000, 16000, 3, 0x11),
		huffman(0, 0), scan(3, 0, 0, 0), coded(1000), []byte(eoi))
	g.raw("jpeg-segment-length-0", start, []byte("\xff\xe0\x00\x00"), picture)
	return g.cases
}
