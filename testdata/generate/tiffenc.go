package main

import (
	"encoding/binary"
)

// This file writes uncompressed TIFF files of either byte order, for what libvips does not write.

// TIFF tags.
const (
	tagWidth        = 256
	tagHeight       = 257
	tagBits         = 258
	tagCompression  = 259
	tagPhotometric  = 262
	tagStripOffsets = 273
	tagSamples      = 277
	tagRowsPerStrip = 278
	tagStripBytes   = 279
	tagPlanar       = 284
	tagColorMap     = 320
	tagExtraSamples = 338
)

// Photometric interpretations.
const (
	tiffGrey    = 1
	tiffRGB     = 2
	tiffPalette = 3
)

// tiffPage is one picture of a TIFF: samples are 8 or 16 bits wide, interleaved.
type tiffPage struct {
	w, h, bits, channels int
	photometric          uint16
	samples              []uint16
	orientation          uint16
	separate             bool     // one plane after the other in place of interleaved
	colours              []uint16 // palette: all reds, all greens, all blues
	alpha                bool     // the last channel is unassociated alpha
	claimW, claimH       uint32   // sizes to claim in place of the true ones
}

// tiffFile writes pages, each in one strip (or one per plane).
func tiffFile(o byteOrder, pages ...tiffPage) []byte {
	out := tiffHeader(o)
	link := 4 // where the offset of the next directory goes
	for _, p := range pages {
		strips := p.strips(o)
		var offsets, sizes []uint32
		for _, s := range strips {
			offsets = append(offsets, uint32(len(out)))
			sizes = append(sizes, uint32(len(s)))
			out = append(out, s...)
		}
		if len(out)%2 == 1 {
			out = append(out, 0)
		}
		at := uint32(len(out))
		o.PutUint32(out[link:], at)
		fields := p.fields(o, offsets, sizes)
		out = append(out, directory(o, at, fields, 0)...)
		link = int(at) + 2 + 12*len(fields)
	}
	return out
}

func (p tiffPage) strips(o byteOrder) [][]byte {
	planes := 1
	if p.separate {
		planes = p.channels
	}
	out := make([][]byte, planes)
	for i, v := range p.samples {
		k := 0
		if p.separate {
			k = i % p.channels
		}
		if p.bits == 16 {
			out[k] = o.AppendUint16(out[k], v)
		} else {
			out[k] = append(out[k], byte(v))
		}
	}
	return out
}

func (p tiffPage) fields(o byteOrder, offsets, sizes []uint32) []field {
	w, h := uint32(p.w), uint32(p.h)
	if p.claimW > 0 {
		w, h = p.claimW, p.claimH
	}
	bits := make([]uint16, p.channels)
	for i := range bits {
		bits[i] = uint16(p.bits)
	}
	planar := uint16(1)
	if p.separate {
		planar = 2
	}
	f := []field{
		longs(o, tagWidth, w), longs(o, tagHeight, h), shorts(o, tagBits, bits...), shorts(o, tagCompression, 1),
		shorts(o, tagPhotometric, p.photometric), longs(o, tagStripOffsets, offsets...),
	}
	if p.orientation > 0 {
		f = append(f, shorts(o, tagOrientation, p.orientation))
	}
	f = append(f, shorts(o, tagSamples, uint16(p.channels)), longs(o, tagRowsPerStrip, h), longs(o, tagStripBytes, sizes...),
		shorts(o, tagPlanar, planar))
	if p.colours != nil {
		f = append(f, shorts(o, tagColorMap, p.colours...))
	}
	if p.alpha {
		f = append(f, shorts(o, tagExtraSamples, 2))
	}
	return f
}

// tiffOf takes the samples a PNG would hold: TIFF stores them alike.
func tiffOf(s pngSpec) tiffPage {
	p := tiffPage{w: s.w, h: s.h, bits: s.depth, channels: pngChannels[s.kind], samples: s.samples, photometric: tiffRGB}
	switch s.kind {
	case pngGrey, pngGreyAlpha:
		p.photometric = tiffGrey
	case pngPalette:
		p.photometric = tiffPalette
	}
	p.alpha = s.kind == pngRGBA || s.kind == pngGreyAlpha
	return p
}

// palette16 are a PNG palette's colours in a TIFF colour map.
func palette16(plte []byte) []uint16 {
	out := make([]uint16, 3*256)
	for i := range len(plte) / 3 {
		for c := range 3 {
			out[c*256+i] = uint16(plte[3*i+c]) * 257
		}
	}
	return out
}

// bigTIFF writes one page in BigTIFF, whose offsets have 64 bits.
func bigTIFF(p tiffPage) []byte {
	o := binary.LittleEndian
	out := []byte{'I', 'I', 43, 0, 8, 0, 0, 0}
	data := p.strips(o)[0]
	fields := p.fields(o, []uint32{0}, []uint32{uint32(len(data))})
	out = o.AppendUint64(out, 16)
	dataAt := uint32(16 + 8 + 20*len(fields) + 8)
	fields = p.fields(o, []uint32{dataAt}, []uint32{uint32(len(data))})
	out = o.AppendUint64(out, uint64(len(fields)))
	for _, f := range fields {
		out = o.AppendUint16(out, f.tag)
		out = o.AppendUint16(out, f.kind)
		out = o.AppendUint64(out, uint64(f.count))
		out = append(append(out, f.data...), make([]byte, 8-len(f.data))...)
	}
	out = o.AppendUint64(out, 0)
	return append(out, data...)
}
