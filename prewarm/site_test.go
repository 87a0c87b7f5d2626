package prewarm

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"imgopt/validate"
)

func TestFormats(t *testing.T) {
	for _, c := range []struct{ formats, want []string }{
		{nil, []string{"webp", "original"}},
		{[]string{"image/webp"}, []string{"webp", "original"}},
		{[]string{"image/avif"}, []string{"avif", "original"}},
		{[]string{"image/avif", "image/webp"}, []string{"avif", "webp", "original"}},
		{[]string{"image/webp", "image/avif"}, []string{"avif", "webp", "original"}},
		// What @hapi/accept likes best of a header, as node says; see validate.Params.Format.
		{[]string{}, []string{"apng", "avif", "png"}},
	} {
		o := plainOptions()
		o.Formats = c.formats
		o.LocalPatterns = []validate.LocalPattern{} // what is served does not depend on what is allowed
		if got := newSite(t, o).Formats(); !slices.Equal(got, c.want) {
			t.Errorf("formats %q: %q, want %q", c.formats, got, c.want)
		}
	}
}

func TestNewSiteErrors(t *testing.T) {
	o := plainOptions()
	o.Formats = []string{"image/png"}
	_, err := NewSite(o)
	if !errors.As(err, new(*validate.OptionError)) || ExitCode(nil, err) != 2 {
		t.Errorf("got %v", err)
	}
	o = plainOptions()
	o.Off = true
	if _, err := NewSite(o); !errors.Is(err, ErrOff) || ExitCode(nil, err) != 2 {
		t.Errorf("got %v", err)
	}
}

// The texts are what node's encodeURIComponent returns.
func TestEncodeURIComponent(t *testing.T) {
	for in, want := range map[string]string{
		"/a b.png":                         "%2Fa%20b.png",
		"-_.!~*'()":                        "-_.!~*'()",
		"https://a.example/é?x=1&y=2+3#4%": "https%3A%2F%2Fa.example%2F%C3%A9%3Fx%3D1%26y%3D2%2B3%234%25",
		"@:;,$=\"<>[]{}|\\^`\x00😀":         "%40%3A%3B%2C%24%3D%22%3C%3E%5B%5D%7B%7D%7C%5C%5E%60%00%F0%9F%98%80",
	} {
		if got := encodeURIComponent(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// What is expanded has the form of what next/image wrote into the documents of testdata/app.
func TestExpand(t *testing.T) {
	site := newSite(t, appOptions())
	found := find(t, site, Options{NextDir: "testdata/app/build", Parts: []string{PartPages}, MaxPages: 1, Concurrency: 1, Attempts: 1, Timeout: 1e9}, "")
	asked := map[string]bool{}
	for _, r := range found.requests {
		asked[r.query] = true
	}
	for _, c := range []struct {
		source    string
		widths    []int
		qualities []int
	}{
		{"/shop/_next/static/media/photo.0elvtu6zr8w4b.jpg", []int{640, 828}, []int{75}},
		{"/shop/hero.jpg", []int{640, 3840}, []int{50}},
		{"/shop/products/tile one.png", []int{128, 256}, []int{75}},
		{"https://cdn.example/m.jpg?x=1&y=2", []int{640, 750}, []int{75}},
		{"https://cdn.example/remote, with comma.jpg", []int{384, 640}, []int{75}},
	} {
		queries := site.expand(c.source, found.deployment, c.widths, c.qualities)
		if len(queries) != len(c.widths) {
			t.Fatalf("%s: %q", c.source, queries)
		}
		for _, query := range queries {
			if !asked[query] {
				t.Errorf("%s: no page asks for %s", c.source, query)
			}
		}
	}
	immutable := site.expand("/_next/static/immutable/media/a.png", "id", []int{640}, []int{75})
	if len(immutable) != 1 || strings.Contains(immutable[0], "dpl") {
		t.Errorf("immutable media has no deployment: %q", immutable)
	}
}

func TestKeys(t *testing.T) {
	site := newSite(t, plainOptions())
	key := func(query string) Key {
		v, err := site.variants(query, []string{"webp"})
		if err != nil || len(v) != 1 {
			t.Fatalf("%s: %v, %v", query, v, err)
		}
		return v[0].Key()
	}
	same := key("url=%2Fa.png&w=640&q=75")
	for _, query := range []string{"w=640&q=75&url=/a.png", "url=%2Fa%2Epng&q=75&w=640&x=1", "url=%2Fa.png&w=0640&q=075"} {
		if key(query) != same {
			t.Errorf("%s is another variant", query)
		}
	}
	for _, query := range []string{"url=%2Fb.png&w=640&q=75", "url=%2Fa.png&w=32&q=75", "url=%2Fa.png&w=640&q=75&dpl=1"} {
		if key(query) == same {
			t.Errorf("%s is the same variant", query)
		}
	}
	if key("url=https://CDN.example/a.png&w=32&q=75") != key("url=https%3A%2F%2Fcdn.example:443/x/../a.png&w=32&q=75") {
		t.Error("absolute urls are compared as they are fetched")
	}
	both, err := site.variants("url=%2Fa.png&w=640&q=75", nil)
	if err != nil || len(both) != 2 || both[0].Key() == both[1].Key() || both[0].Format != "webp" || both[1].Format != Original {
		t.Errorf("variants: %+v, %v", both, err)
	}
}
