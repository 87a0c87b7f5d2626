//go:build e2e

package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What the other tests rely on: a browser that is shown something wrong says so.
func TestFaultsAreSeen(t *testing.T) {
	t.Parallel()
	const pixel = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
	pages := map[string]struct{ body, want string }{
		"nothing":   {`<img alt=good src=` + pixel + `>`, ""},
		"missing":   {`<img alt=gone src=/missing.png>`, "/missing.png: status 404"},
		"rubbish":   {`<img alt=rubbish src=/rubbish.png>`, `the image "rubbish" is not shown`},
		"policy":    {`<img alt=foreign src=http://127.0.0.1:9/x.png>`, "violates the content security policy: img-src"},
		"console":   {`<img alt=good src=` + pixel + `><script>console.error('alas')</script>`, `console.error "alas"`},
		"warning":   {`<img alt=good src=` + pixel + `><script>console.warn('hm')</script>`, `console.warning "hm"`},
		"exception": {`<img alt=good src=` + pixel + `><script>throw new Error('thrown')</script>`, "Error: thrown"},
		"blurred":   {`<img alt=slow src=` + pixel + ` style="background-image:url(` + pixel + `)">`, "still shows its placeholder: slow"},
		"twice":     {`<img alt=a src=/_next/image?url=a><script>fetch('/_next/image?url=a', {cache: 'no-store'}).then(r => r.blob())</script>`, "asked for more than once"},
		"broken":    {`<img alt=cut src=/cut.png>`, "/cut.png failed: net::ERR_"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/rubbish.png":
			w.Header().Set("Content-Type", "image/png")
			fmt.Fprint(w, "no picture")
		case "/cut.png":
			panic(http.ErrAbortHandler)
		case "/_next/image":
			w.Header().Set("Cache-Control", "no-store")
			http.ServeFile(w, r, repository(t, "testdata/images/64x64.png"))
		case "/favicon.ico":
		default:
			p, ok := pages[r.URL.Path[1:]]
			if !ok {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Security-Policy", "img-src 'self' data:")
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<!doctype html><title>x</title>"+p.body)
		}
	}))
	defer server.Close()
	tab := openTab(t, startChromium(t), screens[0], avif)
	for name, p := range pages {
		t.Run(name, func(t *testing.T) {
			v, err := tab.open(server.URL+"/"+name, false)
			if err != nil {
				t.Fatal(err)
			}
			flaws := strings.Join(v.flaws(), "\n")
			if p.want == "" && flaws != "" || !strings.Contains(flaws, p.want) {
				t.Errorf("flaws:\n%s\nwant: %s", flaws, p.want)
			}
		})
	}
}
