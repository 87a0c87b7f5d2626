package main

import (
	"encoding/binary"
	"image"
	"image/color"

	"github.com/disintegration/imaging"
)

// binaryLittle and binaryBig are the two byte orders of TIFF and EXIF.
var (
	binaryLittle byteOrder = binary.LittleEndian
	binaryBig    byteOrder = binary.BigEndian
)

func (c *corpus) tiffs() {
	c.in("tiff", "image/tiff")
	img := imaging.Resize(c.photo, 105, 70, imaging.Lanczos)
	disc := sticker(80, 60, c.face, color.NRGBA{})
	px := rgbPixels(img)
	for _, s := range []struct{ name, shows, options string }{
		{"none", "uncompressed", "compression=none"}, {"lzw", "LZW with predictor", "compression=lzw,predictor=horizontal"},
		{"deflate", "deflate with predictor", "compression=deflate,predictor=horizontal"}, {"packbits", "PackBits", "compression=packbits"},
		{"jpeg", "JPEG inside, YCbCr", "compression=jpeg,Q=80"}, {"jpeg-rgb", "JPEG inside, RGB", "compression=jpeg,Q=80,rgbjpeg"},
		{"tiled", "in tiles of 32×32", "compression=lzw,tile,tile-width=32,tile-height=32"},
		{"pyramid", "tiles in a pyramid of pages", "compression=jpeg,tile,pyramid,tile-width=32,tile-height=32"},
	} {
		c.vips("tiff-"+s.name+".tif", s.shows, px, ".tif["+s.options+"]")
	}
	c.vips("tiff-webp.tif", "WebP inside", px, ".tif[compression=webp,Q=75]")
	c.vips("tiff-fax.tif", "1 bit, fax group 4", greyPixels(c.small), ".tif[compression=ccittfax4,bitdepth=1]")
	c.vips("tiff-grey.tif", "grey", greyPixels(img), ".tif[compression=lzw]")
	c.vips("tiff-alpha.tif", "RGB with alpha", rgbaPixels(disc), ".tif[compression=lzw]")
	c.vips("tiff-16.tif", "16-bit RGB", wide(px), ".tif[compression=deflate]")
	c.vips("tiff-grey-16.tif", "16-bit grey", wide(greyPixels(img)), ".tif[compression=deflate]")
	c.vips("tiff-float.tif", "32-bit floating point, linear light", floats(imaging.Resize(img, 72, 48, imaging.Lanczos), spaceScRGB, func(v rgb) [3]float64 {
		return [3]float64{linear(v[0]), linear(v[1]), linear(v[2])}
	}), ".tif[compression=deflate]")
	c.vips("tiff-lab.tif", "CIE Lab, floating point", floats(imaging.Resize(img, 72, 48, imaging.Lanczos), spaceLab, func(v rgb) [3]float64 {
		return labOf([3]float64{linear(v[0]), linear(v[1]), linear(v[2])})
	}), ".tif[compression=deflate]")
	cmyk := pixels{w: 105, h: 70, bands: 4, bits: 8, space: spaceCMYK}
	for i := 0; i < len(img.Pix); i += 4 {
		for _, v := range inks(float64(img.Pix[i]), float64(img.Pix[i+1]), float64(img.Pix[i+2])) {
			cmyk.data = append(cmyk.data, uint8(v+0.5))
		}
	}
	c.vips("tiff-cmyk.tif", "CMYK", cmyk, ".tif[compression=lzw]")
	cmyk.icc = profileCMYK()
	c.vips("tiff-cmyk-profile.tif", "CMYK with a press profile", cmyk, ".tif[compression=lzw]")
	p3 := px
	p3.icc = profileRGB(2, "Display P3 alike", primariesP3, [3]int{0, 1, 2}, curveSRGB())
	c.vips("tiff-p3.tif", "Display P3 profile", p3, ".tif[compression=lzw]")
	// Pages are stacked: three of them, the first one the picture.
	sheet := imaging.New(105, 210, color.White)
	sheet = imaging.Paste(sheet, img, image.Pt(0, 0))
	sheet = imaging.Paste(sheet, imaging.Invert(img), image.Pt(0, 70))
	stack := rgbPixels(sheet)
	stack.pageHeight = 70
	c.vips("tiff-pages.tif", "three pages; the first one counts", stack, ".tif[compression=lzw]")

	p := tiffOf(pngOf(img, pngRGB, 8))
	c.raw("tiff-big-endian.tif", "big-endian (MM)", tiffFile(binaryBig, p))
	c.raw("tiff-big-endian-16.tif", "big-endian, 16 bits", tiffFile(binaryBig, tiffOf(pngOf(imaging.Resize(img, 75, 50, imaging.Lanczos), pngRGB, 16))))
	c.raw("tiff-planes.tif", "one plane after the other", tiffFile(binaryLittle, func() tiffPage { q := p; q.separate = true; return q }()))
	c.raw("tiff-palette.tif", "palette", func() []byte {
		s := pngIndexed(img, 8)
		q := tiffOf(s)
		q.colours = palette16(s.before[0][8 : len(s.before[0])-4])
		return tiffFile(binaryLittle, q)
	}())
	c.raw("tiff-pages-sizes.tif", "two pages of different sizes", tiffFile(binaryLittle, p, tiffOf(pngOf(flat(30, 90, color.NRGBA{90, 20, 160, 255}), pngRGB, 8))))
	c.raw("tiff-bigtiff.tif", "BigTIFF: Next does not know it", bigTIFF(tiffOf(pngOf(c.small, pngGrey, 8)))).notImage()
}
