//go:build e2e

package browser

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"imgopt/testkit"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// site is the application, running: `next start` on a build of its own, and the other host it shows images of.
type site struct {
	variant, basePath string
	dist              string // the build
	next              string // the address of Next.js
	remote            *httptest.Server
}

// startSite starts `next start` on a copy of a build, because Next.js keeps its images there.
func startSite(t testing.TB, variant, basePath string) *site {
	t.Helper()
	node := need(t, "node")
	app := repository(t, "e2e/browser/app")
	from := filepath.Join(app, ".next-"+variant)
	if _, err := os.Stat(filepath.Join(from, "e2e-stamp")); err != nil {
		missing(t, "the application is not built: run e2e/setup")
	}
	s := &site{variant: variant, basePath: basePath, next: freeAddr(t), remote: startRemote(t, filepath.Join(app, ".remote"))}
	dir := t.TempDir()
	s.dist = filepath.Join(dir, ".next-"+variant)
	if err := testkit.CopyTree(s.dist, from); err != nil {
		t.Fatalf("copy the build: %v", err)
	}
	for _, shared := range []string{"node_modules", "app", "public", ".assets", "package.json", "next.config.mjs", "variants.mjs"} {
		if err := os.Symlink(filepath.Join(app, shared), filepath.Join(dir, shared)); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ := net.SplitHostPort(s.next)
	env := []string{"NODE_ENV=production", "NEXT_TELEMETRY_DISABLED=1", "E2E_VARIANT=" + variant, "E2E_REMOTE=" + s.remote.URL}
	run(t, dir, env, node, "node_modules/next/dist/bin/next", "start", "-H", "127.0.0.1", "-p", port).
		ready(t, "http://"+s.next+basePath+"/icon.png")
	return s
}

// startRemote is the other host: files below /remote/, one of which has moved.
func startRemote(t testing.TB, dir string) *httptest.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /remote/moved.png", http.RedirectHandler("/remote/island.png", http.StatusFound))
	files := http.StripPrefix("/remote/", http.FileServer(http.Dir(dir)))
	mux.HandleFunc("GET /remote/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=7200")
		files.ServeHTTP(w, r)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// counter is a proxy before Next.js that remembers what it was asked for.
type counter struct {
	addr string

	mu    sync.Mutex
	asked []string // "METHOD path?query"
}

func startCounter(t testing.TB, next string) *counter {
	c := &counter{}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: next})
			r.Out.Host = r.In.Host
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.asked = append(c.asked, r.Method+" "+r.RequestURI)
		c.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	c.addr = server.Listener.Addr().String()
	return c
}

// all returns what was asked for so far.
func (c *counter) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.asked...)
}

// optimized counts the requests for the image endpoint that reached Next.js.
func (c *counter) optimized() (n int) {
	for _, asked := range c.all() {
		if _, target, _ := strings.Cut(asked, " "); isImage(target) {
			n++
		}
	}
	return n
}

// imgopt is a running imgopt.
type imgopt struct {
	*process
	addr, admin string
}

// startImgopt starts imgopt beside a site as the README says: nextDir for the rules, the frontend as its origin.
func startImgopt(t testing.TB, s *site, origin string) *imgopt {
	t.Helper()
	o := &imgopt{addr: freeAddr(t), admin: freeAddr(t)}
	o.process = run(t, t.TempDir(), nil, imgoptBinary(t), "serve", "--nextDir", s.dist, "--origin", "http://"+origin,
		"--listen", o.addr, "--adminListen", o.admin, "--log.format", "json")
	o.ready(t, "http://"+o.admin+"/readyz")
	return o
}

// answered returns the status of every request in imgopt's access log.
func (o *imgopt) answered(t testing.TB) (statuses []int) {
	t.Helper()
	scan := bufio.NewScanner(strings.NewReader(o.output()))
	for scan.Scan() {
		var line struct {
			Msg, Path string
			Status    int
		}
		if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
			t.Fatalf("imgopt logged %s: %v", scan.Text(), err)
		}
		if line.Msg == "request" {
			if !isImage(line.Path) {
				t.Errorf("imgopt was asked for %s", line.Path)
			}
			statuses = append(statuses, line.Status)
		}
	}
	return statuses
}

// counted returns the sum of a counter in imgopt's metrics.
func (o *imgopt) counted(t testing.TB, name string) (sum float64) {
	t.Helper()
	resp, err := http.Get("http://" + o.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if families[name] == nil {
		t.Fatalf("imgopt has no metric %s", name)
	}
	for _, m := range families[name].Metric {
		sum += m.GetCounter().GetValue()
	}
	return sum
}

// place is where a browser finds a site: an nginx, and what is behind it.
type place struct {
	*site
	*nginx
	counter *counter
	imgopt  *imgopt // nil: Next.js optimizes images itself
}

func (p *place) url(page string) string {
	return fmt.Sprintf("http://%s%s%s", p.addr, p.basePath, page)
}

// without puts nginx before a site with Next.js' own optimizer: the recipe with both addresses those of Next.js.
func without(t testing.TB, s *site) *place {
	c := startCounter(t, s.next)
	return &place{site: s, counter: c, nginx: startNginx(t, c.addr, c.addr, s.basePath)}
}

// with puts nginx before a site with imgopt.
func with(t testing.TB, s *site) *place {
	c := startCounter(t, s.next)
	o := startImgopt(t, s, c.addr)
	return &place{site: s, counter: c, imgopt: o, nginx: startNginx(t, o.addr, c.addr, s.basePath)}
}
