package main

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
)

// This file is a PNG encoder (W3C PNG, third edition) that writes any colour type, bit depth and
// chunk, Adam7, and APNG.

// PNG colour types.
const (
	pngGrey      = 0
	pngRGB       = 2
	pngPalette   = 3
	pngGreyAlpha = 4
	pngRGBA      = 6
)

var pngChannels = map[int]int{pngGrey: 1, pngRGB: 3, pngPalette: 1, pngGreyAlpha: 2, pngRGBA: 4}

// pngSpec says how to write a PNG. samples are w*h*channels values of depth bits.
type pngSpec struct {
	w, h, depth, kind int
	samples           []uint16
	interlaced        bool
	before            [][]byte // chunks between IHDR and IDAT (PLTE among them)
	after             [][]byte // chunks between IDAT and IEND
}

var pngSignature = []byte("\x89PNG\r\n\x1a\n")

// chunk makes a PNG chunk with its length and CRC.
func chunk(kind string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, kind...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func ihdr(w, h, depth, kind int, interlaced bool) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(w))
	b = binary.BigEndian.AppendUint32(b, uint32(h))
	b = append(b, byte(depth), byte(kind), 0, 0, 0)
	if interlaced {
		b[12] = 1
	}
	return chunk("IHDR", b)
}

func (s pngSpec) encode() []byte {
	out := bytes.Join([][]byte{pngSignature, ihdr(s.w, s.h, s.depth, s.kind, s.interlaced), bytes.Join(s.before, nil)}, nil)
	out = append(out, chunk("IDAT", deflated(s.rows()))...)
	out = append(out, bytes.Join(s.after, nil)...)
	return append(out, chunk("IEND", nil)...)
}

// rows are the filtered scanlines, of each pass if interlaced.
func (s pngSpec) rows() []byte {
	if !s.interlaced {
		return s.pass(0, 0, 1, 1)
	}
	var out []byte
	for _, p := range [7][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
		out = append(out, s.pass(p[0], p[1], p[2], p[3])...)
	}
	return out
}

func (s pngSpec) pass(x0, y0, dx, dy int) []byte {
	ch := pngChannels[s.kind]
	bpp := max(1, ch*s.depth/8)
	var out, prev []byte
	for y := y0; y < s.h && x0 < s.w; y += dy {
		var row []byte
		acc, bits := uint16(0), 0
		for x := x0; x < s.w; x += dx {
			for c := range ch {
				v := s.samples[(y*s.w+x)*ch+c]
				switch s.depth {
				case 16:
					row = append(row, byte(v>>8), byte(v))
				case 8:
					row = append(row, byte(v))
				default:
					acc, bits = acc<<s.depth|v, bits+s.depth
					if bits == 8 {
						row = append(row, byte(acc))
						acc, bits = 0, 0
					}
				}
			}
		}
		if bits > 0 {
			row = append(row, byte(acc<<(8-bits)))
		}
		if prev == nil {
			prev = make([]byte, len(row))
		}
		out = append(out, s.filter(row, prev, bpp)...)
		prev = row
	}
	return out
}

// filter picks the filter with the smallest sum of absolute differences; low depths are left alone.
func (s pngSpec) filter(row, prev []byte, bpp int) []byte {
	best, bestSum := append([]byte{0}, row...), -1
	if s.depth < 8 || s.kind == pngPalette {
		return best
	}
	for f := range 5 {
		line, sum := []byte{byte(f)}, 0
		for i, v := range row {
			var a, b, c int
			b = int(prev[i])
			if i >= bpp {
				a, c = int(row[i-bpp]), int(prev[i-bpp])
			}
			d := v - byte([5]int{0, a, b, (a + b) / 2, paeth(a, b, c)}[f])
			line = append(line, d)
			sum += min(int(d), 256-int(d))
		}
		if bestSum < 0 || sum < bestSum {
			best, bestSum = line, sum
		}
	}
	return best
}

func paeth(a, b, c int) int {
	p := a + b - c
	pa, pb, pc := max(p-a, a-p), max(p-b, b-p), max(p-c, c-p)
	if pa <= pb && pa <= pc {
		return a
	}
	if pb <= pc {
		return b
	}
	return c
}

func deflated(data []byte) []byte {
	var b bytes.Buffer
	w := must(zlib.NewWriterLevel(&b, zlib.BestCompression))
	must(w.Write(data))
	must(0, w.Close())
	return b.Bytes()
}

// pngOf is a PNG of img's pixels in the given type and depth.
func pngOf(img *image.NRGBA, kind, depth int) pngSpec {
	s := pngSpec{w: img.Rect.Dx(), h: img.Rect.Dy(), depth: depth, kind: kind}
	for i := 0; i < len(img.Pix); i += 4 {
		p := img.Pix[i : i+4]
		var v []uint8
		switch kind {
		case pngGrey:
			v = []uint8{luma(p[0], p[1], p[2])}
		case pngGreyAlpha:
			v = []uint8{luma(p[0], p[1], p[2]), p[3]}
		case pngRGB:
			v = p[:3]
		default:
			v = p
		}
		for c, x := range v {
			switch {
			case depth == 16:
				// The low byte is not a copy of the high one, so that truncating and rounding differ.
				low := uint16(hash(i+c, 0, 5) >> 24)
				if x == 255 || x == 0 {
					low = uint16(x)
				}
				s.samples = append(s.samples, uint16(x)<<8|low)
			default:
				s.samples = append(s.samples, uint16(x)>>(8-depth))
			}
		}
	}
	return s
}

// pngIndexed is a palette PNG of img with 1<<depth colours, dithered by a fixed pattern.
func pngIndexed(img *image.NRGBA, depth int) pngSpec {
	pal := evenPalette(1 << depth)
	s := pngSpec{w: img.Rect.Dx(), h: img.Rect.Dy(), depth: depth, kind: pngPalette}
	for i := 0; i < len(img.Pix); i += 4 {
		x, y := i/4%s.w, i/4/s.w
		d := int(hash(x, y, 6)>>27) - 16
		at := func(c int) uint8 { return uint8(min(255, max(0, int(img.Pix[i+c])+d))) }
		s.samples = append(s.samples, uint16(pal.Index(color.NRGBA{at(0), at(1), at(2), 255})))
	}
	var plte []byte
	for _, c := range pal {
		r, g, b, _ := c.RGBA()
		plte = append(plte, byte(r>>8), byte(g>>8), byte(b>>8))
	}
	s.before = [][]byte{chunk("PLTE", plte)}
	return s
}

// evenPalette spreads n colours evenly over the RGB cube.
func evenPalette(n int) color.Palette {
	if n == 2 {
		return color.Palette{color.NRGBA{30, 34, 80, 255}, color.NRGBA{240, 228, 200, 255}}
	}
	if n == 4 {
		return color.Palette{color.NRGBA{24, 26, 40, 255}, color.NRGBA{60, 90, 150, 255}, color.NRGBA{190, 130, 90, 255}, color.NRGBA{245, 238, 225, 255}}
	}
	levels := [3]int{6, 7, 6}
	if n == 16 {
		levels = [3]int{2, 4, 2}
	}
	var p color.Palette
	for r := range levels[0] {
		for g := range levels[1] {
			for b := range levels[2] {
				p = append(p, color.NRGBA{uint8(r * 255 / (levels[0] - 1)), uint8(g * 255 / (levels[1] - 1)), uint8(b * 255 / (levels[2] - 1)), 255})
			}
		}
	}
	return p
}

// iccp is the chunk that carries an ICC profile.
func iccp(profile []byte) []byte {
	return chunk("iCCP", append([]byte("test\x00\x00"), deflated(profile)...))
}

// frameControl is APNG's fcTL chunk.
func frameControl(seq uint32, w, h, x, y, delay int, dispose, blend byte) []byte {
	be := binary.BigEndian
	b := be.AppendUint32(nil, seq)
	for _, v := range []int{w, h, x, y} {
		b = be.AppendUint32(b, uint32(v))
	}
	b = be.AppendUint16(b, uint16(delay))
	b = be.AppendUint16(b, 1000)
	return chunk("fcTL", append(b, dispose, blend))
}

func animationControl(frames, loops uint32) []byte {
	return chunk("acTL", binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, frames), loops))
}

// frameData is APNG's fdAT chunk of the given frame.
func frameData(seq uint32, s pngSpec) []byte {
	return chunk("fdAT", append(binary.BigEndian.AppendUint32(nil, seq), deflated(s.rows())...))
}
