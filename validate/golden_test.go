package validate

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"imgopt/failure"
)

// The tables in testdata hold the answers of Next.js itself; testdata/golden.mjs asks for them.

func readGolden(t testing.TB, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// goldenGlob is a glob, the source of the expression picomatch makes of it, and texts it matches or not.
type goldenGlob struct {
	Glob    string
	Dot     bool
	Source  string
	Yes, No []string
}

func readGlobs(t testing.TB) []goldenGlob {
	var file struct{ Cases []goldenGlob }
	readGolden(t, "glob.json", &file)
	if len(file.Cases) < 500 {
		t.Fatalf("only %d cases", len(file.Cases))
	}
	return file.Cases
}

// neverMatches is the source of what picomatch falls back to if the expression it made is invalid.
const neverMatches = `$^`

func TestGlob(t *testing.T) {
	simple := 0
	for _, c := range readGlobs(t) {
		source, err := translate(c.Glob, c.Dot)
		if err != nil {
			t.Errorf("%q: %v", c.Glob, err)
			continue
		}
		if c.Source != neverMatches && regExpSource(source) != c.Source {
			t.Errorf("%q dot=%v\n got %s\nwant %s", c.Glob, c.Dot, regExpSource(source), c.Source)
		}
		m, err := newGlobMatcher(c.Glob, c.Dot)
		if (err != nil) != (c.Source == neverMatches) {
			t.Errorf("%q dot=%v: %s: error %v, want %s", c.Glob, c.Dot, source, err, c.Source)
		}
		fromManifest, err := newMatcher(c.Source)
		if err != nil {
			t.Errorf("%q: compile %s: %v", c.Glob, c.Source, err)
		}
		if m.linear != nil {
			simple++
		}
		for want, texts := range map[bool][]string{true: c.Yes, false: c.No} {
			for _, s := range texts {
				if got, err := m.match(s); got != want || err != nil {
					t.Errorf("%q dot=%v matches %q: %v, %v (%s)", c.Glob, c.Dot, s, got, err, source)
				}
				if got, err := fromManifest.match(s); got != want || err != nil {
					t.Errorf("%s matches %q: %v, %v", c.Source, s, got, err)
				}
			}
		}
	}
	if simple < 500 {
		t.Errorf("only %d globs are of the simple kind", simple)
	}
}

// regExpSource is what JavaScript shows as the source of an expression: line ends and slashes are escaped.
func regExpSource(s string) string {
	var b strings.Builder
	class := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && s[i+1] != '\n':
			b.WriteByte(c)
			i++
			c = s[i]
		case c == '\\' && i+1 < len(s):
			continue
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '/' && !class:
			b.WriteByte('\\')
		}
		if c == '\n' {
			b.WriteString(`\n`)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// TestSimpleKind holds the two ways to match against each other, with every text of the table for every glob.
func TestSimpleKind(t *testing.T) {
	cases := readGlobs(t)
	var texts []string
	for i, c := range cases {
		if i%20 == 0 {
			texts = append(append(texts, c.Yes...), c.No...)
		}
	}
	for i, c := range cases {
		source, _ := translate(c.Glob, c.Dot)
		l := parseLinear(source)
		if l == nil {
			continue
		}
		re, err := compileJS(source)
		if err != nil {
			t.Errorf("%q: simple, but: %v", c.Glob, err)
			continue
		}
		for j := i % 7; j < len(texts); j += 7 {
			want, err := re.MatchString(texts[j])
			if err != nil {
				continue // too slow for this way; the other one has no limit
			}
			if got := l.match(texts[j]); got != want {
				t.Errorf("%q dot=%v matches %q: %v, want %v (%s)", c.Glob, c.Dot, texts[j], got, want, source)
			}
		}
	}
}

func TestURL(t *testing.T) {
	var file struct {
		Cases []struct {
			URL, Href, Protocol, Hostname, Port, Pathname, Search string
			Invalid                                               bool
		}
	}
	readGolden(t, "url.json", &file)
	if len(file.Cases) < 300 {
		t.Fatalf("only %d cases", len(file.Cases))
	}
	for _, c := range file.Cases {
		switch {
		case strings.HasPrefix(c.URL, "//"): // refused before it is parsed
		case strings.HasPrefix(c.URL, "/"):
			pathname, search, ok := parsePath(c.URL)
			if ok == c.Invalid || ok && (pathname != c.Pathname || search != c.Search) {
				t.Errorf("%q: %q %q %v\nwant %+v", c.URL, pathname, search, ok, c)
			}
		default:
			u, ok := parseAbsolute(c.URL)
			if want := c.Protocol == "http:" || c.Protocol == "https:"; ok != want {
				t.Errorf("%q: %+v %v\nwant %+v", c.URL, u, ok, c)
			} else if ok && (u.href != c.Href || u.scheme+":" != c.Protocol || u.hostname != c.Hostname || u.port != c.Port ||
				u.pathname != c.Pathname || u.search != c.Search) {
				t.Errorf("%q: %+v\nwant %+v", c.URL, u, c)
			}
		}
	}
}

// goldenImages is the part of a configuration that Options hold, under its own names.
type goldenImages struct {
	DeviceSizes, ImageSizes, Qualities []int
	Formats, Domains                   []string
	RemotePatterns                     []RemotePattern
	LocalPatterns                      []LocalPattern
}

func (g goldenImages) options(basePath string) Options {
	return Options{
		BasePath: basePath, DeviceSizes: g.DeviceSizes, ImageSizes: g.ImageSizes, Qualities: g.Qualities,
		Formats: g.Formats, Domains: g.Domains, RemotePatterns: g.RemotePatterns, LocalPatterns: g.LocalPatterns,
	}
}

type goldenQueries struct {
	Configs []struct {
		BasePath         string
		Images, Manifest goldenImages
	}
	Cases []struct {
		Config         int
		Query          string
		Href, Format   string
		Absolute       bool
		Static         bool
		Width, Quality int
		Status         int
		Text, Reason   string
	}
}

func TestCheck(t *testing.T) {
	var file goldenQueries
	readGolden(t, "query.json", &file)
	if len(file.Cases) < 200 {
		t.Fatalf("only %d cases", len(file.Cases))
	}
	var rules [][2]*Rules
	for _, c := range file.Configs {
		raw, err := Compile(c.Images.options(c.BasePath))
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := Compile(c.Manifest.options(c.BasePath))
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, [2]*Rules{raw, manifest})
	}
	for _, c := range file.Cases {
		for i, r := range rules[c.Config] {
			p, err := r.Check(c.Query, "")
			if c.Status != 0 {
				var f *failure.Error
				if !errors.As(err, &f) || f.Status != c.Status || f.Text != c.Text || c.Reason != "" && f.Reason != c.Reason || f.Cause != nil {
					t.Errorf("config %d/%d %q: %+v, %v\nwant %d %s %s", c.Config, i, c.Query, p, err, c.Status, c.Reason, c.Text)
				}
				continue
			}
			want := Params{URL: p.URL, Href: c.Href, Absolute: c.Absolute, Static: c.Static, Width: c.Width, Quality: c.Quality, Format: c.Format}
			if err != nil || p != want || !p.Absolute && p.URL != p.Href {
				t.Errorf("config %d/%d %q: %+v, %v\nwant %+v", c.Config, i, c.Query, p, err, want)
			}
		}
	}
}

func TestNegotiate(t *testing.T) {
	var file struct {
		Cases []struct {
			Formats []string
			Accept  *string
			Format  string
			Reason  string
		}
	}
	readGolden(t, "accept.json", &file)
	if len(file.Cases) < 200 {
		t.Fatalf("only %d cases", len(file.Cases))
	}
	for _, c := range file.Cases {
		accept := ""
		if c.Accept != nil {
			accept = latin1(*c.Accept)
		}
		format, ok := negotiate(accept, c.Formats)
		if ok != (c.Reason == "") || format != latin1(c.Format) {
			t.Errorf("%q of %q: %q, %v; want %q %s", accept, c.Formats, format, ok, c.Format, c.Reason)
		}
	}
}

// latin1 turns a string as JavaScript has it into the bytes of a header.
func latin1(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}
