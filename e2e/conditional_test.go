//go:build e2e

package e2e

import (
	"fmt"
	"strings"
)

// conditionalGroups test conditional requests and HEAD.
func conditionalGroups() []group {
	return []group{
		{name: "conditional", variant: "default", run: conditionals},
		{name: "conditional", variant: "remote", run: conditionals},
		{name: "conditional", variant: "plain", run: conditionals},
		{name: "head", variant: "default", run: heads},
		{name: "head", variant: "remote", run: heads},
		{name: "head", variant: "plain", run: heads},
	}
}

func conditionals(s *session) {
	sources := map[string]string{"png": "/assets/tile.png", "gif passed through": "/assets/moving.gif"}
	if s.variant != "default" {
		sources["svg"] = s.serve("x.svg", always(Reply{Body: s.assets.svg, Header: [][2]string{{"ETag", `W/"up"`}}}))
		sources["fallback"] = s.serve("x.jpg", always(Reply{Body: s.assets.photo[:500]}))
	}
	for kind, src := range sources {
		target := s.image(src, 640, 75)
		want, _ := s.get(kind, target)
		if want == nil {
			continue
		}
		e := want.Header.Get("ETag")
		tags := []string{
			e, `"` + e + `"`, `W/"` + e + `"`, "W/" + e, `w/"` + e + `"`, "*", "* ", " *", "*, x", "x, *", "", " ", `""`, "x", `"x"`, " " + e + " ", e + ",", "," + e, ",", e + ", x", "x, " + e, `x,` + e, "x ," + e + " ,y", `"x", "` + e + `"`, `W/"x", W/"` + e + `"`, e + ";", e + " x", e + e, e[:len(e)-1], e + "=", strings.ToLower(e), strings.ToUpper(e), `"` + e, e + `"`, "'" + e + "'", "W/" + `"` + e, "W/W/" + e, strings.Repeat("x, ", 500) + e, "\t" + e, "x\t,\t" + e, e + "\u00a0",
		}
		for _, tag := range tags {
			s.get(kind+" If-None-Match: "+shorten(tag), target, "If-None-Match: "+tag)
			s.do(kind+" HEAD If-None-Match: "+shorten(tag), Request{Method: "HEAD", Target: target, Header: []string{"If-None-Match: " + tag}}, nil)
		}
		match := "If-None-Match: " + e
		for _, cc := range []string{"no-cache", "NO-CACHE", "No-Cache", " no-cache", "no-cache ", "no-cache,max-age=0", "max-age=0, no-cache", "max-age=0 , no-cache , x", "no-cache=x", "x-no-cache", "no-cache-x", "no-cache;x", "no-store", "max-age=0", "only-if-cached", "", "no-cach", "\"no-cache\"", ",no-cache", "no-cache,", "no-cache no-store"} {
			s.get(kind+" Cache-Control: "+cc, target, match, "Cache-Control: "+cc)
		}
		s.get(kind+" Pragma", target, match, "Pragma: no-cache")
		s.get(kind+" two Cache-Controls", target, match, "Cache-Control: x", "Cache-Control: no-cache")
		for _, date := range []string{"Fri, 01 Jan 2100 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "nonsense", "", "0", "2100-01-01", "Friday, 01-Jan-99 00:00:00 GMT"} {
			s.get(kind+" If-Modified-Since: "+date, target, "If-Modified-Since: "+date)
			s.get(kind+" both, If-Modified-Since: "+date, target, match, "If-Modified-Since: "+date)
			s.get(kind+" neither, If-Modified-Since: "+date, target, "If-None-Match: x", "If-Modified-Since: "+date)
		}
		s.get(kind+" two lines", target, "If-None-Match: x", "If-None-Match: "+e)
		s.get(kind+" two lines, neither", target, "If-None-Match: x", "If-None-Match: y")
		s.get(kind+" lower case name", target, "if-none-match: "+e)
		s.get(kind+" with gzip", target, match, "Accept-Encoding: gzip")
		s.get(kind+" another format", target, match, "Accept: image/webp")
		s.get(kind+" If-Match", target, "If-Match: x")
		s.get(kind+" If-Unmodified-Since", target, "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT")
		s.get(kind+" range", target, match, "Range: bytes=0-5")
		s.do(kind+" HTTP/1.0", Request{Proto: "HTTP/1.0", Target: target, Header: []string{match}}, nil)
		// The first request may be the conditional one: the entry is made all the same.
		cold := s.image(src, 750, 75)
		s.get(kind+" cold *", cold, "If-None-Match: *")
		s.get(kind+" then warm", cold)
	}
	s.get("error", s.target("url=x"), "If-None-Match: *")
	s.get("missing", s.image("/nowhere.png", 640, 75), "If-None-Match: *")
}

func heads(s *session) {
	head := func(name, target string, header ...string) {
		s.do(name, Request{Method: "HEAD", Target: target, Header: header}, nil)
	}
	small := "/assets/small.png"
	head("cold", s.image(small, 640, 75))
	head("warm", s.image(small, 640, 75))
	s.get("GET after HEAD", s.image(small, 640, 75))
	s.get("GET first", s.image(small, 128, 75))
	head("HEAD after GET", s.image(small, 128, 75))
	for _, file := range []string{"tile.png", "photo.jpg", "moving.gif", "still.webp", "drawing.svg", "empty.png", "text.png", "page.html", "none.png"} {
		for _, accept := range []string{"*/*", "image/webp", "image/avif"} {
			head(file+" "+accept, s.image("/assets/"+file, 640, 75), "Accept: "+accept, "Accept-Encoding: gzip")
			head(file+" again "+accept, s.image("/assets/"+file, 640, 75), "Accept: "+accept)
		}
	}
	for _, query := range []string{"", "url=", "url=x", "url=/assets/small.png", "url=/assets/small.png&w=1", "url=/assets/small.png&w=640&q=0", "url=//x", "url=/_next/image", "url=/%"} {
		head("?"+query, s.target(query))
	}
	if s.variant == "default" {
		return
	}
	for _, code := range []int{204, 404, 410, 301, 451, 505} {
		head(fmt.Sprintf("upstream %d", code), s.image(s.serve("x.png", always(Reply{Status: code})), 640, 75))
	}
	head("upstream image", s.image(s.serve("x.png", always(Reply{Body: s.assets.tile, Header: [][2]string{{"Cache-Control", "max-age=500"}}})), 640, 75))
	head("upstream svg", s.image(s.serve("x.svg", always(Reply{Body: s.assets.svg})), 640, 75), "Accept-Encoding: gzip")
	s.do("upstream 503", Request{Method: "HEAD", Target: s.image(s.serve("x.png", always(Reply{Status: 503})), 640, 75)}, retried)
	s.do("upstream unreachable", Request{Method: "HEAD", Target: s.image("http://127.0.0.1:9/x.png", 640, 75)}, unreachable)
}
