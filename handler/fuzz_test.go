package handler

import (
	"bytes"
	"mime"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// A client's copy can only be current if its tag, or a star, was really sent.
func FuzzFresh(f *testing.F) {
	for _, r := range golden[freshRow](f, "fresh.json")[:200] {
		f.Add(bytes1(f, r.INM), bytes1(f, r.IMS), bytes1(f, r.CC), r.ETag)
	}
	f.Fuzz(func(t *testing.T, inm, ims, cc []byte, etag string) {
		if !isFresh(inm, ims, cc, etag) {
			return
		}
		if len(ims) > 0 || bytes.Contains(cc, noCache) && string(bytes.TrimSpace(cc)) == "no-cache" {
			t.Errorf("fresh in spite of %q and %q", ims, cc)
		}
		if string(inm) != "*" && !bytes.Contains(inm, []byte(strings.TrimPrefix(etag, "W/"))) {
			t.Errorf("%q is fresh for %q", inm, etag)
		}
	})
}

// Whatever a url's name is, the header is one that can be sent and read, and says the name again.
func FuzzDisposition(f *testing.F) {
	for _, r := range golden[dispositionRow](f, "disposition.json")[:200] {
		f.Add(r.URL)
	}
	f.Fuzz(func(t *testing.T, href string) {
		name := fileName(href, mediaType{"image/webp", "webp", false})
		h := contentDisposition("attachment", name)
		for _, c := range h {
			if c < ' ' || c == 0x7f || 0x80 <= c && c < 0xa0 {
				t.Fatalf("%q holds %#x", h, c)
			}
		}
		if !utf8.ValidString(name) || bytes.ContainsFunc(h, func(r rune) bool { return r > '~' }) {
			return // the reader below knows neither
		}
		kind, params, err := mime.ParseMediaType(string(h))
		if err != nil || kind != "attachment" {
			t.Fatalf("%q: %v", h, err)
		}
		if got := params["filename"]; got != name {
			t.Errorf("%q says %q, want %q", h, got, name)
		}
	})
}

// A redirect's target is always the endpoint, on this host, in one line.
func FuzzRedirect(f *testing.F) {
	for _, r := range golden[redirectRow](f, "redirect.json")[:300] {
		f.Add(r.Target)
	}
	f.Add("//evil.example/_next/image/..")
	f.Add(`/\evil.example/../_next/image`)
	s, err := newSettings(testOptions())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, target string) {
		path, query, fragment := splitTarget([]byte(target))
		kind := s.classify(string(path))
		if kind != routeSlash && kind != routeRepeated {
			return
		}
		location := s.location(kind, string(path), string(query), string(fragment))
		if !isTarget(location) {
			return // refused
		}
		u, err := url.Parse(location)
		if err != nil {
			return // Go is stricter with percent signs
		}
		if u.Host != "" || u.Scheme != "" || strings.TrimSuffix(u.Path, "/") != "/_next/image" || !strings.HasPrefix(location, "/_next/image") {
			t.Errorf("%q is redirected to %q", target, location)
		}
		again, _, _ := splitTarget([]byte(location))
		if string(again) != s.endpoint && s.classify(string(again)) == routeRepeated {
			t.Errorf("%q is redirected to %q, which is redirected again the same way", target, location)
		}
	})
}

func FuzzAcceptedCoding(f *testing.F) {
	for _, r := range golden[encodingRow](f, "encoding.json")[:150] {
		f.Add(string(bytes1(f, r.Accept)))
	}
	f.Fuzz(func(t *testing.T, header string) {
		coding := acceptedCoding(header)
		switch coding {
		case codingNone:
		case codingGzip, codingDeflate:
			if !strings.Contains(strings.ToLower(header), coding) && !strings.Contains(header, "*") {
				t.Errorf("%q got %q", header, coding)
			}
		default:
			t.Errorf("%q got %q", header, coding)
		}
	})
}

// Two requests on one connection: whatever the first one is, the server answers or hangs up, and lives.
func FuzzTarget(f *testing.F) {
	for _, r := range golden[wireRow](f, "wire.json") {
		line, _, _ := strings.Cut(string(fromBase64(f, r.Request)), "\r\n")
		f.Add(strings.Fields(line)[1], "*", "gzip")
	}
	app, err := New(hits(testEntry(100)), testRules(f), testOptions())
	if err != nil {
		f.Fatal(err)
	}
	h := app.Server().Handler
	f.Fuzz(func(t *testing.T, target, ifNoneMatch, acceptEncoding string) {
		ctx := benchCtx("If-None-Match", ifNoneMatch, "Accept-Encoding", acceptEncoding)
		ctx.Request.Header.SetRequestURI(target)
		h(ctx)
		switch s := ctx.Response.StatusCode(); s {
		case 200, 304, 308, 400, 404, 500:
		default:
			t.Errorf("%q: %d", target, s)
		}
	})
}
