package deployment

import (
	"net/netip"
	"net/url"
	"path"
	"strings"
	"testing"
)

func TestValid(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "0": true, "-": true, "_": true, "dpl_4fZ-9": true, strings.Repeat("x", MaxID): true,
		"": false, strings.Repeat("x", MaxID+1): false, ".": false, "..": false, "a.b": false, "a/b": false, "a:1": false, "a@b": false,
		"a b": false, "a%2e": false, "a\x00": false, "a\n": false, "é": false, "[": false, "{": false, "`": false, "@": false, "\u212a": false,
	} {
		if got := Valid(id); got != want {
			t.Errorf("%q: %v, want %v", id, got, want)
		}
		if got := Valid([]byte(id)); got != want {
			t.Errorf("bytes of %q: %v, want %v", id, got, want)
		}
	}
}

func TestTemplate(t *testing.T) {
	for text, want := range map[string]string{
		"http://frontend-{dpl}:3000":              "http://frontend-v1:3000",
		"https://{dpl}.frontends":                 "https://v1.frontends",
		"http://user:p@ss@a-{dpl}.ns-{dpl}.svc:1": "http://user:p@ss@a-v1.ns-v1.svc:1",
		"file:///srv/releases/{dpl}":              "file:///srv/releases/v1",
		"file:///srv/r-{dpl}/app":                 "file:///srv/r-v1/app",
		"http://frontend:3000":                    "http://frontend:3000",
		"file:///":                                "file:///",
	} {
		tpl, err := ParseTemplate(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, ok := tpl.Expand("v1")
		if got != want || !ok || tpl.Varies() != strings.Contains(text, "{") || tpl.InHost() != (tpl.Varies() && text[0] == 'h') {
			t.Errorf("%s: %q, %v, varies %v, in host %v", text, got, ok, tpl.Varies(), tpl.InHost())
		}
	}
	for text, want := range map[string]error{
		"http://{dpl}":                      errHost,
		"http://{dpl}:3000":                 errHost,
		"http://{dpl}{dpl}":                 errHost,
		"http://127.0.0.{dpl}":              errHost,
		"http://{dpl}.0.0.1":                errHost,
		"http://frontend.{dpl}":             errHost,
		"http://10-{dpl}:1":                 errHost,
		"http://a-{dpl}.{dpl}:1":            errHost,
		"http://frontend:{dpl}":             errURL,
		"http://frontend-{dpl}:{dpl}":       errURL,
		"http://{dpl}@frontend":             errPlace,
		"http://frontend/{dpl}":             errPlace,
		"http://frontend-{dpl}/{dpl}":       errPlace,
		"http://frontend-{dpl}?{dpl}":       errPlace,
		"{dpl}://frontend":                  errPlace,
		"{dpl}":                             errPlace,
		"ftp://frontend-{dpl}":              errPlace,
		"file:///{dpl}":                     errFolder,
		"file:///x{dpl}":                    errFolder,
		"file:///./{dpl}":                   errFolder,
		"file:///../{dpl}":                  errFolder,
		"file://{dpl}/srv":                  errPlace,
		"file:///srv/{dpl}?{dpl}":           errPlace,
		"http://[::{dpl}]":                  errURL,
		"http://frontend-{dpl}\x00:3000":    errURL,
		"http://s3cret:s3cret@{dpl}%zz:300": errURL,
	} {
		if _, err := ParseTemplate(text); err != want {
			t.Errorf("%q: %v, want %v", text, err, want)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", text, err)
		}
	}
	tpl, _ := ParseTemplate("http://frontend-{dpl}:3000")
	if _, ok := tpl.Expand(strings.Repeat("x", maxLabel-len("frontend-"))); !ok {
		t.Error("a label of 63 bytes is refused")
	}
	if _, ok := tpl.Expand(strings.Repeat("x", maxLabel-len("frontend-")+1)); ok {
		t.Error("a label of 64 bytes is taken")
	}
}

// Whatever an id is, an origin with it is what the template is without: the same scheme, port, user and rest, no address,
// and no other folder than one of those beside each other.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"http://frontend-{dpl}:3000", "https://{dpl}.x", "file:///srv/{dpl}/app", "http://u:p@a-{dpl}", "http://[::{dpl}]", "http://a{dpl}b.1.{dpl}"} {
		for _, id := range []string{"v1", "1", "-", "a_B", "2130706433", ".."} {
			f.Add(s, id)
		}
	}
	f.Fuzz(func(t *testing.T, text, id string) {
		tpl, err := ParseTemplate(text)
		if err != nil || !tpl.Varies() || !Valid(id) {
			return
		}
		origin, ok := tpl.Expand(id)
		if !ok {
			return
		}
		got, err := url.Parse(origin)
		if err != nil {
			t.Fatalf("%q with %q: %v", text, id, err)
		}
		base, err := url.Parse(tpl.expand("x"))
		if err != nil {
			t.Fatal(err)
		}
		if got.Scheme != base.Scheme || got.Port() != base.Port() || got.User.String() != base.User.String() || got.RawQuery != base.RawQuery || got.Fragment != base.Fragment {
			t.Fatalf("%q with %q is %v", text, id, got)
		}
		if got.Scheme == "file" {
			if got.Host != base.Host || len(strings.Split(path.Clean(got.Path), "/")) != len(strings.Split(path.Clean(base.Path), "/")) {
				t.Fatalf("%q with %q leads to %q", text, id, got.Path)
			}
			return
		}
		if _, err := netip.ParseAddr(got.Hostname()); err == nil || got.Path != base.Path || strings.Count(got.Host, ".") != strings.Count(base.Host, ".") {
			t.Fatalf("%q with %q leads to %v", text, id, got)
		}
	})
}
