package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"imgopt/deploy/validate/internal/lab"
)

// What goes where, with the real imgopt.
func TestRouting(t *testing.T) {
	t.Parallel()
	for _, basePath := range []string{"", "/docs"} {
		f := newFrontend(t)
		p, _ := startImgopts(t, f, basePath)
		endpoint := basePath + "/_next/image"
		query := "?url=" + basePath + "/photo.png&w=64&q=75"
		for _, x := range proxies {
			t.Run(x.name+basePath, func(t *testing.T) {
				address := x.start(t, p)
				image := ask(t, address, "GET", endpoint+query, "Accept", "image/webp")
				if image.status != 200 || image.header.Get("Content-Type") != "image/webp" || image.header.Get("X-Nextjs-Cache") == "" {
					t.Fatalf("an image: %d %v", image.status, image.header)
				}
				if v := image.header.Values("Vary"); strings.Join(v, ", ") != "Accept" {
					t.Errorf("Vary: %q", v)
				}
				if image.header.Get("Content-Length") != fmt.Sprint(len(image.body)) {
					t.Errorf("Content-Length %q of %d bytes", image.header.Get("Content-Length"), len(image.body))
				}
				if head := ask(t, address, "HEAD", endpoint+query, "Accept", "image/webp"); head.status != 200 || head.body != "" || head.header.Get("Etag") != image.header.Get("Etag") {
					t.Errorf("HEAD: %+v", head)
				}
				if png := ask(t, address, "GET", endpoint+query, "Accept", "image/png"); png.header.Get("Content-Type") != "image/png" {
					t.Errorf("Accept did not pass: %v", png.header)
				}
				if again := ask(t, address, "GET", endpoint+query, "Accept", "image/webp", "If-None-Match", image.header.Get("Etag")); again.status != 304 || again.header.Get("Cache-Control") == "" {
					t.Errorf("If-None-Match: %d %v", again.status, again.header)
				}
				if bad := ask(t, address, "GET", endpoint+"?url=/photo.png&w=65&q=75"); bad.status != 400 || !strings.Contains(bad.body, "width") && !strings.Contains(bad.body, "w\" parameter") {
					t.Errorf("a width that is not allowed: %d %q", bad.status, bad.body)
				}
				if slash := ask(t, address, "GET", endpoint+"/"+query); slash.status != 308 || !strings.HasPrefix(slash.header.Get("Location"), endpoint+"?") {
					t.Errorf("with a slash: %d %v", slash.status, slash.header)
				}
				for _, other := range []string{"POST " + endpoint, "PUT " + endpoint + "/", "DELETE " + endpoint, "OPTIONS " + endpoint + query,
					"GET " + endpoint + "s", "GET " + endpoint + "/x", "GET " + basePath + "/_next/static/chunk.js?dpl=1", "GET /", "POST " + basePath + "/api/form?a=b"} {
					method, target, _ := strings.Cut(other, " ")
					got := ask(t, address, method, target)
					if got.status != 200 || got.header.Get("X-Served-By") != "frontend" || !strings.HasPrefix(got.body, other) {
						t.Errorf("%s: %d %.60q", other, got.status, got.body)
					}
					if method == "POST" && !strings.HasSuffix(got.body, "sent along") {
						t.Errorf("%s: the body did not arrive: %q", other, got.body)
					}
				}
				if basePath != "" {
					if got := ask(t, address, "GET", "/_next/image"+query); got.header.Get("X-Served-By") != "frontend" {
						t.Errorf("outside the basePath: %+v", got)
					}
				}
				// Nobody gets the application to optimize images by another spelling of the path.
				if got := ask(t, address, "GET", basePath+"/x/.."+"/_next/image"+query); x.cleans && got.header.Get("X-Served-By") != "" || !x.cleans && got.status != 400 {
					t.Errorf("dot segments: %d %v", got.status, got.header)
				}
				if got := ask(t, address, "GET", basePath+"/_next/%69mage"+query); got.header.Get("X-Served-By") != "" {
					t.Errorf("escaped letters: %d %v", got.status, got.header)
				}
			})
		}
		for _, s := range f.asked("GET " + endpoint) {
			if !strings.HasPrefix(s, "GET "+endpoint+"s") && !strings.HasPrefix(s, "GET "+endpoint+"/x") {
				t.Errorf("the application was asked to optimize: %s", s)
			}
		}
	}
}

// What the client sent arrives as it was, and so does the answer.
func TestTransparency(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, x proxy) {
		f := newFrontend(t)
		s := newScripted(t, f.address())
		requests := make(chan *http.Request, 10)
		body := strings.Repeat("0123456789abcdef", 512<<10) // 8 MiB
		s.both(func(w http.ResponseWriter, r *http.Request) {
			requests <- r
			for name, value := range map[string]string{"Vary": "Accept", "ETag": `W/"x"`, "Cache-Control": "public, max-age=60, must-revalidate",
				"Content-Type": "image/svg+xml", "Content-Disposition": `attachment; filename="a.svg"`, "Content-Security-Policy": "sandbox;", "X-Nextjs-Cache": "MISS"} {
				w.Header().Set(name, value)
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			_, _ = w.Write([]byte(body))
		})
		address := x.start(t, s.p)

		// The longest url of an image there can be, escaped threefold, and cookies.
		target := "/_next/image?url=%2Fa%20b%2F%C3%A9" + strings.Repeat("%2F", 3072) + ".jpg&w=64&q=75&x=%zz&y=+&dpl=a/../b//c"
		got := ask(t, address, "GET", target, "Accept", "image/avif,image/webp,*/*;q=0.8", "Cookie", strings.Repeat("c", 8<<10), "Accept-Encoding", "gzip, br", "X-Forwarded-For", "192.0.2.7")
		if got.status != 200 || got.body != body {
			t.Fatalf("%d, %d bytes", got.status, len(got.body))
		}
		r := <-requests
		if r.RequestURI != target {
			t.Errorf("the target became %.80q…", r.RequestURI)
		}
		if r.Host != "shop.example:8443" {
			t.Errorf("Host: %q", r.Host)
		}
		for name, want := range map[string]string{"Accept": "image/avif,image/webp,*/*;q=0.8", "Accept-Encoding": "gzip, br"} {
			if r.Header.Get(name) != want {
				t.Errorf("%s: %q", name, r.Header.Get(name))
			}
		}
		if !strings.HasSuffix(strings.Join(r.Header.Values("X-Forwarded-For"), ","), "127.0.0.1") || r.Header.Get("X-Forwarded-Proto") != "http" {
			t.Errorf("X-Forwarded-For %q, X-Forwarded-Proto %q", r.Header.Values("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"))
		}
		ask(t, address, "GET", target)
		if r := <-requests; r.Header.Get("Accept-Encoding") != "" || r.Header.Get("Accept") != "" {
			t.Errorf("the proxy asks on its own account: %v", r.Header)
		}
		for name, want := range map[string]string{"Vary": "Accept", "Etag": `W/"x"`, "Cache-Control": "public, max-age=60, must-revalidate", "Content-Encoding": "",
			"Content-Type": "image/svg+xml", "Content-Disposition": `attachment; filename="a.svg"`, "Content-Security-Policy": "sandbox;", "X-Nextjs-Cache": "MISS"} {
			if v := strings.Join(got.header.Values(name), ", "); v != want {
				t.Errorf("%s: %q, want %q", name, v, want)
			}
		}
	})
}

// Connections to imgopt are kept, and each image has its imgopt.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, x proxy) {
		f := newFrontend(t)
		s := newScripted(t, f.address())
		address := x.start(t, s.p)
		by := map[string]string{}
		for n := range 100 {
			got := ask(t, address, "GET", another(n%50))
			if got.status != 200 {
				t.Fatalf("%+v", got)
			}
			if before := by[another(n%50)]; before != "" && before != got.body {
				t.Errorf("%s: by %s, then by %s", another(n%50), before, got.body)
			}
			by[another(n%50)] = got.body
		}
		// Each of two workers may have some; what asks for readiness has its own listener.
		if n := s.connections[0].Load() + s.connections[1].Load(); n > 16 {
			t.Errorf("%d connections for 100 requests", n)
		}
		if a, b := s.requests[0].Load(), s.requests[1].Load(); a == 0 || b == 0 {
			t.Errorf("requests: %d and %d: one of the two is never asked", a, b)
		}
	})
}

// A client that leaves is gone for imgopt, too: it can stop working for nobody.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, x proxy) {
		f := newFrontend(t)
		s := newScripted(t, f.address())
		arrived, left := make(chan struct{}, 4), make(chan struct{}, 4)
		s.both(func(_ http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			<-r.Context().Done()
			left <- struct{}{}
		})
		address := x.start(t, s.p)
		client := &http.Client{Timeout: 200 * time.Millisecond}
		if x.name == "haproxy" { // which takes the end of an HTTP/1.1 connection for the end of its one direction
			transport := &http.Transport{Protocols: new(http.Protocols)}
			transport.Protocols.SetUnencryptedHTTP2(true)
			client.Transport = transport
			defer transport.CloseIdleConnections()
		}
		if resp, err := client.Get("http://" + address + "/_next/image?url=/a&w=64&q=75"); err == nil {
			_ = resp.Body.Close()
			t.Fatal("an answer, where none was to be had")
		}
		<-arrived
		select {
		case <-left:
		case <-time.After(lab.Patience):
			t.Error("imgopt was not told")
		}
	})
}
