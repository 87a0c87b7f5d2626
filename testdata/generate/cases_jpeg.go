package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"

	"github.com/disintegration/imaging"
)

func (c *corpus) photos() {
	c.in("photo", "image/jpeg")
	c.vips("photo.jpg", "a photo-like picture, 1600×1067: gradients, noise, edges, letters, skin tones", rgbPixels(c.photo), ".jpg[Q=80]")
	c.vips("photo-640.jpg", "exactly as wide as a device size", rgbPixels(imaging.Resize(c.photo, 640, 0, imaging.Lanczos)), ".jpg[Q=78]")
	c.vips("photo-641.jpg", "one pixel wider than a device size", rgbPixels(imaging.Resize(c.photo, 641, 0, imaging.Lanczos)), ".jpg[Q=78]")
	c.vips("photo-face.jpg", "skin tones, taller than wide", rgbPixels(c.face), ".jpg[Q=90]")
}

// ownJPEG is img by the encoder of jpegenc.go, with the luma's sampling factors.
func ownJPEG(img *image.NRGBA, h, v byte) jpegSpec {
	p := planesOf(img, 3, ycc)
	return jpegSpec{w: img.Rect.Dx(), h: img.Rect.Dy(), quality: 82, components: []component{{1, h, v, p[0]}, {2, 1, 1, p[1]}, {3, 1, 1, p[2]}}}
}

func (c *corpus) jpegs() {
	c.in("jpeg", "image/jpeg")
	px := rgbPixels(c.medium)
	c.add("jpeg-baseline.jpg", "baseline 4:2:0 by another encoder (Go's)", func() []byte {
		var b bytes.Buffer
		must(0, jpeg.Encode(&b, c.medium, &jpeg.Options{Quality: 80}))
		return b.Bytes()
	})
	c.vips("jpeg-progressive.jpg", "progressive", px, ".jpg[Q=80,interlace,optimize-coding]")
	c.vips("jpeg-trellis.jpg", "mozjpeg's own options: trellis, optimised scans, other tables", px, ".jpg[Q=70,interlace,trellis-quant,overshoot-deringing,optimize-scans,quant-table=3]")
	c.vips("jpeg-quality-1.jpg", "quality 1: blocks", px, ".jpg[Q=1]")
	c.vips("jpeg-quality-100.jpg", "quality 100, 4:4:4", rgbPixels(c.small), ".jpg[Q=100]")
	for _, s := range []struct {
		name string
		h, v byte
	}{{"444", 1, 1}, {"440", 1, 2}, {"422", 2, 1}, {"420", 2, 2}, {"411", 4, 1}, {"410", 4, 2}} {
		c.add("jpeg-"+s.name+".jpg", fmt.Sprintf("chroma subsampling %c:%c:%c", s.name[0], s.name[1], s.name[2]), func() []byte {
			return ownJPEG(c.medium, s.h, s.v).encode()
		})
	}
	c.add("jpeg-odd-size.jpg", "4:2:0 of 131×77: neither side a multiple of a block", func() []byte {
		return ownJPEG(imaging.Resize(c.photo, 131, 77, imaging.Lanczos), 2, 2).encode()
	})
	c.add("jpeg-restart.jpg", "restart markers every 5 MCUs", func() []byte {
		s := ownJPEG(c.medium, 2, 2)
		s.restart = 5
		return s.encode()
	})
	c.add("jpeg-scans.jpg", "sequential, one scan per component", func() []byte {
		s := ownJPEG(c.medium, 2, 2)
		s.separate = true
		return s.encode()
	})
	c.vips("jpeg-grey.jpg", "one component", greyPixels(c.medium), ".jpg[Q=80]")
	rgbOf := func(r, g, b float64) []float64 { return []float64{r, g, b} }
	c.add("jpeg-rgb-adobe.jpg", "components are red, green and blue (Adobe transform 0)", func() []byte {
		p := planesOf(c.small, 3, rgbOf)
		return jpegSpec{w: 150, h: 100, quality: 85, segments: adobe(0), components: []component{{1, 1, 1, p[0]}, {2, 1, 1, p[1]}, {3, 1, 1, p[2]}}}.encode()
	})
	c.add("jpeg-rgb-ids.jpg", "components called R, G and B, no Adobe marker", func() []byte {
		p := planesOf(c.small, 3, rgbOf)
		return jpegSpec{w: 150, h: 100, quality: 85, components: []component{{'R', 1, 1, p[0]}, {'G', 1, 1, p[1]}, {'B', 1, 1, p[2]}}}.encode()
	})
	c.add("jpeg-no-tables.jpg", "Huffman tables left out, as Motion JPEG does", func() []byte {
		s := ownJPEG(c.small, 2, 1)
		s.noTables = true
		return s.encode()
	})
	c.add("jpeg-arithmetic.jpg", "arithmetic coding in place of Huffman's", func() []byte {
		return runTool("jpegtran", must(rgbPixels(c.small).encode(".jpg[Q=80]")), "in.jpg", "out.jpg", "-arithmetic", "-outfile", "out.jpg", "in.jpg")
	}).by("jpegtran")
	c.add("jpeg-ultrahdr.jpg", "with a gain map (Ultra HDR)", func() []byte {
		return must(floats(c.medium, spaceScRGB, func(v rgb) [3]float64 {
			// Lights are brighter than white: what a gain map is for.
			y := 0.2126*linear(v[0]) + 0.7152*linear(v[1]) + 0.0722*linear(v[2])
			gain := 0.8 + 3*y*y
			return [3]float64{linear(v[0]) * gain, linear(v[1]) * gain, linear(v[2]) * gain}
		}).encodeUltraHDR())
	})
}

// adobe is the Adobe marker: transform 0 none, 1 YCbCr, 2 YCCK.
func adobe(transform byte) []byte {
	return segment(0xee, append([]byte("Adobe\x00\x64\x00\x00\x00\x00"), transform))
}

// withSegments puts segments right after SOI.
func withSegments(file []byte, segments ...[]byte) []byte {
	return bytes.Join([][]byte{file[:2], bytes.Join(segments, nil), file[2:]}, nil)
}

func exifSegment(block []byte) []byte { return segment(0xe1, append([]byte("Exif\x00\x00"), block...)) }

// iccSegments split a profile over as many APP2 segments as it needs, per bytes each.
func iccSegments(profile []byte, per int) (out [][]byte) {
	n := ceilDiv(len(profile), per)
	for i := range n {
		part := profile[i*per : min(len(profile), (i+1)*per)]
		out = append(out, segment(0xe2, append([]byte{'I', 'C', 'C', '_', 'P', 'R', 'O', 'F', 'I', 'L', 'E', 0, byte(i + 1), byte(n)}, part...)))
	}
	return out
}

func withProfile(file, profile []byte) []byte {
	return withSegments(file, iccSegments(profile, 65519)...)
}

// noise are n bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(hash(i, 2, 99) >> 24)
	}
	return b
}

func (c *corpus) jpegMetadata() {
	c.in("jpeg-metadata", "image/jpeg")
	base := must(rgbPixels(c.small).encode(".jpg[Q=80]"))
	c.raw("jpeg-exif-huge.jpg", "an EXIF block that fills its segment (64 KB of maker's note)",
		withSegments(base, exifSegment(exif(binary.BigEndian, 1, 65533-6-200))))
	xmp := []byte("http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
	ext := func(i, n int) []byte {
		head := append([]byte("http://ns.adobe.com/xmp/extension/\x00"), bytes.Repeat([]byte{'A'}, 32)...)
		head = append(head, u32(n*20000, i*20000)...)
		return segment(0xe1, append(head, bytes.Repeat([]byte("<!-- extended -->    "), 1000)[:20000]...))
	}
	c.raw("jpeg-xmp-huge.jpg", "XMP spread over several segments (60 KB)", withSegments(base, segment(0xe1, xmp), ext(0, 3), ext(1, 3), ext(2, 3)))
	huge := profileRGB(2, "huge", primariesSRGB, [3]int{0, 1, 2}, curveSRGB())
	huge = append(huge, noise(140_000)...)
	binary.BigEndian.PutUint32(huge, uint32(len(huge)))
	c.raw("jpeg-icc-huge.jpg", "an ICC profile of 150 KB over three segments", withProfile(base, huge))
	c.raw("jpeg-icc-unordered.jpg", "an ICC profile in two segments, the second one first", func() []byte {
		s := iccSegments(profileRGB(2, "swap", primariesSRGB, [3]int{1, 2, 0}, curveSRGB()), 1500)
		return withSegments(base, s[1], s[0])
	}())
	c.raw("jpeg-comment.jpg", "a comment segment with HTML in it", withSegments(base, segment(0xfe, []byte("<script>alert(1)</script>"))))
	c.raw("jpeg-trailing-garbage.jpg", "3 KB of noise after the end of the image", append(bytes.Clone(base), noise(3000)...))
	c.raw("jpeg-trailing-jpeg.jpg", "a second JPEG after the first", append(bytes.Clone(base), must(rgbPixels(imaging.Invert(c.small)).encode(".jpg[Q=30]"))...))
	c.raw("jpeg-fill-bytes.jpg", "fill bytes (FF) before the markers", bytes.Join([][]byte{base[:2], {0xff, 0xff, 0xff}, base[2:]}, nil))
	thumb := imaging.Resize(c.small, 16, 11, imaging.Box)
	c.raw("jpeg-jfif.jpg", "a JFIF marker with 300 dpi and a thumbnail (the other files have none)",
		withSegments(base, segment(0xe0, append([]byte("JFIF\x00\x01\x02\x01\x01\x2c\x01\x2c\x10\x0b"), rgbPixels(thumb).data...))))
	c.raw("jpeg-no-eoi.jpg", "the end marker is missing", base[:len(base)-2]).fallback()
}

// inks turns RGB into CMYK, 255 for full ink, with half of the grey taken over by black.
func inks(r, g, b float64) []float64 {
	k := (255 - max(r, g, b)) * 0.7
	f := 255 - k
	return []float64{255 * (f - r) / f, 255 * (f - g) / f, 255 * (f - b) / f, k}
}

func (c *corpus) colours() {
	c.in("colour", "image/jpeg")
	inverted := func(r, g, b float64) []float64 {
		v := inks(r, g, b)
		for i := range v {
			v[i] = 255 - v[i]
		}
		return v
	}
	cmyk := func(f func(r, g, b float64) []float64, h byte, segments ...[]byte) []byte {
		p := planesOf(c.medium, 4, f)
		return jpegSpec{w: c.medium.Rect.Dx(), h: c.medium.Rect.Dy(), quality: 80, segments: bytes.Join(segments, nil),
			components: []component{{1, h, h, p[0]}, {2, 1, 1, p[1]}, {3, 1, 1, p[2]}, {4, h, h, p[3]}}}.encode()
	}
	ycck := func(r, g, b float64) []float64 {
		v := inverted(r, g, b)
		// YCCK holds luma and colour differences of the complement, black stays inverted as Adobe writes it.
		return append(ycc(255-v[0], 255-v[1], 255-v[2])[:3:3], v[3])
	}
	press := profileCMYK()
	c.raw("jpeg-cmyk.jpg", "CMYK as Adobe writes it (inverted), no profile", cmyk(inverted, 1, adobe(0)))
	c.raw("jpeg-cmyk-profile.jpg", "CMYK, inverted, with a press profile", cmyk(inverted, 1, append(iccSegments(press, 65519), adobe(0))...))
	c.raw("jpeg-cmyk-plain.jpg", "CMYK without the Adobe marker (not inverted)", cmyk(inks, 1))
	c.raw("jpeg-ycck.jpg", "YCCK, subsampled, no profile", cmyk(ycck, 2, adobe(2)))
	c.raw("jpeg-ycck-profile.jpg", "YCCK with a press profile", cmyk(ycck, 2, append(iccSegments(press, 65519), adobe(2))...))

	base := must(rgbPixels(c.medium).encode(".jpg[Q=78]"))
	normal := [3]int{0, 1, 2}
	p3 := profileRGB(2, "Display P3 alike", primariesP3, normal, curveSRGB())
	c.raw("jpeg-p3.jpg", "Display P3 profile (version 2, curve as a table)", withProfile(base, p3))
	c.raw("jpeg-p3-v4.jpg", "Display P3 profile (version 4, curve as a formula)", withProfile(base, profileRGB(4, "Display P3 alike v4", primariesP3, normal, curveFormula())))
	c.raw("jpeg-srgb.jpg", "sRGB profile", withProfile(base, profileRGB(2, "sRGB alike", primariesSRGB, normal, curveSRGB())))
	c.raw("jpeg-adobergb.jpg", "profile with Adobe RGB's primaries and gamma 2.2", withProfile(base, profileRGB(2, "A98 alike", primariesAdobeRGB, normal, curveGamma(2.19921875))))
	c.raw("jpeg-wide-gamut.jpg", "profile with ProPhoto's primaries and gamma 1.8", withProfile(base, profileRGB(2, "Wide", primariesWide, normal, curveGamma(1.8))))
	c.raw("jpeg-linear.jpg", "profile with a linear curve", withProfile(base, profileRGB(2, "Linear", primariesSRGB, normal, curveLinear())))
	swapped := profileRGB(2, "Swapped", primariesSRGB, [3]int{1, 2, 0}, curveSRGB())
	c.raw("jpeg-icc-swapped.jpg", "profile that swaps the channels: whoever ignores it gets wrong colours", withProfile(base, swapped))
	c.raw("jpeg-icc-broken.jpg", "profile of noise", withProfile(base, append([]byte{0, 0, 2, 0}, noise(508)...)))
	c.raw("jpeg-icc-truncated.jpg", "profile cut in the middle of a curve", withProfile(base, p3[:900]))
	c.raw("jpeg-icc-cmyk-on-rgb.jpg", "CMYK profile in an RGB file", withProfile(base, press))
	c.raw("jpeg-icc-grey-on-rgb.jpg", "grey profile in an RGB file", withProfile(base, profileGrey("Grey", curveGamma(1.8))))
	grey := must(greyPixels(c.medium).encode(".jpg[Q=78]"))
	c.raw("jpeg-grey-profile.jpg", "grey with a profile of gamma 1.0", withProfile(grey, profileGrey("Linear grey", curveLinear())))
	c.raw("jpeg-icc-rgb-on-grey.jpg", "RGB profile in a grey file", withProfile(grey, p3))
}
