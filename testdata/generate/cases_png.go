package main

import (
	"encoding/binary"
	"fmt"
	"image/color"

	"github.com/disintegration/imaging"
)

func (c *corpus) pngs() {
	c.in("png", "image/png")
	tiny := imaging.Resize(c.photo, 105, 70, imaging.Lanczos)
	soft := sticker(105, 70, c.face, color.NRGBA{})
	for _, s := range []struct {
		name, shows string
		kind, depth int
	}{
		{"grey-1", "grey, 1 bit", pngGrey, 1}, {"grey-2", "grey, 2 bits", pngGrey, 2}, {"grey-4", "grey, 4 bits", pngGrey, 4},
		{"grey-8", "grey, 8 bits", pngGrey, 8}, {"grey-16", "grey, 16 bits", pngGrey, 16},
		{"rgb-8", "RGB, 8 bits", pngRGB, 8}, {"rgb-16", "RGB, 16 bits", pngRGB, 16},
	} {
		c.add("png-"+s.name+".png", s.shows, func() []byte { return pngOf(tiny, s.kind, s.depth).encode() })
	}
	for _, s := range []struct {
		name, shows string
		kind, depth int
	}{
		{"grey-alpha-8", "grey with alpha, 8 bits", pngGreyAlpha, 8}, {"grey-alpha-16", "grey with alpha, 16 bits", pngGreyAlpha, 16},
		{"rgba-8", "RGB with alpha, 8 bits", pngRGBA, 8}, {"rgba-16", "RGB with alpha, 16 bits", pngRGBA, 16},
	} {
		c.add("png-"+s.name+".png", s.shows, func() []byte { return pngOf(soft, s.kind, s.depth).encode() })
	}
	for _, depth := range []int{1, 2, 4, 8} {
		c.add(fmt.Sprintf("png-palette-%d.png", depth), fmt.Sprintf("palette of %d bits", depth), func() []byte { return pngIndexed(c.small, depth).encode() })
	}
	c.add("png-palette-8-trns.png", "palette whose colours are transparent to various degrees", func() []byte {
		s := pngIndexed(c.small, 8)
		alpha := make([]byte, 252)
		for i := range alpha {
			alpha[i] = byte(i)
		}
		s.before = append(s.before, chunk("tRNS", alpha))
		return s.encode()
	})
	c.add("png-palette-1-trns.png", "1-bit palette, one colour transparent", func() []byte {
		s := pngIndexed(c.small, 1)
		s.before = append(s.before, chunk("tRNS", []byte{255, 0}))
		return s.encode()
	})
	// Hard pixels, so that the one transparent colour occurs in whole areas.
	key := card(105, 70, "KEY")
	c.add("png-grey-trns.png", "grey, one level transparent", func() []byte {
		s := pngOf(key, pngGrey, 8)
		s.before = [][]byte{chunk("tRNS", u16(255))}
		return s.encode()
	})
	c.add("png-rgb-trns.png", "RGB, one colour transparent", func() []byte {
		s := pngOf(key, pngRGB, 8)
		s.before = [][]byte{chunk("tRNS", u16(255, 255, 255))}
		return s.encode()
	})
	c.add("png-rgb-16-trns.png", "16-bit RGB, one colour transparent", func() []byte {
		s := pngOf(key, pngRGB, 16)
		s.before = [][]byte{chunk("tRNS", u16(65535, 65535, 65535))}
		return s.encode()
	})
	c.add("png-interlaced.png", "RGB, Adam7", func() []byte {
		s := pngOf(tiny, pngRGB, 8)
		s.interlaced = true
		return s.encode()
	})
	c.add("png-palette-interlaced.png", "4-bit palette, Adam7", func() []byte {
		s := pngIndexed(c.small, 4)
		s.interlaced = true
		return s.encode()
	})
	c.add("png-rgba-16-interlaced.png", "16-bit RGB with alpha, Adam7", func() []byte {
		s := pngOf(imaging.Resize(soft, 75, 50, imaging.Lanczos), pngRGBA, 16)
		s.interlaced = true
		return s.encode()
	})
	c.add("png-graphic.png", "a flat graphic, 600×400, with few colours and sharp edges", func() []byte {
		return pngOf(card(600, 400, "a flat graphic with sharp edges"), pngRGB, 8).encode()
	})
}

func (c *corpus) pngChunks() {
	c.in("png-metadata", "image/png")
	img := imaging.Resize(c.photo, 90, 60, imaging.Lanczos)
	with := func(file, shows string, chunks ...[]byte) *testCase {
		return c.add(file, shows, func() []byte {
			s := pngOf(img, pngRGB, 8)
			s.before = chunks
			return s.encode()
		})
	}
	normal := [3]int{0, 1, 2}
	chrm := chunk("cHRM", u32(31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
	with("png-gama-chrm.png", "gAMA 1/1.8 and cHRM of Display P3", chunk("gAMA", u32(55556)), chrm)
	with("png-gama-linear.png", "gAMA 1.0", chunk("gAMA", u32(100000)))
	with("png-srgb.png", "sRGB chunk", chunk("sRGB", []byte{0}), chunk("gAMA", u32(45455)))
	with("png-cicp-pq.png", "cICP: BT.2020 with PQ", chunk("cICP", []byte{9, 16, 0, 1}))
	with("png-cicp-p3.png", "cICP: Display P3", chunk("cICP", []byte{12, 13, 0, 1}))
	with("png-p3.png", "Display P3 profile", iccp(profileRGB(2, "Display P3 alike", primariesP3, normal, curveSRGB())))
	with("png-icc-swapped.png", "profile that swaps the channels", iccp(profileRGB(2, "Swapped", primariesSRGB, [3]int{1, 2, 0}, curveSRGB())))
	with("png-icc-broken.png", "profile of noise", iccp(append([]byte{0, 0, 2, 0}, noise(508)...)))
	with("png-icc-not-deflate.png", "profile chunk that is not deflate", chunk("iCCP", append([]byte("test\x00\x00"), noise(200)...)))
	with("png-phys-sbit-bkgd.png", "pHYs, sBIT, bKGD and tIME", chunk("sBIT", []byte{5, 6, 5}), chunk("bKGD", u16(255, 0, 255)),
		chunk("pHYs", append(u32(11811, 11811), 1)), chunk("tIME", []byte{7, 234, 11, 21, 12, 0, 0}))
	with("png-text.png", "tEXt, zTXt and iTXt, with HTML among them", chunk("tEXt", []byte("Comment\x00<script>alert(1)</script>")),
		chunk("zTXt", append([]byte("Long\x00\x00"), deflated(noise(2000))...)), chunk("iTXt", []byte("Titel\x00\x00\x00de\x00\x00Größe")))
	with("png-unknown-chunk.png", "an ancillary chunk nobody knows", chunk("zzZz", noise(100)))
	c.add("png-grey-p3.png", "grey with an RGB profile, which does not fit", func() []byte {
		s := pngOf(img, pngGrey, 8)
		s.before = [][]byte{iccp(profileRGB(2, "Display P3 alike", primariesP3, normal, curveSRGB()))}
		return s.encode()
	})
	c.add("png-grey-16-profile.png", "16-bit grey with a linear profile", func() []byte {
		s := pngOf(img, pngGrey, 16)
		s.before = [][]byte{iccp(profileGrey("Linear grey", curveLinear()))}
		return s.encode()
	})
	c.add("png-rgba-16-p3.png", "16-bit RGB with alpha and a Display P3 profile", func() []byte {
		s := pngOf(sticker(80, 60, c.face, color.NRGBA{}), pngRGBA, 16)
		s.before = [][]byte{iccp(profileRGB(4, "Display P3 alike v4", primariesP3, normal, curveFormula()))}
		return s.encode()
	})
	c.add("png-split-idat.png", "image data in many chunks of 100 bytes, one of them empty", func() []byte {
		s := pngOf(img, pngRGB, 8)
		data := deflated(s.rows())
		out := append([]byte(nil), pngSignature...)
		out = append(out, ihdr(s.w, s.h, 8, pngRGB, false)...)
		out = append(out, chunk("IDAT", nil)...)
		for i := 0; i < len(data); i += 100 {
			out = append(out, chunk("IDAT", data[i:min(len(data), i+100)])...)
		}
		return append(out, chunk("IEND", nil)...)
	})
	c.add("png-trailing-garbage.png", "noise after IEND", func() []byte {
		return append(pngOf(img, pngRGB, 8).encode(), noise(999)...)
	})
}

func (c *corpus) alphas() {
	c.in("alpha", "image/png")
	pic := imaging.Resize(c.face, 100, 120, imaging.Lanczos)
	png := func(file, shows string, f func(x, y int) uint8) {
		c.add(file, shows, func() []byte { return pngOf(withAlpha(pic, f), pngRGBA, 8).encode() })
	}
	png("alpha-none.png", "every pixel transparent, a picture hidden below", func(int, int) uint8 { return 0 })
	png("alpha-full.png", "an alpha channel in which every pixel is opaque", func(int, int) uint8 { return 255 })
	png("alpha-half.png", "every pixel half transparent", func(int, int) uint8 { return 128 })
	png("alpha-one.png", "every pixel almost transparent (1 of 255)", func(int, int) uint8 { return 1 })
	png("alpha-checker.png", "opaque and transparent pixels in turn", func(x, y int) uint8 { return uint8((x + y) % 2 * 255) })
	png("alpha-gradient.png", "transparent at the left, opaque at the right", func(x, _ int) uint8 { return uint8(x * 255 / 99) })
	c.add("alpha-soft-edge.png", "a disc with a soft edge", func() []byte { return pngOf(sticker(120, 120, c.face, color.NRGBA{}), pngRGBA, 8).encode() })
	c.add("alpha-hidden-colour.png", "a disc, bright green under zero alpha: it must not bleed into the edge", func() []byte {
		return pngOf(sticker(120, 120, c.face, color.NRGBA{0, 255, 0, 0}), pngRGBA, 8).encode()
	})
}

func (c *corpus) apngs() {
	c.in("apng", "image/png")
	fr := frames(4, 96, 64)
	spec := func(i int) pngSpec { return pngOf(fr[i], pngRGB, 8) }
	control := func(seq uint32) []byte { return frameControl(seq, 96, 64, 0, 0, 200, 0, 0) }
	c.add("apng-animated.png", "four frames, the first of them the still image", func() []byte {
		s := spec(0)
		s.before = [][]byte{animationControl(4, 0), control(0)}
		for i := 1; i < 4; i++ {
			s.after = append(s.after, control(uint32(2*i-1)), frameData(uint32(2*i), spec(i)))
		}
		return s.encode()
	}).moving()
	c.add("apng-default-image.png", "the still image is no frame (no fcTL before IDAT): Next calls it not animated", func() []byte {
		s := spec(0)
		s.before = [][]byte{animationControl(2, 0)}
		s.after = [][]byte{control(0), frameData(1, spec(1)), control(2), frameData(3, spec(2))}
		return s.encode()
	})
	c.add("apng-one-frame.png", "acTL, but the only frame is the still image", func() []byte {
		s := spec(0)
		s.before = [][]byte{animationControl(1, 0), control(0)}
		return s.encode()
	})
	c.add("apng-late-actl.png", "acTL after the image data, where it does not count", func() []byte {
		s := spec(0)
		s.after = [][]byte{animationControl(2, 0), control(0), frameData(1, spec(1))}
		return s.encode()
	})
	c.add("apng-part-frames.png", "frames smaller than the picture, blended and disposed of", func() []byte {
		s := spec(0)
		part := pngOf(flat(20, 20, color.NRGBA{200, 30, 90, 255}), pngRGB, 8)
		s.before = [][]byte{animationControl(3, 2), control(0)}
		s.after = [][]byte{frameControl(1, 20, 20, 10, 10, 100, 1, 1), frameData(2, part), frameControl(3, 20, 20, 60, 30, 100, 2, 0), frameData(4, part)}
		return s.encode()
	}).moving()
	c.add("apng-split-idat.png", "frames whose data is split over several chunks", func() []byte {
		s := spec(0)
		data := deflated(spec(1).rows())
		half := len(data) / 2
		first := deflated(s.rows())
		out := append([]byte(nil), pngSignature...)
		for _, b := range [][]byte{
			ihdr(96, 64, 8, pngRGB, false), animationControl(2, 0), control(0), chunk("IDAT", first[:500]), chunk("IDAT", first[500:]),
			control(1), chunk("fdAT", append(binary.BigEndian.AppendUint32(nil, 2), data[:half]...)), chunk("fdAT", append(binary.BigEndian.AppendUint32(nil, 3), data[half:]...)),
			chunk("IEND", nil),
		} {
			out = append(out, b...)
		}
		return out
	}).moving()
	c.add("apng-truncated.png", "cut in the second frame's data", func() []byte { return shortAPNG(spec, control, 20) }).moving()
	c.add("apng-truncated-length.png", "cut in the length of a chunk: Next throws", func() []byte { return shortAPNG(spec, control, 10) }).refused(500, textCrash)
}

// shortAPNG is an animation of two frames without its last n bytes, of which IEND has twelve.
func shortAPNG(spec func(int) pngSpec, control func(uint32) []byte, n int) []byte {
	s := spec(0)
	s.before = [][]byte{animationControl(2, 0), control(0)}
	s.after = [][]byte{control(1), frameData(2, spec(1))}
	b := s.encode()
	return b[:len(b)-n]
}
