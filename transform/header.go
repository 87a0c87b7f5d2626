package transform

import (
	"bytes"
	"encoding/binary"
)

// maxSteps bounds how many segments, boxes or tags of a header are read; real files have tens. The chunks of a PNG are
// looked at to the end, because EXIF may follow the pixels.
const (
	maxSteps  = 4096
	maxChunks = 1 << 16
)

// What libvips and the libraries under it keep of a byte of metadata, text of a PNG in particular, and what they stop
// at.
const (
	metadataCopies = 3
	textCopies     = 5
	profileCopies  = 4    // of a PNG's
	deflateMost    = 1032 // bytes that one byte of deflate can stand for
	textMost       = 50 << 20
	profileMost    = 8 << 20
)

// readPicture reads the header of a source. The second value is false where it is not understood.
func readPicture(b []byte, media string) (picture, bool) {
	switch media {
	case JPEG:
		return readJPEG(b)
	case PNG:
		return readPNG(b)
	case GIF:
		return readGIF(b)
	case WebP:
		return readWebP(b)
	case TIFF:
		return readTIFF(b)
	case AVIF:
		return readAVIF(b)
	}
	return picture{}, false
}

// part is b[from:from+n], cut to what is there.
func part(b []byte, from, n int) []byte {
	if from < 0 || n < 0 || from >= len(b) {
		return nil
	}
	return b[from:min(from+n, len(b))]
}

// readJPEG reads segments up to the first scan: whether the picture has several decides what its decoder holds.
func readJPEG(b []byte) (picture, bool) {
	var p picture
	var components, coefficients int
	progressive := false
	for i, steps := 2, 0; i+4 <= len(b) && steps < maxSteps; steps++ {
		if b[i] != 0xff {
			i++ // garbage between segments, which libjpeg skips with a warning
			continue
		}
		marker := b[i+1]
		if marker == 0xff || marker == 0x01 || marker == 0xd8 || marker >= 0xd0 && marker <= 0xd7 { // fill byte, or alone
			i++
			continue
		}
		length := int(binary.BigEndian.Uint16(b[i+2:]))
		body := part(b, i+4, length-2)
		if marker >= 0xe0 && marker <= 0xef {
			p.metadata += metadataCopies * float64(len(body))
		}
		switch {
		case marker == 0xe1 && at(body, 0, "Exif\x00"):
			p.turn = max(p.turn, exifTurn(body[min(6, len(body)):]))
		case marker == 0xda: // the first scan
			if components == 0 || len(body) < 1 {
				return p, false
			}
			if progressive || int(body[0]) < components {
				p.decoder = 2 * float64(coefficients)
			}
			return p, true
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc: // a frame
			if components != 0 || len(body) < 6 || len(body) < 6+3*int(body[5]) || body[5] == 0 || body[5] > 4 {
				return p, false
			}
			p.height, p.width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
			components, progressive = int(body[5]), marker == 0xc2 || marker == 0xca
			p.bands, p.sample, p.scaled = components, 1, true
			coefficients = jpegCoefficients(body[6:6+3*components], p.width, p.height)
		}
		i += 2 + max(length, 2)
	}
	return p, false
}

// jpegCoefficients counts the samples of all components, which come in whole blocks.
func jpegCoefficients(components []byte, width, height int) int {
	maxH, maxV := 1, 1
	for i := 0; i+2 < len(components); i += 3 {
		maxH, maxV = max(maxH, int(components[i+1]>>4)), max(maxV, int(components[i+1]&15))
	}
	n := 0
	for i := 0; i+2 < len(components); i += 3 {
		h, v := max(int(components[i+1]>>4), 1), max(int(components[i+1]&15), 1)
		n += ((width+8*maxH-1)/(8*maxH)*h*8 + 8) * ((height+8*maxV-1)/(8*maxV)*v*8 + 8)
	}
	return n
}

// readPNG reads the header and looks for transparency, EXIF, text and profiles.
func readPNG(b []byte) (picture, bool) {
	if !at(b, 12, "IHDR") || len(b) < 29 {
		return picture{}, false
	}
	p := picture{
		width: int(binary.BigEndian.Uint32(b[16:])), height: int(binary.BigEndian.Uint32(b[20:])),
		bands: 3, sample: 1,
	}
	depth, colour, interlaced, pixels := b[24], b[25], b[28] != 0, false
	if depth == 16 {
		p.sample = 2
	}
	if colour&2 == 0 { // grey
		p.bands = 1
	}
	if colour == 4 || colour == 6 {
		p.bands, p.alpha = p.bands+1, true
	}
	profile := 0.0
	for i, steps := 8, 0; i+8 <= len(b) && steps < maxChunks; steps++ {
		length := int(binary.BigEndian.Uint32(b[i:]))
		body := part(b, i+8, length)
		switch string(b[i+4 : i+8]) {
		case "IDAT":
			pixels = true
		case "tEXt", "zTXt", "iTXt":
			if !pixels { // what follows them is not read
				p.metadata += textCopies * pngText(b[i+4:i+8], body)
			}
		case "iCCP":
			profile = max(profile, min(deflateMost*float64(len(body)), profileMost)) // libpng takes one
		case "tRNS":
			if !p.alpha {
				p.bands, p.alpha = p.bands+1, true
			}
		case "eXIf":
			p.metadata += textCopies * float64(len(body))
			p.turn = max(p.turn, exifTurn(body))
		}
		i += 12 + length
	}
	p.metadata += profileCopies * profile
	if interlaced {
		p.decoder = float64(p.width) * float64(p.height) * float64(p.bands*p.sample)
	}
	return p, true
}

// pngText is how long a text chunk's text may be.
func pngText(name, body []byte) float64 {
	size := float64(len(body))
	keyword := bytes.IndexByte(body[:min(len(body), 80)], 0)
	switch {
	case string(name) == "tEXt", string(name) == "iTXt" && keyword >= 0 && at(body, keyword, "\x00\x00"):
		return size
	}
	return min(deflateMost*size, textMost)
}

// readGIF takes the canvas, or the first picture where that is larger.
func readGIF(b []byte) (picture, bool) {
	if len(b) < 13 {
		return picture{}, false
	}
	p := picture{
		width: int(binary.LittleEndian.Uint16(b[6:])), height: int(binary.LittleEndian.Uint16(b[8:])),
		bands: 4, sample: 1, alpha: true,
	}
	i := 13
	if b[10]&0x80 != 0 {
		i += 3 << (b[10]&7 + 1)
	}
	for steps := 0; i+10 <= len(b) && steps < maxSteps && b[i] == 0x21; steps++ { // extensions
		for i += 2; i < len(b) && b[i] != 0 && steps < maxSteps; steps++ {
			i += 1 + int(b[i])
		}
		i++
	}
	if i+10 <= len(b) && b[i] == 0x2c {
		p.width = max(p.width, int(binary.LittleEndian.Uint16(b[i+1:]))+int(binary.LittleEndian.Uint16(b[i+5:])))
		p.height = max(p.height, int(binary.LittleEndian.Uint16(b[i+3:]))+int(binary.LittleEndian.Uint16(b[i+7:])))
	}
	p.decoder = 4 * float64(p.width) * float64(p.height)
	return p, true
}

// readWebP reads the chunks: the canvas, the first picture, and EXIF, which follows it.
func readWebP(b []byte) (picture, bool) {
	p := picture{bands: 3, sample: 1, scaled: true, perTarget: 10}
	full, found := 0.0, false
	for i, steps := 12, 0; i+8 <= len(b) && steps < maxSteps; steps++ {
		length := int(binary.LittleEndian.Uint32(b[i+4:]))
		body := part(b, i+8, length)
		switch string(b[i : i+4]) {
		case "VP8X":
			if len(body) < 10 {
				return p, false
			}
			p.width, p.height = 1+int(binary.LittleEndian.Uint32(body[3:])>>8), 1+int(binary.LittleEndian.Uint32(body[6:])>>8)
			if body[0]&0x10 != 0 {
				p.alpha, p.bands = true, 4
			}
			if body[0]&0x2c != 0 { // profile, EXIF, XMP
				p.metadata = metadataCopies * float64(len(b))
			}
		case "ALPH":
			p.alpha, p.bands, full = true, 4, 5.5
		case "VP8 ":
			if len(body) < 10 || !at(body, 3, "\x9d\x01\x2a") {
				return p, false
			}
			p.frame(int(binary.LittleEndian.Uint16(body[6:])&0x3fff), int(binary.LittleEndian.Uint16(body[8:])&0x3fff), full)
			found = true
		case "VP8L":
			if len(body) < 5 || body[0] != 0x2f {
				return p, false
			}
			bits := binary.LittleEndian.Uint32(body[1:])
			if bits>>28&1 != 0 {
				p.alpha, p.bands = true, 4
			}
			p.frame(int(bits&0x3fff)+1, int(bits>>14&0x3fff)+1, 4.5)
			found = true
		case "EXIF":
			// Some writers begin it as a JPEG does.
			p.turn = max(p.turn, exifTurn(bytes.TrimPrefix(body, []byte("Exif\x00\x00"))))
		}
		i += 8 + length + length&1
	}
	return p, found
}

// frame sets the size of a picture, which may be larger than the canvas before it said, and what a decoder holds of it.
func (p *picture) frame(width, height int, perPixel float64) {
	p.width, p.height = max(p.width, width), max(p.height, height)
	p.decoder = perPixel * float64(p.width) * float64(p.height)
}

// exifTurn reads the orientation of an EXIF block, a TIFF header with tags. Several readers disagree about odd ones:
// what cannot be read may be any.
func exifTurn(b []byte) turn {
	d, ok := openIFD(b)
	if !ok {
		return turnQuarter
	}
	o := turnNone
	d.tags(func(t ifdTag) {
		if t.id == tagOrientation {
			o = orientationTurn(d.first(t))
		}
	})
	return o
}

func orientationTurn(exif uint64) turn {
	switch exif {
	case 3, 4:
		return turnHalf
	case 5, 6, 7, 8:
		return turnQuarter
	}
	return turnNone
}
