package fetch

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"imgopt/failure"
)

// AllowRedirect is asked about every target that would be followed, in its canonical form, and a no is final.
func TestAllowRedirect(t *testing.T) {
	var paths []string
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path)
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
			return
		}
		w.Write([]byte("image"))
	})
	var asked []string
	c := newTestClient(t, func(o *Options) {
		o.MaxRedirects = 2
		o.Origins = []string{s.URL}
		o.AllowRedirect = func(href string) bool {
			asked = append(asked, strings.Replace(href, s.URL, "S", 1))
			return !strings.Contains(href, "no")
		}
	})
	refused := want{status: 400, text: failure.TextNotAllowed, reason: "upstream_redirect"}
	for _, tt := range []struct {
		path  string
		want  want
		asked []string
		paths []string
	}{
		{path: "/direct", paths: []string{"/direct"}},
		{path: "/a?to=/yes", asked: []string{"S/yes"}, paths: []string{"/a", "/yes"}},
		{path: "/a?to=./x/../%C3%BC%2520y%23f", asked: []string{"S/%C3%83%C2%BC%20y#f"}, paths: []string{"/a", "/Ã¼ y"}},
		{path: "/a?to=/no", want: refused, asked: []string{"S/no"}, paths: []string{"/a"}},
		{path: "/a?to=/b%3Fto=/no", want: refused, asked: []string{"S/b?to=/no"}, paths: []string{"/a"}},
		{path: "/a?to=/b%3Fto=%2Fn%256F", want: refused, asked: []string{"S/b?to=/n%6F", "S/no"}, paths: []string{"/a", "/b"}},
		{path: "/a?to=//no.test/x", want: refused, asked: []string{"http://no.test/x"}, paths: []string{"/a"}},
		{path: "/a?to=HTTP:no.test", want: refused, asked: []string{"S/no.test"}, paths: []string{"/a"}},
		{path: "/a?to=ftp://no.test", want: refused, asked: []string{"ftp://no.test/"}, paths: []string{"/a"}},
		{path: "/a?to=ftp://yes.test", want: want{status: 500, text: "Internal Server Error", reason: "upstream_url"}, asked: []string{"ftp://yes.test/"}, paths: []string{"/a"}},
		{path: "/a?to=http://[", want: want{status: 500, text: failure.TextUpstreamInvalid, reason: "upstream_status"}, paths: []string{"/a"}},
	} {
		asked, paths = nil, nil
		src, err := get(t, c, s.URL+tt.path)
		if tt.want != (want{}) {
			tt.want.check(t, err)
		} else if err != nil || string(src.Body) != "image" {
			t.Errorf("%s: %v", tt.path, err)
		}
		if !slices.Equal(asked, tt.asked) || !slices.Equal(paths, tt.paths) {
			t.Errorf("%s: asked about %q, fetched %q", tt.path, asked, paths)
		}
	}
	// One redirect too many is one too many, whatever its target.
	asked = nil
	_, err := get(t, c, s.URL+"/1?to=/2%3Fto=/3%253Fto=/4")
	if (want{status: 508, text: failure.TextUpstreamInvalid, reason: "upstream_redirects"}).check(t, err); len(asked) != 2 {
		t.Errorf("asked about %q", asked)
	}
	// The name of a user is not told.
	if _, err := get(t, c, s.URL+"/a?to=http://user:s3cret@no.test/"); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v", err)
	}
	// Redirects of an origin are not followed, so nobody is asked.
	asked = nil
	if _, err := c.Fetch(t.Context(), Request{Href: "/a?to=/yes"}); err == nil || asked != nil {
		t.Errorf("asked about %q: %v", asked, err)
	}
}

// A target that is allowed still has to have a public address.
func TestAllowRedirectKeepsTheGuard(t *testing.T) {
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	})
	c := newGuardedClient(t, &fakeResolver{}, s.Listener.Addr().String())
	c.mayRedirect = func(string) bool { return true }
	_, err := get(t, c, "http://"+publicAddr+"/")
	var blocked *BlockedError
	if f := (want{status: 400, text: failure.TextNotAllowed, reason: "upstream_address"}).check(t, err); !errors.As(f, &blocked) {
		t.Error(f)
	}
}
