package fetch

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Headers of an origin go there and nowhere else, whoever asks for it and by whatever way.
func TestOriginHeaders(t *testing.T) {
	got := map[string]http.Header{}
	handler := func(w http.ResponseWriter, r *http.Request) {
		got[r.Host+r.URL.Path] = r.Header.Clone()
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		w.Write([]byte("image"))
	}
	bucket, other := newTestServer(t, handler), newTestServer(t, handler)
	const secret = "Bearer s3cret"
	c := newTestClient(t, func(o *Options) {
		o.Origins = []string{strings.Replace(bucket.URL, "//", "//user:pass@", 1)}
		o.Headers = []OriginHeaders{
			{Origin: strings.ToUpper(bucket.URL) + "/", Header: http.Header{"authorization": {secret}, "X-Two": {"a", "b"}, "User-Agent": {"imgopt"}, "Accept-Language": {""}}},
			{Origin: "https://" + other.Listener.Addr().String(), Header: http.Header{"X-Other-Scheme": {"1"}}},
		}
	})
	sent := func(key string) http.Header { return got[strings.TrimPrefix(key, "http://")] }
	for _, tt := range []struct {
		href          string
		absolute      bool
		with, without []string
	}{
		{bucket.URL + "/direct", true, []string{bucket.URL + "/direct"}, nil},
		{strings.Replace(bucket.URL, "//", "//someone:else@", 1) + "/user", true, []string{bucket.URL + "/user"}, nil},
		{"/relative", false, []string{bucket.URL + "/relative"}, nil},
		{other.URL + "/direct", true, nil, []string{other.URL + "/direct"}},
		{bucket.URL + "/away?to=" + other.URL + "/there", true, []string{bucket.URL + "/away"}, []string{other.URL + "/there"}},
		{other.URL + "/back?to=" + bucket.URL + "/home", true, []string{bucket.URL + "/home"}, []string{other.URL + "/back"}},
	} {
		_, err := c.Fetch(t.Context(), Request{Href: tt.href, Absolute: tt.absolute})
		if err != nil {
			t.Fatalf("%s: %v", tt.href, err)
		}
		for _, key := range tt.with {
			h := sent(key)
			if !reflect.DeepEqual(h["Authorization"], []string{secret}) || !reflect.DeepEqual(h["X-Two"], []string{"a", "b"}) || h.Get("User-Agent") != "imgopt" || h.Get("Accept-Language") != "" {
				t.Errorf("%s: sent %v", key, h)
			}
		}
		for _, key := range tt.without {
			if h := sent(key); h == nil || h["Authorization"] != nil || h["X-Two"] != nil || h["X-Other-Scheme"] != nil || h.Get("User-Agent") != "node" {
				t.Errorf("%s: sent %v", key, h)
			}
		}
	}
}

// What goes wrong on the way to an origin with headers does not tell them.
func TestOriginHeadersAreSecret(t *testing.T) {
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hangup" {
			panic(http.ErrAbortHandler)
		}
		http.NotFound(w, r)
	})
	c := newTestClient(t, func(o *Options) {
		o.MaxRedirects = 0
		o.Headers = []OriginHeaders{{Origin: s.URL, Header: http.Header{"X-Key": {"s3cret"}}}}
	})
	for _, path := range []string{"/missing", "/hangup"} {
		_, err := get(t, c, s.URL+path)
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "s3cret") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestOriginHeadersInvalid(t *testing.T) {
	ok := http.Header{"X-Key": {"s3cret"}}
	for _, tt := range []struct {
		list  []OriginHeaders
		named string // "" if it is valid
	}{
		{nil, ""},
		{[]OriginHeaders{{"https://a.test", ok}, {"https://a.test:8443", ok}, {"http://a.test", ok}, {"https://b.test:443/", ok}, {"http://[::1]:80", ok}}, ""},
		{[]OriginHeaders{{"https://a.test", ok}, {"https://A.test:443/", ok}}, "twice"},
		{[]OriginHeaders{{"https://１２７.1", ok}, {"https://127.0.0.1", ok}}, "twice"},
		{[]OriginHeaders{{"", ok}}, `headers for ""`},
		{[]OriginHeaders{{"a.test", ok}}, `"a.test"`},
		{[]OriginHeaders{{"//a.test", ok}}, "not a url"},
		{[]OriginHeaders{{"ftp://a.test", ok}}, "only http and https"},
		{[]OriginHeaders{{"file:///srv", ok}}, "only http and https"},
		{[]OriginHeaders{{"https://", ok}}, "not a url"},
		{[]OriginHeaders{{"https://*.test", ok}}, "pattern"},
		{[]OriginHeaders{{"https://a.test:99999", ok}}, "not a url"},
		{[]OriginHeaders{{"https://a.test/images", ok}}, "has a path"},
		{[]OriginHeaders{{"https://a.test?x", ok}}, "has a path, a query"},
		{[]OriginHeaders{{"https://a.test#x", ok}}, "fragment"},
		{[]OriginHeaders{{"https://user:s3cret@a.test", ok}}, "has a user"},
		{[]OriginHeaders{{"https://user:s3cret@a.test:x", ok}}, "not a url"},
		{[]OriginHeaders{{"https://a.test", nil}}, "no header"},
		{[]OriginHeaders{{"https://a.test", http.Header{"X-Key": nil}}}, `"X-Key" has no value`},
		{[]OriginHeaders{{"https://a.test", http.Header{"X-Key": {"s3cret"}, "x-key": {"s3cret"}}}}, "twice"},
		{[]OriginHeaders{{"https://a.test", http.Header{"X Key": {"s3cret"}}}}, `"X Key"`},
		{[]OriginHeaders{{"https://a.test", http.Header{"": {"s3cret"}}}}, `""`},
		{[]OriginHeaders{{"https://a.test", http.Header{"X-Kéy": {"s3cret"}}}}, "not the name"},
		{[]OriginHeaders{{"https://a.test", http.Header{"X-Key": {"s3cret\r\nX: y"}}}}, `"X-Key" has a control`},
		{[]OriginHeaders{{"https://a.test", http.Header{"X-Key": {"s3cret\n"}}}}, "control"},
		{[]OriginHeaders{{"https://a.test", http.Header{"X-Key": {"s3cret\x00"}}}}, "control"},
		{[]OriginHeaders{{"https://a.test", http.Header{"X-Key": {"s3cret\tx"}}}}, "control"},
		{[]OriginHeaders{{"https://a.test", http.Header{"X-Key": {"ok", "s3cret\x7f"}}}}, "control"},
	} {
		_, err := New(Options{Timeout: time.Second, MaxBody: 1, Headers: tt.list})
		if tt.named == "" {
			if err != nil {
				t.Errorf("%v: %v", tt.list, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.named) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: %v, want it to name %s", tt.list, err, tt.named)
		}
	}
	for _, name := range []string{"Connection", "host", "Content-Length", "transfer-encoding", "Upgrade", "TE", "Trailer", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Expect", "Range", "If-None-Match", "If-Modified-Since", "If-Range"} {
		_, err := New(Options{Timeout: time.Second, MaxBody: 1, Headers: []OriginHeaders{{"https://a.test", http.Header{name: {"s3cret"}}}}})
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(name)) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The options are copied.
func TestOriginHeadersCopied(t *testing.T) {
	var key string
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		key = r.Header.Get("X-Key")
		w.Write([]byte("image"))
	})
	h := http.Header{"X-Key": {"first"}}
	c := newTestClient(t, func(o *Options) { o.Headers = []OriginHeaders{{s.URL, h}} })
	h["X-Key"][0] = "second"
	if _, err := get(t, c, s.URL+"/"); err != nil || key != "first" {
		t.Errorf("sent %q: %v", key, err)
	}
}
