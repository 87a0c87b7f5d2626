package main

import (
	"encoding/binary"
	"image"
	"math"
)

// This file is a baseline JPEG encoder (ITU-T T.81) for what libvips' does not write: any sampling
// factors, any component ids, and CMYK in each of its variants.

// component is one colour plane of a JPEG, at full size; the encoder averages it down by its
// sampling factors h and v relative to the largest.
type component struct {
	id, h, v byte
	plane    []uint8
}

// jpegSpec says how to write a JPEG.
type jpegSpec struct {
	w, h       int
	quality    int
	components []component
	restart    int    // MCUs between restart markers; 0: none
	segments   []byte // whole segments to put after SOI
	separate   bool   // one scan per component in place of one for all
	noTables   bool   // leave the Huffman tables out, as Motion JPEG does
}

// quantBase are the example tables of T.81, annex K.1, in natural order.
var quantBase = [2][64]int{{
	16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
	18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
}, {
	17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
}}

// huffman is a table as T.81 writes it: how many codes of each length, and their symbols.
type huffman struct {
	counts  [16]byte
	symbols []byte
}

// The example tables of T.81, annex K.3: DC and AC, luminance only (chroma may use them as well).
var (
	huffmanDC = huffman{[16]byte{0, 1, 5, 1, 1, 1, 1, 1, 1}, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}}
	huffmanAC = huffman{[16]byte{0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d}, acSymbols()}
)

func acSymbols() []byte {
	return []byte("\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xa1\x08" +
		"\x23\x42\xb1\xc1\x15\x52\xd1\xf0\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\x27\x28" +
		"\x29\x2a\x34\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58\x59" +
		"\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\x86\x87\x88\x89" +
		"\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6" +
		"\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2" +
		"\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa")
}

type code struct {
	bits   uint32
	length uint
}

func (h huffman) codes() (t [256]code) {
	next, k := uint32(0), 0
	for i, n := range h.counts {
		for range n {
			t[h.symbols[k]] = code{next, uint(i + 1)}
			next++
			k++
		}
		next <<= 1
	}
	return t
}

// zigzag lists the natural positions in the order they are coded.
var zigzag = func() (z [64]int) {
	i := 0
	for s := range 15 {
		for k := range s + 1 {
			row, col := s-k, k
			if s%2 == 1 {
				row, col = k, s-k
			}
			if row < 8 && col < 8 {
				z[i] = row*8 + col
				i++
			}
		}
	}
	return z
}()

// segment is a marker segment with its length field.
func segment(marker byte, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(data)+2)), data...)
}

type jpegWriter struct {
	out    []byte
	acc    uint32
	bits   uint
	dc, ac [256]code
}

func (w *jpegWriter) put(c code) {
	w.acc, w.bits = w.acc<<c.length|c.bits, w.bits+c.length
	for w.bits >= 8 {
		b := byte(w.acc >> (w.bits - 8))
		w.out = append(w.out, b)
		if b == 0xff {
			w.out = append(w.out, 0)
		}
		w.bits -= 8
		w.acc &= 1<<w.bits - 1
	}
}

func (w *jpegWriter) align() {
	if w.bits > 0 {
		n := 8 - w.bits
		w.put(code{1<<n - 1, n})
	}
}

// encode writes the file.
func (s jpegSpec) encode() []byte {
	w := &jpegWriter{dc: huffmanDC.codes(), ac: huffmanAC.codes()}
	w.out = append([]byte{0xff, 0xd8}, s.segments...)
	var quant [2][64]int
	scale := 200 - 2*s.quality
	if s.quality < 50 {
		scale = 5000 / s.quality
	}
	for t := range 2 {
		dqt := []byte{byte(t)}
		for _, pos := range zigzag {
			q := min(255, max(1, (quantBase[t][pos]*scale+50)/100))
			quant[t][pos] = q
			dqt = append(dqt, byte(q))
		}
		w.out = append(w.out, segment(0xdb, dqt)...)
	}
	sof := []byte{8, byte(s.h >> 8), byte(s.h), byte(s.w >> 8), byte(s.w), byte(len(s.components))}
	for i, c := range s.components {
		sof = append(sof, c.id, c.h<<4|c.v, s.table(i))
	}
	w.out = append(w.out, segment(0xc0, sof)...)
	if !s.noTables {
		w.out = append(w.out, segment(0xc4, append(append([]byte{0x00}, huffmanDC.counts[:]...), huffmanDC.symbols...))...)
		w.out = append(w.out, segment(0xc4, append(append([]byte{0x10}, huffmanAC.counts[:]...), huffmanAC.symbols...))...)
	}
	if s.restart > 0 {
		w.out = append(w.out, segment(0xdd, []byte{byte(s.restart >> 8), byte(s.restart)})...)
	}
	if s.separate {
		for i := range s.components {
			s.scan(w, []int{i}, quant)
		}
	} else {
		all := make([]int, len(s.components))
		for i := range all {
			all[i] = i
		}
		s.scan(w, all, quant)
	}
	return append(w.out, 0xff, 0xd9)
}

// table is the quantisation table of component i: chroma has its own.
func (s jpegSpec) table(i int) byte {
	if len(s.components) >= 3 && (i == 1 || i == 2) {
		return 1
	}
	return 0
}

func (s jpegSpec) scan(w *jpegWriter, which []int, quant [2][64]int) {
	head := []byte{byte(len(which))}
	for _, i := range which {
		head = append(head, s.components[i].id, 0)
	}
	w.out = append(w.out, segment(0xda, append(head, 0, 63, 0))...)
	hMax, vMax := 1, 1
	for _, c := range s.components {
		hMax, vMax = max(hMax, int(c.h)), max(vMax, int(c.v))
	}
	planes := make([]plane, len(which))
	for k, i := range which {
		c := s.components[i]
		planes[k] = shrink(c.plane, s.w, s.h, hMax/int(c.h), vMax/int(c.v))
	}
	mcusX, mcusY := ceilDiv(s.w, 8*hMax), ceilDiv(s.h, 8*vMax)
	if len(which) == 1 { // a scan of one component counts its own blocks
		mcusX, mcusY = ceilDiv(planes[0].w, 8), ceilDiv(planes[0].h, 8)
	}
	last := make([]int, len(which))
	for m := range mcusX * mcusY {
		if s.restart > 0 && m > 0 && m%s.restart == 0 {
			w.align()
			w.out = append(w.out, 0xff, 0xd0+byte((m/s.restart-1)%8))
			clear(last)
		}
		for k, i := range which {
			c := s.components[i]
			bh, bv := int(c.h), int(c.v)
			if len(which) == 1 {
				bh, bv = 1, 1
			}
			for b := range bh * bv {
				bx, by := m%mcusX*bh+b%bh, m/mcusX*bv+b/bh
				last[k] = w.block(planes[k].block(bx*8, by*8), quant[s.table(i)], last[k])
			}
		}
	}
	w.align()
}

// block codes one block of samples and returns its DC value.
func (w *jpegWriter) block(px [64]float64, quant [64]int, lastDC int) int {
	freq := dct(px)
	var q [64]int
	for k, pos := range zigzag {
		q[k] = int(math.Round(freq[pos] / float64(quant[pos])))
	}
	w.value(w.dc, 0, q[0]-lastDC)
	run := 0
	for _, v := range q[1:] {
		if v == 0 {
			run++
			continue
		}
		for ; run > 15; run -= 16 {
			w.put(w.ac[0xf0])
		}
		w.value(w.ac, run, v)
		run = 0
	}
	if run > 0 {
		w.put(w.ac[0])
	}
	return q[0]
}

// value codes v after a run of zeros: its size by the table, then its bits.
func (w *jpegWriter) value(t [256]code, run, v int) {
	size, a := uint(0), max(v, -v)
	for ; a>>size > 0; size++ {
	}
	w.put(t[run<<4|int(size)])
	if v < 0 {
		v += 1<<size - 1
	}
	if size > 0 {
		w.put(code{uint32(v), size})
	}
}

var cosines = func() (c [8][8]float64) {
	for u := range 8 {
		for x := range 8 {
			c[u][x] = math.Cos(float64(2*x+1)*float64(u)*math.Pi/16) / 2
			if u == 0 {
				c[u][x] /= math.Sqrt2
			}
		}
	}
	return c
}()

func dct(px [64]float64) (out [64]float64) {
	var rows [64]float64
	for y := range 8 {
		for u := range 8 {
			for x := range 8 {
				rows[y*8+u] += px[y*8+x] * cosines[u][x]
			}
		}
	}
	for v := range 8 {
		for u := range 8 {
			for y := range 8 {
				out[v*8+u] += rows[y*8+u] * cosines[v][y]
			}
		}
	}
	return out
}

type plane struct {
	w, h int
	data []float64
}

// block takes 8 by 8 samples, the plane's edge repeated beyond it, shifted to be signed.
func (p plane) block(x, y int) (out [64]float64) {
	for i := range out {
		out[i] = p.data[min(p.h-1, y+i/8)*p.w+min(p.w-1, x+i%8)] - 128
	}
	return out
}

// shrink averages fx by fy samples into one.
func shrink(data []uint8, w, h, fx, fy int) plane {
	p := plane{w: ceilDiv(w, fx), h: ceilDiv(h, fy)}
	for y := range p.h {
		for x := range p.w {
			sum := 0.0
			for i := range fx * fy {
				sum += float64(data[min(h-1, y*fy+i/fx)*w+min(w-1, x*fx+i%fx)])
			}
			p.data = append(p.data, sum/float64(fx*fy))
		}
	}
	return p
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// planesOf splits img into n planes by f, which turns red, green and blue into n samples.
func planesOf(img *image.NRGBA, n int, f func(r, g, b float64) []float64) [][]uint8 {
	out := make([][]uint8, n)
	for i := 0; i < len(img.Pix); i += 4 {
		for k, v := range f(float64(img.Pix[i]), float64(img.Pix[i+1]), float64(img.Pix[i+2])) {
			out[k] = append(out[k], uint8(math.Min(255, math.Max(0, math.Round(v)))))
		}
	}
	return out
}

// ycc is JFIF's luma and colour differences.
func ycc(r, g, b float64) []float64 {
	return []float64{0.299*r + 0.587*g + 0.114*b, -0.168736*r - 0.331264*g + 0.5*b + 128, 0.5*r - 0.418688*g - 0.081312*b + 128}
}
