package validate

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"imgopt/failure"
)

func FuzzQuery(f *testing.F) {
	var file goldenQueries
	readGolden(f, "query.json", &file)
	for i, c := range file.Cases {
		if i%10 == 0 {
			f.Add(c.Query, "image/avif,image/webp")
		}
	}
	rules := make([]*Rules, len(file.Configs))
	for i, c := range file.Configs {
		var err error
		if rules[i], err = Compile(c.Images.options(c.BasePath)); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, query, accept string) {
		for i, r := range rules {
			p, err := r.Check(query, accept)
			if err != nil {
				var fail *failure.Error
				if !errors.As(err, &fail) || fail.Status != 400 && fail.Status != 500 || p != (Params{}) {
					t.Fatalf("config %d: %+v, %v", i, p, err)
				}
				continue
			}
			if !slices.Contains(r.widths, p.Width) || p.Quality < 1 || p.Quality > 100 || !strings.Contains(accept, p.Format) {
				t.Errorf("config %d: %+v", i, p)
			}
			if absolute := strings.HasPrefix(p.Href, "http://") || strings.HasPrefix(p.Href, "https://"); absolute != p.Absolute {
				t.Errorf("config %d: %+v", i, p)
			}
			if !p.Absolute && (p.Href != p.URL || !strings.HasPrefix(p.Href, "/") || strings.HasPrefix(p.Href, "//")) {
				t.Errorf("config %d: %+v", i, p)
			}
		}
	})
}

func FuzzAccept(f *testing.F) {
	for _, s := range []string{chrome, safari, safari2, `image/webp;x="a,b";q=0.5`, "image/webp;q", "*/*;q=0", "\xc4/b,\xe4/b", `="1";="`} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, accept string, some bool) {
		formats := []string{}
		if some {
			formats = []string{"image/avif", "image/webp"}
		}
		format, ok := negotiate(accept, formats)
		if !ok && format != "" || !strings.Contains(accept, format) {
			t.Errorf("%q, %v", format, ok)
		}
		if name, _, _ := strings.Cut(format, ";"); some && name != "" && !slices.Contains(formats, name) {
			t.Errorf("%q", format)
		}
	})
}

func FuzzGlob(f *testing.F) {
	for i, c := range readGlobs(f) {
		if i%10 == 0 {
			f.Add(c.Glob, c.Dot, strings.Join(c.Yes, "")+strings.Join(c.No, ""))
		}
	}
	f.Fuzz(func(t *testing.T, glob string, dot bool, text string) {
		if len(glob) > 200 || len(text) > 200 {
			return
		}
		source, err := translate(glob, dot)
		if err != nil {
			if glob != "" {
				t.Errorf("%v", err)
			}
			return
		}
		l := parseLinear(source)
		re, err := compileJS(source)
		if l == nil || !isASCII(text) {
			return
		}
		if err != nil {
			t.Fatalf("%s is simple, but: %v", source, err)
		}
		if want, err := re.MatchString(text); err == nil && l.match(text) != want {
			t.Errorf("%s matches %q: want %v", source, text, want)
		}
	})
}

func FuzzURL(f *testing.F) {
	for _, s := range []string{"https://example.com/a?b#c", "http://a:80/../b", "/a/%2e%2e/b?c", `/\a@[::1]:8/`, "http://0x7f.1", "https://münchen.de/ä"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.HasPrefix(s, "/") {
			p1, q1, ok1 := parsePath(s)
			p2, q2, ok2 := parseAnyPath(s)
			if p1 != p2 || q1 != q2 || ok1 != ok2 {
				t.Errorf("%q %q %v, at length %q %q %v", p1, q1, ok1, p2, q2, ok2)
			}
			if ok1 && (!strings.HasPrefix(p1, "/") || !isASCII(p1+q1)) {
				t.Errorf("%q %q", p1, q1)
			}
			return
		}
		u, ok := parseAbsolute(s)
		if long, longOK := parseAnyAbsolute(s); u != long || ok != longOK {
			t.Errorf("%+v %v, at length %+v %v", u, ok, long, longOK)
		}
		if !ok {
			return
		}
		if !isASCII(u.href) || u.hostname == "" || !strings.HasPrefix(u.pathname, "/") {
			t.Errorf("%+v", u)
		}
		if hasLongLabel(u.hostname) {
			return // see TestHostDeviations
		}
		if again, ok := parseAbsolute(u.href); !ok || again != u {
			t.Errorf("%+v, parsed again %+v %v", u, again, ok)
		}
	})
}

// hasLongLabel reports whether a label is longer than what golang.org/x/net/idna decodes for certain.
func hasLongLabel(host string) bool {
	return slices.ContainsFunc(strings.Split(host, "."), func(label string) bool { return len(label) > 1000 })
}
