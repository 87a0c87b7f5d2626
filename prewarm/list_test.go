package prewarm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadList(t *testing.T) {
	for _, c := range []struct {
		list string
		want []string
		err  string
	}{
		{"", nil, ""},
		{"\ufeff/a.png\r\n\r\n# a comment\n  https://cdn.example/b.png  \n/c#d.png", []string{"1 /a.png", "4 https://cdn.example/b.png", "5 /c#d.png"}, ""},
		{"HTTP://cdn.example/b.png\n", []string{"1 HTTP://cdn.example/b.png"}, ""},
		{"/größe.png\n", []string{"1 /größe.png"}, ""},
		{"/a\nphoto.jpg\n", []string{"1 /a"}, `--urls: LIST:2: "photo.jpg": must be a path that starts with a slash, or a url with http:// or https://`},
		{"//cdn.example/a", nil, `--urls: LIST:1: "//cdn.example/a": has no scheme; must be a path that starts with one slash, or a url with http:// or https://`},
		{"ftp://u:secret@a/b", nil, `--urls: LIST:1: "ftp://redacted@a/b": must be a path that starts with a slash, or a url with http:// or https://`},
		{"/a\x00b", nil, `--urls: LIST:1: "/a\x00b": holds control characters`},
		{"/a\xff", nil, `--urls: LIST:1: "/a\xff": not UTF-8`},
		{"/a\n/" + strings.Repeat("b", maxLine), []string{"1 /a"}, `--urls: LIST:2: longer than 65536 bytes`},
	} {
		var got []string
		err := readList(strings.NewReader(c.list), "LIST", func(line int, url string) { got = append(got, fmt.Sprint(line, " ", url)) })
		if text := fmt.Sprint(err); c.err == "" && err != nil || c.err != "" && (text != c.err || ExitCode(nil, err) != 2) {
			t.Errorf("%.30q: error %v, want %s", c.list, err, c.err)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%.30q: %q, want %q", c.list, got, c.want)
		}
	}
	broken := errors.New("broken")
	err := readList(iotest.ErrReader(broken), "LIST", func(int, string) {})
	if !errors.Is(err, broken) || ExitCode(nil, err) != 1 {
		t.Errorf("a reader that fails: %v", err)
	}
}

func TestLists(t *testing.T) {
	site := newSite(t, appOptions())
	found := find(t, site, fromStdin(), strings.Join([]string{
		"/shop/a.png",
		"/shop/_next/image/?url=%2Fshop%2Fb.png&w=640&q=75",
		"/shop/_next/image?url=%2Fshop%2Fc.png&w=640&q=75",                    // the other form
		"https://www.example/shop/_next/image/?url=%2Fshop%2Fd.png&w=32&q=75", // whatever its host
		"/_next/image?url=%2Fe.png&w=640&q=75",                                // without the basePath it is a source, and none
		"https://cdn.example/f.png",
		"/shop/a.png",
		"https://not.allowed.example/g.png",
		"/shop/_next/image/?url=%2Fshop%2Fh.png&w=641&q=75",
	}, "\n"))
	o := fromStdin()
	o.Widths, o.Qualities, o.Formats = []int{32, 640}, []int{75}, []string{"avif"}
	plan := NewPlan(found, o)
	got := planned(plan)
	slices.Sort(got)
	want := []string{
		"avif url=%2Fshop%2Fa.png&w=32&q=75", "avif url=%2Fshop%2Fa.png&w=640&q=75",
		"avif url=%2Fshop%2Fb.png&w=640&q=75", "avif url=%2Fshop%2Fc.png&w=640&q=75", "avif url=%2Fshop%2Fd.png&w=32&q=75",
		"avif url=https%3A%2F%2Fcdn.example%2Ff.png&w=32&q=75", "avif url=https%3A%2F%2Fcdn.example%2Ff.png&w=640&q=75",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	refused := fmt.Sprint(plan.Refused)
	if want := `[{/shop/_next/image/?url=%2Fshop%2Fh.png&w=641&q=75 -:9 "w" parameter (width) of 641 is not allowed}` +
		` {/_next/image?url=%2Fe.png&w=640&q=75 -:5 "url" parameter cannot be recursive}` +
		` {https://not.allowed.example/g.png -:8 "url" parameter is not allowed}]`; refused != want {
		t.Errorf("refused %s", refused)
	}
	_, err := Find(t.Context(), site, Options{URLs: []string{"testdata/missing"}}, nil, nil)
	if err == nil || err.Error() != `--urls: "testdata/missing": cannot be read: no such file or directory` || ExitCode(nil, err) != 2 {
		t.Errorf("a file that is not there: %v", err)
	}
}

func FuzzReadList(f *testing.F) {
	for _, s := range []string{"/a\n#\nhttps://b/c", "\ufeff/a\r\n", "//a", "/\x00", "x", "/_next/image?url=/a&w=1&q=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		var urls []string
		err := readList(strings.NewReader(list), "LIST", func(line int, url string) {
			if line < 1 || line > 1+strings.Count(list, "\n") || url == "" || strings.ContainsAny(url, "\r\n") {
				t.Errorf("line %d: %q", line, url)
			}
			urls = append(urls, url)
		})
		if err != nil {
			if !errors.As(err, new(*LineError)) {
				t.Error(err)
			}
			return
		}
		var again []string
		if err := readList(strings.NewReader(strings.Join(urls, "\n")), "LIST", func(_ int, url string) { again = append(again, url) }); err != nil || !slices.Equal(again, urls) {
			t.Errorf("%q became %q (%v)", urls, again, err)
		}
	})
}
