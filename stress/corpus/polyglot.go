package corpus

// page is what must not be taken for a page.
const page = "<!doctype html><html><body><script>alert(document.domain)</script></body></html>"

// script is a statement after whatever stands before it was closed.
const script = "*/=1;alert(document.domain)//"

// polyglots are an image by their first bytes, by Next's reading or not, and something that a browser or an archiver
// would take them for as well.
func polyglots(avif []byte) []Case {
	g := &group{name: "polyglot"}
	html := []byte(page)
	gif := join(gifFrame(4, 4, 0), gifData(2, lzwZeros(16)), []byte{0x3b})
	png := blackPNG(16, 16, 8, pngRGB)
	jpeg := greyJPEG(16, 16)
	zip := []byte("PK\x03\x04\x0a\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00a" +
		"PK\x05\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	svg := []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`)

	// The width and height of this one are the beginning of a comment in a script.
	g.raw("gif-script", []byte("GIF89a/*"), le16(0x100), []byte{0x80, 0, 0, 0, 0, 0, 255, 255, 255}, gif, []byte(script))
	g.raw("gif-svg-comment", gifScreen(4, 4), []byte{0x21, 0xfe, byte(len(svg))}, svg, []byte{0}, gif)
	g.raw("gif-html", []byte("GIF89a"), html)
	g.raw("gif-html-8", []byte("GIF8"), html)
	g.raw("gif-html-behind", gifScreen(4, 4), gif, html)
	g.raw("jpeg-html-comment", []byte(soi), segment(0xfe, html), jpeg[len(soi):])
	g.raw("jpeg-html", []byte("\xff\xd8\xff"), html)
	g.raw("jpeg-html-2", []byte("\xff\xd8"), html)
	g.raw("jpeg-script", []byte(soi), []byte("\xff\xe0\x2f\x2a"), fill(0, 0x2f2a-2), jpeg[len(soi):], []byte(script))
	g.raw("jpeg-php", []byte(soi), segment(0xfe, []byte("<?php system($_GET[0]); __halt_compiler(); ?>")), jpeg[len(soi):])
	g.raw("jpeg-pdf", []byte(soi), segment(0xe0, []byte("%PDF-1.7\n")), jpeg[len(soi):], []byte("\n%%EOF"))
	g.raw("jpeg-zip", jpeg, zip)
	g.raw("pdf-jpeg", []byte("%PDF-1.7\n"), jpeg)
	g.raw("png-html-text", png[:33], pngChunk("tEXt", join([]byte("Comment\x00"), html)), png[33:])
	g.raw("png-html", []byte(pngSignature), html)
	g.raw("png-html-behind", png, html)
	g.raw("png-zip", png, zip)
	g.raw("png-wrong-first-byte", []byte("<PNG\r\n\x1a\n"), png[8:], html)
	g.raw("png-wrong-first-byte-html", []byte("<PNG\r\n\x1a\n"), html)
	g.raw("webp-html", riff(riffChunk("VP8 ", html)))
	g.raw("webp-html-size", []byte("RIFF<!--WEBPVP8 "), html)
	g.raw("webp-animation-html", riff(riffChunk("ANIM", html)))
	g.raw("avif-html", box("ftyp", []byte("avif"), be32(0)), html)
	g.raw("avif-html-behind", avif, html)
	g.raw("avif-comment", []byte("<!--ftypavif-->"), html)
	g.raw("heic-html", box("ftyp", []byte("heic"), be32(0)), html)
	g.raw("bmp-html", []byte("BM"), html)
	g.raw("bmp-script", []byte("BM/*"), fill(0, 50), []byte(script))
	g.raw("ico-html", le16(0, 1, 1), html)
	g.raw("icns-html", []byte("icns"), html)
	g.raw("jxl-html", []byte("\xff\x0a"), html)
	g.raw("jp2-html", []byte("\x00\x00\x00\x0cjP  \r\n\x87\n"), html)
	g.raw("tiff-html", []byte("II*\x00"), html)
	g.raw("tiff-big-endian-html", []byte("MM\x00*"), html)
	g.raw("svg-html", []byte("<svg"), html)
	g.raw("svg-html-root", []byte(`<svg xmlns="http://www.w3.org/1999/xhtml">`), html)
	g.raw("xml-html", []byte(`<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>`))
	g.raw("xml-transforms-itself", []byte(`<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="#"?><x/>`))
	g.raw("svg-late", html[:15], fill(' ', 200), svg)
	g.raw("svg-too-late", html[:15], fill(' ', 1200), svg)
	g.raw("html", html)
	g.raw("html-with-bom", []byte("\xef\xbb\xbf"), html)
	g.raw("html-utf-16", []byte("\xfe\xff\x00<\x00h\x00t\x00m\x00l\x00>"))
	g.raw("script-only", []byte("alert(document.domain)"))
	g.raw("wasm", []byte("\x00asm\x01\x00\x00\x00"))
	g.raw("elf", []byte("\x7fELF\x02\x01\x01"), make([]byte, 100))
	g.raw("zip-only", zip)
	return g.cases
}
