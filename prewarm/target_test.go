package prewarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// roundTrip answers requests without a network, so that time can be the test's.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {"image/webp"}, "X-Nextjs-Cache": {"MISS"}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func newTarget(t *testing.T, site *Site, o Options) *Target {
	t.Helper()
	target, err := NewTarget(site, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	return target
}

// variant is one to ask for.
func variant(t *testing.T, site *Site, query, format string) Variant {
	t.Helper()
	v, err := site.variants(query, []string{format})
	if err != nil || len(v) != 1 {
		t.Fatal(v, err)
	}
	return v[0]
}

const someQuery = "url=%2Fa%20b.png&w=640&q=75&dpl=x"

func warmOne(ctx context.Context, target *Target, v Variant) (r Result) {
	target.Warm(ctx, []Variant{v}, func(_ Variant, result Result) { r = result })
	return r
}

// What goes over the wire, for each kind of client.
func TestTargetRequests(t *testing.T) {
	var mu sync.Mutex
	var got []*http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		got = append(got, r)
		mu.Unlock()
		w.Header().Set("Content-Type", "image/avif")
		w.Header().Set("X-Nextjs-Cache", "HIT")
		w.Header().Set("Content-Length", "5000")
		_, _ = w.Write(make([]byte, 5000))
	}))
	defer s.Close()
	o := fast()
	o.Target = strings.Replace(s.URL, "://", "://user:pass@", 1)
	o.Headers = []string{"X-One: 1", "Host: shop.example"}
	site := newSite(t, appOptions())
	target := newTarget(t, site, o)
	query := "url=%2Fshop%2Fa%20b.png&w=640&q=75&dpl=x"
	for i, format := range site.Formats() {
		r := warmOne(t.Context(), target, variant(t, site, query, format))
		if r.Err != nil || r.Bytes != 5000 || r.Type != "image/avif" || r.State != Kept || r.Attempts != 1 || r.Elapsed <= 0 {
			t.Errorf("%s: %+v", format, r)
		}
		req := got[i]
		if req.Method != http.MethodGet || req.RequestURI != "/shop/_next/image/?"+query {
			t.Errorf("%s: %s %s", format, req.Method, req.RequestURI)
		}
		user, pass, _ := req.BasicAuth()
		if req.Host != "shop.example" || req.Header.Get("X-One") != "1" || user+pass != "userpass" || req.UserAgent() != userAgent {
			t.Errorf("%s: %s %v", format, req.Host, req.Header)
		}
		accept := req.Header.Get("Accept")
		if req.Header.Get("Accept-Encoding") != "" || strings.Contains(accept, "image/avif") != (format == "avif") || strings.Contains(accept, "image/webp") != (format != Original) {
			t.Errorf("%s: Accept %q, Accept-Encoding %q", format, accept, req.Header.Get("Accept-Encoding"))
		}
	}
	if got[0].RemoteAddr != got[2].RemoteAddr {
		t.Error("connections are not kept")
	}
	if r := target.Verify(t.Context(), variant(t, site, query, "avif")); r.Err != nil || r.Bytes != 5000 || got[3].Method != http.MethodHead {
		t.Errorf("verify: %+v, %s", r, got[3].Method)
	}
}

func TestTargetAnswers(t *testing.T) {
	for _, c := range []struct {
		name     string
		resp     *http.Response
		err      error
		want     string // of the failure, "" for none
		attempts int
	}{
		{"made", answer(200, "image"), nil, "", 1},
		{"another type", answer(200, "image", "Content-Type", "image/svg+xml; charset=utf-8"), nil, "", 1},
		{"not an image", answer(200, "<html>", "Content-Type", "text/html"), nil, `not_an_image 200: its type is "text/html"`, 1},
		{"no type", answer(200, "?", "Content-Type", ""), nil, `not_an_image 200: its type is ""`, 1},
		{"empty", answer(200, ""), nil, "empty 200: no body", 1},
		{"refused", answer(400, "\"url\" parameter is not allowed\x1b\n", "Content-Type", "text/plain"), nil, `status 400: "url" parameter is not allowed`, 1},
		{"a page", answer(404, "<html>not found", "Content-Type", "text/html"), nil, "status 404", 1},
		{"partial", answer(206, "image"), nil, "status 206: image", 1},
		{"redirect", answer(308, "", "Location", "/_next/image/?x"), nil, "redirect 308: redirects to /_next/image/?x; does trailingSlash or basePath differ?", 1},
		{"overloaded", answer(503, "busy", "Content-Type", "text/plain"), nil, "status 503: busy", 3},
		{"unreachable", nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}, "unreachable: dial: connection refused", 3},
		{"hung up", nil, io.EOF, "broken: EOF", 3},
		{"cut short", &http.Response{StatusCode: 200, Header: answer(200, "").Header, Body: io.NopCloser(io.MultiReader(strings.NewReader("ima"), errReader{io.ErrUnexpectedEOF}))}, nil, "broken: unexpected EOF", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site := newSite(t, plainOptions())
				o := fast()
				o.Target, o.Attempts = "http://target.example", 3
				target := newTarget(t, site, o)
				calls, waits := 0, 0
				body, _ := io.ReadAll(bodyOf(c.resp))
				target.client.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
					if calls++; c.resp != nil && c.name != "cut short" {
						c.resp.Body = io.NopCloser(bytes.NewReader(body)) // a new one each time
					}
					return c.resp, c.err
				})
				target.tellPauses(func(time.Duration, *Failure) { waits++ })
				r := warmOne(t.Context(), target, variant(t, site, someQuery, "webp"))
				var f *Failure
				if errors.As(r.Err, &f) != (c.want != "") || f != nil && f.Error() != c.want {
					t.Errorf("got %v, want %s", r.Err, c.want)
				}
				if calls != c.attempts || r.Attempts != c.attempts || waits != c.attempts-1 {
					t.Errorf("%d calls, %d attempts, %d pauses, want %d", calls, r.Attempts, waits, c.attempts)
				}
			})
		})
	}
}

type errReader struct{ error }

func (e errReader) Read([]byte) (int, error) { return 0, e.error }

func bodyOf(r *http.Response) io.Reader {
	if r == nil || r.ContentLength == 0 {
		return strings.NewReader("")
	}
	return r.Body
}

// A server that is overloaded gets the time it asks for, and then what it could not do before.
func TestTargetHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := newSite(t, plainOptions())
		o := fast()
		o.Target, o.Attempts = "http://target.example", 3
		target := newTarget(t, site, o)
		began := time.Now()
		target.client.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			if time.Since(began) < 30*time.Second {
				return answer(503, "busy", "Retry-After", "30"), nil
			}
			return answer(200, "image"), nil
		})
		r := warmOne(t.Context(), target, variant(t, site, someQuery, "webp"))
		if r.Err != nil || r.Attempts != 2 || time.Since(began) != 30*time.Second || r.Elapsed != 0 {
			t.Errorf("%+v after %v", r, time.Since(began))
		}
	})
}

func TestTargetTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := newSite(t, plainOptions())
		o := fast()
		o.Target, o.Attempts, o.Timeout = "http://target.example", 2, 5*time.Second
		target := newTarget(t, site, o)
		target.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		r := warmOne(t.Context(), target, variant(t, site, someQuery, "webp"))
		var f *Failure
		if !errors.As(r.Err, &f) || f.Reason != ReasonTimeout || f.Attempts != 2 || r.Elapsed != 5*time.Second {
			t.Errorf("%+v", r)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r := warmOne(ctx, target, variant(t, site, someQuery, "webp")); !errors.Is(r.Err, context.DeadlineExceeded) {
			t.Errorf("the run's end is no failure of the target: %+v", r)
		}
	})
}

func TestTargetRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := newSite(t, plainOptions())
		o := fast()
		o.Target, o.Rate, o.Attempts = "http://target.example", 2, 2
		target := newTarget(t, site, o)
		var calls atomic.Int32
		target.client.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			if calls.Add(1)%2 == 1 {
				return answer(503, "", "Retry-After", "0"), nil
			}
			return answer(200, "image"), nil
		})
		began := time.Now()
		for range 5 {
			if r := warmOne(t.Context(), target, variant(t, site, someQuery, "webp")); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		if took := time.Since(began); calls.Load() != 10 || took < 4500*time.Millisecond {
			t.Errorf("%d requests in %v at 2 a second", calls.Load(), took)
		}
	})
}

func TestTargetVerify(t *testing.T) {
	for _, c := range []struct {
		state, reason string
		head          int
		want          State
	}{
		{"HIT", "", 200, Kept}, {"STALE", "", 200, Stale}, {"MISS", ReasonNotKept, 200, Made}, {"", "", 200, Unknown}, {"revalidated", "", 200, Unknown},
		{"HIT", "", 405, Kept}, {"MISS", ReasonNotKept, 501, Made}, {"", ReasonStatus, 404, Unknown},
	} {
		site := newSite(t, plainOptions())
		o := fast()
		o.Target = "http://target.example"
		target := newTarget(t, site, o)
		target.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodHead && c.head != 200 {
				return answer(c.head, ""), nil
			}
			return answer(200, "image", "X-Nextjs-Cache", c.state), nil
		})
		r := target.Verify(t.Context(), variant(t, site, someQuery, "webp"))
		var f *Failure
		if errors.As(r.Err, &f); (f == nil) != (c.reason == "") || f != nil && f.Reason != c.reason || r.State != c.want {
			t.Errorf("%+v: %+v", c, r)
		}
	}
}

func TestNewTargetErrors(t *testing.T) {
	if _, err := NewTarget(newSite(t, plainOptions()), Options{}); ExitCode(nil, err) != 2 {
		t.Errorf("without a target: %v", err)
	}
}

func ExampleSize() {
	fmt.Println(Size(351_000), Size(2_150_000))
	// Output: 343 KiB 2.05 MiB
}
