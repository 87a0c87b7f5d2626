package jobs_test

import (
	"net/url"
	"strings"
	"testing"

	"imgopt/jobs"
)

func TestOrigin(t *testing.T) {
	for href, want := range map[string]string{
		"https://example.com/a.png":                "https://example.com",
		"https://example.com":                      "https://example.com",
		"http://example.com:8080/a.png?x=http://b": "http://example.com:8080",
		"https://example.com?x=/":                  "https://example.com",
		"https://example.com#x@y":                  "https://example.com",
		"https://user:pass@example.com/a.png":      "https://example.com",
		"https://user@host@example.com/@b/":        "https://example.com",
		"https://[2001:db8::1]:8443/a.png":         "https://[2001:db8::1]:8443",
		`https://example.com\@evil.test/`:          "https://example.com",
		"https:///a.png":                           "",
		"/a.png":                                   "",
		"mailto:somebody":                          "",
		"":                                         "",
	} {
		if got := (jobs.Spec{Href: href, Absolute: true}).Origin(); got != want {
			t.Errorf("the origin of %q is %q, want %q", href, got, want)
		}
		if got := (jobs.Spec{Href: href}).Origin(); got != "" {
			t.Errorf("the origin of the relative %q is %q", href, got)
		}
	}
	s := jobs.Spec{Href: "https://example.com:444/a/b/c.png?d=e", Absolute: true}
	if n := testing.AllocsPerRun(100, func() { _ = s.Origin() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzOrigin: what Go's parser understands too has the origin that it says.
func FuzzOrigin(f *testing.F) {
	for _, href := range []string{"https://example.com/a", "http://a:b@c:8/d?e#f", "https://[::1]/x", "http://h?q", "http://h#f", "x://", "://h", "http://a@b@c/"} {
		f.Add(href)
	}
	f.Fuzz(func(t *testing.T, href string) {
		got := (jobs.Spec{Href: href, Absolute: true}).Origin()
		if got != "" && (strings.Contains(got[strings.Index(got, "://")+3:], "@") || !strings.Contains(got, "://")) {
			t.Errorf("the origin of %q is %q", href, got)
		}
		u, err := url.Parse(href)
		if err != nil || u.Host == "" || u.Opaque != "" || strings.ContainsAny(u.Host, `\%`) || strings.ContainsAny(u.User.String(), `\%`) {
			return
		}
		// Go lowers the scheme's case, and leaves the host as it is.
		if want := u.Scheme + "://" + u.Host; u.Scheme != "" && !strings.EqualFold(got, want) && !strings.Contains(href, `\`) && !strings.Contains(href, "%") {
			t.Errorf("the origin of %q is %q, want %q", href, got, want)
		}
	})
}
