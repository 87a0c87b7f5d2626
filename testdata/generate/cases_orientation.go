package main

import (
	"encoding/binary"
	"fmt"

	"github.com/disintegration/imaging"
)

func (c *corpus) orientations() {
	c.in("orientation", "image/jpeg")
	be, le := binary.BigEndian, binary.LittleEndian
	upright := card(120, 80, "UP")
	plain := func(o int) []byte { return must(rgbPixels(stored(upright, o)).encode(".jpg[Q=90]")) }
	for o := 1; o <= 8; o++ {
		order := byteOrder(be)
		if o%2 == 0 {
			order = le // both byte orders of EXIF occur
		}
		c.raw(fmt.Sprintf("orientation-%d.jpg", o), fmt.Sprintf("EXIF orientation %d; upright, red is top left and the arrow points up", o),
			withSegments(plain(o), exifSegment(exif(order, uint16(o), 0))))
	}
	c.raw("orientation-0.jpg", "EXIF orientation 0, which means nothing", withSegments(plain(1), exifSegment(exif(be, 0, 0))))
	c.raw("orientation-9.jpg", "EXIF orientation 9, which means nothing", withSegments(plain(1), exifSegment(exif(be, 9, 0))))
	c.raw("orientation-6-long.jpg", "EXIF orientation 6 as a 32-bit number", withSegments(plain(6),
		exifSegment(exifWithTypedOrientation(le, longs(le, tagOrientation, 6)))))
	c.raw("orientation-6-twice.jpg", "two EXIF blocks: 6, then 3", withSegments(plain(6), exifSegment(exif(be, 6, 0)), exifSegment(exif(be, 3, 0))))
	c.raw("orientation-6-xmp.jpg", "orientation 6 in XMP alone", withSegments(plain(6), segment(0xe1,
		[]byte("http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"+
			"<rdf:Description xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation='6'/></rdf:RDF></x:xmpmeta>"))))
	c.raw("orientation-exif-broken.jpg", "EXIF block whose directory points outside it", withSegments(plain(1), exifSegment([]byte("MM\x00*\x00\xff\xff\x00\x00\x01"))))
	large := imaging.Resize(c.photo, 641, 428, imaging.Lanczos)
	c.raw("orientation-6-photo.jpg", "orientation 6 of a picture large enough for shrink-on-load",
		withSegments(must(rgbPixels(stored(large, 6)).encode(".jpg[Q=75]")), exifSegment(exif(be, 6, 0))))

	c.kind = "image/png"
	s := pngOf(stored(upright, 6), pngRGB, 8)
	s.before = [][]byte{chunk("eXIf", exif(be, 6, 0))}
	c.raw("orientation-6.png", "orientation 6 in PNG's eXIf chunk", s.encode()).named("orientation-6-png")
	s.before, s.after = nil, s.before
	c.raw("orientation-6-after.png", "the eXIf chunk after the image data", s.encode()).named("orientation-6-png-after")

	c.kind = "image/webp"
	still := must(rgbPixels(stored(upright, 6)).encode(".webp[Q=85]"))
	c.raw("orientation-6.webp", "orientation 6 in WebP's EXIF chunk", webpExtended(still, webpEXIF, 80, 120, riffChunk{"EXIF", exif(le, 6, 0)})).named("orientation-6-webp")
	c.raw("orientation-6-prefix.webp", "the EXIF chunk begins with Exif\\0\\0, as some programs write it", webpExtended(still, webpEXIF, 80, 120,
		riffChunk{"EXIF", append([]byte("Exif\x00\x00"), exif(le, 6, 0)...)})).named("orientation-6-webp-prefix")

	c.kind = "image/tiff"
	t := tiffOf(pngOf(stored(upright, 6), pngRGB, 8))
	t.orientation = 6
	c.raw("orientation-6.tif", "orientation 6 in TIFF", tiffFile(le, t)).named("orientation-6-tiff")

	c.kind = "image/avif"
	const q = ".avif[Q=70,effort=4,subsample-mode=off]"
	turned := func(o int, more ...property) func() []byte {
		return func() []byte { return avifWith(av1Of(rgbPixels(stored(upright, o)), q), more...) }
	}
	// irot turns to the left: 3 is what EXIF calls 6.
	c.add("orientation-irot-1.avif", "AVIF turned by irot, once to the left", turned(8, rotation(1)))
	c.add("orientation-irot-2.avif", "AVIF turned by irot, upside down", turned(3, rotation(2)))
	c.add("orientation-irot-3.avif", "AVIF turned by irot, once to the right", turned(6, rotation(3)))
	c.add("orientation-imir-0.avif", "AVIF mirrored by imir, top for bottom", turned(4, mirror(0)))
	c.add("orientation-imir-1.avif", "AVIF mirrored by imir, left for right", turned(2, mirror(1)))
	c.add("orientation-irot-imir.avif", "AVIF turned and then mirrored", turned(5, rotation(1), mirror(0)))
	c.add("orientation-exif.avif", "EXIF orientation 6 in an AVIF without irot: to be ignored", func() []byte {
		a := av1Of(rgbPixels(upright), q)
		meta := heifItem{id: 2, kind: "Exif", hidden: true, data: append(u32(0), exif(be, 6, 0)...), refs: []reference{{"cdsc", []int{1}}}}
		return heifFile("avif", avifBrands, []heifItem{a.item(1), meta})
	})
	c.add("orientation-irot-exif.avif", "irot and EXIF both say turn once to the right: to be done once", func() []byte {
		a := av1Of(rgbPixels(stored(upright, 6)), q)
		meta := heifItem{id: 2, kind: "Exif", hidden: true, data: append(u32(0), exif(be, 6, 0)...), refs: []reference{{"cdsc", []int{1}}}}
		return heifFile("avif", avifBrands, []heifItem{a.item(1, rotation(3)), meta})
	})
}
