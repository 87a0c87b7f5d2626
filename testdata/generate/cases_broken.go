package main

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"

	"github.com/disintegration/imaging"
)

func (c *corpus) sizes() {
	c.in("size", "image/png")
	dot := flat(1, 1, color.NRGBA{210, 90, 30, 255})
	c.raw("1x1.png", "one pixel", pngOf(dot, pngRGB, 8).encode())
	c.raw("1x1-alpha.png", "one transparent pixel, the web's most common image", pngOf(flat(1, 1, color.NRGBA{}), pngRGBA, 8).encode())
	c.vips("1x1.jpg", "one pixel", rgbPixels(dot), ".jpg[Q=90]").as("image/jpeg").named("1x1-jpeg")
	c.vips("1x1.webp", "one pixel", rgbPixels(dot), ".webp[Q=90]").as("image/webp").named("1x1-webp")
	c.vips("1x1.avif", "one pixel", rgbPixels(dot), ".avif[Q=90]").as("image/avif").named("1x1-avif")
	c.raw("1x1.tif", "one pixel", tiffFile(binaryLittle, tiffOf(pngOf(dot, pngRGB, 8)))).as("image/tiff").named("1x1-tiff")
	c.raw("1x1.bmp", "one pixel", bmp(dot, 3)).as("image/bmp").named("1x1-bmp").passthrough()
	c.raw("1x1.gif", "one transparent pixel", gifOf([]*image.NRGBA{flat(1, 1, color.NRGBA{})}, 0, -1)).as("image/gif").named("1x1-gif")
	png := func(file, shows string, w, h int) *testCase {
		return c.add(file, shows, func() []byte { return pngOf(stripes(w, h), pngRGB, 8).encode() })
	}
	jpg := func(file, shows string, w, h int) *testCase {
		return c.add(file, shows, func() []byte { return must(rgbPixels(stripes(w, h)).encode(".jpg[Q=60]")) }).as("image/jpeg")
	}
	png("2x2.png", "two by two pixels", 2, 2)
	png("63x63.png", "one pixel narrower than a size", 63, 63)
	png("64x64.png", "exactly as wide as a size", 64, 64)
	png("65x65.png", "one pixel wider than a size", 65, 65)
	png("wide-5000x3.png", "very wide", 5000, 3)
	jpg("wide-5000x3.jpg", "very wide", 5000, 3).named("wide-5000x3-jpeg")
	png("wide-10000x1.png", "one row", 10000, 1)
	c.vips("wide-65500x8.jpg", "as wide as libjpeg allows", rgbPixels(tiles(65500, 8)), ".jpg[Q=60]").as("image/jpeg")
	png("tall-3x5000.png", "very tall", 3, 5000)
	jpg("tall-3x5000.jpg", "very tall", 3, 5000).named("tall-3x5000-jpeg")
	png("tall-1x10000.png", "one column", 1, 10000)
	png("tall-3x17000.png", "taller than WebP can be: decoding works, encoding does not", 3, 17000).fallback()
	c.vips("tall-130x40000.jpg", "so tall that half of it is still taller than WebP can be", rgbPixels(tiles(130, 40000)), ".jpg[Q=60]").as("image/jpeg").fallback()
	jpg("width-3840.jpg", "as wide as the largest size", 3840, 40)
	jpg("width-3841.jpg", "one pixel wider than the largest size", 3841, 40)
}

// flipped changes bits at fixed places of the part of b from the fraction from on.
func flipped(b []byte, from float64, n int) []byte {
	out := bytes.Clone(b)
	start := int(float64(len(b)) * from)
	for i := range n {
		h := hash(i, len(b), 4242)
		out[start+int(h)%(len(b)-start-16)] ^= 1 << (h >> 29)
	}
	return out
}

func half(b []byte) []byte { return b[:len(b)/2] }

func (c *corpus) truncated() {
	c.in("truncated", "image/jpeg")
	px := rgbPixels(c.small)
	jpg := must(rgbPixels(c.medium).encode(".jpg[Q=80]"))
	c.raw("truncated-half.jpg", "cut at 50 %", half(jpg)).named("truncated-jpeg").fallback()
	c.raw("truncated-progressive.jpg", "progressive, cut at 50 %: every part is there, but coarse", half(must(rgbPixels(c.medium).encode(".jpg[Q=80,interlace]")))).fallback()
	c.raw("truncated-header.jpg", "cut before the image data", jpg[:300]).fallback()
	c.raw("truncated-magic.jpg", "the first three bytes alone", jpg[:3]).fallback()
	c.kind = "image/png"
	png := pngOf(c.small, pngRGB, 8).encode()
	c.raw("truncated-half.png", "cut at 50 %, in the data of a chunk", half(png)).named("truncated-png").fallback()
	c.raw("truncated-iend.png", "cut in the length of IEND", png[:len(png)-10])
	// Next's is-animated reads lengths without looking whether they are there.
	c.raw("truncated-length.png", "cut in the length of the chunk after the header: Next throws", png[:33+2]).refused(500, textCrash)
	c.raw("truncated-length-first.png", "cut in the length of the first chunk: Next throws", png[:10]).refused(500, textCrash)
	c.raw("truncated-no-iend.png", "only IEND is missing", png[:len(png)-12])
	c.raw("truncated-magic.png", "the signature alone", png[:8]).named("truncated-png-magic").fallback()
	c.kind = "image/gif"
	g := gifOf([]*image.NRGBA{c.small}, 0, -1)
	c.raw("truncated-half.gif", "cut at 50 %", half(g)).named("truncated-gif").fallback()
	c.raw("truncated-header.gif", "header and palette alone", g[:imageDescriptor(g)]).named("truncated-gif-header").fallback()
	c.raw("truncated-magic.gif", "the first six bytes alone", g[:6]).named("truncated-gif-magic").fallback()
	c.kind = "image/webp"
	c.raw("truncated-half.webp", "lossy, cut at 50 %", half(must(px.encode(".webp[Q=75]")))).named("truncated-webp").fallback()
	c.raw("truncated-lossless.webp", "lossless, cut at 50 %", half(must(px.encode(".webp[lossless]")))).fallback()
	c.raw("truncated-magic.webp", "the first twelve bytes alone", must(px.encode(".webp[Q=75]"))[:12]).named("truncated-webp-magic").fallback()
	c.kind = "image/avif"
	avif := must(px.encode(".avif[Q=55,effort=4]"))
	c.raw("truncated-half.avif", "cut at 50 %", half(avif)).named("truncated-avif").fallback()
	c.raw("truncated-header.avif", "the ftyp box alone", avif[:binary.BigEndian.Uint32(avif)]).named("truncated-avif-header").fallback()
	c.raw("truncated-ftyp.avif", "cut inside the ftyp box: Next does not take it for AVIF", avif[:14]).notImage()
	c.kind = "image/tiff"
	tif := must(px.encode(".tif[compression=lzw]"))
	c.raw("truncated-half.tif", "cut at 50 %", half(tif)).named("truncated-tiff").fallback()
	c.raw("truncated-magic.tif", "the first four bytes alone", tif[:4]).named("truncated-tiff-magic").fallback()
}

func (c *corpus) corrupt() {
	c.in("corrupt", "image/jpeg")
	px := rgbPixels(c.small)
	jpg := must(rgbPixels(c.medium).encode(".jpg[Q=80]"))
	c.raw("corrupt-bits.jpg", "flipped bits in the image data", flipped(jpg, 0.4, 12)).named("corrupt-jpeg")
	c.raw("corrupt-progressive.jpg", "progressive, flipped bits in the image data", flipped(must(rgbPixels(c.medium).encode(".jpg[Q=80,interlace]")), 0.4, 12)).fallback()
	sof := bytes.Index(jpg, []byte{0xff, 0xc0})
	patch := func(b []byte, at int, with ...byte) []byte {
		out := bytes.Clone(b)
		copy(out[at:], with)
		return out
	}
	c.raw("corrupt-zero-size.jpg", "width 0", patch(jpg, sof+7, 0, 0)).fallback()
	c.raw("corrupt-no-height.jpg", "height 0, to be given by a later marker (DNL)", patch(jpg, sof+5, 0, 0)).fallback()
	c.raw("corrupt-12-bits.jpg", "12 bits a sample", patch(jpg, sof, 0xff, 0xc1, 0, 17, 12)).fallback()
	c.raw("corrupt-lossless.jpg", "lossless JPEG's marker", patch(jpg, sof, 0xff, 0xc3)).fallback()
	c.raw("corrupt-no-quant.jpg", "without quantisation tables", func() []byte {
		i := bytes.Index(jpg, []byte{0xff, 0xdb})
		return append(bytes.Clone(jpg[:i]), jpg[sof:]...)
	}()).fallback()
	c.raw("corrupt-restart.jpg", "a restart marker is missing", func() []byte {
		s := ownJPEG(c.medium, 2, 2)
		s.restart = 5
		b := s.encode()
		i := bytes.Index(b, []byte{0xff, 0xd3})
		return append(b[:i:i], b[i+40:]...)
	}()).fallback()
	c.kind = "image/png"
	s := pngOf(c.small, pngRGB, 8)
	png := s.encode()
	data := bytes.Index(png, []byte("IDAT"))
	c.raw("corrupt-bits.png", "flipped bits in the image data", flipped(png, 0.4, 12)).named("corrupt-png").fallback()
	c.raw("corrupt-crc-idat.png", "wrong CRC of the image data", patch(png, len(png)-16, 1, 2, 3, 4)).fallback()
	c.raw("corrupt-crc-ihdr.png", "wrong CRC of the header", patch(png, 29, 1, 2, 3, 4)).fallback()
	c.raw("corrupt-crc-text.png", "wrong CRC of a text", func() []byte {
		t := s
		bad := chunk("tEXt", []byte("Comment\x00hello"))
		bad[len(bad)-1] ^= 0xff
		t.before = [][]byte{bad}
		return t.encode()
	}())
	c.raw("corrupt-adler.png", "wrong checksum of the compressed data, right CRC", func() []byte {
		z := deflated(s.rows())
		z[len(z)-1] ^= 0xff
		return bytes.Join([][]byte{pngSignature, ihdr(s.w, s.h, 8, pngRGB, false), chunk("IDAT", z), chunk("IEND", nil)}, nil)
	}()).fallback()
	c.raw("corrupt-zero-size.png", "width 0", bytes.Join([][]byte{pngSignature, ihdr(0, 100, 8, pngRGB, false), png[data-4:]}, nil)).named("corrupt-png-zero-size").fallback()
	c.raw("corrupt-depth.png", "a depth that does not exist", bytes.Join([][]byte{pngSignature, ihdr(150, 100, 7, pngRGB, false), png[data-4:]}, nil)).fallback()
	c.raw("corrupt-no-palette.png", "palette missing", bytes.Join([][]byte{pngSignature, ihdr(150, 100, 8, pngPalette, false), png[data-4:]}, nil)).fallback()
	c.raw("corrupt-no-idat.png", "no image data", bytes.Join([][]byte{pngSignature, ihdr(150, 100, 8, pngRGB, false), chunk("IEND", nil)}, nil)).fallback()
	c.raw("corrupt-short.png", "fewer rows than the header says", bytes.Join([][]byte{pngSignature, ihdr(150, 200, 8, pngRGB, false), png[data-4:]}, nil)).fallback()
	c.raw("corrupt-filter.png", "a filter that does not exist", func() []byte {
		r := s.rows()
		r[50*451] = 9
		return bytes.Join([][]byte{pngSignature, ihdr(150, 100, 8, pngRGB, false), chunk("IDAT", deflated(r)), chunk("IEND", nil)}, nil)
	}()).fallback()
	c.raw("corrupt-first-chunk.png", "a chunk before IHDR", bytes.Join([][]byte{pngSignature, chunk("tEXt", []byte("a\x00b")), png[8:]}, nil)).fallback()
	c.raw("corrupt-cgbi.png", "Apple's own variant (CgBI), which is no PNG", bytes.Join([][]byte{pngSignature, chunk("CgBI", []byte{0x50, 0, 0x20, 2}), png[8:]}, nil)).fallback()
	c.kind = "image/gif"
	g := gifOf([]*image.NRGBA{c.small}, 0, -1)
	c.raw("corrupt-bits.gif", "flipped bits in the image data", flipped(g, 0.4, 12)).named("corrupt-gif").fallback()
	c.raw("corrupt-code-size.gif", "an LZW code size that does not exist", patch(g, imageDescriptor(g)+10, 13))
	c.raw("corrupt-version.gif", "version 88b, which does not exist", patch(g, 3, '8', '8', 'b'))
	c.kind = "image/webp"
	c.raw("corrupt-bits.webp", "lossy, flipped bits in the image data", flipped(must(px.encode(".webp[Q=75]")), 0.4, 12)).named("corrupt-webp")
	c.raw("corrupt-lossless.webp", "lossless, flipped bits in the image data", flipped(must(px.encode(".webp[lossless]")), 0.1, 12)).named("corrupt-webp-lossless").fallback()
	c.raw("corrupt-size.webp", "the container claims to be longer than it is", patch(must(px.encode(".webp[Q=75]")), 4, 0xff, 0xff, 0xff, 0)).fallback()
	c.kind = "image/avif"
	avif := av1Of(px, ".avif[Q=55,effort=4]")
	c.raw("corrupt-bits.avif", "flipped bits in the image data", flipped(avifWith(avif), 0.5, 12)).named("corrupt-avif").fallback()
	wrong := avif
	wrong.w, wrong.h = 300, 300
	c.raw("corrupt-size.avif", "the container names another size than the image data", avifWith(wrong)).named("corrupt-avif-size").fallback()
	c.kind = "image/tiff"
	tif := tiffFile(binaryLittle, tiffOf(s))
	c.raw("corrupt-loop.tif", "a directory that names itself as the next one", func() []byte {
		out := bytes.Clone(tif)
		at := binary.LittleEndian.Uint32(out[4:])
		n := uint32(binary.LittleEndian.Uint16(out[at:]))
		binary.LittleEndian.PutUint32(out[at+2+12*n:], at)
		return out
	}()).fallback()
	c.raw("corrupt-offset.tif", "a directory beyond the end of the file", patch(tif, 4, 0xff, 0xff, 0xff, 0x7f)).fallback()
	c.raw("corrupt-lzw.tif", "flipped bits in LZW data", flipped(must(px.encode(".tif[compression=lzw]")), 0.1, 12)).fallback()
}

func (c *corpus) mislabelled() {
	img := imaging.Resize(c.photo, 96, 64, imaging.Lanczos)
	png := pngOf(img, pngRGB, 8).encode()
	jpg := must(rgbPixels(img).encode(".jpg[Q=80]"))
	c.in("mislabelled", "")
	c.raw("mislabelled-png.jpg", "a PNG called .jpg", png).as("image/png")
	c.raw("mislabelled-jpeg.png", "a JPEG called .png", jpg).as("image/jpeg")
	c.raw("mislabelled-webp.jpg", "a WebP called .jpg", must(rgbPixels(img).encode(".webp[Q=75]"))).as("image/webp")
	c.raw("mislabelled-no-extension", "a JPEG without any extension", jpg).as("image/jpeg")
	c.raw("mislabelled-svg.png", "an SVG called .png", []byte(svgBody)).as("image/svg+xml").refused(400, textNotAllowed)
	c.raw("mislabelled-html.png", "a web page called .png", []byte("<!doctype html><title>404</title><h1>Not found</h1>")).notImage()
	c.raw("mislabelled-json.jpg", "JSON called .jpg", []byte(`{"error":"not found"}`)).notImage()
	c.raw("mislabelled-text.webp", "text called .webp", []byte("just some text\n")).notImage()
	c.raw("mislabelled-empty.png", "an empty file; over HTTP Next refuses it before it looks for an image, with another text", nil).notImage()
	c.raw("mislabelled-one-byte.png", "a single byte", []byte{0x89}).notImage()
	c.raw("mislabelled-zeros.png", "1,000 zero bytes", make([]byte, 1000)).notImage()
	c.raw("mislabelled-noise.jpg", "1,000 bytes of noise", noise(1000)).notImage()
	c.raw("mislabelled-ftyp-large.avif", "an ftyp box larger than the file", append([]byte("\x00\x00\xff\xff"), avifTail()...)).notImage()
	c.raw("mislabelled-ftyp-small.avif", "an ftyp box smaller than it can be", append([]byte("\x00\x00\x00\x08"), avifTail()...)).notImage()
	c.raw("mislabelled-riff.webp", "a RIFF file that is sound", riffChunk{"RIFF", append([]byte("WAVEfmt "), make([]byte, 40)...)}.bytes()).notImage()
	c.raw("mislabelled-ffd8.jpg", "begins like a JPEG for two bytes only", append([]byte{0xff, 0xd8, 0x00}, noise(100)...)).as("image/jpeg").fallback()

	c.in("polyglot", "image/jpeg")
	c.raw("polyglot-zip.jpg", "a JPEG and, behind it, an empty ZIP archive", append(bytes.Clone(jpg), append([]byte("PK\x05\x06"), make([]byte, 18)...)...))
	c.raw("polyglot-html.jpg", "a JPEG with a web page in its comment", withSegments(jpg, segment(0xfe, []byte("--><html><body><script>alert(1)</script></body></html><!--"))))
	c.raw("polyglot-pdf.jpg", "a JPEG with a PDF in its comment", withSegments(jpg, segment(0xfe, pdf())))
	c.kind = "image/gif"
	c.add("polyglot-script.gif", "a GIF that is a script as well: 10,799 wide, because that reads /*", func() []byte {
		g := gifOf([]*image.NRGBA{flat(4, 1, color.NRGBA{9, 9, 9, 255})}, 0, -1)
		copy(g[6:], "/*")
		return append(g, []byte("*/=1;alert(1)//")...)
	})
	c.kind = "image/png"
	c.raw("polyglot-html.png", "a PNG with a web page in its text", func() []byte {
		s := pngOf(img, pngRGB, 8)
		s.before = [][]byte{chunk("tEXt", []byte("x\x00<html><script>alert(1)</script></html>"))}
		return s.encode()
	}()).named("polyglot-html-png")
}

// avifTail is an AVIF's beginning without its first four bytes.
func avifTail() []byte {
	return append([]byte("ftypavif\x00\x00\x00\x00avifmif1miaf"), make([]byte, 64)...)
}
