//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// upstreamGroups test what absolute urls may meet.
func upstreamGroups() []group {
	return []group{
		{name: "upstream status", variant: "remote", run: upstreamStatuses},
		{name: "upstream redirects", variant: "remote", run: redirects},
		{name: "upstream redirects", variant: "tiny", run: redirects},
		{name: "upstream redirects", variant: "tuned", run: redirects},
		{name: "upstream codings", variant: "remote", run: codings},
		{name: "upstream framing", variant: "remote", run: framings},
		{name: "upstream size", variant: "tiny", run: sizes},
		{name: "upstream cache-control", variant: "remote", run: cacheControls},
		{name: "upstream cache-control", variant: "tuned", run: cacheControls},
		{name: "upstream etag", variant: "remote", run: etags},
		{name: "upstream etag", variant: "tuned", run: etags},
		{name: "upstream request", variant: "remote", run: upstreamRequests},
		{name: "upstream slow", variant: "remote", apart: true, run: slow},
	}
}

// ask compares a request for a fresh url that answers with r.
func (s *session) ask(name string, r Reply, allow *Allowance) {
	s.do(name, Request{Target: s.image(s.serve("x.png", always(r)), 640, 75)}, allow)
}

// retryable are the statuses that imgopt tries again.
var retryable = []int{429, 500, 502, 503, 504}

func upstreamStatuses(s *session) {
	codes := []int{
		200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 250, 299, 300, 301, 302, 303, 304, 305, 306, 307, 308, 309, 399,
		400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 420, 421, 422, 423, 424, 425, 426, 428, 429, 430, 431, 440, 444, 451, 460, 499,
		500, 501, 502, 503, 504, 505, 506, 507, 508, 509, 510, 511, 520, 522, 530, 598, 599, 600, 799, 999,
	}
	for _, code := range codes {
		var allow *Allowance
		if slices.Contains(retryable, code) {
			allow = retried
		}
		s.ask(fmt.Sprintf("%d with an image", code), Reply{Status: code, Body: s.assets.small}, allow)
		s.ask(fmt.Sprintf("%d without a body", code), Reply{Status: code}, allow)
	}
	for _, code := range []int{404, 410, 403, 401, 400} {
		s.ask(fmt.Sprintf("%d with headers", code), Reply{Status: code, Body: []byte("<h1>no</h1>"), Header: [][2]string{{"Content-Type", "text/html"}, {"Cache-Control", "max-age=99999"}, {"ETag", `"x"`}, {"Retry-After", "5"}, {"WWW-Authenticate", "Basic"}}}, nil)
	}
	s.ask("503 with Retry-After", Reply{Status: 503, Header: [][2]string{{"Retry-After", "0"}}}, retried)
	for name, raw := range map[string]string{
		"early hints":       "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
		"continue":          "HTTP/1.1 100 Continue\r\n\r\n",
		"several interim":   "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n",
		"processing 199":    "HTTP/1.1 199 X\r\n\r\n",
		"no interim at all": "",
	} {
		final := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(s.assets.small), s.assets.small)
		s.ask(name, Reply{Raw: []byte(raw + final)}, unreachable)
	}
	// A final status must not be remembered: the same url again, now good.
	good := false
	u := s.serve("x.png", func(*http.Request) Reply {
		if good {
			return Reply{Body: s.assets.small}
		}
		return Reply{Status: 404}
	})
	s.get("first missing", s.image(u, 640, 75))
	good = true
	s.get("then there", s.image(u, 640, 75))
	s.get("and cached", s.image(u, 640, 75))
}

func redirects(s *session) {
	good := s.serve("target.png", always(Reply{Body: s.assets.small, Header: [][2]string{{"ETag", `"target"`}, {"Cache-Control", "max-age=7777"}}}))
	path := strings.TrimPrefix(good, s.origin.URL(""))
	for _, code := range []int{300, 301, 302, 303, 304, 305, 306, 307, 308} {
		s.ask(fmt.Sprintf("%d to an image", code), Reply{Status: code, Header: [][2]string{{"Location", good}}}, nil)
		s.ask(fmt.Sprintf("%d with a body", code), Reply{Status: code, Body: s.assets.tile, Header: [][2]string{{"Location", good}}}, nil)
		s.ask(fmt.Sprintf("%d without Location", code), Reply{Status: code, Body: s.assets.tile}, nil)
	}
	for _, code := range []int{200, 201, 202, 404, 410} {
		s.ask(fmt.Sprintf("%d with Location", code), Reply{Status: code, Body: s.assets.small, Header: [][2]string{{"Location", good}}}, nil)
	}
	for n := range 6 {
		for _, end := range []string{good, s.origin.URL("/none-" + fmt.Sprint(n))} {
			u := end
			for range n {
				next := u
				u = s.serve("hop.png", always(Reply{Status: 302, Header: [][2]string{{"Location", next}}}))
			}
			s.get(fmt.Sprintf("%d hops", n), s.image(u, 640, 75))
		}
	}
	missing := s.serve("missing.png", always(Reply{Status: 404}))
	failing := s.serve("failing.png", always(Reply{Status: 503}))
	self := s.servePath("self.png", nil)
	s.origin.Handle(self, always(Reply{Status: 301, Header: [][2]string{{"Location", s.origin.URL(self)}}}))
	locations := []string{
		path, "." + path, "../.." + path, "target.png", "./x/../target.png", "?q=1", "#f", "", " ", "//127.0.0.1:PORT" + path, "http://127.0.0.1:PORT" + path, "HTTP://127.0.0.1:PORT" + path, "http://localhost:PORT" + path, "http://[::1]:PORT" + path, "http://127.0.0.3:PORT" + path, "http:" + path, "http:target.png", "\\\\127.0.0.1:PORT" + path, " " + path + " ", path + "#f", path + "?a b", path + "?ü", "/ü.png", "/a b.png", "/%zz.png", "/../../x.png",
		"http://user:pass@127.0.0.1:PORT" + path, "http://127.1:PORT" + path, "http://", "http://[", "http://a b/", "http://127.0.0.1:99999/", "ftp://127.0.0.1/x.png", "file:///etc/passwd", "data:image/png;base64,AAAA", "javascript:alert(1)", "mailto:a@b", "https://127.0.0.1:PORT" + path, "http://127.0.0.1:9/x.png", "http://a.invalid/x.png", s.origin.URL(self), missing, failing, "/_next/image?url=x",
	}
	for _, l := range locations {
		l = strings.ReplaceAll(l, "PORT", fmt.Sprint(s.origin.Port))
		allow := unreachable
		if l == failing {
			allow = retried
		}
		s.ask("Location: "+l, Reply{Status: 302, Header: [][2]string{{"Location", l}}}, allow)
	}
	s.ask("two Locations", Reply{Status: 302, Header: [][2]string{{"Location", good}, {"Location", missing}}}, nil)
	s.ask("latin-1 Location", Reply{Status: 302, Header: [][2]string{{"Location", "/caf\xe9.png"}}}, nil)
	s.get("a loop of two", s.image(func() string {
		a, b := s.servePath("a.png", nil), s.servePath("b.png", nil)
		s.origin.Handle(a, always(Reply{Status: 302, Header: [][2]string{{"Location", b}}}))
		s.origin.Handle(b, always(Reply{Status: 302, Header: [][2]string{{"Location", a}}}))
		return s.origin.URL(a)
	}(), 640, 75))
	endless := Reply{Status: 302, Header: [][2]string{{"Location", good}}, Body: make([]byte, 1<<20), Length: 1 << 30}
	s.ask("a redirect whose body never ends", endless, nil)
	cookie := s.serve("cookie.png", func(r *http.Request) Reply {
		return Reply{Body: s.assets.svg, Header: [][2]string{{"ETag", fmt.Sprintf("%q", r.Header["Cookie"])}}}
	})
	s.ask("cookies are not kept", Reply{Status: 302, Header: [][2]string{{"Location", cookie}, {"Set-Cookie", "a=b"}}}, nil)
}

// framings are the ways a body may arrive, or not.
func framings(s *session) {
	small := s.assets.small
	for name, f := range map[string]Framing{"length": FramingLength, "chunked": FramingChunked, "close": FramingClose} {
		s.ask(name, Reply{Body: small, Framing: f}, nil)
		s.ask(name+", empty", Reply{Framing: f}, nil)
		s.ask(name+", in two parts", Reply{Body: small, Framing: f, Within: 50 * time.Millisecond}, nil)
		s.ask(name+", large", Reply{Body: append(slices.Clone(s.assets.photo), make([]byte, 3<<20)...), Framing: f}, nil)
	}
	s.ask("chunked, breaking off", Reply{Body: small, Framing: FramingCut}, unreachable)
	s.ask("shorter than its length by one", Reply{Body: small, Length: len(small) + 1}, unreachable)
	s.ask("shorter than its length by far", Reply{Body: small, Length: 1 << 20}, unreachable)
	s.ask("nothing of its length", Reply{Length: 100}, unreachable)
	s.ask("hangup", Reply{Hangup: true}, unreachable)
	image := string(small)
	n := len(image)
	for name, raw := range map[string]string{
		"rubbish":                "rubbish\r\n\r\n",
		"half a status line":     "HTTP/1.1 2",
		"half a head":            "HTTP/1.1 200 OK\r\nContent-Le",
		"head without end":       "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
		"HTTP/1.0":               "HTTP/1.0 200 OK\r\n\r\n" + image,
		"HTTP/1.0 with length":   fmt.Sprintf("HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, image),
		"no reason":              fmt.Sprintf("HTTP/1.1 200 \r\nContent-Length: %d\r\n\r\n%s", n, image),
		"lower case headers":     fmt.Sprintf("HTTP/1.1 200 ok\r\ncontent-length: %d\r\ncache-control: max-age=7000\r\netag: \"low\"\r\n\r\n%s", n, image),
		"more than its length":   fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sTRAILING", n, image),
		"length zero and a body": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + image,
		"chunk extensions":       fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%s\r\n0\r\n\r\n", n, image),
		"trailers":               fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n%x\r\n%s\r\n0\r\nX: y\r\nETag: \"t\"\r\n\r\n", n, image),
		"a bad chunk size":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" + image,
		"many headers":           fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", strings.Repeat("X-Filler: y\r\n", 200), n, image),
		"a long header":          fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Filler: %s\r\nContent-Length: %d\r\n\r\n%s", strings.Repeat("y", 12000), n, image),
		"a latin-1 header":       fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Filler: caf\xe9\r\nContent-Length: %d\r\n\r\n%s", n, image),
		"an endless head":        "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("y", 1000)+"\r\n", 200) + "\r\n" + image,
	} {
		s.ask(name, Reply{Raw: []byte(raw)}, unreachable)
	}
}

// sizes stands on both sides of maximumResponseBody (20,000 bytes in the variant tiny).
func sizes(s *session) {
	for _, n := range []int{0, 1, 19998, 19999, 20000, 20001, 20002, 65536, 1 << 20} {
		body := append(slices.Clone(s.assets.small), make([]byte, 1<<20)...)[:n]
		for name, f := range map[string]Framing{"length": FramingLength, "chunked": FramingChunked, "close": FramingClose} {
			s.ask(fmt.Sprintf("%d bytes, %s", n, name), Reply{Body: body, Framing: f}, nil)
		}
		s.ask(fmt.Sprintf("%d bytes in gzip", n), Reply{Body: encode(body, "gzip"), Header: [][2]string{{"Content-Encoding", "gzip"}}}, nil)
		s.ask(fmt.Sprintf("%d bytes in br", n), Reply{Body: encode(body, "br"), Header: [][2]string{{"Content-Encoding", "br"}}}, nil)
		s.ask(fmt.Sprintf("%d bytes with 404", n), Reply{Status: 404, Body: body}, nil)
		if pad := n - len(s.assets.small); pad > 0 {
			for _, chunks := range []int{0, 4} {
				name := fmt.Sprintf("%d bytes, relative, %d chunks", n, chunks)
				target := s.image(s.gen("x.png", program{File: "small.png", Pad: pad, Chunks: chunks}), 640, 75)
				if n > 20000 {
					s.expect(name, target, 413, textInternal) // Next.js never answers
				} else {
					s.get(name, target)
				}
			}
		}
	}
	// Far too large in a small coding, or without an end.
	s.ask("a small bomb", Reply{Body: encode(make([]byte, 30<<20), "gzip"), Header: [][2]string{{"Content-Encoding", "gzip"}}}, nil)
	s.ask("a doubly packed bomb", Reply{Body: encode(make([]byte, 30<<20), "gzip", "gzip"), Header: [][2]string{{"Content-Encoding", "gzip, gzip"}}}, nil)
	s.ask("never ending", Reply{Body: append(slices.Clone(s.assets.small), make([]byte, 5<<20)...), Length: 1 << 30}, nil)
}

func cacheControls(s *session) {
	values := []string{
		"", " ", "public", "private", "no-store", "no-cache", "no-cache, no-store, must-revalidate", "immutable", "must-revalidate",
		"max-age=0", "max-age=1", "max-age=59", "max-age=599", "max-age=600", "max-age=601", "max-age=3600", "max-age=31536000", "max-age=31536001", "max-age=2147483647", "max-age=2147483648", "max-age=4294967296", "max-age=9007199254740991", "max-age=99999999999",
		"s-maxage=1200", "s-maxage=1200, max-age=2400", "max-age=2400, s-maxage=1200", "s-maxage=0, max-age=2400", "s-maxage=, max-age=2400", "s-maxage, max-age=2400", "s-maxage=x, max-age=2400", "s-maxage=-1, max-age=2400", "s-maxage=\"\", max-age=2400", "s-maxage=\"1200\"", "max-age=\"2400\"", "max-age='2400'", "max-age=\"2400", "max-age=2400\"", "max-age=\"\"", "max-age=\"", "max-age=\" 2400 \"", "max-age=\"2400, x\"",
		"max-age", "max-age=", "max-age=x", "max-age=-1", "max-age=-100", "max-age=+2400", "max-age=2400.9", "max-age=2.4e2", "max-age=1e3", "max-age=0x100", "max-age=02400", "max-age=000002400", "max-age=2400s", "max-age=2400 300", "max-age= 2400", "max-age =2400", "max-age = 2400", "max-age=\t2400", "max-age=2400 ", "max-age==2400", "max-age=2400=300", "max-age=２４００", "max-age=Infinity", "max-age=NaN", "max-age=null", "max-age=1_000",
		"MAX-AGE=2400", "Max-Age=2400", "S-MaxAge=1200", "S-MAXAGE=1200, MAX-AGE=2400", " max-age=2400", "max-age=2400,", ",max-age=2400", ",,max-age=2400,,", "public,max-age=2400", "public ,max-age=2400", "public;max-age=2400", "max-age=2400;public", "public max-age=2400", "max-age=1000, max-age=2400", "max-age=2400, max-age=1000", "max-age=2400, max-age", "max-age=2400, max-age=", "max-age=1000, MAX-AGE=2400", "s-maxage=1000, s-maxage=2000", "x-max-age=2400", "max-age-x=2400", "stale-while-revalidate=2400", "max-age=2400, stale-while-revalidate=300", "private, max-age=2400", "no-store, max-age=2400", "no-cache, s-maxage=2400", "foo=\"a, max-age=1\", max-age=2400", "public, max-age=31536000, immutable",
	}
	for _, v := range values {
		u := s.serve("x.png", always(Reply{Body: s.assets.small, Header: [][2]string{{"Cache-Control", v}}}))
		s.get(fmt.Sprintf("%q", v), s.image(u, 640, 75))
		if s.variant == "remote" { // with a lifetime of 600 s the second is a hit
			s.get(fmt.Sprintf("%q again", v), s.image(u, 640, 75))
		}
		s.ask(fmt.Sprintf("%q, passed through", v), Reply{Body: s.assets.svg, Header: [][2]string{{"Cache-Control", v}}}, nil)
	}
	broken := slices.Clone(s.assets.photo[:200])
	s.ask("not decodable", Reply{Body: broken, Header: [][2]string{{"Cache-Control", "max-age=99999"}, {"ETag", `"broken"`}}}, nil)
	s.ask("two lines", Reply{Body: s.assets.small, Header: [][2]string{{"Cache-Control", "max-age=1000"}, {"Cache-Control", "s-maxage=2000"}}}, nil)
	s.ask("two equal lines", Reply{Body: s.assets.small, Header: [][2]string{{"Cache-Control", "max-age=1000"}, {"Cache-Control", "max-age=2000"}}}, nil)
	for _, h := range [][2]string{{"Expires", "Fri, 01 Jan 2100 00:00:00 GMT"}, {"Age", "50"}, {"CDN-Cache-Control", "max-age=500"}, {"Surrogate-Control", "max-age=500"}, {"Pragma", "no-cache"}, {"Vary", "*"}, {"Set-Cookie", "a=b"}, {"Content-Disposition", "inline; filename=other.gif"}, {"Content-Security-Policy", "none"}, {"X-Nextjs-Cache", "HIT"}, {"Last-Modified", "Fri, 01 Jan 2021 00:00:00 GMT"}} {
		s.ask(h[0], Reply{Body: s.assets.small, Header: [][2]string{h, {"Cache-Control", "max-age=1000"}}}, nil)
	}
}

func etags(s *session) {
	values := []string{
		`"abc"`, `W/"abc"`, `w/"abc"`, `abc`, `""`, `W/""`, `*`, ` "abc" `, `"a b"`, `"a,b"`, `"a"b"`, `"a\"b"`, `"/+-_="`, `"äöü"`, "\"caf\xe9\"", "\"\xff\xfe\"", `"😀"`, `"` + strings.Repeat("x", 60) + `"`, `"a", "b"`, `W/ "abc"`, `"%22"`, `"."`, `"a.b.c"`, "\"a\tb\"", `0`, ``, ` `,
	}
	for _, v := range values {
		header := [][2]string{{"ETag", v}}
		for name, body := range map[string][]byte{"svg": s.assets.svg, "gif": s.assets.gif, "png": s.assets.small, "broken": s.assets.photo[:300]} {
			u := s.serve("x", always(Reply{Body: body, Header: header}))
			want, _ := s.get(fmt.Sprintf("%s %q", name, v), s.image(u, 640, 75))
			if want == nil {
				continue
			}
			s.get(fmt.Sprintf("%s %q, conditional", name, v), s.image(u, 640, 75), "If-None-Match: "+want.Header.Get("ETag"))
			s.get(fmt.Sprintf("%s %q, quoted", name, v), s.image(u, 640, 75), `If-None-Match: "`+want.Header.Get("ETag")+`"`)
		}
	}
	s.ask("two ETags", Reply{Body: s.assets.svg, Header: [][2]string{{"ETag", `"first"`}, {"ETag", `"second"`}}}, nil)
	s.ask("lower case name", Reply{Body: s.assets.svg, Header: [][2]string{{"etag", `"lower"`}}}, nil)
}

// upstreamRequests lets the upstream tell, in the ETag of a passed-through image, what it has been sent.
func upstreamRequests(s *session) {
	echo := func(name string) Handler {
		return func(r *http.Request) Reply {
			return Reply{Body: s.assets.svg, Header: [][2]string{{"ETag", fmt.Sprintf("%q", r.Header[name])}}}
		}
	}
	client := []string{
		"Accept: image/webp,*/*", "Accept-Language: de", "Cookie: session=secret", "Authorization: Bearer secret", "Referer: http://a/b", "User-Agent: Browser/1.0", "X-Forwarded-For: 10.0.0.1", "X-Custom: 1", "If-None-Match: \"x\"", "If-Modified-Since: Fri, 01 Jan 2021 00:00:00 GMT", "Range: bytes=0-9", "Cache-Control: no-cache", "Origin: http://a",
	}
	for _, name := range []string{"Accept", "Accept-Encoding", "Accept-Language", "User-Agent", "Sec-Fetch-Mode", "Cookie", "Authorization", "Referer", "X-Forwarded-For", "X-Forwarded-Host", "X-Custom", "If-None-Match", "If-Modified-Since", "Range", "Cache-Control", "Pragma", "Origin", "Via", "Content-Length", "Connection", "Traceparent"} {
		s.get("upstream sees "+name, s.image(s.serve("x.svg", echo(name)), 640, 75), client...)
	}
	s.get("upstream sees the method", s.image(s.serve("x.svg", func(r *http.Request) Reply {
		return Reply{Body: s.assets.svg, Header: [][2]string{{"ETag", r.Method + " " + r.Proto}}}
	}), 640, 75))
	s.do("upstream sees GET for HEAD", Request{Method: "HEAD", Target: s.image(s.serve("x.svg", func(r *http.Request) Reply {
		return Reply{Body: s.assets.svg, Header: [][2]string{{"ETag", r.Method}}}
	}), 640, 75)}, nil)
	s.get("upstream sees Host", s.image(s.serve("x.svg", func(r *http.Request) Reply {
		return Reply{Body: s.assets.svg, Header: [][2]string{{"ETag", r.Host}}}
	}), 640, 75))
	target := func(r *http.Request) Reply {
		return Reply{Body: s.assets.svg, Header: [][2]string{{"ETag", r.RequestURI}}}
	}
	for _, suffix := range []string{"?", "?a=b", "?a b", "?a+b", "?ü", "?%zz", "?a'b\"", "#f", "?a#f", "?a=b&c=d;e", "?a=%26", "?a[]=1", "?{}|^`"} {
		s.get("upstream sees "+suffix, s.image(s.serve("x.svg", target)+suffix, 640, 75))
	}
	for _, name := range []string{"a b.svg", "ü.svg", "%C3%BC.svg", "%41.svg", "%zz.svg", "a|b.svg", "a^b.svg", "a`b.svg", "a{b}.svg", "a'b.svg", "a\"b.svg", "a<b>.svg", "a[b].svg", "a%2Fb.svg", "a%2fb.svg", "a\\b.svg", "a;b=c.svg", "a//b.svg", "./a.svg", "../a.svg", "%2e%2e/a.svg", "a%00.svg", "😀.svg", "~.svg", "a:b.svg", "@.svg", "$.svg", "a%20b.svg", "a+b.svg", "a!*().svg"} {
		path := s.servePath("", nil) // where WHATWG parsing leads is registered below
		parsed := s.origin.URL(path) + name
		handler := target
		for _, p := range []string{path + name, path + escapePath(name), path + (&url.URL{Path: name}).EscapedPath()} {
			s.origin.Handle(p, handler)
		}
		s.get("upstream sees "+name, s.image(parsed, 640, 75))
	}
	auth := func(r *http.Request) Reply {
		user, password, ok := r.BasicAuth()
		return Reply{Body: s.assets.svg, Header: [][2]string{{"ETag", fmt.Sprintf("%q %q %v", user, password, ok)}}}
	}
	for _, info := range []string{"user:pass", "user", "user:", ":pass", "us%20er:p%40ss", "ü:ß", "a:b:c", "", ":"} {
		u := strings.Replace(s.serve("x.svg", auth), "http://", "http://"+info+"@", 1)
		s.get("upstream sees "+info+"@", s.image(u, 640, 75))
	}
	s.get("upstream chooses by Accept", s.image(s.serve("x", func(r *http.Request) Reply {
		if strings.Contains(r.Header.Get("Accept"), "webp") {
			return Reply{Body: s.assets.webp}
		}
		return Reply{Body: s.assets.small}
	}), 640, 75), "Accept: image/webp")
	s.get("upstream chooses by Accept-Encoding", s.image(s.serve("x", func(r *http.Request) Reply {
		if c := r.Header.Get("Accept-Encoding"); strings.Contains(c, "br") {
			return Reply{Body: encode(s.assets.tile, "br"), Header: [][2]string{{"Content-Encoding", "br"}, {"ETag", `"br"`}}}
		} else if strings.Contains(c, "gzip") {
			return Reply{Body: encode(s.assets.small, "gzip"), Header: [][2]string{{"Content-Encoding", "gzip"}, {"ETag", `"gzip"`}}}
		}
		return Reply{Body: s.assets.webp}
	}), 640, 75))
}

// slow are upstreams on both sides of the 7 s that a fetch may take.
func slow(s *session) {
	image := s.assets.small
	var wg sync.WaitGroup
	for name, r := range map[string]Reply{
		"head after 3 s":          {Body: image, Before: 3 * time.Second},
		"body after 4 s":          {Body: image, Within: 4 * time.Second},
		"head after 9 s":          {Body: image, Before: 9 * time.Second},
		"body stalls for 9 s":     {Body: image, Within: 9 * time.Second},
		"chunks stall for 9 s":    {Body: image, Framing: FramingChunked, Within: 9 * time.Second},
		"4 s and 4 s":             {Body: image, Before: 4 * time.Second, Within: 4 * time.Second},
		"404 after 9 s":           {Status: 404, Before: 9 * time.Second},
		"a status and no rest":    {Raw: []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), Before: 9 * time.Second},
		"gzip stalls for 9 s":     {Body: encode(s.assets.tile, "gzip"), Header: [][2]string{{"Content-Encoding", "gzip"}}, Within: 9 * time.Second},
		"redirect after 9 s":      {Status: 302, Header: [][2]string{{"Location", "/x.png"}}, Before: 9 * time.Second},
		"redirect after 4 s to 4": {Status: 302, Header: [][2]string{{"Location", s.serve("late.png", always(Reply{Body: image, Before: 4 * time.Second}))}}, Before: 4 * time.Second},
	} {
		wg.Go(func() { s.ask(name, r, nil) })
	}
	wg.Go(func() {
		s.do("a page of the application after 9 s", Request{Target: s.image(s.gen("x.png", program{File: "small.png", Delay: 9000}), 640, 75)}, slowPage)
	})
	wg.Go(func() {
		s.do("a page of the application after 4 s", Request{Target: s.image(s.gen("x.png", program{File: "small.png", Delay: 4000}), 640, 75)}, nil)
	})
	wg.Wait()
}
