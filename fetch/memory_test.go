package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
)

// recorder is a Memory that notes what it is told.
type recorder struct {
	mu        sync.Mutex
	now, peak int64
	calls     int
	resize    func(ctx context.Context, bytes int64) error // nil: there is room
}

func (r *recorder) Resize(ctx context.Context, bytes int64) error {
	if r.resize != nil {
		if err := r.resize(ctx, bytes); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now, r.peak, r.calls = bytes, max(r.peak, bytes), r.calls+1
	return nil
}

// offered checks that no buffer it is given is larger than what the account holds.
type offered struct {
	t *testing.T
	r io.Reader
	m *recorder
}

func (o offered) Read(p []byte) (int, error) {
	if int64(len(p)) > o.m.now {
		o.t.Errorf("a buffer of %d bytes, %d reserved", len(p), o.m.now)
	}
	return o.r.Read(p)
}

// The account holds what is allocated, before it is, at most two and a half times the body and as it grows.
func TestReadAllMemory(t *testing.T) {
	const limit = 8 << 20
	for _, size := range []int{0, 1, 1000, firstRead, firstRead + 1, 100_000, trustedHint, trustedHint + 1, 3 << 20, 5<<20 + 1, limit} {
		body := make([]byte, size)
		for _, hint := range []int64{-1, int64(size), int64(size) / 2, 2 * int64(size), 1 << 40} {
			m := &recorder{}
			got, err := readAll(offered{t, bytes.NewReader(body), m}, hint, limit, &account{memory: m})
			if err != nil || len(got) != size || m.now != int64(size) {
				t.Fatalf("%d, hint %d: %d bytes, %d held, %v", size, hint, len(got), m.now, err)
			}
			most := int64(size)*5/2 + 2*firstRead
			switch {
			case hint == int64(size) && size <= trustedHint:
				most = int64(size) + 1
			case hint == int64(size):
				most = int64(size) + max(int64(size)/2, trustedHint) + 2
			case hint > int64(size):
				most = max(most, int64(size)*2+trustedHint, int64(size)+min(hint, trust*int64(size))) + 1
			}
			if m.peak > most {
				t.Errorf("%d, hint %d: %d held at the most, want %d", size, hint, m.peak, most)
			}
		}
	}
}

// Garbage is allocated too, so it is measured what the account says is enough even if nothing were ever freed.
func TestReadAllAllocates(t *testing.T) {
	for _, size := range []int{100_000, 3 << 20} {
		body := make([]byte, size)
		m := &recorder{}
		total := allocated(func() { readAll(bytes.NewReader(body), -1, 1<<30, &account{memory: m}) })
		if total > m.peak+m.peak/20+10_000 { // allocations are rounded up
			t.Errorf("%d bytes allocated, %d held at the most", total, m.peak)
		}
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// Everything that is fetched ends with its length in the account, decoded or not.
func TestMemory(t *testing.T) {
	image := bytes.Repeat([]byte("image"), 15_000)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file.png"), image, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		coding, _, isCoded := strings.Cut(strings.Trim(r.URL.Path, "/"), ".")
		switch {
		case r.Header.Get("If-None-Match") != "":
			w.WriteHeader(http.StatusNotModified)
		case coding == "missing":
			http.NotFound(w, r)
		case coding == "moved":
			http.Redirect(w, r, "/plain", http.StatusFound)
		case coding == "chunked":
			w.(http.Flusher).Flush()
			w.Write(image)
		case isCoded:
			w.Header().Set("Content-Encoding", strings.ReplaceAll(coding, "+", ","))
			w.Write(pack(t, image, strings.Split(coding, "+")...))
		default:
			w.Header().Set("Content-Length", strconv.Itoa(len(image)))
			w.Write(image)
		}
	})
	c := newTestClient(t, func(o *Options) { o.Origins = []string{"file://" + dir, s.URL} })
	const five = "gzip+deflate+br+gzip+br"
	for _, tt := range []struct {
		href string
		peak int64 // at the most; 0: it is never asked
	}{
		{s.URL + "/plain", 75_001},
		{s.URL + "/moved", 75_001},
		{s.URL + "/chunked", 75_000*5/2 + 2*firstRead},
		{s.URL + "/gzip.x", 75_000*5/2 + 2*firstRead + inflateMemory + inputBuffer},
		{s.URL + "/deflate.x", 75_000*5/2 + 2*firstRead + inflateMemory + inputBuffer},
		{s.URL + "/br.x", 75_000*5/2 + 2*firstRead + brotliMemory + inputBuffer + 6<<20},
		{s.URL + "/" + five + ".x", 75_000*5/2 + 2*firstRead + 3*inflateMemory + 2*brotliMemory + 5*inputBuffer + 2*6<<20},
		{s.URL + "/missing", 0},
		{"/file.png", 75_001},
		{"/plain", 75_001},
		{"/chunked", 75_000*5/2 + 2*firstRead},
		{"/missing", 0},
	} {
		m := &recorder{}
		src, err := c.Fetch(t.Context(), Request{Href: tt.href, Absolute: tt.href[0] != '/', Memory: m})
		if tt.peak == 0 {
			if err == nil || m.calls != 0 {
				t.Errorf("%s: asked %d times, %v", tt.href, m.calls, err)
			}
			continue
		}
		if err != nil || !bytes.Equal(src.Body, image) {
			t.Fatalf("%s: %v", tt.href, err)
		}
		if m.now != int64(len(src.Body)) || m.peak > tt.peak || cap(src.Body) > len(src.Body)+len(src.Body)/8 {
			t.Errorf("%s: %d held in the end, %d at the most (want %d), buffer of %d", tt.href, m.now, m.peak, tt.peak, cap(src.Body))
		}
	}
	for _, r := range []Request{{Href: s.URL + "/plain", Absolute: true, ETag: `"x"`}, {Href: "/plain", ETag: `"x"`}} {
		m := &recorder{}
		r.Memory = m
		if src, err := c.Fetch(t.Context(), r); err != nil || !src.NotModified || m.calls != 0 {
			t.Errorf("not modified: %v, asked %d times", err, m.calls)
		}
	}
}

// A fetch that waits for memory is not timed out; what it has left of its time it keeps.
func TestMemoryStopsTheClock(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header string
		body   func(w io.Writer)
		took   time.Duration
		want   want
	}{
		{
			name: "in time", header: "Content-Length: 2\r\n", took: 6*time.Second + 2*time.Hour,
			body: func(w io.Writer) {
				time.Sleep(3 * time.Second)
				io.WriteString(w, "xy")
			},
		},
		{
			name: "too slow by itself", header: "Content-Length: 2\r\n", took: 7*time.Second + 2*time.Hour,
			want: want{status: 504, text: failure.TextUpstreamTimeout, reason: "upstream_timeout", retryable: true, timeout: true},
			body: hang,
		},
		{
			name: "in a decoder", header: "Content-Encoding: gzip\r\n", took: 7*time.Second + 4*time.Hour, // one of them for the first part of the body
			want: want{status: 504, text: failure.TextUpstreamTimeout, reason: "upstream_timeout", retryable: true, timeout: true},
			body: func(w io.Writer) {
				io.WriteString(w, string(pack(t, make([]byte, 100_000), "gzip"))[:50])
				hang(w)
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := pipeClient(t, 0, func(w io.Writer, _ string) {
					time.Sleep(3 * time.Second)
					// The pipe has no buffer: while the fetch waits, nothing is read.
					io.WriteString(w, "HTTP/1.1 200 OK\r\n"+tt.header+"\r\n")
					time.Sleep(2 * time.Hour)
					tt.body(w)
				})
				m := &recorder{resize: func(ctx context.Context, _ int64) error {
					if ctx.Err() != nil {
						t.Error("the time limit is on the context of Resize")
					}
					time.Sleep(2 * time.Hour)
					return ctx.Err()
				}}
				begin := time.Now()
				_, err := c.Fetch(t.Context(), Request{Href: "http://slow.test/", Absolute: true, Memory: m})
				if took := time.Since(begin); tt.want == (want{}) {
					if err != nil || took != tt.took+2*time.Hour { // the last is to give back
						t.Errorf("took %v: %v", took, err)
					}
				} else if tt.want.check(t, err); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

// Who gets no memory is told to come back; the origin is not to blame.
func TestMemoryRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file.png"), []byte("image"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		if coding := r.URL.Query().Get("coding"); coding != "" {
			w.Header().Set("Content-Encoding", coding)
			w.Write(pack(t, make([]byte, 90_000), strings.Split(coding, ",")...))
			return
		}
		w.Write([]byte("image"))
	})
	c := newTestClient(t, func(o *Options) {
		o.Origins = []string{"file://" + dir, s.URL}
		o.Breaker = BreakerOptions{Failures: 1, OpenFor: time.Hour}
	})
	refused := want{status: 503, text: "Service Unavailable", reason: "source_memory"}
	full := errors.New("full")
	for _, href := range []string{s.URL + "/", "/file.png", "/x", s.URL + "/?coding=gzip", s.URL + "/?coding=deflate", s.URL + "/?coding=br", s.URL + "/?coding=gzip,br,deflate"} {
		// Every single request for more is refused once, to the last.
		for refuse := 1; ; refuse++ {
			asked := 0
			var last int64
			m := &recorder{resize: func(_ context.Context, bytes int64) error {
				defer func() { last = bytes }()
				if bytes <= last {
					return nil
				}
				if asked++; asked == refuse {
					return full
				}
				return nil
			}}
			_, err := c.Fetch(t.Context(), Request{Href: href, Absolute: href[0] != '/', Memory: m})
			if asked < refuse {
				if err != nil || refuse == 1 {
					t.Errorf("%s: never asked, %v", href, err)
				}
				break
			}
			if f := refused.check(t, err); !errors.Is(f, full) || f.RetryAfter != time.Second || t.Failed() {
				t.Fatalf("%s, refusal %d: %v, retry after %v", href, refuse, f, f.RetryAfter)
			}
		}
	}
	if n := c.Stats().OpenCircuits; n != 0 {
		t.Errorf("%d circuits opened", n)
	}
}

// The caller's context ends the wait.
func TestMemoryCanceled(t *testing.T) {
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("image")) })
	c := newTestClient(t, nil)
	why := errors.New("nobody waits")
	for name, end := range map[string]func() (context.Context, context.CancelFunc){
		"deadline": func() (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(t.Context(), 50*time.Millisecond, why)
		},
		"cancel": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(t.Context())
			return ctx, func() { cancel(why) }
		},
	} {
		ctx, cancel := end()
		m := &recorder{resize: func(ctx context.Context, _ int64) error {
			if name == "cancel" {
				cancel()
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		_, err := c.Fetch(ctx, Request{Href: s.URL + "/", Absolute: true, Memory: m})
		f := want{status: 503, text: "Service Unavailable", reason: "source_memory"}.check(t, err)
		if !errors.Is(f, why) || !errors.Is(f, ctx.Err()) || f.RetryAfter != time.Second {
			t.Errorf("%s: %v", name, f)
		}
		cancel()
	}
}

func BenchmarkReadAll(b *testing.B) {
	for _, size := range []int{20 << 10, 200 << 10, 5 << 20} {
		body := make([]byte, size)
		for _, hint := range []int64{int64(size), -1} {
			b.Run(fmt.Sprintf("%dK/hint=%d", size>>10, hint), func(b *testing.B) {
				b.ReportAllocs()
				m := &recorder{}
				for b.Loop() {
					if _, err := readAll(bytes.NewReader(body), hint, 50e6, &account{memory: m}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(m.peak)/float64(size), "peak/len")
			})
		}
	}
}
