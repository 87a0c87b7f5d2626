//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"strings"
)

// headerGroups test Content-Disposition, and what request headers do to an answer.
func headerGroups() []group {
	return []group{
		{name: "disposition", variant: "remote", run: dispositions},
		{name: "disposition", variant: "svg", run: dispositions},
		{name: "compression", variant: "remote", run: compressions},
		{name: "compression", variant: "svg", run: compressions},
		{name: "compression", variant: "plain", run: compressions},
		{name: "request headers", variant: "default", run: requestHeaders},
	}
}

// dispositions gives the last segment of the path every kind of name.
func dispositions(s *session) {
	names := []string{
		"a.png", "a", "", ".", "..", "...", ".png", "..png", "a.", "a..", "a.b.c.png", "a.tar.gz", "A.PNG", "-", "_", "~", "a b.png", "a%20b.png", " a.png", "a .png", "a%2Fb.png", "a%2fb.png", "a%5Cb.png", "a\\b.png", "a/b/", "a.png/", "a/.", "a%2Eb.png",
		"ü.png", "%C3%BC.png", "%c3%bc.png", "%FC.png", "é", "ÿ.png", "Ā.png", "名前.png", "😀.png", "€.png", "\u0080.png", "\u009f.png", "a\u00a0b.png", "%C2%A0.png", "\u202e.png", "\ufeff.png", "mixed-ü-名.png", "à la carte.png",
		"a'b.png", "''.png", "a\"b.png", "%22.png", "a%22b%22.png", "a%5C%22b.png", "(a).png", "<a>.png", "[a].png", "{a}.png", "a;b.png", "a;filename=b.png", "a,b.png", "a=b.png", "a:b.png", "a@b.png", "a&b.png", "a+b.png", "a$b.png", "a!b.png", "a*b.png", "a|b.png", "a^b.png", "a`b.png", "a#b.png", "a?b.png", "a?b/c.gif", "a?.png", "?a.png", "a%3Fb.png", "a%23b.png",
		"%", "%2", "%zz.png", "%25.png", "%2541.png", "100%.png", "100%25.png", "%E4%BD%A0.png", "%E4%BD.png", "%00.png", "%0A.png", "%0D%0A.png", "%7F.png", "%01.png", "a%09b.png", "a\tb.png", "a\nb.png", "%F0%9F%98%80.png",
		strings.Repeat("a", 300) + ".png", strings.Repeat("ü", 100) + ".png", "UTF-8''x.png", "=?utf-8?q?x?=.png", "filename.png", "CON.png", "con", "image.bin", "..%2F..%2Fetc%2Fpasswd", "%2e%2e%2fx.png", "a.png;v=1", "a.png&x=y", "a.png%3Fx",
	}
	for i, body := range [][]byte{s.assets.small, s.assets.svg, s.assets.gif} {
		reply := always(Reply{Body: body})
		for _, name := range names {
			base := fmt.Sprintf("/names/%d/%d/", i, serial.Add(1))
			// However the name is normalised, the path begins with base: cover the ways it may arrive.
			for _, p := range []string{name, escapePath(name), (&url.URL{Path: name}).EscapedPath(), strings.SplitN(name, "?", 2)[0], strings.SplitN(name, "#", 2)[0]} {
				s.origin.Handle(base+p, reply)
			}
			s.get(fmt.Sprintf("%d %q", i, name), s.image(s.origin.URL(base+name), 640, 75))
		}
	}
	for _, u := range []string{"", "/", "?x.png", "#x.png", "/?x/y.png", "/a/b?c=/d.png", "//", "/a//"} {
		s.get("origin"+u, s.image(s.origin.URL("")+u, 640, 75))
	}
	// The extension follows the bytes, not the name.
	for _, accept := range []string{"", "image/webp", "image/avif"} {
		for _, file := range []string{"photo.gif", "photo.jpg", "photo.jpeg", "photo.webp", "photo", "photo.tar.gz"} {
			for kind, body := range map[string][]byte{"jpeg": s.assets.photo, "png": s.assets.tile, "webp": s.assets.webp, "gif": s.assets.gif, "svg": s.assets.svg} {
				u := s.serve(file, always(Reply{Body: body}))
				s.get(file+" is "+kind+" Accept: "+accept, s.image(u, 640, 75), "Accept: "+accept)
			}
		}
	}
}

// compressions test Next.js' own compression of what is passed through: svg, ico and bmp.
func compressions(s *session) {
	codings := []string{
		"-", "", "gzip", "GZIP", "deflate", "br", "zstd", "identity", "*", "gzip, deflate", "deflate, gzip", "gzip, deflate, br", "gzip, deflate, br, zstd", "br, gzip", "x-gzip", "gzip;q=0", "gzip;q=0, deflate", "gzip;q=0.5, deflate;q=0.8", "deflate;q=0.5, gzip;q=0.8", "identity, gzip", "identity;q=1, gzip;q=0.5", "identity;q=0.5, gzip;q=0.1", "identity;q=0", "identity;q=0, gzip;q=0", "*;q=0", "*;q=0, gzip", "*;q=0.1", "gzip;q=0, *", "gzip ; q=1", "gzip;q=x", "gzip;q=", "gzip;q=2", "gzip;q=-1", "compress, gzip", "gzip,gzip", ",gzip", "gzip,", "gzipx", "xgzip",
	}
	bmp := append([]byte("BM"), make([]byte, 3000)...)
	ico := append([]byte{0, 0, 1, 0}, make([]byte, 3000)...)
	bodies := map[string][]byte{
		"svg": s.assets.svg, "bmp": bmp, "ico": ico, "small svg": []byte("<svg/>"), "svg of 1023": pad("<svg/>", 1023), "svg of 1024": pad("<svg/>", 1024), "svg of 1025": pad("<svg/>", 1025),
		"gif": s.assets.gif, "icns": append([]byte("icns"), make([]byte, 3000)...), "jxl": append([]byte{0xff, 0x0a}, make([]byte, 3000)...), "heic": append([]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), make([]byte, 3000)...), "png": s.assets.tile, "tiff": append([]byte("II*\x00\x08\x00\x00\x00"), make([]byte, 3000)...), "jp2": append([]byte("\x00\x00\x00\x0cjP  \r\n\x87\n"), make([]byte, 3000)...), "pdf": append([]byte("%PDF-1.7"), make([]byte, 3000)...),
	}
	for kind, body := range bodies {
		target := s.image(s.serve("x."+kind[:3], always(Reply{Body: body})), 640, 75)
		for _, coding := range codings {
			if coding == "-" {
				s.get(kind+" without Accept-Encoding", target)
				continue
			}
			s.get(kind+" Accept-Encoding: "+coding, target, "Accept-Encoding: "+coding)
		}
		s.get(kind+" two lines", target, "Accept-Encoding: br", "Accept-Encoding: gzip")
		s.do(kind+" HEAD", Request{Method: "HEAD", Target: target, Header: []string{"Accept-Encoding: gzip"}}, nil)
		s.do(kind+" HTTP/1.0", Request{Proto: "HTTP/1.0", Target: target, Header: []string{"Accept-Encoding: gzip"}}, nil)
		s.get(kind+" not modified", target, "Accept-Encoding: gzip", "If-None-Match: *")
		s.get(kind+" no-transform", target, "Accept-Encoding: gzip", "Cache-Control: no-transform")
		cold := s.image(s.serve("x", always(Reply{Body: body, Header: [][2]string{{"ETag", `"cold"`}}})), 640, 75)
		s.get(kind+" cold", cold, "Accept-Encoding: gzip")
	}
	s.get("an error", s.target("url="), "Accept-Encoding: gzip")
	s.get("a long error", s.target("url=/x&w="+strings.Repeat("9", 2000)+"&q=75"), "Accept-Encoding: gzip")
}

// pad fills text with spaces to n bytes.
func pad(text string, n int) []byte {
	return []byte(text + strings.Repeat(" ", n-len(text)))
}

// requestHeaders sends what browsers, proxies and the curious send.
func requestHeaders(s *session) {
	hit, missing, wrong := s.image("/assets/tile.png", 256, 75), s.image("/nowhere.png", 256, 75), s.target("url=x")
	s.get("warm up", hit)
	lines := []string{
		"Range: bytes=0-99", "Range: bytes=-5", "Range: bytes=99999999-", "Range: bytes=0-0,5-6", "Range: nonsense", "If-Range: \"x\"", "If-Match: \"x\"", "If-Match: *", "If-Unmodified-Since: Fri, 01 Jan 1999 00:00:00 GMT", "Expect: 100-continue", "TE: trailers", "Trailer: X", "Upgrade: h2c", "Upgrade: websocket", "Via: 1.1 proxy", "Forwarded: for=1.2.3.4;proto=https", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: a.example", "X-Forwarded-Port: 443", "X-Real-IP: 1.2.3.4", "Origin: https://a.example", "Referer: https://a.example/page", "Cookie: a=b; c=d", "Cookie: __prerender_bypass=x; __next_preview_data=y", "Authorization: Basic eDp5", "DNT: 1", "Sec-Fetch-Dest: image", "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin", "Sec-CH-UA-Mobile: ?0", "Save-Data: on", "Purpose: prefetch", "RSC: 1", "Next-Router-State-Tree: x", "Next-Router-Prefetch: 1", "Next-Action: x", "Next-Url: /x", "X-Nextjs-Data: 1", "X-Middleware-Subrequest: middleware", "X-Middleware-Invoke: 1", "X-Invoke-Path: /x", "X-Invoke-Status: 404", "X-Matched-Path: /x", "X-Now-Route-Matches: 1", "X-Deployment-Id: x", "X-Prerender-Revalidate: x", "Access-Control-Request-Method: GET", "Content-Type: application/json", "Content-Length: 0", "User-Agent:", "User-Agent: Googlebot/2.1", "Accept-Language: de-DE,de;q=0.9", "Accept-Charset: utf-8", "X-HTTP-Method-Override: DELETE", "X-Empty:", "x-lower: a", "X-UPPER: a", "X-Latin: caf\xe9", "X-Utf8: ü", "Width: 100", "DPR: 2", "Host: other.example", "Host: other.example:8080", "Host: [::1]", "host: lower.example", "Max-Forwards: 0", "Date: Fri, 01 Jan 2021 00:00:00 GMT", "Pragma: no-cache", "Cache-Control: no-cache", "Cache-Control: no-store", "Cache-Control: only-if-cached", "Cache-Control: max-age=0",
	}
	for _, line := range lines {
		s.get("hit, "+line, hit, line)
		s.get("missing, "+line, missing, line)
		s.get("wrong, "+line, wrong, line)
	}
	for _, proto := range []string{"HTTP/1.0", "HTTP/1.1"} {
		for _, m := range []string{"GET", "HEAD"} {
			for name, target := range map[string]string{"hit": hit, "missing": missing, "wrong": wrong} {
				s.do(strings.Join([]string{proto, m, name}, " "), Request{Proto: proto, Method: m, Target: target}, nil)
				s.do(strings.Join([]string{proto, m, name, "kept alive"}, " "), Request{Proto: proto, Method: m, Target: target, Header: []string{"Connection: keep-alive, close"}}, nil)
			}
		}
	}
}
