package main

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"

	"github.com/disintegration/imaging"
)

func (c *corpus) gifs() {
	c.in("gif", "image/gif")
	fr := frames(4, 96, 64)
	clear := func() []*image.NRGBA { // frames on a transparent ground
		out := make([]*image.NRGBA, len(fr))
		for i, f := range fr {
			out[i] = withAlpha(f, func(x, y int) uint8 {
				if p := f.NRGBAAt(x, y); p.R == 235 && p.G == 238 {
					return 0
				}
				return 255
			})
		}
		return out
	}
	one := []*image.NRGBA{c.small}
	c.raw("gif-still.gif", "one frame, 256 colours, dithered", gifOf(one, 0, -1))
	c.add("gif-still-87a.gif", "one frame, the old version without extensions", func() []byte {
		p := paletted(c.small)
		p.Palette = p.Palette[:255]
		g := encodeGIF(gif.GIF{Image: []*image.Paletted{p}, Delay: []int{0}, LoopCount: -1})
		i := imageDescriptor(g)
		n := 13
		if g[10]&0x80 != 0 {
			n += 3 << (g[10]&7 + 1)
		}
		g = append(g[:n:n], g[i:]...)
		copy(g, "GIF87a")
		return g
	})
	c.raw("gif-transparent.gif", "one frame with a transparent ground", gifOf([]*image.NRGBA{sticker(100, 100, c.face, color.NRGBA{})}, 0, -1))
	c.raw("gif-interlaced.gif", "one frame, interlaced", gifInterlaced(c.small))
	c.add("gif-two-colours.gif", "one frame of two colours", func() []byte {
		s := pngIndexed(c.small, 1)
		p := image.NewPaletted(c.small.Rect, evenPalette(2))
		for i, v := range s.samples {
			p.Pix[i] = uint8(v)
		}
		return encodeGIF(gif.GIF{Image: []*image.Paletted{p}, Delay: []int{0}, LoopCount: -1})
	})
	c.raw("gif-one-frame-loop.gif", "one frame, but a loop extension: still", gifInsert(gifOf(one, 0, -1), []byte("\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")))
	c.raw("gif-comment.gif", "a comment before the image", gifInsert(gifOf(one, 0, -1), gifComment("made by testdata/generate")))
	c.add("gif-offset-frame.gif", "the only frame covers a part of the picture", func() []byte {
		p := paletted(imaging.Resize(c.photo, 60, 40, imaging.Lanczos))
		p.Rect = p.Rect.Add(image.Pt(30, 25))
		return encodeGIF(gif.GIF{Image: []*image.Paletted{p}, Delay: []int{0}, LoopCount: -1, Config: image.Config{Width: 120, Height: 90, ColorModel: p.Palette}})
	})
	c.raw("gif-after-trailer.gif", "a second frame after the trailer, where it does not count", func() []byte {
		g := gifOf(fr[:1], 0, -1)
		two := gifOf(fr[1:2], 0, -1)
		return append(g, two[imageDescriptor(two):]...)
	}())
	c.raw("gif-animated.gif", "four frames", gifOf(fr, 0, 0)).moving()
	c.raw("gif-animated-transparent.gif", "four transparent frames, each disposed of to the background", gifOf(clear(), gif.DisposalBackground, 0)).moving()
	c.raw("gif-animated-previous.gif", "four transparent frames, each disposed of to the previous one", gifOf(clear(), gif.DisposalPrevious, 0)).moving()
	c.raw("gif-animated-once.gif", "two frames, no loop extension", gifOf(fr[:2], 0, -1)).moving()
	c.raw("gif-identical-frames.gif", "three frames that do not differ", gifOf([]*image.NRGBA{fr[0], fr[0], fr[0]}, 0, 0)).moving()
	c.raw("gif-animated-truncated.gif", "two frames, cut in the second", func() []byte {
		g := gifOf(fr[:2], 0, 0)
		return g[:len(g)-200]
	}()).moving()
	c.raw("gif-unknown-block.gif", "two frames with a block between them that is none: is-animated stops there, libvips too", func() []byte {
		a, b := gifOf(fr[:1], 0, -1), gifOf(fr[1:2], 0, -1)
		a = append(a[:len(a)-1], 0x99)
		return append(a, b[imageDescriptor(b):]...)
	}()).fallback()
}

func (c *corpus) webps() {
	c.in("webp", "image/webp")
	px := rgbPixels(c.medium)
	disc := sticker(120, 120, c.face, color.NRGBA{0, 255, 0, 0})
	c.vips("webp-lossy.webp", "lossy", px, ".webp[Q=75]")
	c.vips("webp-lossless.webp", "lossless", rgbPixels(c.small), ".webp[lossless]")
	c.vips("webp-near-lossless.webp", "near-lossless", rgbPixels(c.small), ".webp[near-lossless,Q=60]")
	c.vips("webp-alpha.webp", "lossy with alpha", rgbaPixels(disc), ".webp[Q=75]")
	c.vips("webp-alpha-exact.webp", "lossless with alpha, the colour under zero alpha kept", rgbaPixels(disc), ".webp[lossless,exact]")
	c.vips("webp-grey.webp", "grey (WebP has no grey of its own)", greyPixels(c.small), ".webp[Q=75]")
	c.raw("webp-flat.webp", "a lossless image of one colour in 30 bytes", webpFlat(300, 200, 200, 90, 40))
	still := must(rgbPixels(c.small).encode(".webp[Q=75]"))
	p3 := profileRGB(2, "Display P3 alike", primariesP3, [3]int{0, 1, 2}, curveSRGB())
	c.raw("webp-p3.webp", "Display P3 profile", webpExtended(still, webpICC, 150, 100, riffChunk{"ICCP", p3}))
	c.raw("webp-icc-broken.webp", "profile of noise", webpExtended(still, webpICC, 150, 100, riffChunk{"ICCP", noise(500)}))
	c.raw("webp-extended.webp", "profile, EXIF and XMP", webpExtended(still, webpICC|webpEXIF|webpXMP, 150, 100, riffChunk{"ICCP", p3},
		riffChunk{"EXIF", exif(binaryLittle, 1, 0)}, riffChunk{"XMP ", []byte("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")}))
	c.raw("webp-word-anim.webp", "still, but its XMP holds the word ANIM: Next takes it for animated", webpExtended(still, webpXMP, 150, 100,
		riffChunk{"XMP ", []byte("<x:xmpmeta xmlns:x='adobe:ns:meta/'>ANIMALS</x:xmpmeta>")})).moving()
	c.raw("webp-unknown-chunk.webp", "a chunk nobody knows after the image", webpExtended(still, 0, 150, 100, riffChunk{"ZZZZ", noise(101)}))
	c.raw("webp-trailing-garbage.webp", "noise after the end", append(bytes.Clone(still), noise(500)...))
	var moving [][]byte
	for _, f := range frames(3, 96, 64) {
		moving = append(moving, must(rgbPixels(f).encode(".webp[Q=70]")))
	}
	c.raw("webp-animated.webp", "three frames", webpAnimated(96, 64, 0, moving...)).moving()
	c.raw("webp-animated-one.webp", "an animation of a single frame", webpAnimated(96, 64, 0, moving[0])).moving()
	c.raw("webp-flag-animated.webp", "the header says animated, but there is no animation", webpExtended(moving[0], webpAnimation, 96, 64)).fallback()
}
