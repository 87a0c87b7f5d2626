package fetch

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"

	"imgopt/failure"
)

func TestReadAll(t *testing.T) {
	broken := errors.New("broken")
	const limit = trustedHint + 5000
	for _, size := range []int{0, 1, 511, firstRead - 1, firstRead, firstRead + 1, trustedHint - 1, trustedHint, trustedHint + 1, limit, limit + 1, limit + 1000} {
		body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		for _, hint := range []int64{-1, 1, int64(size), int64(size) + 1, 1 << 60} {
			got, err := readAll(bytes.NewReader(body), hint, limit, &account{})
			if size > limit {
				if err != errTooLarge {
					t.Errorf("size %d, hint %d: %v", size, hint, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("size %d, hint %d: %d bytes, %v", size, hint, len(got), err)
			}
			if cap(got) > size+size/4+4096 { // allocations are rounded up
				t.Errorf("size %d, hint %d: keeps %d bytes", size, hint, cap(got))
			}
			if size > 0 && hint == int64(size) && size <= trustedHint && cap(got) != size+1 {
				t.Errorf("size %d: the exact hint gave a buffer of %d", size, cap(got))
			}
		}
		if size <= limit {
			if _, err := readAll(io.MultiReader(bytes.NewReader(body), iotest.ErrReader(broken)), -1, limit, &account{}); err != broken {
				t.Errorf("size %d: %v", size, err)
			}
		}
	}
	if _, err := readAll(stuckReader{}, -1, 10, &account{}); err != io.ErrNoProgress {
		t.Errorf("a reader that does nothing: %v", err)
	}
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

// spaceReader notes the largest buffer it was offered.
type spaceReader struct{ largest, left int }

func (s *spaceReader) Read(p []byte) (int, error) {
	s.largest = max(s.largest, len(p))
	n := min(s.left, len(p))
	if s.left -= n; s.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

// A Content-Length may lie: what it makes us allocate is bounded by what really arrives.
func TestReadAllAllocation(t *testing.T) {
	for _, tt := range []struct{ hint, limit, arrives, most int }{
		{1 << 30, 1 << 40, 1, trustedHint + 1},
		{1 << 30, 1 << 40, trustedHint + 2, trustedHint + 1},
		{5 << 20, 1 << 40, 5 << 20, 3<<20 + 1}, // the rest of the expected size after the second megabyte
		{-1, 1 << 40, 1, firstRead},
		{-1, 100, 50, 101},
		{1 << 20, 100, 50, 101},
	} {
		s := &spaceReader{left: tt.arrives}
		if _, err := readAll(s, int64(tt.hint), int64(tt.limit), &account{}); err != nil || s.largest > tt.most {
			t.Errorf("%+v: read into a buffer of %d (%v)", tt, s.largest, err)
		}
	}
}

func TestBodies(t *testing.T) {
	image := strings.Repeat("image", 20)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(image))
	full := strings.Repeat("x", testBody)
	var gz, br bytes.Buffer
	z := gzip.NewWriter(&gz)
	z.Write([]byte(image))
	z.Close()
	b := brotli.NewWriter(&br)
	b.Write([]byte(image))
	b.Close()
	gzLength := fmt.Sprintf("Content-Length: %d\r\n", gz.Len())
	large := want{status: 413, text: failure.TextUpstreamInvalid, reason: "upstream_too_large"}
	broken := want{status: 502, text: failure.TextUpstreamInvalid, reason: "upstream_connection", retryable: true}
	empty := want{status: 400, text: failure.TextUpstreamInvalid, reason: "upstream_empty"}
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, tt := range []struct {
		name, answer string
		want         want
	}{
		{"plain", ok + length + "\r\n" + image, want{}},
		{"until close", ok + "\r\n" + image, want{}},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n" + image, want{}},
		{"after 103", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + length + "\r\n" + image, want{}},
		{"more than announced", ok + length + "\r\n" + image + image, want{}},
		{"no reason phrase", "HTTP/1.1 200\r\n" + length + "\r\n" + image, want{}},
		{"limit", ok + "\r\n" + full, want{}},
		{"over limit", ok + "\r\n" + full + "x", large},
		{"announced over limit", ok + "Content-Length: 100001\r\n\r\n", large},
		{"announced huge", ok + "Content-Length: 9223372036854775807\r\n\r\n", large},
		{"empty", ok + "Content-Length: 0\r\n\r\n", empty},
		{"empty until close", ok + "\r\n", empty},
		{"empty chunked", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", empty},
		{"cut", ok + "Content-Length: 101\r\n\r\n" + image, broken},
		{"cut in chunk", ok + "Transfer-Encoding: chunked\r\n\r\nff\r\n" + image, broken},
		{"cut between chunks", ok + "Transfer-Encoding: chunked\r\n\r\n64\r\n" + image + "\r\n", broken},
		{"bad chunk", ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + image, broken},
		{"nothing", "", broken},
		{"not HTTP", "\x89PNG\r\n\r\n", broken},
		{"bad length", ok + "Content-Length: -1\r\n\r\n" + image, broken},
		{"header of 16 KB", ok + "X: " + strings.Repeat("x", 16000) + "\r\n" + length + "\r\n" + image, want{}},
		{"header of 24 KB", ok + "X: " + strings.Repeat("x", 24000) + "\r\n" + length + "\r\n" + image, broken},
		{"endless hints", strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n", 2000) + ok + length + "\r\n" + image, broken},
		{"gzip", ok + "Content-Encoding: gzip\r\n" + gzLength + "\r\n" + gz.String(), want{}},
		{"br", ok + "Content-Encoding: br\r\n\r\n" + br.String(), want{}},
		{"gzip, ends early", ok + "Content-Encoding: gzip\r\n\r\n" + gz.String()[:gz.Len()-8], want{}},
		{"gzip, cut", ok + "Content-Encoding: gzip\r\n" + gzLength + "\r\n" + gz.String()[:gz.Len()-8], broken},
		{"gzip, cut after its end", ok + "Content-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n" + gz.String(), broken},
		{"br, cut after its end", ok + "Content-Encoding: br\r\nContent-Length: 1000\r\n\r\n" + br.String(), broken},
		{"two coding headers", ok + "Content-Encoding: br\r\nContent-Encoding: identity\r\n" + length + "\r\n" + image, want{}},
		{"six codings", ok + "Content-Encoding: a,b,c,d,e,f\r\n" + length + "\r\n" + image, want{status: 400, text: failure.TextUpstreamInvalid, reason: "upstream_codings"}},
		{"not gzip", ok + "Content-Encoding: gzip\r\n" + length + "\r\n" + image, want{status: 500, text: "Internal Server Error", reason: "upstream_encoding"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := newRawAnswer(t, tt.answer)
			c := newTestClient(t, func(o *Options) { o.Origins = []string{base} })
			src, err := get(t, c, base+"/")
			relative, relErr := c.Fetch(t.Context(), Request{Href: "/"})
			if coded := strings.Contains(tt.answer, "Content-Encoding"); coded && !tt.want.retryable {
				// A relative href's body is taken as it comes.
				if relErr != nil || !strings.HasSuffix(tt.answer, string(relative.Body)) {
					t.Errorf("relative: %v, %v", relative, relErr)
				}
				if tt.want == (want{}) {
					if err != nil || string(src.Body) != image {
						t.Errorf("%v, %v", src, err)
					}
				} else {
					tt.want.check(t, err)
				}
				return
			}
			if tt.want == (want{}) {
				for _, s := range []*Source{src, relative} {
					if err != nil || relErr != nil || string(s.Body) != image && string(s.Body) != full {
						t.Fatalf("%v, %v, %v", s, err, relErr)
					}
				}
				return
			}
			tt.want.check(t, err)
			// The same answer to a relative href, in that one's words.
			w := tt.want
			w.reason = strings.Replace(w.reason, "upstream", "origin", 1)
			switch {
			case w.status == 500:
				w.text = failure.TextUpstreamInvalid
			case !w.retryable:
				w.text = failure.TextInternalInvalid
			}
			w.check(t, relErr)
		})
	}
}

// A body without end is given up at the limit, by closing the connection.
func TestEndlessBody(t *testing.T) {
	for name, start := range map[string]string{
		"plain":   "HTTP/1.1 200 OK\r\n\r\n",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nContent-Encoding: gzip\r\n\r\n" + bomb(),
	} {
		done := make(chan error, 1)
		base := newRawServer(t, func(conn net.Conn, _ string) {
			_, err := io.WriteString(conn, start)
			for err == nil {
				_, err = conn.Write(make([]byte, 1<<16))
			}
			done <- err
		})
		_, err := get(t, newTestClient(t, nil), base+"/")
		want{status: 413, text: failure.TextUpstreamInvalid, reason: "upstream_too_large"}.check(t, err)
		if err := <-done; err == nil {
			t.Errorf("%s: the upstream could send everything", name)
		}
	}
}

// bomb is gzip data that becomes ten times the limit.
func bomb() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(make([]byte, 10*testBody))
	z.Close()
	return b.String()
}

// An answer that is not used is not drained either.
func TestRedirectBodyNotDrained(t *testing.T) {
	image := newRawAnswer(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
	done := make(chan struct{})
	base := newRawServer(t, func(conn net.Conn, _ string) {
		defer close(done)
		_, err := io.WriteString(conn, "HTTP/1.1 302 Found\r\nLocation: "+image+"/\r\n\r\n")
		for err == nil {
			_, err = conn.Write(make([]byte, 1<<16))
		}
	})
	if _, err := get(t, newTestClient(t, nil), base+"/"); err != nil {
		t.Error(err)
	}
	<-done
}

func TestConnectionRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + l.Addr().String()
	l.Close()
	c := newTestClient(t, func(o *Options) { o.Origins = []string{base} })
	_, err = get(t, c, base+"/")
	want{status: 502, text: failure.TextUpstreamInvalid, reason: "upstream_connection", retryable: true}.check(t, err)
	_, err = c.Fetch(t.Context(), Request{Href: "/"})
	want{status: 502, text: failure.TextUpstreamInvalid, reason: "origin_connection", retryable: true}.check(t, err)
}

func TestKeepAlive(t *testing.T) {
	var conns atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Write([]byte("image"))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	c := newTestClient(t, func(o *Options) { o.Origins = []string{s.URL} })
	for _, etag := range []string{"", `"x"`, "", `"x"`, ""} {
		if _, err := c.Fetch(t.Context(), Request{Href: s.URL + "/", Absolute: true, ETag: etag}); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for five fetches", n)
	}
	// A connection made without the guard is not there for fetches that want it: the origin has its own pool, every
	// client has.
	if _, err := c.Fetch(t.Context(), Request{Href: "/"}); err != nil {
		t.Fatal(err)
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections after a relative fetch", n)
	}
	guarded := newTestClient(t, func(o *Options) { o.AllowLocalIP, o.Origins = false, []string{s.URL} })
	if _, err := guarded.Fetch(t.Context(), Request{Href: "/"}); err != nil {
		t.Errorf("the guard does not apply to origins: %v", err)
	}
	_, err := guarded.Fetch(t.Context(), Request{Href: s.URL + "/", Absolute: true})
	want{status: 400, text: failure.TextNotAllowed, reason: "upstream_address"}.check(t, err)
}
