package fetch

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"imgopt/failure"
)

// get fetches an absolute href.
func get(t *testing.T, c *Client, href string) (*Source, error) {
	t.Helper()
	return c.Fetch(t.Context(), Request{Href: href, Absolute: true})
}

func TestAbsoluteAnswer(t *testing.T) {
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Type"] = []string{"image/png", "text/html"}
		h["Cache-Control"] = []string{"public", "max-age=77"}
		h["Etag"] = []string{"\"caf\xe9\""}
		h.Set("Last-Modified", "Sat, 21 Nov 2026 19:35:44 GMT")
		w.Write([]byte("image"))
	})
	src, err := get(t, newTestClient(t, nil), s.URL+"/")
	if err != nil {
		t.Fatal(err)
	}
	wantSrc := Source{Body: []byte("image"), ContentType: "image/png", CacheControl: "public, max-age=77", ETag: `"café"`, LastModified: "Sat, 21 Nov 2026 19:35:44 GMT"}
	if !reflect.DeepEqual(*src, wantSrc) {
		t.Errorf("got  %+v\nwant %+v", *src, wantSrc)
	}
}

func TestStatuses(t *testing.T) {
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(strings.Trim(r.URL.Path, "/"))
		w.Header().Set("Retry-After", "17")
		w.WriteHeader(code)
		if code != http.StatusNoContent && code != http.StatusNotModified {
			w.Write([]byte("body"))
		}
	})
	c := newTestClient(t, func(o *Options) { o.Origins = []string{s.URL} })
	for code, status := range map[int]int{
		200: 0, 201: 0, 206: 0, 299: 0,
		300: 500, 301: 500, 302: 500, 304: 500, 305: 500, 308: 500,
		400: 400, 401: 401, 403: 403, 404: 404, 408: 408, 410: 410, 418: 418, 425: 425, 451: 451,
		429: 502, 500: 502, 502: 502, 503: 502, 504: 502,
		501: 501, 505: 505, 520: 520, 600: 600, 999: 999,
	} {
		for _, r := range []Request{{Href: fmt.Sprintf("%s/%d", s.URL, code), Absolute: true}, {Href: fmt.Sprintf("/%d", code)}} {
			src, err := c.Fetch(t.Context(), r)
			if status == 0 {
				if err != nil || string(src.Body) != "body" {
					t.Errorf("%d: %v", code, err)
				}
				continue
			}
			w := want{status: status, text: failure.TextUpstreamInvalid, reason: "upstream_status", retryable: status == 502}
			if !r.Absolute {
				w.text, w.reason = failure.TextInternalInvalid, "origin_status"
			}
			f := w.check(t, err)
			var se *StatusError
			if !errors.As(f, &se) || se.Code != code || se.RetryAfter != 17*time.Second {
				t.Errorf("%d: cause %v", code, f.Cause)
			}
		}
	}
	_, err := get(t, c, s.URL+"/204")
	want{status: 400, text: failure.TextUpstreamInvalid, reason: "upstream_empty"}.check(t, err)
	_, err = c.Fetch(t.Context(), Request{Href: "/204"})
	want{status: 400, text: failure.TextInternalInvalid, reason: "origin_empty"}.check(t, err)
}

func TestRequestHeaders(t *testing.T) {
	var got http.Header
	var proto string
	record := func(w http.ResponseWriter, r *http.Request) {
		got, proto = r.Header.Clone(), r.Proto
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		w.Write([]byte("image"))
	}
	plain := newTestServer(t, record)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(record))
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	c := newTestClient(t, func(o *Options) { o.Origins = []string{plain.URL} })
	c.upstream.TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	c.upstream.TLSClientConfig.NextProtos = nil

	wantHTTP := http.Header{"Accept": {"*/*"}, "Accept-Encoding": {"gzip, deflate"}, "Accept-Language": {"*"}, "Connection": {"keep-alive"}, "Sec-Fetch-Mode": {"cors"}, "User-Agent": {"node"}}
	wantHTTPS := maps.Clone(wantHTTP)
	wantHTTPS["Accept-Encoding"] = []string{"br, gzip, deflate"}
	for range 2 { // the second time there would be a cookie
		for _, tt := range []struct {
			r    Request
			want http.Header
		}{
			{Request{Href: plain.URL + "/", Absolute: true}, wantHTTP},
			{Request{Href: secure.URL + "/", Absolute: true}, wantHTTPS},
			{Request{Href: "/"}, http.Header{"Connection": {"keep-alive"}}},
		} {
			if _, err := c.Fetch(t.Context(), tt.r); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) || proto != "HTTP/1.1" {
				t.Errorf("%s: %s\ngot  %v\nwant %v", tt.r.Href, proto, got, tt.want)
			}
		}
	}
}

func TestNoProxy(t *testing.T) {
	c := newTestClient(t, nil)
	if c.upstream.Proxy != nil || c.frontend.Proxy != nil {
		t.Error("a proxy would make the connection in place of the address guard")
	}
}

func TestCertificate(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about the handshake
	s.StartTLS()
	t.Cleanup(s.Close)
	c := newTestClient(t, nil)
	c.upstream.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	c.upstream.TLSClientConfig.RootCAs = x509.NewCertPool()
	_, err := get(t, c, s.URL+"/")
	want{status: 502, text: failure.TextUpstreamInvalid, reason: "upstream_certificate"}.check(t, err)
}

// What stands on the request line and in Authorization is what Node sends.
func TestRequestLine(t *testing.T) {
	var mu sync.Mutex
	var line, auth string
	base := newRawServer(t, func(conn net.Conn, l string) {
		mu.Lock()
		line = strings.TrimSuffix(strings.TrimPrefix(l, "GET "), " HTTP/1.1\r\n")
		mu.Unlock()
		conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"))
	})
	authServer := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		auth = r.Header.Get("Authorization")
		w.Write([]byte("x"))
	})
	host := strings.TrimPrefix(base, "http://")
	c := newTestClient(t, nil)
	for path, sent := range map[string]string{
		"":                             "/",
		"/":                            "/",
		"?a":                           "/?a",
		"/a?":                          "/a",
		"/a??":                         "/a??",
		"/a?b?c=d#e?":                  "/a?b?c=d",
		"/a#b":                         "/a",
		"/a|b^c[d]%22e'f(g)":           "/a|b^c[d]%22e'f(g)",
		"/%zz%":                        "/%zz%",
		"/%41%2F%2e":                   "/%41%2F%2e",
		"/a//b":                        "/a//b",
		"//other.test/x?y":             "//other.test/x?y",
		"//other.test/%zz?y":           "http://" + host + "//other.test/%zz?y",
		"/a?url=http://x/?y=%zz|^`{}'": "/a?url=http://x/?y=%zz|^`{}'",
	} {
		if _, err := get(t, c, base+path); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		mu.Lock()
		if line != sent {
			t.Errorf("%s: sent %s, want %s", path, line, sent)
		}
		mu.Unlock()
	}
	for userinfo, sent := range map[string]string{
		"":                     "",
		":@":                   "",
		"user@":                "Basic dXNlcjo=",
		"user:pass@":           "Basic dXNlcjpwYXNz",
		":pass@":               "Basic OnBhc3M=",
		"us%40er:p%3Aw:x@":     "Basic dXNAZXI6cDp3Ong=",
		"%C3%BC:%F0%9F%98%80@": "Basic w7w68J+YgA==",
	} {
		if _, err := get(t, c, "http://"+userinfo+strings.TrimPrefix(authServer.URL, "http://")+"/"); err != nil {
			t.Fatalf("%s: %v", userinfo, err)
		}
		if auth != sent {
			t.Errorf("%s: sent %q, want %q", userinfo, auth, sent)
		}
	}
	for _, href := range []string{"http://%zz:secret@" + host + "/", "http://u:%ff@" + host + "/", "ftp://" + host + "/", "data:image/png,x", "http:///x", "/x", ""} {
		_, err := get(t, c, href)
		f := want{status: 500, text: "Internal Server Error", reason: "upstream_url"}.check(t, err)
		if strings.Contains(f.Error(), "secret") {
			t.Errorf("password in the log: %v", f)
		}
	}
}

func TestResolveLocation(t *testing.T) {
	for _, row := range golden[[3]string](t, "location.json") {
		base, location, href := row[0], row[1], row[2]
		if location == "" {
			href = "" // fetchExternalImage asks before it resolves
		}
		got, ok := resolveLocation(base, location)
		if got != href || ok != (href != "") {
			t.Errorf("%q on %q: %q, Node: %q", location, base, got, href)
		}
	}
}

func TestRedirects(t *testing.T) {
	var other *httptest.Server
	var paths []string
	handler := func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.RequestURI())
		code, _ := strconv.Atoi(r.URL.Query().Get("code"))
		switch to := r.URL.Query()["to"]; {
		case r.URL.Path == "/count":
			n, _ := strconv.Atoi(r.URL.RawQuery)
			if n > 0 {
				http.Redirect(w, r, fmt.Sprintf("/count?%d", n-1), http.StatusFound)
			} else {
				w.Write([]byte("image"))
			}
		case code != 0:
			w.Header()["Location"] = to
			w.WriteHeader(code)
			w.Write([]byte("moved"))
		case r.URL.Path == "/ok", r.URL.Path == "/dir/ok", r.URL.EscapedPath() == "/%C3%83%C2%BC":
			w.Write([]byte("image"))
		default:
			http.NotFound(w, r)
		}
	}
	s := newTestServer(t, handler)
	other = newTestServer(t, handler)
	failed := func(status int, reason string) want {
		return want{status: status, text: failure.TextUpstreamInvalid, reason: reason}
	}
	notFollowed := failed(500, "upstream_status")
	thrown := want{status: 500, text: "Internal Server Error", reason: "upstream_url"}
	for _, tt := range []struct {
		path string
		want want
	}{
		{"/dir/x?code=301&to=/ok", want{}},
		{"/dir/x?code=302&to=ok", want{}},
		{"/dir/x?code=303&to=../ok", want{}},
		{"/dir/x?code=307&to=ok%23frag", want{}},
		{"/dir/x?code=308&to=" + other.URL + "/ok", want{}},
		{"/x?code=302&to=/ok&to=/missing", want{}},
		{"/x?code=302&to=/%C3%BC", want{}}, // raw UTF-8 bytes, which Node reads as Latin-1
		{"/x?code=302&to=/missing", failed(404, "upstream_status")},
		{"/x?code=302", notFollowed},
		{"/x?code=302&to=", notFollowed},
		{"/x?code=302&to=http://[", notFollowed},
		{"/x?code=300&to=/ok", notFollowed},
		{"/x?code=305&to=/ok", notFollowed},
		{"/x?code=304&to=/ok", notFollowed},
		{"/x?code=404&to=/ok", failed(404, "upstream_status")},
		{"/x?code=302&to=ftp://a/b", thrown},
		{"/x?code=302&to=data:image/png,x", thrown},
		{"/count?3", want{}},
		{"/count?4", failed(508, "upstream_redirects")},
	} {
		paths = nil
		src, err := get(t, newTestClient(t, nil), s.URL+tt.path)
		if tt.want != (want{}) {
			tt.want.check(t, err)
		} else if err != nil || string(src.Body) != "image" {
			t.Errorf("%s: %v", tt.path, err)
		}
		if tt.path == "/count?4" && !slices.Equal(paths, []string{"/count?4", "/count?3", "/count?2", "/count?1"}) {
			t.Errorf("asked for %v", paths)
		}
	}
	none := newTestClient(t, func(o *Options) { o.MaxRedirects = 0 })
	if _, err := get(t, none, s.URL+"/count?0"); err != nil {
		t.Error(err)
	}
	_, err := get(t, none, s.URL+"/count?1")
	failed(508, "upstream_redirects").check(t, err)
}

func TestConditional(t *testing.T) {
	var got [][2]string
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		etag, since := r.Header.Get("If-None-Match"), r.Header.Get("If-Modified-Since")
		got = append(got, [2]string{etag, since})
		switch {
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case etag == "\"caf\xe9\"" || etag == "" && since == "Sat, 21 Nov 2026 19:35:44 GMT":
			w.Header().Set("Cache-Control", "max-age=9")
			w.Header()["Etag"] = []string{"\"caf\xe9\""}
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Write([]byte("image"))
		}
	})
	c := newTestClient(t, func(o *Options) { o.Origins = []string{s.URL} })
	date := "Sat, 21 Nov 2026 19:35:44 GMT"
	for _, tt := range []struct {
		r           Request
		notModified bool
		sent        [][2]string
	}{
		{Request{Href: "/"}, false, [][2]string{{"", ""}}},
		{Request{Href: "/", ETag: `"café"`}, true, [][2]string{{"\"caf\xe9\"", ""}}},
		{Request{Href: "/", LastModified: date}, true, [][2]string{{"", date}}},
		{Request{Href: "/", ETag: `"café"`, LastModified: date}, true, [][2]string{{"\"caf\xe9\"", date}}},
		{Request{Href: "/", ETag: `"other"`, LastModified: date}, false, [][2]string{{`"other"`, date}}},
		{Request{Href: "/moved", ETag: `"café"`}, true, [][2]string{{"\"caf\xe9\"", ""}, {"\"caf\xe9\"", ""}}},
		{Request{Href: "/", ETag: "\"a\r\nX: y\""}, false, [][2]string{{"", ""}}},
		{Request{Href: "/", ETag: `"€"`}, false, [][2]string{{"", ""}}},
	} {
		for _, absolute := range []bool{true, false} {
			r := tt.r
			if r.Absolute = absolute; absolute {
				r.Href = s.URL + r.Href
			} else if r.Href == "/moved" {
				continue // not followed
			}
			got = nil
			src, err := c.Fetch(t.Context(), r)
			if err != nil {
				t.Fatalf("%+v: %v", r, err)
			}
			if src.NotModified != tt.notModified || !slices.Equal(got, tt.sent) {
				t.Errorf("%+v: not modified: %v, sent %q", r, src.NotModified, got)
			}
			if tt.notModified && (src.Body != nil || src.CacheControl != "max-age=9" || src.ETag != `"café"`) {
				t.Errorf("%+v: %+v", r, src)
			}
		}
	}
}
