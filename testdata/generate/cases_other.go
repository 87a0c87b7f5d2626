package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"image/color"
	"strings"

	"github.com/disintegration/imaging"
)

func (c *corpus) otherTypes() {
	img := imaging.Resize(c.photo, 96, 64, imaging.Lanczos)
	png := func() []byte { return pngOf(img, pngRGB, 8).encode() }
	disc := sticker(32, 32, c.face, color.NRGBA{})
	large := pngOf(sticker(128, 128, c.face, color.NRGBA{}), pngRGBA, 8).encode()

	c.in("bypassed", "image/bmp")
	c.raw("bmp-24.bmp", "24 bits", bmp(img, 3)).passthrough()
	c.raw("bmp-32.bmp", "32 bits", bmp(disc, 4)).passthrough()
	c.kind = "image/x-icon"
	c.raw("icon.ico", "an icon of two sizes: a bitmap and a PNG", iconFile(1, icoBitmap(disc), icon{128, 128, large})).passthrough()
	c.kind = "image/x-icns"
	c.raw("icon.icns", "Apple's icon of one PNG", icnsFile("ic07", large)).named("icon-icns").passthrough()

	c.kind = "image/jxl"
	c.add("jxl-codestream.jxl", "JPEG XL, bare", func() []byte {
		return runTool("cjxl", png(), "in.png", "out.jxl", "in.png", "out.jxl", "-q", "80", "-e", "4", "--container=0", "--num_threads=0")
	}).by("cjxl").passthrough()
	c.add("jxl-container.jxl", "JPEG XL in its container", func() []byte {
		return runTool("cjxl", png(), "in.png", "out.jxl", "in.png", "out.jxl", "-q", "80", "-e", "4", "--container=1", "--num_threads=0")
	}).by("cjxl").passthrough()

	c.kind = "image/heic"
	heic := func() []byte {
		return runTool("heif-enc", png(), "in.png", "out.heic", "-q", "50", "-p", "preset=slow", "in.png", "-o", "out.heic")
	}
	c.add("heic-still.heic", "HEIC", heic).by("heif-enc").passthrough()
	rebrand := func(major string) func() []byte {
		return func() []byte { b := heic(); copy(b[8:], major); return b }
	}
	c.add("heic-mif1.heic", "HEIC whose major brand is mif1, as many phones write it: Next does not know it", rebrand("mif1")).by("heif-enc").notImage()
	c.add("heic-heix.heic", "HEIC whose major brand is heix: Next does not know it", rebrand("heix")).by("heif-enc").notImage()

	c.in("unsupported", "image/jp2")
	jp2 := func(name string) func() []byte {
		return func() []byte {
			return runTool("opj_compress", ppm(img.Rect.Dx(), img.Rect.Dy(), rgbPixels(img).data), "in.ppm", name, "-r", "20", "-i", "in.ppm", "-o", name)
		}
	}
	c.add("jpeg2000.jp2", "JPEG 2000: detected, but sharp has no decoder", jp2("out.jp2")).by("opj_compress").fallback()
	c.add("jpeg2000-codestream.j2k", "JPEG 2000 without its container", jp2("out.j2k")).by("opj_compress").notImage()
	c.raw("cursor.cur", "a cursor", iconFile(2, icoBitmap(disc))).notImage()
	c.raw("portable.ppm", "portable pixmap", ppm(96, 64, rgbPixels(img).data)).notImage()
	c.raw("photoshop.psd", "a Photoshop file's header", append([]byte("8BPS\x00\x01\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x40\x00\x00\x00\x60\x00\x08\x00\x03"), make([]byte, 100)...)).notImage()
	c.raw("surface.dds", "a DirectDraw surface's header", append([]byte("DDS |\x00\x00\x00"), make([]byte, 120)...)).notImage()
	c.raw("targa.tga", "Targa", append([]byte{0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 8, 0, 24, 32}, bytes.Repeat([]byte{200, 90, 40}, 64)...)).notImage()
	c.add("document.pdf", "a PDF: detected, but no image", func() []byte { return pdf() }).as("application/pdf").refused(400, textNotImage)
	c.raw("movie.mp4", "the beginning of an MP4", append(box("ftyp", []byte("isom\x00\x00\x02\x00isomiso2avc1mp41")), box("mdat", noise(200))...)).notImage()
}

func ppm(w, h int, rgb []byte) []byte {
	return append(fmt.Appendf(nil, "P6\n%d %d\n255\n", w, h), rgb...)
}

// pdf is a page with a square on it.
func pdf() []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	draw := "0.8 0.3 0.1 rg 20 20 60 60 re f"
	var at []int
	for i, object := range []string{
		"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 4 0 R>>",
		fmt.Sprintf("<</Length %d>>stream\n%s\nendstream", len(draw), draw),
	} {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj%s endobj\n", i+1, object)
	}
	xref := b.Len()
	b.WriteString("xref\n0 5\n0000000000 65535 f \n")
	for _, o := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", xref)
	return b.Bytes()
}

const svgBody = `<svg xmlns="http://www.w3.org/2000/svg" width="96" height="64" viewBox="0 0 96 64">` +
	`<rect width="96" height="64" fill="#eef"/><circle cx="48" cy="32" r="20" fill="#c52"/></svg>`

// vectors are SVG in its disguises. Next refuses them unless dangerouslyAllowSVG is set, and then
// sends them on unchanged.
func (c *corpus) vectors() {
	c.in("svg", "image/svg+xml")
	svg := func(file, shows, text string) *testCase {
		return c.raw(file, shows, []byte(text)).refused(400, textNotAllowed)
	}
	svg("svg-plain.svg", "no XML header", svgBody)
	svg("svg-header.svg", "with an XML header", `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+svgBody)
	svg("svg-doctype.svg", "with a document type", `<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">`+svgBody)
	svg("svg-comment.svg", "a comment first", "<!-- drawn by hand -->\n"+svgBody)
	svg("svg-comment-avif.svg", "a comment first that reads like an AVIF's brand", "<!--ftypavif-->"+svgBody)
	svg("svg-space.svg", "blank lines first", "\n\n   "+svgBody)
	svg("svg-bom.svg", "a byte order mark first", "\ufeff"+svgBody)
	svg("svg-script.svg", "with a script in it", strings.Replace(svgBody, "<rect", "<script>alert(1)</script><rect", 1))
	svg("svg-external.svg", "that refers to a file and to another host", strings.Replace(svgBody, "<rect",
		`<image href="file:///etc/passwd" width="9" height="9"/><image href="http://127.0.0.1:9/x.png" width="9" height="9"/><rect`, 1))
	svg("svg-late.svg", "900 bytes of comment first: still seen", "<!--"+strings.Repeat("x", 850)+"-->"+svgBody)
	svg("svg-too-late.svg", "1,100 bytes of comment first: not seen any more", "<!--"+strings.Repeat("x", 1100)+"-->"+svgBody).notImage()
	svg("svg-entities.svg", "entities that grow to a billion laughs", `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">`+
		`<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;">]>`+
		strings.Replace(svgBody, "<rect", "<text>&e;</text><rect", 1))
	c.add("svg-gzip.svgz", "compressed: Next does not look inside", func() []byte {
		var b bytes.Buffer
		w := must(gzip.NewWriterLevel(&b, gzip.BestCompression))
		must(w.Write([]byte(svgBody)))
		must(0, w.Close())
		return b.Bytes()
	}).notImage()
	svg("svg-upper.svg", "the element in capitals", strings.Replace(svgBody, "<svg", "<SVG", 1)).notImage()
	svg("feed.xml", "a news feed: XML that is no picture, taken for one", `<?xml version="1.0"?><rss version="2.0"><channel><title>news</title></channel></rss>`)
	svg("page-with-svg.html", "a web page with a drawing in it, taken for one", "<!doctype html><title>page</title>"+svgBody)
}
