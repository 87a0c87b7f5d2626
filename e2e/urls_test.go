//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"strings"
)

// urlGroups test the url parameter: what is refused, and what the accepted ones lead to.
func urlGroups() []group {
	return []group{
		{name: "url local", variant: "default", run: localURLs},
		{name: "url local", variant: "patterns", run: localURLs},
		{name: "url local", variant: "basepath", run: localURLs},
		{name: "url absolute", variant: "default", run: absoluteURLs},
		{name: "url absolute", variant: "remote", run: absoluteURLs},
		{name: "url absolute", variant: "tuned", run: absoluteURLs},
		{name: "url length", variant: "default", run: urlLengths},
		{name: "url length", variant: "remote", run: urlLengths},
		{name: "url guard", variant: "guard", run: guardedURLs},
		{name: "url guard", variant: "default", run: guardedURLs},
	}
}

// localURLs are relative urls in every disguise; each is asked with and without the base path.
func localURLs(s *session) {
	urls := []string{
		"/assets/small.png", "/assets/small.png?v=1", "/assets/small.png?", "/assets/small.png#", "/assets/small.png#x", "/assets/small.png#?x", "/assets/small.png?x#y",
		"/assets/../assets/small.png", "/./assets/small.png", "/assets/./small.png", "/assets//small.png", "/assets/small.png/", "/assets/small.png/.", "/assets/small.png/..",
		"/%61ssets/small.png", "/assets%2Fsmall.png", "/assets/small%2Epng", "/assets/%2e%2e/assets/small.png", "/assets/%2E/small.png", "/assets/small.png%00", "/assets/small.png%20", "/assets/small.png%3Fv=1", "/assets/small.png%23x",
		"/assets/small.png%", "/assets/%zz", "/%", "/%E0%A4%A", "/%FF", "/a%2", "/assets/%C3%28", "/x?%", "/x?a=%zz",
		"/assets/small.png\x00", "/assets/small.png\n", "/\tassets/small.png", "/assets/small.png ", "/ assets/small.png", " /assets/small.png", "\u00a0/assets/small.png",
		"/\\assets\\small.png", "/assets\\small.png", "\\assets\\small.png", "/\\\\assets", "/\\example.com/x.png", "\\/example.com", "\\\\example.com",
		"//", "///", "//assets/small.png", "///assets/small.png", "//127.0.0.1/x.png", "/%2Fassets/small.png", "%2F%2Fa",
		"/_next/image", "/_next/image/", "/_next/image/x", "/_next/image?url=x", "/_next/image#x", "/_next/imagex", "/_next/image.png", "/_next/imag", "/_next/Image", "/_NEXT/IMAGE",
		"/x/_next/image", "/x/_next/image/y", "/x/_next/image/y?z", "/x_next/image", "/x/y_next/image", "/_next/image%2F", "/_next/image%2Fx", "/_next%2Fimage", "/%5Fnext/image", "/_next/%69mage", "/_next/imag%65", "/%2F_next%2Fimage", "/_next/image%3Furl=x", "/_next/image%00", "/_next/image%0A", "/_next/image%20",
		"/_next//image", "/_next/./image", "/./_next/image", "/a/../_next/image", "/_next\\image", "/_next/x/../image", "/_next/image/../x", "/_next/%2e/image", "/_next/ima\nge", "/_next/ima\tge", "/%255Fnext/image", "/_next/image%252F", "/?/_next/image", "/?x=/_next/image", "/#/_next/image", "/_next/image;x",
		"/", "/?x", "/nowhere.png", "/nowhere/", "/assets", "/assets/", "/assets/empty.png", "/assets/text.png", "/assets/page.html", "/assets/still.webp", "/assets/moving.gif", "/assets/drawing.svg", "/assets/cached.png", "/assets/photo.jpg",
		"/redirected.png", "/rewritten.png", "/favicon.ico", "/robots.txt", "/index.html", "/_next/data/x.json", "/_next/static/none.js", "/_next/static/media/none.png", "/_next/static/immutable/media/none.png", "/_next/static/css/none.css", "/_next/server/app/page.js", "/.next/BUILD_ID", "/package.json", "/../package.json", "/404", "/500", "/_error", "/_not-found",
		"/gen", "/gen/", "/gen/!", "/ünï.png", "/名前.png", "/😀.png", "/a b.png", "/a+b.png", "/'.png", "/\".png", "/<>.png", "/{}.png", "/|.png", "/^.png", "/`.png", "/[].png", "/;.png", "/:.png", "/@.png", "/$&.png", "/*.png", "/~.png", "/-._.png",
		"/\ud7ff", "/\ue000", "/\ufeff", "/\ufffd", "/\u2028", "/\u200b", "/％", "/é?é", "/é#é", "/A/B/../C",
	}
	for _, u := range urls {
		s.do(shorten(u), Request{Target: s.image(u, 640, 75)}, retried)
		if s.base != "" {
			s.do("basePath + "+shorten(u), Request{Target: s.image(s.base+u, 640, 75)}, retried)
		}
	}
	for _, name := range s.assets.odd {
		s.do("odd "+name, Request{Target: s.image(s.base+"/odd/"+name, 640, 75)}, retried)
		s.do("odd escaped "+name, Request{Target: s.image(s.base+"/odd/"+escapePath(name), 640, 75)}, retried)
	}
}

// absoluteURLs are absolute urls, good and bad, as the WHATWG algorithm reads them.
func absoluteURLs(s *session) {
	port := s.origin.Port
	at := func(format string) string { return strings.ReplaceAll(format, "PORT", fmt.Sprint(port)) }
	reachable := []string{
		"http://127.0.0.1:PORT/x.png", "HTTP://127.0.0.1:PORT/x.png", "hTTp://127.0.0.1:PORT/x.png", "http:/127.0.0.1:PORT/x.png", "http:127.0.0.1:PORT/x.png", "http:\\\\127.0.0.1:PORT\\x.png", "http:////127.0.0.1:PORT/x.png", "http:\\/127.0.0.1:PORT/x.png",
		" http://127.0.0.1:PORT/x.png", "http://127.0.0.1:PORT/x.png ", "\thttp://127.0.0.1:PORT/x.png", "\x01http://127.0.0.1:PORT/x.png", "ht\ntp://127.0.0.1:PORT/x.png", "http://127.0.\n0.1:PORT/x.png", "http://127.0.0.1:PORT/x\t.png", "http://127.0.0.1:PO\rRT/x.png",
		"http://user@127.0.0.1:PORT/x.png", "http://user:pass@127.0.0.1:PORT/x.png", "http://@127.0.0.1:PORT/x.png", "http://:@127.0.0.1:PORT/x.png", "http://a@b@127.0.0.1:PORT/x.png", "http://us%20er:p%40ss@127.0.0.1:PORT/x.png", "http://ü:ß@127.0.0.1:PORT/x.png",
		"http://127.0.0.1:PORT", "http://127.0.0.1:PORT/", "http://127.0.0.1:PORT?x", "http://127.0.0.1:PORT#f", "http://127.0.0.1:PORT/?", "http://127.0.0.1:PORT/#", "http://127.0.0.1:PORT\\x.png",
		"http://127.1:PORT/x.png", "http://127.0.1:PORT/x.png", "http://0x7f.0.0.1:PORT/x.png", "http://0x7f000001:PORT/x.png", "http://2130706433:PORT/x.png", "http://0177.0.0.1:PORT/x.png", "http://127.0.0.0x1:PORT/x.png", "http://127.0.0.1.:PORT/x.png", "http://127.0.0.01:PORT/x.png",
		"http://１２７.0.0.1:PORT/x.png", "http://127。0。0。1:PORT/x.png", "http://%31%32%37.0.0.1:PORT/x.png", "http://127.0.0.1:0PORT/x.png", "http://127.0.0.1:00000PORT/x.png",
		"http://localhost:PORT/x.png", "http://LOCALHOST:PORT/x.png", "http://LocalHost:PORT/x.png", "http://localhost.:PORT/x.png", "http://loc%61lhost:PORT/x.png", "http://ｌｏｃａｌｈｏｓｔ:PORT/x.png", "http://local\u00adhost:PORT/x.png", "http://ⓛocalhost:PORT/x.png",
		"http://[::1]:PORT/x.png", "http://[0:0:0:0:0:0:0:1]:PORT/x.png", "http://[::0001]:PORT/x.png", "http://[::ffff:127.0.0.1]:PORT/x.png", "http://[::ffff:7f00:1]:PORT/x.png", "http://127.0.0.2:PORT/x.png", "http://0.0.0.0:PORT/x.png", "http://0:PORT/x.png",
		"http://127.0.0.1:PORT/a b.png", "http://127.0.0.1:PORT/a%20b.png", "http://127.0.0.1:PORT/%zz.png", "http://127.0.0.1:PORT/%.png", "http://127.0.0.1:PORT/ü.png", "http://127.0.0.1:PORT/名前.png", "http://127.0.0.1:PORT/😀.png", "http://127.0.0.1:PORT/a|b^c`d{e}f.png", "http://127.0.0.1:PORT/a\"b<c>d.png", "http://127.0.0.1:PORT/a'b.png", "http://127.0.0.1:PORT/[x].png", "http://127.0.0.1:PORT/a;b=c,d.png", "http://127.0.0.1:PORT/~!@$&*()_+-=:.png",
		"http://127.0.0.1:PORT/./x/../y.png", "http://127.0.0.1:PORT/../../y.png", "http://127.0.0.1:PORT/%2e%2e/y.png", "http://127.0.0.1:PORT/%2E./y.png", "http://127.0.0.1:PORT/a/%2e/y.png", "http://127.0.0.1:PORT/a\\b.png", "http://127.0.0.1:PORT/a//b.png", "http://127.0.0.1:PORT//b.png", "http://127.0.0.1:PORT/a/..", "http://127.0.0.1:PORT/a%2Fb.png", "http://127.0.0.1:PORT/a%5Cb.png",
		"http://127.0.0.1:PORT/x.png?q=ü", "http://127.0.0.1:PORT/x.png?a b", "http://127.0.0.1:PORT/x.png?a'b", "http://127.0.0.1:PORT/x.png?a\"<>`{}", "http://127.0.0.1:PORT/x.png?%zz", "http://127.0.0.1:PORT/x.png??", "http://127.0.0.1:PORT/x.png?a=/b/c.jpg", "http://127.0.0.1:PORT/x.png?a+b", "http://127.0.0.1:PORT/x.png#frag", "http://127.0.0.1:PORT/x.png#a/b.gif", "http://127.0.0.1:PORT/_next/image?url=x", "http://127.0.0.1:PORT/_next/image", "http://127.0.0.1:PORT/x\x00y.png", "http://127.0.0.1:PORT/x\x7fy.png",
	}
	for _, u := range reachable {
		s.do(u, Request{Target: s.image(at(u), 640, 75)}, unreachable)
	}
	// Here the connection fails, if it is tried at all.
	failing := []string{
		"https://127.0.0.1:PORT/x.png", "http://127.0.0.1:9/x.png", "http://127.0.0.1/x.png", "http://127.0.0.1:/x.png", "http://127.0.0.1:80/x.png", "https://127.0.0.1:443/x.png", "https://localhost/x.png", "http://127.0.0.1:0/x.png", "http://127.0.0.1:65535/x.png", "http://127.0.0.1:65536/x.png", "http://127.0.0.1:99999/x.png", "http://127.0.0.1:-1/x.png", "http://127.0.0.1:+80/x.png", "http://127.0.0.1:8a/x.png", "http://127.0.0.1: 80/x.png",
		"http://a.invalid/x.png", "http://A.INVALID/x.png", "http://a.b.invalid/x.png", "http://a.invalid./x.png", "http://.invalid/x.png", "http://..invalid/x.png", "http://a..invalid/x.png", "http://bücher.invalid/x.png", "http://xn--bcher-kva.invalid/x.png", "http://BÜCHER.invalid/x.png", "http://☃.invalid/x.png", "http://xn--n3h.invalid/x.png", "http://xn--.invalid/x.png", "http://xn--a.invalid/x.png", "http://a_b.invalid/x.png", "http://-a.invalid/x.png", "http://a-.invalid/x.png", "http://ab--cd.invalid/x.png", "http://faß.invalid/x.png", "http://ⅷ.invalid/x.png", "http://a\u200cb.invalid/x.png", "http://a\u200db.invalid/x.png", "http://ex\u00adample.invalid/x.png", "http://مثال.invalid/x.png", "http://אa.invalid/x.png", "http://%C3%BC.invalid/x.png", "http://%FF.invalid/x.png", "http://a%2eb.invalid/x.png", "http://" + strings.Repeat("a", 63) + ".invalid/x.png", "http://" + strings.Repeat("a", 64) + ".invalid/x.png", "http://" + strings.Repeat("a.", 126) + "invalid/x.png", "http://a.invalid:8080/x.png", "http://user@a.invalid/x.png", "http://a.invalid?x", "http://a.invalid#x", "http://a.invalid\\x", "http://a'b.invalid/", "http://a!b.invalid/", "http://a*b.invalid/", "http://a$b.invalid/", "http://a,b.invalid/", "http://a=b.invalid/", "http://a(b).invalid/", "http://a~b.invalid/", "http://a\"b.invalid/", "http://a`b.invalid/", "http://a{b}.invalid/",
		"http://a.other/x.png", "http://unknown/x.png", "https://unknown.example/x.png",
	}
	for _, u := range failing {
		s.do(shorten(u), Request{Target: s.image(at(u), 640, 75)}, unreachable)
	}
	malformed := []string{
		"http://", "http:///", "http:", "http", "https:", "https://", "http:x.png", "http:/x.png", "http://?", "http://#", "http://:80/", "http://@/", "http://a b/", "http://a%20b/", "http://a<b/", "http://a>b/", "http://a^b/", "http://a|b/", "http://a%b/", "http://%/", "http://%zz/", "http://[", "http://[::1", "http://[::g]/", "http://[1]/", "http://[::1]x/", "http://[::1.2.3]/", "http://::1/", "http://1.2.3.4.5/", "http://256.0.0.1/", "http://1.2.3.256/", "http://0x100000000/", "http://4294967296/", "http://a.1/", "http://a.0x1/", "http://1.2.3.08/", "http://09.0.0.1/", "http://a\x00b/", "http://a\x7fb/", "http://\u00ad/", "http://\u3002/", "http://./", "http://../",
		"ftp://127.0.0.1/x.png", "file:///etc/passwd", "file://x.png", "data:image/png;base64,AAAA", "javascript:alert(1)", "blob:http://127.0.0.1/x", "about:blank", "mailto:a@b", "ws://127.0.0.1/x.png", "wss://127.0.0.1/", "gopher://a/", "httpx://a/", "htt p://a/", "1http://a/", "ht-tp://a/b", "view-source:http://a", "http+unix://a/", "tel:1",
		"x.png", "./x.png", "../x.png", "?x", "#x", " ", "  ", "\t", "\n", "%20", ":", "::", ":80", "://a", "a:b", "a/b", "a:80/x.png", "127.0.0.1:80/x.png", "127.0.0.1/x.png", "localhost/x.png", "www.example.com/x.png", "example.com", "image", "null", "undefined", "true", "0", "%2Fassets%2Fsmall.png", "assets/small.png", "\u0000", "\ufeff", "é", "😀",
	}
	for _, u := range malformed {
		s.do(u, Request{Target: s.image(at(u), 640, 75)}, unreachable)
	}
}

// urlLengths stands on both sides of the limit of 3,072 UTF-16 units.
func urlLengths(s *session) {
	for _, n := range []int{3070, 3071, 3072, 3073, 3074, 4000} {
		for _, unit := range []string{"a", "é", "名", "😀", "%41", "%C3%A9", "a/", "./"} {
			size := len(unit)
			switch unit {
			case "é", "名":
				size = 1
			case "😀":
				size = 2
			}
			if n == 4000 && len(url.QueryEscape(unit)) > 3*len("a")*size {
				continue // the request would be larger than either server takes
			}
			for _, prefix := range []string{"/assets/", s.origin.URL("/")} {
				u := prefix + strings.Repeat(unit, (n-len(prefix))/size)
				u += strings.Repeat("x", (n-len(prefix))%size)
				s.do(fmt.Sprintf("%d units of %q after %q", n, unit, prefix), Request{Target: s.image(u, 640, 75)}, unreachable)
			}
		}
	}
	// Fully percent-encoded, with large headers: 9 KB of url and 8 KB of cookies.
	full := func(u string) string {
		var b strings.Builder
		for i := range len(u) {
			fmt.Fprintf(&b, "%%%02X", u[i])
		}
		return b.String()
	}
	long := "/assets/" + strings.Repeat("a", 3064)
	cookie := "Cookie: session=" + strings.Repeat("c", 8192)
	s.get("fully encoded", s.target("url="+full(long)+"&w=640&q=75"))
	s.get("fully encoded, 8 KB of cookies", s.target("url="+full(long)+"&w=640&q=75"), cookie)
	good := s.origin.URL("/long/" + strings.Repeat("p/", 1500) + "x.png")
	good += strings.Repeat("g", 3072-len(good))
	s.get("fully encoded absolute, 8 KB of cookies", s.target("url="+full(good)+"&w=640&q=75"), cookie)
	s.get("many cookies", s.image("/assets/small.png", 640, 75), "Cookie: "+strings.Repeat("a=b; ", 1600))
	s.get("many headers", s.image("/assets/small.png", 640, 75), strings.Split(strings.TrimSuffix(strings.Repeat("X-Filler: y\n", 90), "\n"), "\n")...)
	s.get("a long header", s.image("/assets/small.png", 640, 75), "X-Filler: "+strings.Repeat("y", 10000))
}

// guardedURLs lead to addresses that are not public: all hosts are allowed, the addresses are not.
func guardedURLs(s *session) {
	hosts := []string{
		"127.0.0.1", "127.0.0.2", "127.255.255.254", "127.1", "0x7f.1", "2130706433", "017700000001", "localhost", "LOCALHOST", "localhost.", "0.0.0.0", "0", "0.0.0.1", "0.255.255.255",
		"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "169.254.0.1", "169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.31.196.1", "192.52.193.1", "192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "233.252.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.254", "255.255.255.255",
		"[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::1]", "[100::1]", "[2001::1]", "[2001:1::1]", "[2001:2::1]", "[2001:3::1]", "[2001:4:112::1]", "[2001:10::1]", "[2001:20::1]", "[2001:30::1]", "[2001:db8::1]", "[2002:7f00:1::1]", "[2002:a00:1::1]", "[2620:4f:8000::1]", "[3fff::1]", "[fc00::1]", "[fd00::1]", "[fdff:ffff::1]", "[fe80::1]", "[febf::1]", "[fec0::1]", "[ff02::1]", "[ff0e::1]",
	}
	for _, h := range hosts {
		for _, u := range []string{"http://" + h + ":9/x.png", "https://" + h + ":9/x.png"} {
			s.do(u, Request{Target: s.image(u, 640, 75)}, either(guarded, unreachable))
		}
	}
	s.get("open port", s.image(s.origin.URL("/x.png"), 640, 75))
	s.get("local path", s.image(s.base+"/assets/small.png", 640, 75))
	s.get("local path with a host in its query", s.image(s.base+"/assets/small.png?http://127.0.0.1", 640, 75))
	s.do("no such host", Request{Target: s.image("http://nowhere.invalid/x.png", 640, 75)}, unreachable)
	s.do("escaped", Request{Target: s.target("url=" + url.QueryEscape("http://127%2E0%2E0%2E1:9/x.png") + "&w=640&q=75")}, unreachable)
}
