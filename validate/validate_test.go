package validate

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/dlclark/regexp2/v2"
	"go.uber.org/goleak"

	"imgopt/failure"
)

func TestMain(m *testing.M) {
	code := m.Run()
	regexp2.StopTimeoutClock()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// TestTexts has every text once, in the order of the checks: each request passes the checks before.
func TestTexts(t *testing.T) {
	r, err := Compile(Options{
		DeviceSizes: []int{640}, ImageSizes: []int{16}, Qualities: []int{75},
		LocalPatterns:  []LocalPattern{{Pathname: new("/a/**")}},
		RemotePatterns: []RemotePattern{{Hostname: new("example.com")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		query  string
		accept string
		status int
		reason string
		text   string
	}{
		{"url=/a\xc3\xa4", "", 400, "request_line_invalid", ``},
		{"w=640&q=75", "", 400, "url_missing", `"url" parameter is required`},
		{"url=/a&url=/a", "", 400, "url_repeated", `"url" parameter cannot be an array`},
		{"url=//" + strings.Repeat("a", 3071), "", 400, "url_too_long", `"url" parameter is too long`},
		{"url=//a", "", 400, "url_protocol_relative", `"url" parameter cannot be a protocol-relative URL (//)`},
		{"url=/%25", "", 500, "url_encoding_invalid", `Internal Server Error`},
		{"url=/_next/image", "", 400, "url_recursive", `"url" parameter cannot be recursive`},
		{"url=/%5C:x", "", 500, "url_unparsable", `Internal Server Error`},
		{"url=/b", "", 400, "url_not_allowed", `"url" parameter is not allowed`},
		{"url=a", "", 400, "url_invalid", `"url" parameter is invalid`},
		{"url=ftp://example.com", "", 400, "url_invalid", `"url" parameter is invalid`},
		{"url=http://example.org", "", 400, "url_not_allowed", `"url" parameter is not allowed`},
		{"url=/a/b", "", 400, "width_missing", `"w" parameter (width) is required`},
		{"url=/a/b&w=1&w=2", "", 400, "width_repeated", `"w" parameter (width) cannot be an array`},
		{"url=/a/b&w=x", "", 400, "width_invalid", `"w" parameter (width) must be an integer greater than 0`},
		{"url=/a/b&w=0", "", 400, "quality_missing", `"q" parameter (quality) is required`},
		{"url=/a/b&w=0&q=1&q=2", "", 400, "quality_repeated", `"q" parameter (quality) cannot be an array`},
		{"url=/a/b&w=0&q=x", "", 400, "quality_invalid", `"q" parameter (quality) must be an integer between 1 and 100`},
		{"url=/a/b&w=0&q=0", "", 400, "width_invalid", `"w" parameter (width) must be an integer greater than 0`},
		{"url=/a/b&w=0641&q=0", "", 400, "width_not_allowed", `"w" parameter (width) of 641 is not allowed`},
		{"url=/a/b&w=9999999999999999999999&q=0", "", 400, "width_not_allowed", `"w" parameter (width) of 1e+22 is not allowed`},
		{"url=/a/b&w=640&q=0", "", 400, "quality_invalid", `"q" parameter (quality) must be an integer between 1 and 100`},
		{"url=/a/b&w=640&q=101", "", 400, "quality_invalid", `"q" parameter (quality) must be an integer between 1 and 100`},
		{"url=/a/b&w=640&q=076", ";", 400, "quality_not_allowed", `"q" parameter (quality) of 076 is not allowed`},
		{"url=/a/b&w=640&q=75", "image/webp;", 500, "accept_header_invalid", `Internal Server Error`},
	} {
		_, err := r.Check(c.query, c.accept)
		var f *failure.Error
		if !errors.As(err, &f) || f.Status != c.status || f.Reason != c.reason || f.Text != c.text || f.Retryable {
			t.Errorf("%.60q: %v; want %d %s %s", c.query, err, c.status, c.reason, c.text)
		}
	}
}

// TestRequestLine has the bytes that Node's HTTP parser lets into a request line, as tried with Node 20.20.
func TestRequestLine(t *testing.T) {
	for c := range 256 {
		_, ok := parseQuery("a" + string([]byte{byte(c)}) + "b")
		if want := c >= 0x21 && c <= 0x7e; ok != want {
			t.Errorf("byte %#x: %v, want %v", c, ok, want)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	remote := func(p RemotePattern) Options {
		return Options{RemotePatterns: []RemotePattern{{Hostname: new("a")}, p}}
	}
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{BasePath: "docs"}, `basePath "docs" is not allowed; it is empty or starts with "/" and does not end with one`},
		{Options{BasePath: "/docs/"}, `basePath "/docs/" is not allowed; it is empty or starts with "/" and does not end with one`},
		{Options{DeviceSizes: []int{1, 0}}, `deviceSizes[1] "0" is not allowed; a width is at least 1`},
		{Options{DeviceSizes: []int{1, 2}, ImageSizes: []int{-1}}, `imageSizes[0] "-1" is not allowed; a width is at least 1`},
		{Options{Qualities: []int{1, 101}}, `qualities[1] "101" is not allowed; a quality is 1 to 100`},
		{Options{Formats: []string{"image/webp", "webp"}}, `formats[1] "webp" is not allowed; image/avif and image/webp are`},
		{remote(RemotePattern{}), `remotePatterns[1].hostname "" is missing; every remote pattern needs a hostname, "**" allows all`},
		{remote(RemotePattern{Hostname: new("")}), `remotePatterns[1].hostname "" is empty; a glob of at least one character is needed`},
		{remote(RemotePattern{Hostname: new("a"), Pathname: new("")}), `remotePatterns[1].pathname "" is empty; a glob of at least one character is needed`},
		{remote(RemotePattern{Hostname: new("a"), Protocol: new("ftp:")}), `remotePatterns[1].protocol "ftp:" is not allowed; "http" or "https" is`},
		{remote(RemotePattern{Hostname: new("a"), Protocol: new("http::")}), `remotePatterns[1].protocol "http::" is not allowed; "http" or "https" is`},
		{remote(RemotePattern{Hostname: new("a"), HostnameRegexp: new("^a$")}), `remotePatterns[1].hostname "a" is given together with a regular expression; only one is allowed`},
		{remote(RemotePattern{HostnameRegexp: new("^(?i:a)$")}), `remotePatterns[1].hostnameRegexp "^(?i:a)$" is not allowed: compile regular expression: invalid group at "(?i:a)$"`},
		{Options{LocalPatterns: []LocalPattern{{Pathname: new("")}}}, `localPatterns[0].pathname "" is empty; a glob of at least one character is needed`},
		{Options{LocalPatterns: []LocalPattern{{Pathname: new("/" + strings.Repeat("a", 1<<16))}}}, `has 65537 characters; at most 65536 are allowed`},
	} {
		_, err := Compile(c.options)
		var o *OptionError
		if !errors.As(err, &o) || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%v\nwant %s", err, c.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	r, err := Compile(Options{
		RemotePatterns: []RemotePattern{{Hostname: new("ok.com")}, {Hostname: new("[z-a].com")}},
		LocalPatterns:  []LocalPattern{{Pathname: new("/{a,b")}},
		DeviceSizes:    []int{640},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := r.Warnings()
	if len(w) != 2 || !strings.HasPrefix(w[0], `remotePatterns[1].hostname "[z-a].com" is not a valid pattern and matches nothing`) ||
		!strings.HasPrefix(w[1], `localPatterns[0].pathname "/{a,b" is not a valid pattern and matches nothing`) {
		t.Errorf("%q", w)
	}
	for _, url := range []string{"http://a.com/", "http://[z-a].com/", "/a", "/{a,b"} {
		if _, err := r.Check("url="+url+"&w=640&q=75", ""); err == nil {
			t.Errorf("%s is allowed", url)
		}
	}
}

// TestEmptyLists: a list that is not there and a list without elements mean different things.
func TestEmptyLists(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		query   string
		accept  string
		format  string
		ok      bool
	}{
		{"no localPatterns", Options{}, "url=/a?b", "", "", true},
		{"empty localPatterns", Options{LocalPatterns: []LocalPattern{}}, "url=/a", "", "", false},
		{"no remotePatterns", Options{}, "url=http://a/", "", "", false},
		{"port not compared", Options{RemotePatterns: []RemotePattern{{Hostname: new("a")}}}, "url=http://a:81/", "", "", true},
		{"port empty", Options{RemotePatterns: []RemotePattern{{Hostname: new("a"), Port: new("")}}}, "url=http://a:81/", "", "", false},
		{"search not compared", Options{RemotePatterns: []RemotePattern{{Hostname: new("a")}}}, "url=http://a/?b", "", "", true},
		{"search empty", Options{RemotePatterns: []RemotePattern{{Hostname: new("a"), Search: new("")}}}, "url=http://a/?b", "", "", false},
		{"empty qualities", Options{Qualities: []int{}}, "url=/a", "", "", false},
		{"no formats", Options{}, "url=/a", "image/avif,image/webp", "image/webp", true},
		{"empty formats", Options{Formats: []string{}}, "url=/a", "text/html,image/webp", "image/webp", true},
		{"empty formats, other type", Options{Formats: []string{}}, "url=/a", "text/html,image/webp;q=0.9", "text/html", true},
	} {
		c.options.DeviceSizes = []int{640}
		r, err := Compile(c.options)
		if err != nil {
			t.Fatal(err)
		}
		p, err := r.Check(c.query+"&w=640&q=75", c.accept)
		if (err == nil) != c.ok || p.Format != c.format {
			t.Errorf("%s: %+v, %v", c.name, p, err)
		}
	}
}

// TestHostDeviations has one host of each kind for which Node 20.20 is known to decide otherwise; see domainToASCII.
func TestHostDeviations(t *testing.T) {
	for _, host := range []string{"xn--a-", "xn---h38i.com", "xn--" + strings.Repeat("a", 1500) + "-3q17f.com", "a\u061db"} {
		if u, ok := parseAbsolute("http://" + host + "/"); ok {
			t.Errorf("%.40s: %+v", host, u)
		}
	}
	if _, ok := parseAbsolute("http://\u06b8\u200c\u06f9.com/"); !ok { // Node refuses this one
		t.Error("a label with a joiner is refused")
	}
	if u, ok := parseAbsolute("http://" + strings.Repeat("a", 900) + "\u00e4.com/"); !ok || !strings.HasPrefix(u.hostname, "xn--aaa") {
		t.Errorf("%+v %v", u, ok)
	}
}

// TestSlowPattern: a url for which a pattern takes too long is refused, and the log can tell why.
func TestSlowPattern(t *testing.T) {
	r, err := Compile(Options{DeviceSizes: []int{640}, LocalPatterns: []LocalPattern{{Pathname: new("/+(+(+(a|aa)))b")}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Check("url=/"+strings.Repeat("a", 2000)+"c&w=640&q=75", "")
	var f *failure.Error
	if !errors.As(err, &f) || f.Status != 400 || f.Text != failure.TextNotAllowed || f.Cause == nil {
		t.Errorf("%v", err)
	}
	if _, err := r.Check("url=/aab&w=640&q=75", ""); err != nil {
		t.Errorf("%v", err)
	}
}

// TestSimplePatternsAreFast: the longest url there can be, against the worst simple patterns, without a time limit.
func TestSimplePatternsAreFast(t *testing.T) {
	const glob = "/**/a*a*a*a*a*a*/**/a*a*a*/**/{a,*a,**/a}/**/b.png"
	m, err := newGlobMatcher(glob, true)
	if err != nil || m.linear == nil {
		t.Fatalf("%+v, %v", m, err)
	}
	path := strings.Repeat("/aaaaaaa", 384*9)
	if ok, err := m.match(path); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if ok, err := m.match(path + "/b.png"); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

// TestNothingIsKept: the handler passes memory that it will use for the next request.
func TestNothingIsKept(t *testing.T) {
	for _, c := range []struct{ query, accept, want string }{
		{"url=/a/b.png&w=640&q=75", "image/webp", "/a/b.png|/a/b.png|image/webp"},
		{"url=%2Fa%2Fb.png&w=640&q=75", "image/webp;x=1", "/a/b.png|/a/b.png|image/webp;x=1"},
		{"url=https://a.com/b&w=640&q=75", "image/webp", "https://a.com/b|https://a.com/b|image/webp"},
		{"url=https://a.com&w=640&q=75", "image/webp", "https://a.com|https://a.com/|image/webp"},
	} {
		for _, formats := range [][]string{nil, {}} {
			r, err := Compile(Options{DeviceSizes: []int{640}, Formats: formats, RemotePatterns: []RemotePattern{{Hostname: new("**")}}})
			if err != nil {
				t.Fatal(err)
			}
			query, accept := []byte(c.query), []byte(c.accept)
			p, err := r.Check(unsafe.String(&query[0], len(query)), unsafe.String(&accept[0], len(accept)))
			clear(query)
			clear(accept)
			if got := p.URL + "|" + p.Href + "|" + p.Format; err != nil || got != c.want {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		}
	}
}

// TestAllocations guards the path of a cache hit: one allocation for the url.
func TestAllocations(t *testing.T) {
	r := typicalRules(t)
	for _, query := range []string{
		"url=%2Fphotos%2Fsummer%2Fbeach-2048.jpg&w=1080&q=75",
		"url=%2Fassets%2Fsummer%2Fbeach-2048.jpg&w=1080&q=75",
		"url=https%3A%2F%2Fimg.example.com%2Fimages%2Fa%2Fb%2Fbeach-2048.jpg%3Fv%3D12&w=1080&q=75",
	} {
		if n := testing.AllocsPerRun(100, func() {
			if _, err := r.Check(query, chrome); err != nil {
				t.Fatal(err)
			}
		}); n > 1 {
			t.Errorf("%s: %v allocations", query, n)
		}
	}
}
