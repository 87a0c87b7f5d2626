package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgopt/deploy/validate/internal/lab"
)

// newVersion is a version of the application: it says which one it is, and has its own image under the same url.
func newVersion(t *testing.T, name, image string) *httptest.Server {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(lab.Root(t), "testdata", "images", image))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hero.png" {
			_, _ = w.Write(body)
			return
		}
		_, _ = io.WriteString(w, name)
	}))
	quiet(s)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// Two versions of the application behind the real nginx and the real imgopt: pages, scripts and images are those of
// whoever asks.
func TestVersions(t *testing.T) {
	t.Parallel()
	newest, old := newVersion(t, "newest", "64x64.png"), newVersion(t, "v41", "1x1-alpha.png")
	// The old version's files are in a folder, as on one machine. (Hosts have names in a cluster only.)
	releases := t.TempDir()
	image, err := os.ReadFile(filepath.Join(lab.Root(t), "testdata", "images", "1x1-alpha.png"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"v41/public/hero.png": image, "v41/.next/BUILD_ID": nil} {
		path := filepath.Join(releases, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	port, admin := lab.FreePort(t), lab.FreePort(t)
	process := lab.Start(t, []string{"TMPDIR=" + t.TempDir()}, lab.Imgopt(t), "serve", "--origin", newest.URL, "--deployment.origin", "file://"+releases+"/{dpl}",
		"--listen", "127.0.0.1:"+port, "--adminListen", "127.0.0.1:"+admin, "--transform.workers=1", "--log.access=false")
	lab.Ready(t, process, "http://127.0.0.1:"+admin+"/readyz")

	address := "127.0.0.1:" + lab.FreePort(t)
	text := lab.Replace(t, lab.Read(t, "ingress/nginx.conf"), "127.0.0.1:3001", "127.0.0.1:"+port, "127.0.0.1:3000", newest.Listener.Addr().String(), "listen 8080", "listen "+address,
		"    location / {\n        proxy_pass http://frontend;", "    location / {\n        proxy_pass http://$version;")
	text = lab.Replace(t, lab.Read(t, "ingress/nginx-versions.conf"), "127.0.0.1:3041", old.Listener.Addr().String()) + text
	lab.Nginx(t, text, address)

	images := map[string]string{}
	for _, row := range []struct {
		name, suffix string
		header       []string
		want, image  string // who answers pages, and whose image it is
	}{
		{"nothing", "", nil, "newest", "newest"},
		{"url", "&dpl=v41", nil, "v41", "v41"},
		{"unknown", "&dpl=v40", nil, "newest", "newest"},
		{"longer", "&dpl=v411", nil, "newest", "newest"},
		{"cookie", "", []string{"Cookie", "a=b; __plt_dpl=v41"}, "v41", "v41"},
		{"url before cookie", "&dpl=v40", []string{"Cookie", "__plt_dpl=v41"}, "newest", "newest"},
		// Images are no fetch of a page: they have no such header.
		{"header", "", []string{"X-Deployment-Id", "v41"}, "v41", "newest"},
	} {
		if got := ask(t, address, "GET", "/page?x=1"+row.suffix, row.header...); got.body != row.want {
			t.Errorf("%s: a page of %q", row.name, got.body)
		}
		got := ask(t, address, "GET", "/_next/image?url=%2Fhero.png&w=64&q=75"+row.suffix, row.header...)
		if got.status != http.StatusOK {
			t.Fatalf("%s: an image: %d %s", row.name, got.status, got.body)
		}
		if first, ok := images[row.image]; !ok {
			images[row.image] = got.body
		} else if first != got.body {
			t.Errorf("%s: not the image of %s", row.name, row.image)
		}
		if vary, want := got.header.Get("Vary"), map[bool]string{true: "Accept", false: "Accept, Cookie"}[strings.Contains(row.suffix, "dpl")]; vary != want {
			t.Errorf("%s: Vary: %s, want %s", row.name, vary, want)
		}
	}
	if len(images) != 2 || images["newest"] == images["v41"] {
		t.Errorf("%d images: %s", len(images), fmt.Sprintf("%.40q", images))
	}
}
