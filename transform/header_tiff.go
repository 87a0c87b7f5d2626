package transform

import (
	"encoding/binary"
	"math"
)

// Tags that tell what a TIFF's decoder holds.
const (
	tagWidth        = 256
	tagHeight       = 257
	tagBits         = 258
	tagPhotometric  = 262
	tagDescription  = 270
	tagOrientation  = 274
	tagSamples      = 277
	tagRowsPerStrip = 278
	tagPlanar       = 284
	tagTileWidth    = 322
	tagTileHeight   = 323
	tagExtraSamples = 338
	tagXMP          = 700
	tagIPTC         = 33723
	tagPhotoshop    = 34377
	tagProfile      = 34675
)

// ifd is the first directory of a TIFF. (A BigTIFF is no image to Next.js.)
type ifd struct {
	b     []byte
	order binary.ByteOrder
	at, n int // the first tag, and how many there are
}

type ifdTag struct {
	id, kind uint16
	count    uint32
	data     []byte // the value where it fits into the tag, else where it is
}

// openIFD finds the first directory.
func openIFD(b []byte) (ifd, bool) {
	if len(b) < 8 {
		return ifd{}, false
	}
	d := ifd{b: b, order: binary.LittleEndian}
	switch {
	case at(b, 0, "II"):
	case at(b, 0, "MM"):
		d.order = binary.BigEndian
	default:
		return d, false
	}
	offset := uint64(d.order.Uint32(b[4:]))
	if d.order.Uint16(b[2:]) != 42 || offset+2 > uint64(len(b)) {
		return d, false
	}
	d.at, d.n = int(offset)+2, min(int(d.order.Uint16(b[offset:])), maxSteps)
	return d, true
}

// tags gives every tag of the directory to f.
func (d ifd) tags(f func(ifdTag)) {
	const size, inline = 12, 4
	for i := range d.n {
		b := part(d.b, d.at+i*size, size)
		if len(b) < size {
			return
		}
		t := ifdTag{id: d.order.Uint16(b), kind: d.order.Uint16(b[2:]), count: d.order.Uint32(b[4:]), data: b[size-inline:]}
		if width := kindSize(t.kind); width == 0 || t.count > uint32(inline/width) {
			offset := uint64(d.order.Uint32(t.data))
			t.data = nil
			if offset < uint64(len(d.b)) {
				t.data = d.b[offset:]
			}
		}
		f(t)
	}
}

// kindSize is the size of a tag's unsigned value, 0 for what is none.
func kindSize(kind uint16) int {
	switch kind {
	case 1:
		return 1
	case 3:
		return 2
	case 4:
		return 4
	}
	return 0
}

// first is the first value of a tag, 0 where there is none.
func (d ifd) first(t ifdTag) uint64 {
	width := kindSize(t.kind)
	if t.count == 0 || len(t.data) < width {
		return 0
	}
	switch width {
	case 1:
		return uint64(t.data[0])
	case 2:
		return uint64(d.order.Uint16(t.data))
	case 4:
		return uint64(d.order.Uint32(t.data))
	}
	return 0
}

// readTIFF reads the first page's tags. Its decoder holds the largest strip, or a row of tiles.
func readTIFF(b []byte) (picture, bool) {
	d, ok := openIFD(b)
	if !ok {
		return picture{}, false
	}
	p := picture{bands: 1, sample: 1}
	var width, height, bits, samples, planar, tileWidth, tileHeight uint64 = 0, 0, 1, 1, 1, 0, 0
	rows, photometric := uint64(math.MaxUint32), uint64(0)
	d.tags(func(t ifdTag) {
		v := d.first(t)
		switch t.id {
		case tagWidth:
			width = v
		case tagHeight:
			height = v
		case tagBits:
			bits = v
		case tagPhotometric:
			photometric = v
		case tagOrientation:
			p.turn = orientationTurn(v)
		case tagSamples:
			samples = v
		case tagRowsPerStrip:
			rows = v
		case tagPlanar:
			planar = v
		case tagTileWidth:
			tileWidth = v
		case tagTileHeight:
			tileHeight = v
		case tagExtraSamples:
			p.alpha = true
		case tagDescription, tagXMP, tagIPTC, tagPhotoshop, tagProfile:
			p.metadata += metadataCopies * float64(min(8*uint64(t.count), uint64(len(t.data))))
		}
	})
	const most = 1 << 26 // no decoder takes more on a side; it keeps the products below from overflowing
	if width == 0 || height == 0 || width > most || height > most || samples == 0 || samples > 64 || bits > 64 {
		return p, false
	}
	p.width, p.height = int(width), int(height)
	p.bands, p.sample = int(samples), max(1, int(bits+7)/8)
	if photometric == 3 || photometric == 6 || photometric == 8 { // palette, YCbCr, Lab: decoded to three channels
		p.bands = max(p.bands, 3)
	}
	if p.bands == 2 || p.bands > 4 {
		p.alpha = true
	}
	pixel := float64(p.bands * p.sample)
	across, down := float64(width), float64(min(max(rows, 1), height))
	if tileWidth > 0 && tileHeight > 0 {
		tileWidth, tileHeight = min(tileWidth, most), min(tileHeight, most)
		across, down = float64((width+tileWidth-1)/tileWidth+1)*float64(tileWidth), float64(tileHeight)
	}
	p.decoder = across * down * pixel
	if planar == 2 {
		p.decoder *= 2
	}
	// Where each strip or tile lies.
	p.metadata += 32 * (float64(width)*float64(height)/(min(across, float64(width))*down) + 1)
	return p, true
}
