package sitemap

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/unicode"
)

func gzipped(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const urlset = `<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"
        xmlns:xhtml="http://www.w3.org/1999/xhtml">
  <url>
    <loc> https://shop.example/?a=1&amp;b=2 </loc>
    <lastmod>2026-01-01</lastmod>
    <image:image><image:loc>https://shop.example/photo.jpg</image:loc></image:image>
    <xhtml:link rel="alternate" hreflang="de" href="https://shop.example/de"/>
  </url>
  <url><loc><![CDATA[https://shop.example/b]]></loc></url>
  <url><loc></loc></url>
</urlset>`

func TestRead(t *testing.T) {
	utf16, err := unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder().String("https://shop.example/a\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file      string
		pages, sitemaps []string
		err             error
	}{
		{name: "urlset", file: urlset, pages: []string{"https://shop.example/?a=1&b=2", "https://shop.example/b"}},
		{name: "gzip", file: gzipped(t, urlset), pages: []string{"https://shop.example/?a=1&b=2", "https://shop.example/b"}},
		{name: "byte order mark", file: "\ufeff" + urlset, pages: []string{"https://shop.example/?a=1&b=2", "https://shop.example/b"}},
		{name: "no namespace", file: `<urlset><url><loc>https://a.example/</loc></url></urlset>`, pages: []string{"https://a.example/"}},
		{name: "latin-1", file: "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><urlset><url><loc>https://a.example/\xe9</loc></url></urlset>",
			pages: []string{"https://a.example/é"}},
		{name: "empty urlset", file: `<urlset/>`, pages: []string{}},
		{name: "index", file: `<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><sitemap><loc>https://a.example/1.xml</loc></sitemap></sitemapindex>`,
			sitemaps: []string{"https://a.example/1.xml"}},
		{name: "lines", file: "\ufeffhttps://a.example/1\r\n\r\n https://a.example/2", pages: []string{"https://a.example/1", "https://a.example/2"}},
		{name: "nested markup", file: `<urlset><url><loc>https://a.example/<b>x</b>1</loc></url></urlset>`, pages: []string{"https://a.example/1"}},
		{name: "loc elsewhere", file: `<urlset><loc>https://a.example/1</loc><url><x><loc>https://a.example/2</loc></x></url></urlset>`, pages: []string{}},

		{name: "cut short", file: `<urlset><url><loc>https://a.example/1</loc></url><url>`, pages: []string{"https://a.example/1"}, err: ErrFormat},
		{name: "cut short in loc", file: `<urlset><url><loc>https://a.exa`, pages: []string{}, err: ErrFormat},
		{name: "page", file: `<!doctype html><html><body>404</body></html>`, err: ErrFormat},
		{name: "empty", file: ``, pages: []string{}},
		{name: "text", file: "not a sitemap\n", pages: []string{}, err: ErrFormat},
		{name: "utf-16", file: utf16, pages: []string{}, err: ErrFormat},
		{name: "deep", file: "<urlset>" + strings.Repeat("<x>", 40), pages: []string{}, err: ErrFormat},
		{name: "broken gzip", file: "\x1f\x8b\x00", err: errAny},
		{name: "gzip cut short", file: gzipped(t, urlset)[:60], err: errAny},
		{name: "long line", file: "https://a.example/" + strings.Repeat("a", maxURL), pages: []string{}, err: ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Read(strings.NewReader(c.file))
			if c.err == errAny && err != nil {
				err = errAny
			}
			if !errors.Is(err, c.err) || c.err == nil && err != nil {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if c.err != errAny && (!slices.Equal(s.Pages, c.pages) || !slices.Equal(s.Sitemaps, c.sitemaps)) {
				t.Errorf("got %q and %q, want %q and %q", s.Pages, s.Sitemaps, c.pages, c.sitemaps)
			}
		})
	}
}

var errAny = errors.New("any error")

func TestLimits(t *testing.T) {
	const entries, size = 10, 4096
	var b strings.Builder
	b.WriteString("<urlset>")
	for i := range entries + 1 {
		fmt.Fprintf(&b, "<url><loc>https://a.example/%d</loc></url>", i)
	}
	b.WriteString("</urlset>")
	s, err := read(strings.NewReader(b.String()), size, entries)
	if !errors.Is(err, ErrTooLarge) || len(s.Pages) != entries {
		t.Errorf("%d entries: %d pages, %v", entries+1, len(s.Pages), err)
	}
	// What a few bytes decompress to is bounded, too.
	bomb := gzipped(t, "<urlset>"+strings.Repeat(" ", size)+"</urlset>")
	if _, err := read(strings.NewReader(bomb), size, entries); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d bytes that are more than %d: %v", len(bomb), size, err)
	}
	full := "<urlset>" + strings.Repeat(" ", size-len("<urlset></urlset>")) + "</urlset>"
	if _, err := read(strings.NewReader(full), size, entries); err != nil {
		t.Errorf("exactly %d bytes: %v", size, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(urlset))
	f.Add([]byte(gzipped(f, urlset)))
	f.Add([]byte(`<sitemapindex><sitemap><loc>https://a.example/1.xml</loc></sitemap></sitemapindex>`))
	f.Add([]byte("https://a.example/1\n\nhttps://a.example/2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read(bytes.NewReader(data))
		if s == nil {
			t.Fatal("no sitemap")
		}
		if err == nil && len(data) > 0 && s.Pages == nil && s.Sitemaps == nil {
			t.Error("neither a sitemap nor an index nor an error")
		}
		for _, url := range slices.Concat(s.Pages, s.Sitemaps) {
			if url == "" || len(url) > maxURL || strings.TrimSpace(url) != url {
				t.Errorf("url %q", url)
			}
		}
	})
}
