package corpus

import (
	"bytes"
	"strconv"
)

// Colour types of PNG.
const (
	pngGrey    = 0
	pngRGB     = 2
	pngPalette = 3
	pngRGBA    = 6
)

const pngSignature = "\x89PNG\r\n\x1a\n"

func pngChunk(kind string, data []byte) []byte {
	body := join([]byte(kind), data)
	return join(be32(len(data)), body, checksum(body))
}

func pngHeader(w, h, depth, colour, interlace int) []byte {
	return join([]byte(pngSignature), pngChunk("IHDR", join(be32(w, h), []byte{byte(depth), byte(colour), 0, 0, byte(interlace)})))
}

var pngEnd = pngChunk("IEND", nil)

// blackPNG is a complete picture of zeros.
func blackPNG(w, h, depth, colour int) []byte {
	channels := map[int]int{pngGrey: 1, pngRGB: 3, pngRGBA: 4}[colour]
	return join(pngHeader(w, h, depth, colour, 0), pngChunk("IDAT", zeros(h*(1+(w*depth*channels+7)/8))), pngEnd)
}

func pngs() []Case {
	g := &group{name: "png"}
	for _, c := range []struct {
		name                             string
		w, h, depth, colour, interlacing int
	}{
		{"claims-grey1", 16383, 16383, 1, pngGrey, 0},
		{"claims-rgba16", 16383, 16383, 16, pngRGBA, 0},
		{"claims-rgba16-interlaced", 16383, 16383, 16, pngRGBA, 1},
		{"claims-palette", 16383, 16383, 8, pngPalette, 0},
		{"claims-31-bits", 1<<31 - 1, 1<<31 - 1, 8, pngRGBA, 0},
		{"claims-32-bits", 1<<32 - 1, 1<<32 - 1, 8, pngRGBA, 0},
		{"claims-a-line", 268402689, 1, 16, pngRGBA, 0},
		{"claims-a-column", 1, 268402689, 16, pngRGBA, 1},
		{"claims-zero", 0, 0, 8, pngRGB, 0},
		{"claims-depth-255", 64, 64, 255, pngRGB, 0},
		{"claims-interlace-255", 64, 64, 8, pngRGB, 255},
	} {
		g.raw("png-"+c.name, pngHeader(c.w, c.h, c.depth, c.colour, c.interlacing), pngChunk("IDAT", zeros(1000)), pngEnd)
	}

	// Complete pictures: every pixel is there, compressed 158 to 1.
	g.add("png-zeros-grey1-at-limit", func() []byte { return blackPNG(16383, 16383, 1, pngGrey) })
	g.add("png-zeros-grey1-over-limit", func() []byte { return blackPNG(16384, 16384, 1, pngGrey) })
	g.add("png-zeros-rgba16", func() []byte { return blackPNG(8000, 8000, 16, pngRGBA) })
	g.add("png-zeros-column", func() []byte { return blackPNG(1, 4_000_000, 8, pngGrey) })
	g.add("png-zeros-line", func() []byte { return blackPNG(4_000_000, 1, 8, pngGrey) })
	// Interlaced pictures have to be held whole: 512 MB here. The seven passes add a filter byte per line each.
	g.add("png-zeros-rgba16-interlaced", func() []byte {
		return join(pngHeader(8000, 8000, 16, pngRGBA, 1), pngChunk("IDAT", zeros(8000*8000*8+8000*2)), pngEnd)
	})
	g.add("png-zeros-rgb8-interlaced", func() []byte {
		return join(pngHeader(6000, 6000, 8, pngRGB, 1), pngChunk("IDAT", zeros(6000*6000*3+6000*2)), pngEnd)
	})
	g.add("png-data-goes-on", func() []byte { // a small picture with half a gigabyte behind its last line
		return join(pngHeader(64, 64, 8, pngRGB, 0), pngChunk("IDAT", zeros(512<<20)), pngEnd)
	})

	small := pngHeader(64, 64, 8, pngRGB, 0)
	pixels := zeros(64 * (1 + 3*64))
	picture := join(pngChunk("IDAT", pixels), pngEnd)
	g.add("png-empty-chunks", func() []byte {
		b := small
		for range 100_000 {
			b = append(b, pngChunk("IDAT", nil)...)
		}
		return append(b, picture...)
	})
	g.add("png-one-byte-chunks", func() []byte {
		b := pngHeader(2000, 2000, 8, pngRGB, 0)
		for _, c := range zeros(2000 * (1 + 3*2000)) {
			b = append(b, pngChunk("IDAT", []byte{c})...)
		}
		return append(b, pngEnd...)
	})
	g.add("png-icc-inflates", func() []byte {
		return join(small, pngChunk("iCCP", join([]byte("bomb\x00\x00"), zeros(256<<20))), picture)
	})
	g.add("png-text-inflates", func() []byte {
		return join(small, pngChunk("zTXt", join([]byte("bomb\x00\x00"), zeros(256<<20))), picture)
	})
	g.add("png-texts-inflate", func() []byte { // each of them below the limits that libpng has for one
		b := small
		text := zeros(7 << 20)
		for i := range 60 {
			b = append(b, pngChunk("iTXt", join([]byte(strconv.Itoa(i)+"\x00\x01\x00\x00\x00"), text))...)
		}
		return append(b, picture...)
	})
	// Text that is text: libvips keeps each piece, with all of its bytes, several times. Less than a megabyte takes 3.2 GB.
	for _, c := range []struct {
		name, kind, head string
		pieces, size     int
	}{
		{"png-ztxt-bomb", "zTXt", "bomb\x00\x00", 40, 20_000_000},
		{"png-itxt-bomb", "iTXt", "bomb\x00\x01\x00\x00\x00", 40, 20_000_000},
		{"png-ztxt-bomb-largest-pieces", "zTXt", "bomb\x00\x00", 16, 49_000_000}, // libpng takes none of 50 MB
		{"png-itxt-bomb-many-pieces", "iTXt", "bomb\x00\x01\x00\x00\x00", 3000, 1_000_000},
	} {
		g.add(c.name, func() []byte {
			piece := pngChunk(c.kind, join([]byte(c.head), repeated('A', c.size)))
			return join(small, bytes.Repeat(piece, c.pieces), picture)
		})
	}
	g.add("png-icc-bomb", func() []byte { // a profile that libpng takes for one, as large as it takes them
		return join(small, pngChunk("iCCP", join([]byte("bomb\x00\x00"), deflated(largeProfile(7_900_000)))), picture)
	})
	g.add("png-icc-bomb-over-limit", func() []byte {
		return join(small, pngChunk("iCCP", join([]byte("bomb\x00\x00"), deflated(largeProfile(9_000_000)))), picture)
	})
	g.add("png-icc-bombs", func() []byte {
		piece := pngChunk("iCCP", join([]byte("bomb\x00\x00"), deflated(largeProfile(7_900_000))))
		return join(small, bytes.Repeat(piece, 100), picture)
	})
	g.add("png-text-large", func() []byte {
		return join(small, pngChunk("tEXt", join([]byte("large\x00"), fill('x', 6<<20))), picture)
	})
	g.raw("png-exif-loops", small, pngChunk("eXIf", exifLoop()), picture)
	g.raw("png-chunk-length-31-bits", small, be32(1<<31-1), []byte("IDAT"), pixels)
	g.raw("png-chunk-length-32-bits", small, be32(1<<32-1), []byte("IDAT"), pixels)
	g.raw("png-text-length-32-bits", small, be32(1<<32-1), []byte("tEXt"), picture)
	g.raw("png-palette-of-1000", pngHeader(64, 64, 8, pngPalette, 0), pngChunk("PLTE", make([]byte, 3000)), picture)
	g.raw("png-two-headers", small, pngHeader(16000, 16000, 16, pngRGBA, 0)[len(pngSignature):], picture)
	g.add("png-header-100-times", func() []byte {
		b := []byte(pngSignature)
		for range 100 {
			b = append(b, pngHeader(64, 64, 8, pngRGB, 0)[len(pngSignature):]...)
		}
		return append(b, picture...)
	})
	control := pngChunk("acTL", be32(1<<31-1, 0))
	frame := func(sequence, w, h int) []byte {
		return pngChunk("fcTL", join(be32(sequence, w, h, 0, 0), be16(1, 10), []byte{0, 0}))
	}
	g.raw("png-claims-frames", small, control, picture)
	g.raw("png-frame-is-larger", small, control, frame(0, 1<<31-1, 1<<31-1), pngChunk("IDAT", pixels), frame(1, 1<<30, 1<<30),
		pngChunk("fdAT", join(be32(2), pixels)), pngEnd)
	g.add("png-frames", func() []byte {
		b := join(small, control, frame(0, 64, 64), pngChunk("IDAT", pixels))
		for i := range 3000 {
			b = append(b, frame(2*i+1, 64, 64)...)
			b = append(b, pngChunk("fdAT", join(be32(2*i+2), pixels))...)
		}
		return append(b, pngEnd...)
	})
	return g.cases
}
