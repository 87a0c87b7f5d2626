package fetch

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"imgopt/failure"
)

func TestNew(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := Options{Timeout: time.Second, MaxBody: 1, Origins: []string{"http://a", "https://u:p@b:8443/base/", "file://" + dir, "file://localhost" + dir, "http://[::1]:80"}}
	c, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, tt := range []struct {
		change func(*Options)
		named  string
	}{
		{func(o *Options) { o.Timeout = 0 }, "0s"},
		{func(o *Options) { o.MaxBody = 0 }, "0 bytes"},
		{func(o *Options) { o.MaxRedirects = -1 }, "-1 redirects"},
		{func(o *Options) { o.MaxIdleConns = -2 }, "-2"},
		{func(o *Options) { o.MaxIdleConnsPerHost = -3 }, "-3"},
		{func(o *Options) { o.IdleTimeout = -4 }, "-4ns"},
		{func(o *Options) { o.BasePath = "docs" }, `"docs"`},
		{func(o *Options) { o.BasePath = "/docs/" }, `"/docs/"`},
		{func(o *Options) { o.BasePath = "/" }, `"/"`},
	} {
		o := good
		tt.change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), tt.named) {
			t.Errorf("%v does not name %s", err, tt.named)
		}
	}
	for _, origin := range []string{
		"", "frontend", "frontend:3000", "http://", "http:///x", "http://:80", "http:x", "ftp://a", "http://a?x", "http://a?", "http://a#x", "http://u:secret@a\x7f", "http://u:secret@a/%zz",
		"file://", "file:x", "file://host" + dir, "file://" + dir + "/missing", "file://" + file, "file://" + dir + "?x",
	} {
		o := good
		o.Origins = []string{"http://a", origin}
		_, err := New(o)
		if err == nil || !strings.Contains(err.Error(), "origin ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", origin, err)
		}
	}
}

func TestServerOrigin(t *testing.T) {
	var mu sync.Mutex
	var line string
	base := newRawServer(t, func(conn net.Conn, l string) {
		mu.Lock()
		line = strings.TrimSuffix(strings.TrimPrefix(l, "GET "), " HTTP/1.1\r\n")
		mu.Unlock()
		conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"))
	})
	for _, tt := range []struct{ prefix, href, sent string }{
		{"", "/a.png", "/a.png"},
		{"/", "/a.png", "/a.png"},
		{"/base", "/a.png", "/base/a.png"},
		{"/base/", "/a.png?v=1&w=%20", "/base/a.png?v=1&w=%20"},
		{"/b%20c", "/a.png?", "/b%20c/a.png"},
		{"", "/", "/"},
		{"", "/a.png#frag", "/a.png"},
		{"", "/a b/ü.png?ü=ö", "/a%20b/%C3%BC.png?%C3%BC=%C3%B6"},
		{"", "/a%20b/%c3%bc%2F.png", "/a%20b/%c3%bc%2F.png"},
		{"", "/100%.png", "/100%.png"},
		{"", "/a|b^c.png", "/a|b^c.png"},
		{"", "/a//b", "/a//b"},
		{"", "//a/b", "//a/b"},
		{"/base", "//a/b", "/base//a/b"},
		{"/base", "/../secret", "/base/secret"},
		{"/base", "/x/../../secret", "/base/secret"},
		{"/base", "/%2e%2E/secret", "/base/secret"},
		{"/base", "/./a", "/base/a"},
		{"/base", "/...", "/base/..."},
	} {
		c := newTestClient(t, func(o *Options) { o.Origins, o.BasePath = []string{base + tt.prefix}, "/ignored" })
		if _, err := c.Fetch(t.Context(), Request{Href: tt.href}); err != nil {
			t.Fatalf("%q %q: %v", tt.prefix, tt.href, err)
		}
		mu.Lock()
		if line != tt.sent {
			t.Errorf("%q %q: sent %q, want %q", tt.prefix, tt.href, line, tt.sent)
		}
		line = ""
		mu.Unlock()
	}
	c := newTestClient(t, func(o *Options) { o.Origins = []string{base + "/base"} })
	for href, status := range map[string]int{
		"/..%2fsecret": 404, "/a/..%2Fsecret": 404, "/%2e%2e%2fsecret": 404, "/a/%2e.%5csecret": 404, "/a%5c..": 404,
		`/\secret`: 500, `/a\..\secret`: 500, "": 404, "a.png": 404, "?a": 404,
	} {
		_, err := c.Fetch(t.Context(), Request{Href: href})
		want{status: status, text: failure.TextInternalInvalid, reason: "origin_path"}.check(t, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if line != "" {
		t.Errorf("the origin was asked for %q", line)
	}
}

func TestServerOriginCredentials(t *testing.T) {
	var auth string
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		auth = r.Header.Get("Authorization")
		w.Write([]byte("x"))
	})
	c := newTestClient(t, func(o *Options) { o.Origins = []string{strings.Replace(s.URL, "://", "://us%40er:pass@", 1)} })
	if _, err := c.Fetch(t.Context(), Request{Href: "/"}); err != nil || auth != "Basic dXNAZXI6cGFzcw==" {
		t.Errorf("sent %q (%v)", auth, err)
	}
}

// Redirects of the frontend are errors, as for Next.js.
func TestServerOriginRedirect(t *testing.T) {
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/ok", http.StatusFound)
	})
	c := newTestClient(t, func(o *Options) { o.Origins = []string{s.URL} })
	_, err := c.Fetch(t.Context(), Request{Href: "/"})
	want{status: 500, text: failure.TextInternalInvalid, reason: "origin_status"}.check(t, err)
}

func TestOriginOrder(t *testing.T) {
	answering := func(status int) string {
		return newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			w.Write([]byte(http.StatusText(status)))
		}).URL
	}
	ok, missing, gone, failing := answering(200), answering(404), answering(410), answering(503)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.png"), []byte("file"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir = "file://" + dir
	notFound := want{status: 404, text: failure.TextInternalInvalid, reason: "origin_missing"}
	notFoundThere := want{status: 404, text: failure.TextInternalInvalid, reason: "origin_status"}
	for _, tt := range []struct {
		origins []string
		href    string
		body    string
		want    want
	}{
		{nil, "/a.png", "", notFound},
		{[]string{dir}, "/a.png", "file", want{}},
		{[]string{dir}, "/b.png", "", notFound},
		{[]string{dir, ok}, "/a.png", "file", want{}},
		{[]string{dir, ok}, "/b.png", "OK", want{}},
		{[]string{dir, ok}, "/b//c.png", "OK", want{}},
		{[]string{dir, missing}, "/b.png", "", notFoundThere},
		{[]string{missing, dir}, "/a.png", "file", want{}},
		{[]string{missing, dir}, "/b.png", "", notFound},
		{[]string{missing, missing, ok}, "/b.png", "OK", want{}},
		{[]string{gone, ok}, "/b.png", "", want{status: 410, text: failure.TextInternalInvalid, reason: "origin_status"}},
		{[]string{failing, ok}, "/b.png", "", want{status: 502, text: failure.TextInternalInvalid, reason: "origin_status", retryable: true}},
	} {
		c := newTestClient(t, func(o *Options) { o.Origins = tt.origins })
		src, err := c.Fetch(t.Context(), Request{Href: tt.href})
		if tt.want != (want{}) {
			tt.want.check(t, err)
		} else if err != nil || string(src.Body) != tt.body {
			t.Errorf("%v %s: %v", tt.origins, tt.href, err)
		}
	}
}

func TestStatusError(t *testing.T) {
	texts := []string{(&StatusError{Code: 503}).Error(), (&StatusError{Code: 429, RetryAfter: time.Minute}).Error()}
	if want := []string{"status 503", "status 429, retry after 1m0s"}; !slices.Equal(texts, want) {
		t.Errorf("got %q", texts)
	}
	// The network error below a body stays visible.
	broken := errors.New("broken")
	if err := error(&networkError{broken}); !errors.Is(err, broken) {
		t.Error("networkError hides its cause")
	}
}
