//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// internalGroups test what relative urls may meet: the application itself.
func internalGroups() []group {
	return []group{
		{name: "internal status", variant: "default", run: internalStatuses},
		{name: "internal headers", variant: "default", run: internalHeaders},
		{name: "internal headers", variant: "basepath", run: internalHeaders},
		{name: "static media", variant: "default", run: staticMedia("media")},
		{name: "static media", variant: "basepath", run: staticMedia("media")},
		{name: "static media", variant: "patterns", run: staticMedia("media")},
		{name: "static media", variant: "svg", run: staticMedia("immutable/media")},
	}
}

// route compares a request for a fresh relative url that answers with p.
func (s *session) route(name string, p program, allow *Allowance) {
	s.do(name, Request{Target: s.image(s.gen("x.png", p), 640, 75)}, allow)
}

func internalStatuses(s *session) {
	for _, code := range []int{
		200, 201, 202, 203, 204, 205, 206, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 403, 404, 405, 410, 412, 413, 416, 418, 422, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 507, 508, 511, 599,
	} {
		var allow *Allowance
		if slices.Contains(retryable, code) {
			allow = retried
		}
		s.route(fmt.Sprintf("%d", code), program{Status: code, File: "small.png"}, allow)
		s.route(fmt.Sprintf("%d without a body", code), program{Status: code}, allow)
		if code >= 300 && code < 400 {
			s.route(fmt.Sprintf("%d with Location", code), program{Status: code, Headers: map[string]string{"Location": "/assets/small.png"}}, allow)
		}
	}
	s.route("a failing route", program{File: "none.png"}, retried)
}

func internalHeaders(s *session) {
	for _, cc := range []string{"max-age=99999", "public, s-maxage=88888", "no-store", "max-age=5", "garbage"} {
		s.route("Cache-Control: "+cc, program{File: "small.png", Headers: map[string]string{"Cache-Control": cc}}, nil)
	}
	for _, tag := range []string{`"abc"`, `W/"abc"`, "plain", ""} {
		for _, file := range []string{"small.png", "moving.gif"} {
			s.route(file+" ETag: "+tag, program{File: file, Headers: map[string]string{"ETag": tag}}, nil)
		}
	}
	for _, ct := range []string{"text/html", "image/svg+xml", "image/png", "application/pdf", ""} {
		s.route("Content-Type: "+ct, program{File: "small.png", Headers: map[string]string{"Content-Type": ct}}, nil)
	}
	for _, coding := range []string{"gzip", "deflate", "br", "identity", "zstd"} {
		body := s.assets.small
		if coders[coding] != nil {
			body = encode(body, coding)
		}
		s.route(coding+" is not decoded", program{Body: body, Headers: map[string]string{"Content-Encoding": coding}}, nil)
		s.route(coding+" is not believed", program{File: "small.png", Headers: map[string]string{"Content-Encoding": coding}}, nil)
	}
	for _, file := range []string{"tile.png", "photo.jpg", "moving.gif", "still.webp", "drawing.svg", "empty.png", "text.png", "page.html"} {
		for _, accept := range []string{"*/*", "image/webp", "image/avif"} {
			s.get(file+" "+accept, s.image(s.gen(file, program{File: file}), 640, 75), "Accept: "+accept)
			s.get(file+" in chunks "+accept, s.image(s.gen(file, program{File: file, Chunks: 7}), 640, 75), "Accept: "+accept)
		}
	}
	s.route("after a second", program{File: "small.png", Delay: 1000}, nil)
	s.route("a cookie", program{File: "small.png", Headers: map[string]string{"Set-Cookie": "a=b"}}, nil)
	// The client's own headers must not reach the application.
	for _, h := range []string{"Cookie: a=b", "Authorization: Basic eDp5", "Range: bytes=0-9", "If-None-Match: *", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", "Accept-Encoding: gzip, br", "RSC: 1", "Next-Router-Prefetch: 1", "X-Nextjs-Data: 1", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example", "Sec-Fetch-Dest: image", "X-Matched-Path: /x", "X-Middleware-Rewrite: /x", "X-Invoke-Path: /x", "Purpose: prefetch", "Expect: 100-continue", "Upgrade-Insecure-Requests: 1", "Host: other.example"} {
		for i, src := range []string{s.base + "/assets/tile.png", s.gen("x.png", program{File: "small.png"}), s.base + "/nowhere.png"} {
			s.get(fmt.Sprintf("%s %d", h, i), s.image(src, 384, 75), h)
		}
	}
}

// staticMedia asks for what static imports of the application became.
func staticMedia(dir string) func(*session) {
	return func(s *session) {
		dist, err := nextDir(s.build())
		if err != nil {
			s.fail("build", "%v", err)
			return
		}
		files, err := os.ReadDir(filepath.Join(dist, "static", dir))
		if err != nil || len(files) == 0 {
			s.fail("build", "no static media: %v", err)
			return
		}
		for _, f := range files {
			src := s.base + "/_next/static/" + dir + "/" + f.Name()
			for _, u := range []string{src, src + "?dpl=x", src + "?", src + "#x", "/_next/static/" + dir + "/" + f.Name(), s.base + "/_next/static/./" + dir + "/" + f.Name(), s.base + "/_next/%73tatic/" + dir + "/" + f.Name()} {
				for _, accept := range []string{"*/*", "image/webp"} {
					want, _ := s.get(u+" "+accept, s.image(u, 640, 75), "Accept: "+accept)
					s.get(u+" "+accept+" again", s.image(u, 640, 75), "Accept: "+accept)
					if want != nil && want.Header.Get("ETag") != "" {
						s.get(u+" "+accept+" conditional", s.image(u, 640, 75), "Accept: "+accept, "If-None-Match: "+want.Header.Get("ETag"))
					}
				}
			}
			s.get(src+" with dpl", s.image(src, 640, 75)+"&dpl=e2e-deployment")
			s.do(src+" HEAD", Request{Method: "HEAD", Target: s.image(src, 750, 75)}, nil)
			s.get(src+" bad quality", s.image(src, 640, 3))
		}
		s.get("none", s.image(s.base+"/_next/static/"+dir+"/none.png", 640, 75))
		s.get("the folder", s.image(s.base+"/_next/static/"+dir, 640, 75))
		s.get("its name only begins so", s.image(s.base+"/_next/static/"+dir+"x/y.png", 640, 75))
		s.get("outside", s.image(s.base+"/_next/static/"+dir+"/../../../assets/small.png", 640, 75))
	}
}
