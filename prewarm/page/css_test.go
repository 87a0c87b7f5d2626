package page

import (
	"slices"
	"testing"
)

func TestCSSURLs(t *testing.T) {
	for _, c := range []struct {
		style string
		want  []string
	}{
		{"", nil},
		{"color: red", nil},
		{"background: url(/a)", []string{"/a"}},
		{"background: url( /a )", []string{"/a"}},
		{"background: URL(/a)", []string{"/a"}},
		{`background: url("/a b")`, []string{"/a b"}},
		{"background: url('/a')", []string{"/a"}},
		{`background: url( "/a" )`, []string{"/a"}},
		{`background-image: image-set(url("/a") 1x, url("/b") 2x)`, []string{"/a", "/b"}},
		{`background-image: -webkit-image-set("/a" 1x, '/b' 2x)`, []string{"/a", "/b"}},
		{`background-image: image-set("/a" type("image/avif") 1x)`, []string{"/a"}},
		{`content: "/a"; background: url(/b)`, []string{"/b"}},
		{`background: url(/a) , linear-gradient(red, var(--b)), url("/c")`, []string{"/a", "/c"}},
		{`background: url(/a\ b\26 c\2c)`, []string{"/a b&c,"}},
		{`background: url("/a\000026b\
c")`, []string{"/a&bc"}},
		{"/* url(/no) */ background: url(/a)", []string{"/a"}},
		{"a { background: url(/a) } @media print { b { background: url(/b) } }", []string{"/a", "/b"}},
		{`background: url("/a`, []string{"/a"}},
		{"background: url(/a", []string{"/a"}},
	} {
		var got []string
		cssURLs(c.style, func(u string) { got = append(got, u) })
		if !slices.Equal(got, c.want) {
			t.Errorf("cssURLs(%q) = %q, want %q", c.style, got, c.want)
		}
	}
}

func FuzzCSSURLs(f *testing.F) {
	for _, s := range []string{"background:url(/a)", `image-set("/a" 1x,url('/b\26')2x)`, "url(", `"\`, "url(\\110000)", "a)b)url(c)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		cssURLs(s, func(string) { n++ })
		if n > len(s) {
			t.Errorf("%d urls in %d bytes", n, len(s))
		}
	})
}
