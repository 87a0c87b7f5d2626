package handler

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"imgopt/cache"
	"imgopt/failure"
	"imgopt/validate"
)

func startAdmin(t *testing.T, o AdminOptions) string {
	t.Helper()
	if o.Ready == nil {
		o.Ready = NewReadiness()
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	app, err := NewAdmin(o)
	if err != nil {
		t.Fatal(err)
	}
	return serveApp(t, app, ListenOptions{})
}

func TestHealth(t *testing.T) {
	ready := NewReadiness(Check{Name: "never", Run: func(context.Context) error { return errors.New("no") }})
	addr := startAdmin(t, AdminOptions{Ready: ready})
	if got := send(t, addr, request("GET", "/healthz")); got.StatusCode != 200 || string(got.body) != "ok\n" {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
	if got := send(t, addr, request("HEAD", "/healthz")); got.StatusCode != 200 {
		t.Errorf("HEAD: %d", got.StatusCode)
	}
}

func TestReady(t *testing.T) {
	var broken error
	ready := NewReadiness(
		Check{Name: "origin", Run: func(context.Context) error { return nil }},
		Check{Name: "storage", Run: func(ctx context.Context) error {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("no deadline")
			}
			return broken
		}},
	)
	addr := startAdmin(t, AdminOptions{Ready: ready})
	ask := func(status int, want string) {
		t.Helper()
		got := send(t, addr, request("GET", "/readyz"))
		var v any
		if err := json.Unmarshal(got.body, &v); err != nil {
			t.Fatalf("%q: %v", got.body, err)
		}
		if s := fmt.Sprint(v); got.StatusCode != status || s != want || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%d %s %v, want %d %s", got.StatusCode, s, got.Header, status, want)
		}
	}
	ask(200, "map[failing:[] ready:true]")
	broken = errors.New("dial redis://u:secret@h: refused")
	ask(503, "map[failing:[map[error:dial redis://xxxxx@h: refused name:storage]] ready:false]")
	broken = nil
	ask(200, "map[failing:[] ready:true]")
	ready.Drain()
	ask(503, "map[failing:[map[error:shutting down name:shutdown]] ready:false]")
}

func TestMetricsEndpoint(t *testing.T) {
	r := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "imgopt_test_total", Help: "x"})
	r.MustRegister(c, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "imgopt_test_gauge", Help: "x"}, func() float64 { return 2 }))
	c.Add(7)
	addr := startAdmin(t, AdminOptions{Metrics: r})
	got := send(t, addr, request("GET", "/metrics"))
	for _, line := range []string{"# TYPE imgopt_test_total counter", "imgopt_test_total 7", "imgopt_test_gauge 2"} {
		if !strings.Contains(string(got.body), line+"\n") {
			t.Errorf("no %q in %s", line, got.body)
		}
	}
	if ct := got.Header.Get("Content-Type"); !strings.HasPrefix(ct, "text/plain") {
		t.Error(ct)
	}
}

func TestAdminElsewhere(t *testing.T) {
	addr := startAdmin(t, AdminOptions{})
	for raw, status := range map[string]int{
		request("GET", "/"):                              302,
		request("GET", "/demo"):                          404,
		request("GET", "/demo/"):                         404,
		request("GET", "/demo/app.js"):                   404,
		request("GET", "/demo/data.json"):                404,
		request("GET", "/demo/original?href=/a.jpg"):     404,
		request("GET", "/demo/image?url=/a&w=64&q=75"):   404,
		request("GET", "/_next/image?url=/a&w=64&q=75"):  404,
		request("POST", "/healthz"):                      405,
		request("GET", "/healthz", "Content-Length: 10"): 413,
		request("GET", "/x"+strings.Repeat("y", 40<<10)): 431,
		"nonsense\r\n\r\n":                               400,
	} {
		got := send(t, addr, raw)
		if got.StatusCode != status || strings.Contains(string(got.body), "yyyy") {
			t.Errorf("%.40q: %d %.100q, want %d", raw, got.StatusCode, got.body, status)
		}
	}
	if _, err := NewAdmin(AdminOptions{}); err == nil {
		t.Error("no error without readiness and metrics")
	}
}

const hostileSVG = `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`

func testDemo(t *testing.T) (*Demo, *fakeImages) {
	images := &fakeImages{}
	return &Demo{
		Images: images,
		Rules:  testRules(t),
		Sources: func(context.Context) ([]DemoSource, error) {
			return []DemoSource{{"a.jpg", "/a.jpg", 1000}, {"b.svg", "/b.svg", 70}, {"gone.jpg", "/gone.jpg", 1}}, nil
		},
		Original: func(_ context.Context, href string) (io.ReadCloser, int64, string, error) {
			switch href {
			case "/a.jpg":
				return io.NopCloser(strings.NewReader("photo")), 5, "image/jpeg", nil
			case "/b.svg":
				return io.NopCloser(strings.NewReader(hostileSVG)), int64(len(hostileSVG)), "image/svg+xml", nil
			default:
				return nil, 0, "", failure.New(404, "upstream_status", failure.TextInternalInvalid)
			}
		},
		Animated:  func(b []byte) bool { return bytes.HasPrefix(b, []byte("moves")) },
		Version:   "1.2.3",
		PublicURL: "http://h/_next/image",
		Widths:    []int{64, 640},
		Qualities: []int{75},
		Formats:   []string{"image/webp"},
	}, images
}

// Every file the page refers to is there, and its policy allows nothing from elsewhere.
func TestDemoPage(t *testing.T) {
	demo, _ := testDemo(t)
	addr := startAdmin(t, AdminOptions{Demo: demo})
	page := send(t, addr, request("GET", "/demo"))
	if page.StatusCode != 200 || page.Header.Get("Content-Type") != "text/html; charset=utf-8" || page.Header.Get("Content-Security-Policy") != demoPagePolicy {
		t.Fatalf("%d %v", page.StatusCode, page.Header)
	}
	refs := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllSubmatch(page.body, -1)
	if len(refs) != 3 {
		t.Errorf("%d references", len(refs))
	}
	for _, ref := range refs {
		got := send(t, addr, request("GET", "/"+string(ref[1])))
		if got.StatusCode != 200 || len(got.body) == 0 || got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", ref[1], got.StatusCode, got.Header)
		}
	}
	if bytes.Contains(page.body, []byte("style=")) || bytes.Contains(page.body, []byte("onclick=")) {
		t.Error("the page has inline styles or scripts, which its policy forbids")
	}
	if got := send(t, addr, request("GET", "/")); got.StatusCode != 302 || got.Header.Get("Location") != "demo" {
		t.Errorf("/: %d %v", got.StatusCode, got.Header)
	}
	var data struct {
		Version, PublicURL string
		Widths, Qualities  []int
		Formats            []string
		Sources            []DemoSource
	}
	if err := json.Unmarshal(send(t, addr, request("GET", "/demo/data.json")).body, &data); err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%+v", data); s != "{Version:1.2.3 PublicURL:http://h/_next/image Widths:[64 640] Qualities:[75] Formats:[image/webp] Sources:[{Name:a.jpg Href:/a.jpg Size:1000} {Name:b.svg Href:/b.svg Size:70} {Name:gone.jpg Href:/gone.jpg Size:1}]}" {
		t.Error(s)
	}
}

func TestDemoOriginal(t *testing.T) {
	demo, _ := testDemo(t)
	addr := startAdmin(t, AdminOptions{Demo: demo})
	for href, want := range map[string]struct {
		status int
		text   string
	}{
		"/a.jpg": {200, "photo"}, "/b.svg": {200, hostileSVG}, "/gone.jpg": {404, failure.TextInternalInvalid},
		"/etc/passwd": {404, "Not Found"}, "http://169.254.169.254/": {404, "Not Found"}, "": {404, "Not Found"},
	} {
		got := send(t, addr, request("GET", "/demo/original?href="+url.QueryEscape(href)))
		if got.StatusCode != want.status || string(got.body) != want.text {
			t.Errorf("%s: %d %q", href, got.StatusCode, got.body)
		}
		if got.StatusCode == 200 && got.Header.Get("Content-Security-Policy") != demoImagePolicy {
			t.Errorf("%s: %v", href, got.Header)
		}
	}
}

func TestDemoImage(t *testing.T) {
	demo, images := testDemo(t)
	addr := startAdmin(t, AdminOptions{Demo: demo})
	entry := func(contentType, body string, changed bool) *cache.Entry {
		e := &cache.Entry{Href: "/a.jpg", Body: []byte(body), ContentType: contentType, ETag: "x", UpstreamETag: "x", OriginalSize: 1000}
		if changed {
			e.ETag = "y"
		}
		return e
	}
	for _, c := range []struct {
		name, unchanged string
		entry           *cache.Entry
	}{
		{"encoded", "", entry("image/webp", "small", true)},
		{"svg", "type", entry("image/svg+xml", hostileSVG, false)},
		{"moving", "animated", entry("image/gif", "moves", false)},
		{"broken", "fallback", entry("image/png", "broken", false)},
	} {
		t.Run(c.name, func(t *testing.T) {
			images.lookup = func(p validate.Params) (Result, bool) {
				if p.Href != "/a.jpg" || p.Width != 64 || p.Quality != 75 || p.Format != "image/webp" {
					t.Errorf("asked for %+v", p)
				}
				return Result{Entry: c.entry, State: cache.Hit}, true
			}
			got := send(t, addr, request("GET", "/demo/image?url=%2Fa.jpg&w=64&q=75&accept=webp", headerDemo+": 1"))
			if got.StatusCode != 200 || string(got.body) != string(c.entry.Body) {
				t.Fatalf("%d %q", got.StatusCode, got.body)
			}
			for name, want := range map[string]string{
				"X-Nextjs-Cache": "HIT", "X-Demo-Unchanged": c.unchanged, "X-Demo-Original-Size": "1000", "Content-Type": c.entry.ContentType,
				"Content-Security-Policy": demoImagePolicy, "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
			} {
				if v := got.Header.Get(name); v != want {
					t.Errorf("%s: %q, want %q", name, v, want)
				}
			}
			if !regexp.MustCompile(`^imgopt;dur=\d+\.\d{3}$`).MatchString(got.Header.Get("Server-Timing")) {
				t.Error(got.Header.Get("Server-Timing"))
			}
		})
	}
	images.lookup = nil
	images.get = func(context.Context, validate.Params) (Result, error) {
		return Result{}, &failure.Error{Status: 503, Reason: "queue_full", Text: "Service Unavailable"}
	}
	for target, want := range map[string]string{
		"/demo/image?url=%2Fa.jpg&w=64&q=75&accept=":       "503 queue_full Service Unavailable",
		"/demo/image?url=%2Fa.jpg&w=65&q=75&accept=webp":   `400 width_not_allowed "w" parameter (width) of 65 is not allowed`,
		"/demo/image?w=64&q=75":                            `400 url_missing "url" parameter is required`,
		"/demo/image?url=%2Fa.jpg&w=64&q=75&accept=x/html": "400  Bad Request",
	} {
		got := send(t, addr, request("GET", target, headerDemo+": 1"))
		if s := fmt.Sprintf("%d %s %s", got.StatusCode, got.Header.Get("X-Demo-Reason"), got.body); s != want {
			t.Errorf("%s: %s", target, s)
		}
	}
}

// No page on the web may have this process do work or read what it answers.
func TestDemoOtherSites(t *testing.T) {
	demo, images := testDemo(t)
	images.lookup = func(validate.Params) (Result, bool) { t.Error("asked"); return Result{}, false }
	addr := startAdmin(t, AdminOptions{Demo: demo})
	for _, site := range []string{"cross-site", "same-site", "x"} {
		for _, target := range []string{"/demo", "/demo/data.json", "/demo/original?href=/a.jpg", "/demo/image?url=%2Fa.jpg&w=64&q=75&accept="} {
			if got := send(t, addr, request("GET", target, "Sec-Fetch-Site: "+site)); got.StatusCode != 403 {
				t.Errorf("%s, %s: %d", target, site, got.StatusCode)
			}
		}
	}
	if got := send(t, addr, request("GET", "/demo", "Sec-Fetch-Site: none")); got.StatusCode != 200 {
		t.Errorf("%d", got.StatusCode)
	}
	// To an address that is not this machine's own, browsers do not say on whose behalf they ask.
	if got := send(t, addr, request("GET", "/demo/image?url=%2Fa.jpg&w=64&q=75&accept=")); got.StatusCode != 403 {
		t.Errorf("%d", got.StatusCode)
	}
	if app, err := demoFiles.ReadFile("demo/app.js"); err != nil || !bytes.Contains(app, []byte("'"+headerDemo+"'")) {
		t.Errorf("the page's own script is refused: %v", err)
	}
}

// A site whose name resolves to this listener is not let in; the listener's users are.
func TestDemoHost(t *testing.T) {
	demo, _ := testDemo(t)
	addr := startAdmin(t, AdminOptions{Demo: demo})
	for host, want := range map[string]int{
		"127.0.0.1:9090": 200, "10.0.0.5": 200, "[::1]:9090": 200, "[fe80::1]": 200, "localhost:9090": 200, "LOCALHOST": 200, "imgopt:9090": 200, "a.localhost:1": 200, "": 200,
		"evil.example": 403, "evil.example:9090": 403, "127.0.0.1.nip.io:9090": 403, "localhost.evil.example": 403, "localhost.": 403, "xlocalhost.example": 403,
		"imgopt.prod.internal:9090": 200, "imgopt.prod.svc.cluster.local": 200, "internal": 200, "evil.internal.example": 403, "x.cluster.local.evil.example": 403, "xinternal.example": 403, "printer.local": 403,
	} {
		for _, target := range []string{"/demo", "/demo/data.json", "/demo/original?href=/a.jpg"} {
			raw := "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nX-Forwarded-Host: localhost\r\n\r\n"
			if got := send(t, addr, raw); got.StatusCode != want {
				t.Errorf("%q, %s: %d", host, target, got.StatusCode)
			}
		}
	}
	// Probes and scrapers may use any name.
	if got := send(t, addr, "GET /healthz HTTP/1.1\r\nHost: imgopt.example.svc:9090\r\n\r\n"); got.StatusCode != 200 {
		t.Errorf("%d", got.StatusCode)
	}
}

// endless is a source of which every byte can be had and none is kept.
type endless struct{ closed chan struct{} }

func (endless) Read(b []byte) (int, error) { return len(b), nil }
func (e endless) Close() error             { close(e.closed); return nil }

// A source of any size is sent without being held, and closed whatever becomes of it.
func TestDemoLargeOriginal(t *testing.T) {
	demo, _ := testDemo(t)
	const size = 1 << 40
	source := endless{make(chan struct{})}
	demo.Original = func(context.Context, string) (io.ReadCloser, int64, string, error) {
		return source, size, "image/jpeg", nil
	}
	c := dial(t, startAdmin(t, AdminOptions{Demo: demo}))
	_, err := io.WriteString(c, request("GET", "/demo/original?href=/a.jpg"))
	must(t, err)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	if n, err := io.CopyN(io.Discard, res.Body, 10<<20); err != nil || res.ContentLength != size {
		t.Errorf("%d of %d bytes: %v", n, res.ContentLength, err)
	}
	must(t, c.Close())
	<-source.closed
}

func TestDemoFails(t *testing.T) {
	log := &logBuffer{}
	demo, _ := testDemo(t)
	demo.Sources = func(context.Context) ([]DemoSource, error) { return nil, errors.New("no such folder") }
	addr := startAdmin(t, AdminOptions{Demo: demo, Log: log.logger()})
	if got := send(t, addr, request("GET", "/demo/data.json")); got.StatusCode != fiber.StatusInternalServerError || strings.Contains(string(got.body), "folder") {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
	if !strings.Contains(log.String(), "no such folder") {
		t.Error(log.String())
	}
}
