package main

import (
	"bytes"
	"compress/zlib"
	"image"
	"image/color"
	"io"
)

// zeros gives n zero bytes.
type zeros int

func (z *zeros) Read(p []byte) (int, error) {
	n := min(len(p), int(*z))
	clear(p[:n])
	*z -= zeros(n)
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// emptyPNG is a black 1-bit grey PNG of w by h: complete, and as small as deflate gets it.
func emptyPNG(w, h int) []byte {
	var b bytes.Buffer
	z := must(zlib.NewWriterLevel(&b, zlib.BestCompression))
	n := zeros(h * (1 + ceilDiv(w, 8)))
	must(io.Copy(z, &n))
	must(0, z.Close())
	return bytes.Join([][]byte{pngSignature, ihdr(w, h, 1, pngGrey, false), chunk("IDAT", b.Bytes()), chunk("IEND", nil)}, nil)
}

// bombs are small files that would grow large. The limit is 16383 × 16383 = 268,402,689 pixels.
func (c *corpus) bombs() {
	c.in("bomb", "image/png")
	c.add("bomb-30000.png", "900 million pixels in 110 KB", func() []byte { return emptyPNG(30000, 30000) }).named("bomb-png").fallback()
	c.add("bomb-over-limit.png", "16384×16383: a column more than the pixel limit", func() []byte { return emptyPNG(16384, 16383) }).fallback()
	c.add("bomb-at-limit.png", "16383×16383: exactly the pixel limit, so it is decoded", func() []byte { return emptyPNG(16383, 16383) }).heavy()
	c.raw("bomb-header.png", "a header of 2³¹−1 by 2³¹−1 pixels", bytes.Join([][]byte{pngSignature,
		ihdr(1<<31-1, 1<<31-1, 8, pngRGBA, false), chunk("IDAT", deflated(make([]byte, 100))), chunk("IEND", nil)}, nil)).fallback()
	small := pngOf(c.small, pngRGB, 8)
	c.add("bomb-icc.png", "a profile chunk that inflates to 20 MB", func() []byte {
		s := small
		s.before = [][]byte{iccp(make([]byte, 20<<20))}
		return s.encode()
	})
	c.add("bomb-text.png", "a text chunk that inflates to 20 MB", func() []byte {
		s := small
		s.before = [][]byte{chunk("zTXt", append([]byte("Bomb\x00\x00"), deflated(make([]byte, 20<<20))...))}
		return s.encode()
	})

	c.kind = "image/jpeg"
	jpg := must(rgbPixels(c.small).encode(".jpg[Q=60]"))
	sof := bytes.Index(jpg, []byte{0xff, 0xc0})
	sized := func(w, h int) []byte {
		b := bytes.Clone(jpg)
		copy(b[sof+5:], u16(h, w))
		return b
	}
	c.raw("bomb-header.jpg", "a header of 65,500 by 65,500 pixels before the data of a small image", sized(65500, 65500)).named("bomb-jpeg").fallback()
	c.raw("bomb-claims.jpg", "a header of 12,000 by 12,000 pixels before the data of a small image", sized(12000, 12000)).named("bomb-jpeg-claims").fallback()

	c.kind = "image/gif"
	tiny := gifOf([]*image.NRGBA{flat(4, 4, color.NRGBA{200, 60, 20, 255})}, 0, -1)
	canvas := bytes.Clone(tiny)
	copy(canvas[6:], []byte{0xff, 0xff, 0xff, 0xff})
	c.raw("bomb-canvas.gif", "a canvas of 65,535 by 65,535 pixels, one small frame: libnsgif takes the frame's size", canvas).named("bomb-gif-canvas")
	frame := bytes.Clone(canvas)
	copy(frame[imageDescriptor(frame)+5:], []byte{0xff, 0xff, 0xff, 0xff})
	c.raw("bomb-frame.gif", "a frame of 65,535 by 65,535 pixels", frame).named("bomb-gif").fallback()

	c.kind = "image/webp"
	c.raw("bomb-at-limit.webp", "16383×16383 pixels of one colour in 40 bytes: exactly the pixel limit, so it is decoded", webpFlat(16383, 16383, 90, 20, 160)).named("bomb-webp").heavy()
	c.raw("bomb-canvas.webp", "a canvas of 16,777,216 by 16 pixels around a small image", webpExtended(must(rgbPixels(c.small).encode(".webp[Q=60]")), 0, 1<<24, 16)).fallback()

	c.kind = "image/avif"
	a := av1Of(rgbPixels(c.small), ".avif[Q=50,effort=4]")
	a.w, a.h = 65535, 65535
	c.raw("bomb-size.avif", "a container that claims 65,535 by 65,535 pixels", avifWith(a)).named("bomb-avif").fallback()
	// libheif reads no more than 256 references of an item.
	grid := func(side, tileW, tileH int) func() []byte {
		return func() []byte {
			tile := av1Of(rgbPixels(flat(tileW, tileH, color.NRGBA{90, 20, 160, 255})), ".avif[Q=50,effort=4]").item(2)
			tile.hidden = true
			w, h := side*tileW, side*tileH
			to := make([]int, side*side)
			for i := range to {
				to[i] = 2
			}
			top := heifItem{id: 1, kind: "grid", data: append([]byte{0, 0, byte(side - 1), byte(side - 1)}, u16(w, h)...),
				props: []property{{fullBox("ispe", 0, 0, u32(w, h)), false}}, refs: []reference{{"dimg", to}}}
			return heifFile("avif", avifBrands, []heifItem{top, tile})
		}
	}
	c.add("bomb-grid.avif", "16 by 16 times the same tile, 281 million pixels", grid(16, 1100, 1000)).fallback()
	c.add("bomb-grid-below-limit.avif", "10 by 10 times the same tile, 70 million pixels in 700 bytes: below the limit", grid(10, 1000, 700)).heavy()
	c.add("bomb-grid-references.avif", "17 by 17 times the same tile: more references than libheif reads", grid(17, 100, 70)).fallback()

	c.kind = "image/tiff"
	t := tiffOf(small)
	t.claimW, t.claimH = 1_000_000, 1_000_000
	c.raw("bomb-size.tif", "a header of a million by a million pixels", tiffFile(binaryLittle, t)).named("bomb-tiff").fallback()
}
