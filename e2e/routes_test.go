//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
)

// routeGroups test methods and paths: what is the optimizer's and what is not.
func routeGroups() []group {
	return []group{
		{name: "methods", variant: "default", run: methods},
		{name: "paths", variant: "default", run: paths},
		{name: "paths", variant: "basepath", run: paths},
		{name: "errors", variant: "plain", run: plainErrors},
		{name: "not optimized", variant: "off", run: off},
	}
}

func methods(s *session) {
	for _, target := range []string{s.image("/assets/small.png", 640, 75), s.target("url=x")} {
		for body, header := range map[string]string{"": "Content-Length: 0", "ok": "Content-Length: 2", "0\r\n\r\n": "Transfer-Encoding: chunked", "2\r\nok\r\n0\r\n\r\n": "Transfer-Encoding: chunked"} {
			for _, m := range []string{http.MethodGet, http.MethodHead} {
				r := Request{Method: m, Target: target, Header: []string{header}, Body: body}
				s.do(fmt.Sprintf("%s %s %q %s", m, header, body, target), r, requestBody)
			}
		}
	}
	for name, target := range map[string]string{"image": s.image("/assets/small.png", 640, 75), "error": s.target("url=x")} {
		for _, m := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, "PROPFIND", "PURGE", "REPORT"} {
			s.do(m+" "+name, Request{Method: m, Target: target}, method)
			s.do(m+" "+name+" with a body", Request{Method: m, Target: target, Header: []string{"Content-Length: 0", "Origin: https://a.example", "Access-Control-Request-Method: GET"}}, method)
		}
	}
}

func paths(s *session) {
	query := "?url=" + s.base + "/assets/small.png&w=640&q=75"
	// What leads to the optimizer in Next.js must do so in imgopt.
	for _, path := range []string{"/_next/image", "/_next/image/"} {
		s.get(path, s.base+path+query)
		s.get(path+" without a query", s.base+path)
		s.do("HEAD "+path, Request{Method: "HEAD", Target: s.base + path + query}, nil)
	}
	// Other spellings, which Next.js redirects or takes for the same.
	for _, path := range []string{
		"/_next/image//", "/_next/image///", "//_next/image", "/_next//image", "/_next//image/", "/_next\\image", "/_next/image\\", "/./_next/image", "/_next/./image", "/_next/image/.", "/_next/x/../image", "/x/../_next/image", "/_next/image/..", "/../_next/image", "/_next/%2e/image",
	} {
		s.do(path, Request{Target: s.base + path + query}, elsewhere)
		s.do(path+" without a query", Request{Target: s.base + path}, elsewhere)
		s.do("HEAD "+path, Request{Method: "HEAD", Target: s.base + path + query}, elsewhere)
	}
	for _, target := range []string{"http://images.test" + s.base + "/_next/image" + s.slash + query, "https://other.test" + s.base + "/_next/image" + s.slash + query, "http://images.test" + s.base + "/_next/image" + s.slash, "http://images.test"} {
		s.do(target, Request{Target: target}, either(absoluteForm, elsewhere))
	}
	for _, tricky := range []string{"?", "??", "?#", "#", "#?url=x", "?url=%2Fa+b&w=1&q=2", "?url=a%20b", "?url='\"<>", "?a=1&a=2", "?&&", "?url", "?=x", "?url=%zz", "?url=a;b", "?url=%2F%2F"} {
		for _, wrong := range []string{"/_next/image/", "/_next/image", "/_next//image"} {
			s.do(wrong+tricky, Request{Target: s.base + wrong + tricky}, elsewhere)
		}
	}
	others := []string{
		"/", "/_next", "/_next/", "/_next/imag", "/_next/imagex", "/_next/image/x", "/_next/image/_next/image", "/_next/image.png", "/_next/Image", "/_NEXT/IMAGE", "/_next/static/none.js", "/_next/static/media/none.png", "/_next/data/x", "/assets/small.png", "/favicon.ico", "/robots.txt", "/healthz", "/readyz", "/metrics", "/demo", "/debug/pprof/", "/x/_next/image",
		"/_next/image;x", "/_next/image%3F", "/_next/image%2F", "/_next/image%00", "/_next/image%20",
	}
	for _, path := range others {
		s.do(path, Request{Target: s.base + path + query}, elsewhere)
	}
	if s.base != "" {
		for _, path := range []string{"/_next/image", "/_next/image/", "/docs", "/docs/", "/docsx/_next/image", "/docs/docs/_next/image", "/DOCS/_next/image"} {
			s.do(path, Request{Target: path + query}, elsewhere)
		}
	}
}

// plainErrors are errors where Next.js does not compress: it then says how long they are.
func plainErrors(s *session) {
	for _, query := range []string{"", "url=x", "url=/%", "url=/nowhere.png&w=640&q=75", "url=/assets/text.png&w=640&q=75", "url=/assets/empty.png&w=640&q=75", "url=http://a.example/&w=640&q=75", "url=/assets/tile.png&w=1&q=75"} {
		for _, m := range []string{"GET", "HEAD"} {
			for _, proto := range []string{"HTTP/1.0", "HTTP/1.1"} {
				s.do(m+" "+proto+" "+query, Request{Method: m, Proto: proto, Target: s.target(query), Header: []string{"Accept-Encoding: gzip"}}, nil)
			}
		}
	}
	for _, code := range []int{404, 410, 501, 204} {
		s.ask(fmt.Sprint(code), Reply{Status: code}, nil)
	}
}

// off: with images.unoptimized there is no optimizer; what Next.js answers then is its page for 404.
func off(s *session) {
	for _, query := range []string{"", "url=x", "url=/assets/small.png&w=640&q=75", "url=/assets/small.png&w=1&q=75"} {
		s.do(query, Request{Target: s.target(query)}, elsewhere)
		s.do("HEAD "+query, Request{Method: "HEAD", Target: s.target(query)}, elsewhere)
	}
}
