//go:build e2e

package e2e

import "fmt"

// patternGroups test localPatterns, remotePatterns, domains and assetPrefix. next/variants.mjs gives each glob a host
// or a path prefix of its own, so that each is judged alone.
func patternGroups() []group {
	return []group{
		{name: "pattern pathname", variant: "patterns", run: pathnamePatterns},
		{name: "pattern local", variant: "patterns", run: localPatterns},
		{name: "pattern local", variant: "hosts", run: localPatterns},
		{name: "pattern local", variant: "basepath", run: localPatterns},
		{name: "pattern hostname", variant: "hosts", run: hostnamePatterns},
		{name: "pattern other parts", variant: "hosts", run: otherParts},
		{name: "pattern domains", variant: "tuned", run: domains},
		// The same configuration given to imgopt in other ways.
		{name: "pattern local", variant: "patterns by images-manifest", run: localPatterns},
		{name: "pattern pathname", variant: "patterns by images-manifest", run: pathnamePatterns},
		{name: "params sizes", variant: "patterns by images-manifest", run: paramsSizes},
		{name: "pattern hostname", variant: "hosts by images-manifest", run: hostnamePatterns},
		{name: "pattern other parts", variant: "hosts by images-manifest", run: otherParts},
		{name: "pattern local", variant: "basepath by yaml", run: localPatterns},
		{name: "static media", variant: "basepath by yaml", run: staticMedia("media")},
		{name: "pattern pathname", variant: "patterns by yaml", run: pathnamePatterns},
		{name: "pattern other parts", variant: "hosts by yaml", run: otherParts},
		{name: "compression", variant: "svg by yaml", run: compressions},
		{name: "disposition", variant: "svg by server-files", run: dispositions},
	}
}

func pathnamePatterns(s *session) {
	paths := []string{
		"", "/", "/a", "/a/", "/a/b", "/a/b.png", "/a/.hidden", "/a/.hidden.png", "/a/x.png", "/a/y.png", "/a/xy.png", "/a/xxy.png", "/a/xxxy.png", "/a/secret.png", "/a/secret.jpg", "/a/1.png", "/a/2.png", "/a/4.png", "/a/12.png",
		"/a/a1.png", "/a/d1.png", "/a/c9.png", "/a/x/y.png", "/a/x/y/z.png", "/a/xy/z", "/a/yx/z", "/a/xx/z", "/a/x/", "/a//b.png", "/a/exact.png", "/a/exact.png?x=1", "/a/exact.png#x", "/a/EXACT.png", "/a/b.jpg", "/a/b.gif", "/a/b.png.png", "/a/bXpng",
		"/b/x.png", "/x/b/q.png", "/x/y/b/q.png", "/xb/q.png", "/c/x", "/x/c/y", "/x/y/c/z/w", "/c", "/c/", "/a.b/x.png", "/aXb/x.png", "/a%20b/x", "/a b/x", "/a+b/x", "/A/x", "/%61/x", "/a*/x.png", "/ab/x.png", "/a%2A/x.png", "/a/z", "/a/q/z", "/a/q/r/z", "/az",
		"/é/x", "/%C3%A9/x", "/%c3%a9/x", "/a/../b/x.png", "/a/./b.png", "/a/%2e%2e/x", "/a/..", "/a/...", "/a/..x", "/a/(x|y).png", "/a/x%2Fy.png", "/a/b%0A.png", "/a/[abc].png", "/a/{x,y}.png", "/a/x/b.png", "/a/y/b/c.png", "/.a/x", "/..", "/a/b/../../c/d", "/x", "/x.png",
	}
	for n := range pathnameGlobs {
		for _, path := range paths {
			u := fmt.Sprintf("http://127.0.1.%d:%d%s", n, s.origin.Port, path)
			s.get(fmt.Sprintf("glob %d: %s", n, path), s.image(u, 10, 75))
		}
	}
}

func localPatterns(s *session) {
	paths := []string{
		"/images/none.png", "/images/none.png?", "/images/none.png?v=1", "/images/none.png#x", "/images/", "/images", "/Images/x.png", "/images/a/b/c", "/images/../assets/small.png", "/assets/../images/none.png", "/images/%2e%2e/x", "/images/.x", "/images//x", "/images\\x", "/%69mages/x", "/images%2Fx",
		"/assets/small.png", "/gen/x", "/gen/x?y=z", "/gen", "/genx", "/lp/q/x", "/lp/q/x?v=1", "/lp/q/x?v=2", "/lp/q/x?v=1&w=2", "/lp/q/x?V=1", "/lp/q/x?v=%31", "/lp/q/x?v=1#y", "/lp/q/x/y?v=1", "/lp/q?v=1",
		"/lp/one/x", "/lp/one/x?a=b", "/lp/one/x/y", "/lp/one/", "/lp/one", "/lp/one/.x", "/lp/one/x/", "/lp/deep/x.png", "/lp/a/deep/x.png", "/lp/a/b/deep/x.png?q", "/lp/a/deep/x.jpg", "/lp/a/deeper/x.png",
		"/lp/a/1.png", "/lp/b/9.png", "/lp/c/1.png", "/lp/a/10.png", "/lp/a/1.png?x", "/lp/a/x.png", "/lp/dot/.x", "/lp/dot/x", "/lp/dot/..x", "/lp/é/x", "/lp/%C3%A9/x", "/lp/%c3%a9/x", "/lp/e/x",
		"/_next/static/media/none.png", "/_next/static/media/none.png?x", "/_next/static/media/a/b.png", "/_next/static/immutable/media/none.png", "/_next/static/immutable/media/x?y", "/_next/static/chunks/x.js", "/_next/static/media", "/_next/static/media/", "/_next/static/mediax/y",
	}
	for _, path := range paths {
		s.do(path, Request{Target: s.image(path, 640, 75)}, retried)
		if s.base != "" {
			s.do("basePath + "+path, Request{Target: s.image(s.base+path, 640, 75)}, retried)
		}
	}
}

func hostnamePatterns(s *session) {
	hosts := []string{
		"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.2.1", "127.0.3.1", "127.3.2.1", "127.1", "127.0.0.1.", "localhost", "LOCALHOST", "localhost.", "[::1]", "[0:0::1]",
		"a.example.invalid", "a.b.example.invalid", "A.Example.INVALID", "example.invalid", "example.invalid.", ".example.invalid", "a.example.invalid.", "xexample.invalid", "exbmple.invalid", "ex.mple.invalid", "exmple.invalid", "upper.invalid", "UPPER.invalid",
		"a.bücher.invalid", "a.xn--bcher-kva.invalid", "bücher.invalid", "user@a.example.invalid",
	}
	for n := range hostnameGlobs {
		for _, h := range hosts {
			u := fmt.Sprintf("http://%s:%d/h%d/x.png", h, s.origin.Port, n)
			s.do(u, Request{Target: s.image(u, 640, 75)}, unreachable)
		}
	}
}

func otherParts(s *session) {
	port := s.origin.Port
	for _, u := range []string{
		"http://127.0.0.1:%d/proto/http/x.png", "https://127.0.0.1:%d/proto/http/x.png", "http://127.0.0.1:%d/proto/https/x.png", "https://127.0.0.1:%d/proto/https/x.png", "http://127.0.0.1:%d/proto/url/x.png",
		"http://127.0.0.1:%d/port/none/x.png", "http://127.0.0.1:%d/port/nine/x.png", "http://127.0.0.1:%d/port/eighty/x.png",
		"http://127.0.0.1:%d/search/empty/x.png", "http://127.0.0.1:%d/search/empty/x.png?", "http://127.0.0.1:%d/search/empty/x.png?a", "http://127.0.0.1:%d/search/empty/x.png#a", "http://127.0.0.1:%d/search/empty/x.png?#a",
		"http://127.0.0.1:%d/search/v/x.png", "http://127.0.0.1:%d/search/v/x.png?v=1", "http://127.0.0.1:%d/search/v/x.png?v=1&w=2", "http://127.0.0.1:%d/search/v/x.png?w=2&v=1", "http://127.0.0.1:%d/search/v/x.png?v=1&w=2&", "http://127.0.0.1:%d/search/v/x.png?v=1&w=2#x", "http://127.0.0.1:%d/search/v/x.png?v=%%31&w=2",
		"http://127.0.0.1:%d/search/any/x.png?a=b", "http://127.0.0.1:%d/search/any/x.png?a=ü&b='", "http://127.0.0.1:%d/other/x.png", "http://127.0.2.2:%d/x.png", "http://127.0.2.2:%d/", "http://127.0.2.2:%d", "http://127.0.2.2:%d/.x", "http://127.0.2.2:%d/a/../b", "http://127.0.2.2:%d/..a/b", "http://127.0.2.2:%d/a/b/c?d=e#f",
	} {
		s.do(u, Request{Target: s.image(fmt.Sprintf(u, port), 640, 75)}, unreachable)
	}
	for _, u := range []string{
		"http://127.0.0.1:9/proto/url/x.png", "http://127.0.0.1:9/proto/url/x.png?a", "https://127.0.0.1:9/proto/url/x.png", "http://127.0.0.1/proto/url/x.png",
		"http://127.0.0.1/port/none/x.png", "http://127.0.0.1:80/port/none/x.png", "http://127.0.0.1:9/port/none/x.png", "https://127.0.0.1:443/port/none/x.png", "https://127.0.0.1:80/port/none/x.png", "http://127.0.0.1:9/port/nine/x.png", "http://127.0.0.1:09/port/nine/x.png", "https://127.0.0.1:9/port/nine/x.png", "http://127.0.0.1:80/port/eighty/x.png", "https://127.0.0.1:80/port/eighty/x.png", "http://127.0.0.1/port/eighty/x.png",
	} {
		s.do(u, Request{Target: s.image(u, 640, 75)}, unreachable)
	}
}

// domains tests the deprecated list of exact hosts, and the host an absolute assetPrefix adds.
func domains(s *session) {
	for _, u := range []string{
		s.origin.URL("/x.png"), fmt.Sprintf("http://localhost:%d/x.png", s.origin.Port), fmt.Sprintf("http://LOCALHOST:%d/x.png", s.origin.Port), fmt.Sprintf("http://localhost.:%d/x.png", s.origin.Port), fmt.Sprintf("http://127.0.0.2:%d/x.png", s.origin.Port), fmt.Sprintf("http://127.1:%d/x.png?a=b", s.origin.Port), fmt.Sprintf("https://127.0.0.1:%d/x.png", s.origin.Port),
		"http://127.0.0.7:9/x.png", "http://127.0.0.7:9/", "http://127.0.0.7:10/x.png", "http://127.0.0.7/x.png", "https://127.0.0.7:9/x.png", "http://127.0.0.7:9/_next/static/media/x.png", "http://127.0.0.7:9/.x/../y?z",
	} {
		s.do(u, Request{Target: s.image(u, 640, 75)}, unreachable)
	}
}
