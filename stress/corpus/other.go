package corpus

import (
	"bytes"
	"fmt"
	"strings"
)

// bitmaps are of the types that are passed on unchanged, or that no decoder is asked to read.
func bitmaps() []Case {
	g := &group{name: "other"}
	bmp := func(w, h, bits, compression int) []byte {
		return join([]byte("BM"), le32(1<<32-1, 0, 54, 40, w, h), le16(1, bits), le32(compression, 0, 0, 0, 1<<32-1, 0))
	}
	g.raw("bmp-claims-31-bits", bmp(1<<31-1, 1<<31-1, 32, 0))
	g.raw("bmp-claims-negative", bmp(-(1<<31), -(1<<31), 1, 1))
	g.raw("bmp-two-bytes", []byte("BM"))
	g.add("bmp-zeros", func() []byte { return join(bmp(4096, 2000, 8, 0), make([]byte, 6<<20)) })
	g.add("ico-entries", func() []byte {
		return join(le16(0, 1, 65535), bytes.Repeat(join([]byte{0, 0, 0, 0}, le16(1, 32), le32(1<<32-1, 6)), 65535))
	})
	g.raw("ico-no-entries", le16(0, 1, 0))
	g.raw("ico-is-an-icon-of-itself", le16(0, 1, 1), []byte{0, 0, 0, 0}, le16(1, 32), le32(22, 0))
	g.raw("icns-claims", []byte("icns"), be32(1<<32-1), []byte("ic10"), be32(1<<32-1))
	g.raw("jxl-two-bytes", []byte("\xff\x0a"))
	g.raw("jxl-claims", []byte("\xff\x0a"), fill(0xff, 4096))
	g.raw("jxl-boxes", []byte("\x00\x00\x00\x0cJXL \r\n\x87\n"), box("ftyp", []byte("jxl "), be32(0)), be32(1), []byte("jxlc"), be32(1<<31-1, 0))
	g.raw("jp2-claims", []byte("\x00\x00\x00\x0cjP  \r\n\x87\n"), box("ftyp", []byte("jp2 "), be32(0)),
		box("jp2h", box("ihdr", be32(1<<32-1, 1<<32-1), be16(16384), []byte{7, 7, 0, 0})), box("jp2c", []byte("\xff\x4f\xff\x51"), be16(47), fill(0xff, 45)))
	g.raw("heic-empty", box("ftyp", []byte("heic"), be32(0)))
	g.raw("heic-box-loops", box("ftyp", []byte("mif1"), be32(0)), fill(0, 1024))
	g.raw("psd-claims", []byte("8BPS"), be16(1), make([]byte, 6), be16(56), be32(300000, 300000), be16(32, 3))
	g.raw("pdf", []byte("%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>endobj"))
	g.raw("ppm-claims", []byte("P6 268402689 1 255\n"))
	g.raw("empty")
	g.raw("one-zero", []byte{0})
	g.add("zeros", func() []byte { return make([]byte, 6<<20) })
	g.add("noise", func() []byte { return Flip(fill(0x5a, 1<<20), "noise", 2) })
	return g.cases
}

func svgs() []Case {
	g := &group{name: "svg"}
	const open = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="10" height="10">`
	text := func(name, s string) { g.raw("svg-"+name, []byte(s)) }
	var laughs, quadratic strings.Builder
	laughs.WriteString(`<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a0 "ha">`)
	for i := range 30 {
		fmt.Fprintf(&laughs, `<!ENTITY a%d "%s">`, i+1, strings.Repeat(fmt.Sprintf("&a%d;", i), 10))
	}
	laughs.WriteString("]>" + open + "<text>&a30;</text></svg>")
	text("billion-laughs", laughs.String())
	quadratic.WriteString(`<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "` + strings.Repeat("a", 100_000) + `">]>` + open + "<text>")
	quadratic.WriteString(strings.Repeat("&a;", 100_000) + "</text></svg>")
	text("quadratic-entities", quadratic.String())
	text("parameter-entities", `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY % a "<!ENTITY b SYSTEM 'file:///etc/passwd'>"> %a;]>`+open+"<text>&b;</text></svg>")
	text("entity-is-a-file", `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>`+open+"<text>&a;</text></svg>")
	text("entity-is-a-url", `<?xml version="1.0"?><!DOCTYPE svg SYSTEM "http://127.0.0.1:9/a.dtd">`+open+"</svg>")
	text("entity-of-itself", `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "&a;">]>`+open+"<text>&a;</text></svg>")
	text("external-image", open+`<image xlink:href="file:///etc/passwd" width="10" height="10"/><image href="http://127.0.0.1:9/"/></svg>`)
	text("external-style", `<?xml-stylesheet href="http://127.0.0.1:9/a.css"?>`+open+`<style>@import url("file:///etc/passwd");</style></svg>`)
	text("include", open+`<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd" parse="text"/></svg>`)
	text("script", open+`<script>alert(document.domain)</script><a onclick="alert(1)" href="javascript:alert(1)">x</a></svg>`)
	text("foreign-object", open+`<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></body></foreignObject></svg>`)
	text("use-loops", open+`<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g></svg>`)
	text("use-doubles", open+"<g id='u0'><rect width='1' height='1'/></g>"+doubling(30)+"</svg>")
	text("claims", `<svg xmlns="http://www.w3.org/2000/svg" width="1e30" height="1e30" viewBox="0 0 1e-30 1e30"/>`)
	text("filter", open+`<filter id="f"><feGaussianBlur stdDeviation="1e6"/><feTurbulence numOctaves="1000000"/></filter><rect filter="url(#f)" width="1e6" height="1e6"/></svg>`)
	text("deep", open+strings.Repeat("<g>", 300_000))
	text("attributes", "<svg "+attributes(100_000)+"/>")
	text("attribute-without-end", `<svg a="`+strings.Repeat("x", 1<<20))
	text("utf-16", "\xff\xfe<\x00s\x00v\x00g\x00>\x00")
	g.add("svg-gzip", func() []byte { return gzipped([]byte(open + "</svg>")) })
	return g.cases
}

// doubling is n groups, each of which uses the one before twice.
func doubling(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `<g id="u%d"><use href="#u%d"/><use href="#u%d"/></g>`, i+1, i, i)
	}
	return b.String()
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `a%d="" `, i)
	}
	return b.String()
}
