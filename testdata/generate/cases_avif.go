package main

import (
	"image"
	"image/color"

	"github.com/disintegration/imaging"
)

func (c *corpus) avifs() {
	c.in("avif", "image/avif")
	px := rgbPixels(imaging.Resize(c.photo, 240, 160, imaging.Lanczos))
	disc := rgbaPixels(sticker(120, 120, c.face, color.NRGBA{0, 255, 0, 0}))
	c.vips("avif-420.avif", "8 bits, 4:2:0", px, ".avif[Q=55,effort=4,subsample-mode=on]")
	c.vips("avif-444.avif", "8 bits, 4:4:4", px, ".avif[Q=55,effort=4,subsample-mode=off]")
	c.vips("avif-10bit.avif", "10 bits", wide(px), ".avif[Q=55,effort=4,bitdepth=10]")
	c.vips("avif-12bit.avif", "12 bits, 4:4:4", wide(px), ".avif[Q=55,effort=4,bitdepth=12,subsample-mode=off]")
	c.vips("avif-lossless.avif", "lossless", rgbPixels(imaging.Resize(c.photo, 75, 50, imaging.Lanczos)), ".avif[lossless,effort=4]")
	c.vips("avif-grey.avif", "grey", greyPixels(c.medium), ".avif[Q=55,effort=4]")
	c.vips("avif-alpha.avif", "with alpha (an auxiliary image)", disc, ".avif[Q=60,effort=4]")
	c.vips("avif-alpha-10bit.avif", "with alpha, 10 bits", wide(disc), ".avif[Q=60,effort=4,bitdepth=10]")
	const q = ".avif[Q=60,effort=4,subsample-mode=off]"
	still := func(f func(av1) []byte) func() []byte { return func() []byte { return f(av1Of(px, q)) } }
	c.add("avif-plain.avif", "the least a file needs: no colour property at all", still(func(a av1) []byte { return avifWith(a) }))
	c.add("avif-p3.avif", "Display P3 profile", still(func(a av1) []byte {
		return avifWith(a, colourProfile(profileRGB(2, "Display P3 alike", primariesP3, [3]int{0, 1, 2}, curveSRGB())))
	}))
	c.add("avif-icc-swapped.avif", "profile that swaps the channels", still(func(a av1) []byte {
		return avifWith(a, colourProfile(profileRGB(2, "Swapped", primariesSRGB, [3]int{1, 2, 0}, curveSRGB())))
	}))
	c.add("avif-nclx-srgb.avif", "colour given by numbers: BT.709, sRGB, BT.601", still(func(a av1) []byte { return avifWith(a, nclx(1, 13, 6, true)) }))
	c.add("avif-nclx-p3.avif", "colour given by numbers: Display P3", still(func(a av1) []byte { return avifWith(a, nclx(12, 13, 6, true)) }))
	c.add("avif-nclx-pq.avif", "colour given by numbers: BT.2020 with PQ (HDR)", still(func(a av1) []byte { return avifWith(a, nclx(9, 16, 9, true)) }))
	c.add("avif-nclx-identity.avif", "colour given by numbers that are wrong: they say red, green and blue, the data are luma and chroma", still(func(a av1) []byte { return avifWith(a, nclx(1, 13, 0, true)) }))
	c.add("avif-premultiplied.avif", "alpha, colours premultiplied (prem)", func() []byte {
		img := sticker(120, 120, c.face, color.NRGBA{})
		mask := image.NewNRGBA(img.Rect)
		for i := 0; i < len(img.Pix); i += 4 {
			a := img.Pix[i+3]
			for k := range 3 {
				img.Pix[i+k] = uint8(int(img.Pix[i+k]) * int(a) / 255)
				mask.Pix[i+k] = a
			}
			img.Pix[i+3], mask.Pix[i+3] = 255, 255
		}
		aux, refs := alphaOf(1)
		main := av1Of(rgbPixels(img), q).item(1)
		main.refs = []reference{{"prem", []int{2}}}
		alpha := av1Of(greyPixels(mask), ".avif[Q=80,effort=4]").item(2, aux)
		alpha.hidden, alpha.refs = true, refs
		return heifFile("avif", avifBrands, []heifItem{main, alpha})
	})
	c.add("avif-grid.avif", "put together from two by two tiles (grid)", func() []byte {
		grid := heifItem{id: 1, kind: "grid", data: append([]byte{0, 0, 1, 1}, u16(300, 200)...),
			props: []property{{fullBox("ispe", 0, 0, u32(300, 200)), false}}, refs: []reference{{"dimg", []int{2, 3, 4, 5}}}}
		items := []heifItem{grid}
		whole := imaging.Resize(c.photo, 300, 200, imaging.Lanczos)
		for i := range 4 {
			at := image.Pt(i%2*150, i/2*100)
			tile := av1Of(rgbPixels(imaging.Crop(whole, image.Rect(at.X, at.Y, at.X+150, at.Y+100))), q).item(2 + i)
			tile.hidden = true
			items = append(items, tile)
		}
		return heifFile("avif", avifBrands, items)
	})
	sequence := func() (out []av1) {
		for _, f := range frames(3, 96, 64) {
			out = append(out, av1Of(rgbPixels(f), q))
		}
		return out
	}
	c.add("avif-sequence.avif", "an image sequence whose major brand is avis: Next does not know it", func() []byte {
		return avifSequence("avis", []string{"avis", "avif", "mif1", "msf1", "miaf", "MA1A"}, sequence())
	}).notImage()
	c.add("avif-sequence-still.avif", "an image sequence whose major brand is avif: its still image counts", func() []byte {
		return avifSequence("avif", []string{"avif", "avis", "mif1", "msf1", "miaf", "MA1A"}, sequence())
	})
	c.add("avif-mif1.avif", "major brand mif1: Next does not know it", still(func(a av1) []byte {
		return heifFile("mif1", []string{"mif1", "avif", "miaf", "MA1A"}, []heifItem{a.item(1)})
	})).notImage()
}
