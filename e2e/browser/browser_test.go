//go:build e2e

package browser

import (
	"context"
	"fmt"
	"image"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"golang.org/x/sync/errgroup"
)

// pages of the application; on the last one most images are far below the window.
var pages = []string{"/", "/fill", "/kinds", "/remote", "/gallery"}

const results = "../results/browser"

// TestPages loads every page with Next.js' own optimizer and with imgopt, on two screens, with a browser that takes
// AVIF and with one that takes neither AVIF nor WebP: nobody can tell which is which.
func TestPages(t *testing.T) {
	t.Parallel()
	browser := startChromium(t)
	s := startSite(t, "plain", "")
	before, after := without(t, s), with(t, s)
	sent := 0
	for _, screen := range screens {
		for _, a := range []accept{avif, neither} {
			t.Run(screen.name+" "+a.name, func(t *testing.T) {
				first, second, tab := both(t, browser, before, after, pages, screen, a)
				for i := range pages {
					first[i].check(t)
					second[i].check(t)
					same(t, first[i], second[i], screen.name+"-"+a.name)
				}
				media(t, second, a)
				animated(t, second)
				lazy(t, second[len(second)-1])
				early(t, after, second)
				sent += wire(second)
				if a == avif {
					again(t, tab, after)
				}
			})
		}
	}
	answeredBy(t, after, sent)
	if n := before.counter.optimized(); n == 0 {
		t.Error("no image was optimized by Next.js: there was nothing to compare with")
	}
}

// TestBasePath does the same below a basePath, with SVG allowed and with images that are never fresh: when a page is
// loaded again its images are asked for again, and have not changed.
func TestBasePath(t *testing.T) {
	t.Parallel()
	browser := startChromium(t)
	s := startSite(t, "docs", "/docs")
	before, after := without(t, s), with(t, s)
	var below []string
	for _, page := range pages {
		below = append(below, strings.TrimSuffix(page, "/")+"/")
	}
	first, second, tab := both(t, browser, before, after, below, screens[0], avif)
	svg := 0
	for i := range below {
		first[i].check(t)
		second[i].check(t)
		same(t, first[i], second[i], "basepath")
		for _, x := range second[i].optimized() {
			if x.mime == "image/svg+xml" {
				svg++
			}
		}
	}
	if svg != 2 {
		t.Errorf("%d svg images came from the optimizer, want 2", svg)
	}
	sent, again := wire(second), 0
	for i, v := range tab.mustTour(t, after, below, true) {
		v.check(t)
		if d, err := compare(second[i].picture, v.picture); d != nil || err != nil {
			t.Errorf("%s: loaded again: %v, %v", v.page, d, err)
		}
		for _, x := range v.optimized() {
			again++
			if x.status != 304 {
				t.Errorf("%s: asked for again: status %d", x.url, x.status)
			}
		}
	}
	if again < 30 {
		t.Errorf("%d images were asked for again, want those of the gallery at least", again)
	}
	answeredBy(t, after, sent+again)
}

// both tours the pages at both places at once. The tab is the one of the second place.
func both(t *testing.T, browser context.Context, before, after *place, pages []string, s screen, a accept) (first, second []*visit, tab *tab) {
	t.Helper()
	other := openTab(t, browser, s, a)
	tab = openTab(t, browser, s, a)
	var tours errgroup.Group
	tours.Go(func() (err error) {
		first, err = other.tour(before, pages, true)
		return err
	})
	tours.Go(func() (err error) {
		second, err = tab.tour(after, pages, true)
		return err
	})
	if err := tours.Wait(); err != nil {
		t.Fatal(err)
	}
	return first, second, tab
}

// same fails the test if two visits of a page are not the same: the images chosen, their bytes, the headers of their
// answers, and every pixel of the page.
func same(t *testing.T, before, after *visit, name string) {
	t.Helper()
	strip := func(images []shown) []shown {
		images = slices.Clone(images)
		for i := range images {
			images[i].Src = target(images[i].Src)
		}
		return images
	}
	if a, b := strip(before.images), strip(after.images); !slices.Equal(a, b) {
		t.Errorf("%s: other images:\nbefore %+v\nafter  %+v", before.page, a, b)
	}
	if !maps.Equal(before.bodies, after.bodies) {
		for url, sum := range before.bodies {
			if after.bodies[url] != sum {
				t.Errorf("%s: %s has other bytes", before.page, url)
			}
		}
		t.Errorf("%s: %d images were sent before, %d after", before.page, len(before.bodies), len(after.bodies))
	}
	headers := func(v *visit) map[string]network.Headers {
		out := map[string]network.Headers{}
		for _, x := range v.optimized() {
			h := network.Headers{"status": fmt.Sprint(x.status)}
			for name, value := range x.header {
				switch name := strings.ToLower(name); name {
				case "date", "connection", "keep-alive": // of one moment, or of one connection
				default:
					h[name] = value
				}
			}
			out[target(x.url)] = h
		}
		return out
	}
	a, b := headers(before), headers(after)
	for url, h := range a {
		if !maps.Equal(h, b[url]) {
			t.Errorf("%s: %s has other headers:\nbefore %v\nafter  %v", before.page, url, h, b[url])
		}
		if h["cache-control"] == nil || h["etag"] == nil || h["vary"] == nil {
			t.Errorf("%s: %s lacks headers of Next.js: %v", before.page, url, h)
		}
	}
	pixels(t, before, after, name)
}

// pixels compares the pictures, and keeps them if they differ.
func pixels(t *testing.T, before, after *visit, name string) {
	t.Helper()
	d, err := compare(before.picture, after.picture)
	name += strings.ReplaceAll(strings.TrimSuffix(before.page, "/"), "/", "-")
	if d == nil && err == nil {
		if name == "desktop-avif" { // the home page
			out, err := sideBySide(480, 350, []string{"before: next start", "after: nginx, imgopt, next start"}, before.picture, after.picture)
			if err != nil {
				t.Fatal(err)
			}
			keep(t, "side-by-side.png", encode(t, out))
		}
		return
	}
	keep(t, name+".before.png", before.picture)
	keep(t, name+".after.png", after.picture)
	if d != nil {
		keep(t, name+".diff.png", encode(t, image.Image(d.diff)))
	}
	t.Errorf("%s looks different: %v, %v; see %s/%s.*.png", before.page, d, err, results, name)
}

func keep(t *testing.T, name string, file []byte) {
	t.Helper()
	if err := os.MkdirAll(results, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(results, name), file, 0o644); err != nil {
		t.Fatal(err)
	}
}

// media checks that the browser asked for what it can show, and got the formats that belong to it.
func media(t *testing.T, visits []*visit, a accept) {
	t.Helper()
	got := map[string]int{}
	for _, v := range visits {
		for _, x := range v.optimized() {
			got[x.mime]++
			if a.header != "" && x.accept != a.header {
				t.Errorf("%s was asked for with Accept: %s", x.url, x.accept)
			}
			if a.header == "" && !strings.HasPrefix(x.accept, "image/avif,image/webp,") {
				t.Errorf("%s was asked for with Accept: %s: this is no browser for AVIF", x.url, x.accept)
			}
		}
	}
	// gif: the animated images; webp and avif sources become jpeg for browsers without both
	want := map[string][]string{"avif": {"image/avif", "image/gif"}, "neither": {"image/jpeg", "image/png", "image/gif"}}[a.name]
	types := slices.Sorted(maps.Keys(got))
	slices.Sort(want)
	if !slices.Equal(types, want) {
		t.Errorf("a browser of %s got %v, want %v", a.name, got, want)
	}
}

// animated checks that what moves still does: two gifs of the application and one of the other host, four frames each.
func animated(t *testing.T, visits []*visit) {
	t.Helper()
	n := 0
	for _, v := range visits {
		for url, frames := range v.frames {
			if n++; frames != 4 {
				t.Errorf("%s has %d frames", url, frames)
			}
		}
	}
	if n != 3 {
		t.Errorf("%d animated images were sent, want 3", n)
	}
}

// lazy checks that what is far below the window was not loaded before it came near.
func lazy(t *testing.T, gallery *visit) {
	t.Helper()
	if len(gallery.images) != 30 || gallery.late == 0 || gallery.late == 30 {
		t.Errorf("the gallery has %d images, %d of them loaded late", len(gallery.images), gallery.late)
	}
}

// early checks that what a page asks for early was there early: on the first two pages an image that is preloaded, on
// the first one placeholders in the document itself.
func early(t *testing.T, p *place, visits []*visit) {
	t.Helper()
	for _, v := range visits[:2] {
		if !slices.ContainsFunc(v.optimized(), func(x *exchange) bool { return x.preload }) {
			t.Errorf("%s: no image was preloaded", v.page)
		}
	}
	resp, err := http.Get(p.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	document, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(document), "background-image:url("); n != 4 {
		t.Errorf("the document has %d placeholders, want 4", n)
	}
}

// wire counts the requests for optimized images.
func wire(visits []*visit) (n int) {
	for _, v := range visits {
		n += len(v.optimized())
	}
	return n
}

// again loads the pages once more: fresh images come from the browser's own cache.
func again(t *testing.T, tab *tab, p *place) {
	t.Helper()
	cached := 0
	for _, v := range tab.mustTour(t, p, pages, false) {
		v.check(t)
		for _, x := range v.exchanges {
			if !isImage(x.url) {
				continue
			}
			if cached++; !x.cached {
				t.Errorf("%s was asked for again", x.url)
			}
		}
	}
	if cached < 30 {
		t.Errorf("%d images came from the browser's cache, want those of the gallery at least", cached)
	}
}

// answeredBy checks from four sides who answered the images that the browser asked for: nginx' log, imgopt's log and
// metrics, and the requests that reached Next.js.
func answeredBy(t *testing.T, p *place, sent int) {
	t.Helper()
	if sent == 0 {
		t.Fatal("the browser asked for no image")
	}
	eventually(t, "nginx logs what it has sent", func() bool { return len(p.images(t)) >= sent })
	for _, l := range p.images(t) {
		if l.Upstream != p.imgopt.addr || l.UpstreamStatus != l.Status || l.Method != "GET" || l.Status != "200" && l.Status != "304" {
			t.Errorf("not imgopt's: %s", l)
		}
	}
	for _, l := range p.lines(t) {
		if !isImage(l.URI) && l.Upstream != p.counter.addr {
			t.Errorf("not the application's: %s", l)
		}
	}
	if n := len(p.images(t)); n != sent {
		t.Errorf("the browser asked for %d images, nginx answered %d", sent, n)
	}
	eventually(t, "imgopt logs what it has sent", func() bool { return len(p.imgopt.answered(t)) >= sent })
	if n := len(p.imgopt.answered(t)); n != sent {
		t.Errorf("the browser asked for %d images, imgopt's log has %d", sent, n)
	}
	if n := p.imgopt.counted(t, "imgopt_http_requests_total"); int(n) != sent {
		t.Errorf("the browser asked for %d images, imgopt counted %g", sent, n)
	}
	if n := p.counter.optimized(); n != 0 {
		t.Errorf("%d requests for optimized images reached Next.js", n)
	}
	if len(p.counter.all()) == 0 {
		t.Error("nothing at all reached Next.js: the count is worth nothing")
	}
}
