package transform

import "encoding/binary"

// boxes gives every box in b to f: its type and what is in it.
func boxes(b []byte, f func(name, body []byte)) {
	for steps := 0; len(b) >= 8 && steps < maxSteps; steps++ {
		size, header := uint64(binary.BigEndian.Uint32(b)), 8
		if size == 1 && len(b) >= 16 {
			size, header = binary.BigEndian.Uint64(b[8:]), 16
		}
		if size == 0 || size > uint64(len(b)) {
			size = uint64(len(b))
		}
		if size < uint64(header) {
			return
		}
		f(b[4:8], b[header:size])
		b = b[size:]
	}
}

// av1 is what tells how much memory a picture's decoder takes.
type av1 struct {
	width, height   int // the largest that any part of the file says
	deep, full      bool
	alpha, quarter  bool
	profile         int
	profileMismatch bool
}

// readAVIF reads the properties of all items of a HEIF file, and the AV1 sequence headers of the items themselves:
// properties may say less than what is decoded.
func readAVIF(b []byte) (picture, bool) {
	a := av1{profile: -1}
	var locations []byte
	boxes(b, func(name, meta []byte) {
		if string(name) != "meta" || len(meta) < 4 {
			return
		}
		boxes(meta[4:], func(name, body []byte) {
			switch string(name) {
			case "iloc":
				locations = body
			case "iprp":
				boxes(body, func(name, body []byte) {
					if string(name) == "ipco" {
						boxes(body, a.property)
					}
				})
			}
		})
	})
	// What the container says is what libvips compares with its pixel limit.
	p := picture{width: a.width, height: a.height, bands: 3, sample: 1, alpha: a.alpha, early: true, metadata: metadataCopies * float64(len(b))}
	items(locations, func(offset uint64) {
		if offset < uint64(len(b)) {
			a.sequence(b[offset:])
		}
	})
	perPixel := 19.0
	switch {
	case a.profileMismatch || a.deep && a.full:
		perPixel = 34
	case a.full:
		perPixel = 26
	case a.deep:
		perPixel = 24
	}
	if a.alpha {
		perPixel, p.bands = perPixel+5, 4
	}
	if a.deep {
		p.sample = 2
	}
	if a.quarter {
		p.turn = turnQuarter
	}
	p.decoder = perPixel * float64(a.width) * float64(a.height)
	return p, p.width > 0 && p.height > 0
}

func (a *av1) property(name, body []byte) {
	switch string(name) {
	case "ispe":
		if len(body) >= 12 {
			w, h := binary.BigEndian.Uint32(body[4:]), binary.BigEndian.Uint32(body[8:])
			if uint64(w)*uint64(h) > uint64(a.width)*uint64(a.height) && w < 1<<31 && h < 1<<31 {
				a.width, a.height = int(w), int(h)
			}
		}
	case "av1C":
		if len(body) >= 3 {
			profile := int(body[1] >> 5)
			a.deep = a.deep || body[2]&0x40 != 0
			a.full = a.full || body[2]&0x10 == 0 && body[2]&0x0c != 0x0c // neither grey nor subsampled both ways
			a.profile = max(a.profile, profile)
		}
	case "auxC":
		if at(body, 4, "urn:mpeg:mpegB:cicp:systems:auxiliary:alpha") || at(body, 4, "urn:mpeg:hevc:2015:auxid:1") {
			a.alpha = true
		}
	case "irot":
		a.quarter = a.quarter || len(body) >= 1 && body[0]&1 != 0
	}
}

// items gives the offset of every item's first bytes in the file to f (the iloc box).
func items(b []byte, f func(offset uint64)) {
	if len(b) < 8 {
		return
	}
	version, sizes := b[0], [4]int{int(b[4] >> 4), int(b[4] & 15), int(b[5] >> 4), int(b[5] & 15)}
	offsetSize, lengthSize, baseSize, indexSize := sizes[0], sizes[1], sizes[2], sizes[3]
	if version == 0 {
		indexSize = 0
	}
	b = b[6:]
	take := func(n int) (v uint64) {
		if len(b) < n {
			b = nil
			return 0
		}
		for _, c := range b[:n] {
			v = v<<8 | uint64(c)
		}
		b = b[n:]
		return v
	}
	idSize := 2
	if version >= 2 {
		idSize = 4
	}
	for count, steps := take(idSize), uint64(0); steps < min(count, maxSteps) && len(b) > 0; steps++ {
		take(idSize)
		method := uint64(0)
		if version >= 1 {
			method = take(2) & 15
		}
		take(2)
		base, extents := take(baseSize), take(2)
		for i := uint64(0); i < extents && len(b) > 0; i++ {
			take(indexSize)
			offset := take(offsetSize)
			take(lengthSize)
			if i == 0 && method == 0 {
				f(base + offset)
			}
		}
	}
}

// sequence reads an AV1 sequence header, if these are the bytes of an AV1 picture.
// Source: AV1 Bitstream & Decoding Process Specification, sections 5.3 and 5.5.
func (a *av1) sequence(b []byte) {
	const sequenceHeader, temporalDelimiter, paddingUnit = 1, 2, 15
	for range 8 {
		if len(b) < 2 || b[0]&0x82 != 0x02 { // a unit that tells its size
			return
		}
		kind, header := b[0]>>3&15, 1+int(b[0]>>2&1)
		size := uint64(0)
		for i := 0; ; i++ {
			if i == 8 || header >= len(b) {
				return
			}
			c := b[header]
			header++
			size |= uint64(c&0x7f) << (7 * i)
			if c&0x80 == 0 {
				break
			}
		}
		if size > uint64(len(b)-header) {
			size = uint64(len(b) - header)
		}
		switch body := b[header : header+int(size)]; kind {
		case sequenceHeader:
			a.header(bits{b: body})
			return
		case temporalDelimiter, paddingUnit:
		default:
			return
		}
		b = b[header+int(size):]
	}
}

func (a *av1) header(b bits) {
	profile := int(b.take(3))
	b.take(1) // still picture
	if b.take(1) == 1 {
		b.take(5) // level
	} else {
		var model bool
		var delay uint
		if b.take(1) == 1 { // timing
			b.take(64)
			if b.take(1) == 1 { // equal intervals: a number in Exp-Golomb code
				zeros := uint(0)
				for b.take(1) == 0 && zeros < 32 && b.left() > 0 {
					zeros++
				}
				b.take(zeros)
			}
			if model = b.take(1) == 1; model {
				delay = uint(b.take(5)) + 1
				b.take(32 + 5 + 5)
			}
		}
		display := b.take(1) == 1
		for range b.take(5) + 1 {
			b.take(12)
			if b.take(5) > 7 {
				b.take(1)
			}
			if model && b.take(1) == 1 {
				b.take(delay)
				b.take(delay)
				b.take(1)
			}
			if display && b.take(1) == 1 {
				b.take(4)
			}
		}
	}
	widthBits, heightBits := uint(b.take(4))+1, uint(b.take(4))+1
	width, height := int(b.take(widthBits))+1, int(b.take(heightBits))+1
	if b.short {
		return
	}
	a.width, a.height = max(a.width, width), max(a.height, height)
	a.profileMismatch = a.profileMismatch || profile != a.profile
}

// bits reads a number of bits at a time, the most significant first. Past the end they are zero.
type bits struct {
	b     []byte
	at    uint
	short bool
}

func (r *bits) left() int { return 8*len(r.b) - int(r.at) }

func (r *bits) take(n uint) (v uint64) {
	for range n {
		v <<= 1
		if i := r.at / 8; i < uint(len(r.b)) {
			v |= uint64(r.b[i]>>(7-r.at%8)) & 1
		} else {
			r.short = true
		}
		r.at++
	}
	return v
}
