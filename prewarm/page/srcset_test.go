package page

import (
	"slices"
	"strings"
	"testing"
)

// The cases are those of the algorithm's steps (HTML Standard, 4.8.4.3.10) and of the web-platform-tests' subjects.
func TestSrcset(t *testing.T) {
	for _, c := range []struct {
		srcset string
		want   []string
	}{
		{"", nil},
		{" \t\n", nil},
		{",,,", nil},
		{"/a", []string{"/a"}},
		{"/a,", []string{"/a"}},
		{"/a,,", []string{"/a"}},
		{", /a", []string{"/a"}},
		{"/a,/b", []string{"/a,/b"}}, // a comma inside a url
		{"/a, /b", []string{"/a", "/b"}},
		{"/a 1x,/b 2x", []string{"/a", "/b"}},
		{"/a 1x, /b 2x", []string{"/a", "/b"}},
		{"/a\t1x ,\n/b  2x\f", []string{"/a", "/b"}},
		{"/a 640w, /b 750w", []string{"/a", "/b"}},
		{"/a 640w 480h, /b 2x", []string{"/a", "/b"}},
		{"/a 480h", nil}, // a height needs a width
		{"/a 480h 640w", []string{"/a"}},
		{"/a 0w, /b", []string{"/b"}},
		{"/a -1w, /b", []string{"/b"}},
		{"/a +1w, /b", []string{"/b"}},
		{"/a 1.5w, /b", []string{"/b"}},
		{"/a 1w 2w, /b", []string{"/b"}},
		{"/a 1x 2x, /b", []string{"/b"}},
		{"/a 1x 2w, /b", []string{"/b"}},
		{"/a 1x 2h, /b", []string{"/b"}},
		{"/a 2h 1x, /b", []string{"/b"}},
		{"/a 1.5x, /b .5x, /c 1e3x, /d 0x", []string{"/a", "/b", "/c", "/d"}},
		{"/a -1x, /b +1x, /c 1.x, /d 0x1x, /e infx, /f 1_0x, /g nanx, /h x, /i 1.e2x", nil},
		{"/a q, /b", []string{"/b"}},
		{"/a type(b, c) , /b 1x", []string{"/b"}}, // an unknown descriptor drops the candidate, its comma ends nothing
		{"/a (, /b", nil},
		{"/a 1x(,), /b", []string{"/b"}},
		{"/_next/image?url=%2Fa.png&w=640&q=75 1x, /_next/image?url=%2Fa.png&w=828&q=75 2x",
			[]string{"/_next/image?url=%2Fa.png&w=640&q=75", "/_next/image?url=%2Fa.png&w=828&q=75"}},
		{"data:,a ( , data:,b 1x, ), data:,c", []string{"data:,c"}},
	} {
		if got := Srcset(c.srcset); !slices.Equal(got, c.want) {
			t.Errorf("Srcset(%q) = %q, want %q", c.srcset, got, c.want)
		}
	}
}

func FuzzSrcset(f *testing.F) {
	for _, s := range []string{"", "/a 1x, /b 2x", "/a,/b 640w 480h,", "/a (,), /b", "/a 1.5x\f,\t/b", ",,,", "/a 1e400x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, url := range Srcset(s) {
			if url == "" || strings.ContainsAny(url, asciiSpace) || strings.HasPrefix(url, ",") || strings.HasSuffix(url, ",") {
				t.Errorf("Srcset(%q) has the url %q", s, url)
			}
			if !strings.Contains(s, url) {
				t.Errorf("Srcset(%q) has the url %q, which is not in it", s, url)
			}
		}
		// What was found is found again when it is written in the plainest form.
		if urls := Srcset(s); urls != nil && !slices.Equal(Srcset(strings.Join(urls, " 1x, ")+" 1x"), urls) {
			t.Errorf("Srcset(%q) = %q is not stable", s, urls)
		}
	})
}
