package prewarm

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// siteServer serves pages from a map by path and query, and remembers what it was asked for.
type siteServer struct {
	*httptest.Server
	mu    sync.Mutex
	asked []*http.Request
}

// page is a document with one image of its own and links.
func testPage(name string, links ...string) string {
	html := fmt.Sprintf(`<title>%s</title><img src="/_next/image?url=%%2F%s.png&amp;w=32&amp;q=75">`, name, name)
	for _, l := range links {
		html += `<a href="` + l + `">x</a>`
	}
	return html
}

// serve starts a server. A page like "!404 text" is an answer with that status, and the rest is its
// Location or its body.
func serve(t *testing.T, pages map[string]string) *siteServer {
	s := &siteServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r)
		body, ok := pages[r.URL.RequestURI()]
		s.mu.Unlock()
		var status int
		var rest string
		switch n, _ := fmt.Sscanf(body, "!%d %s", &status, &rest); {
		case !ok:
			http.NotFound(w, r)
		case n > 0 && status >= 300 && status < 400:
			http.Redirect(w, r, rest, status)
		case n > 0:
			http.Error(w, rest, status)
		case strings.HasSuffix(r.URL.Path, ".txt"):
			fmt.Fprint(w, body)
		case strings.HasSuffix(r.URL.Path, ".pdf"):
			w.Header().Set("Content-Type", "application/pdf")
			fmt.Fprint(w, body)
		case strings.Contains(r.URL.Path, ".xml"):
			w.Header().Set("Content-Type", "application/xml")
			fmt.Fprint(w, body)
		default:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, body)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *siteServer) paths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, r := range s.asked {
		out = append(out, r.URL.RequestURI())
	}
	slices.Sort(out)
	return out
}

// images are the names of the images that were found.
func images(f *Found) []string {
	var out []string
	for _, r := range f.requests {
		values, _ := url.ParseQuery(r.query)
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(values.Get("url"), "/"), ".png"))
	}
	slices.Sort(out)
	return out
}

func crawlOptions(start string, depth int) Options {
	o := fast()
	o.Crawl, o.Depth = []string{start}, depth
	return o
}

func TestCrawlDepth(t *testing.T) {
	other := serve(t, map[string]string{"/": testPage("foreign")})
	s := serve(t, map[string]string{
		"/":         testPage("home", "/a", "/a#top", "b?x=1", other.URL, "/_next/static/x.js", "/doc.pdf", "/"),
		"/a":        testPage("a", "/deep"),
		"/b?x=1":    testPage("b", "/deep"),
		"/deep":     testPage("deep", "/deeper"),
		"/deeper":   testPage("deeper"),
		"/doc.pdf":  testPage("pdf"),
		"/unlinked": testPage("unlinked"),
	})
	for depth, want := range [][]string{{"home"}, {"a", "b", "home"}, {"a", "b", "deep", "home"}, {"a", "b", "deep", "deeper", "home"}} {
		found := find(t, newSite(t, plainOptions()), crawlOptions(s.URL, depth), "")
		if got := images(found); !slices.Equal(got, want) || found.Pages != len(want) || len(found.Unread) != 0 {
			t.Errorf("depth %d: %q of %d pages, unread %v", depth, got, found.Pages, found.Unread)
		}
	}
	if len(other.asked) != 0 {
		t.Error("another origin was asked")
	}
	if slices.Contains(s.paths(), "/_next/static/x.js") || slices.Contains(s.paths(), "/unlinked") {
		t.Errorf("asked for %q", s.paths())
	}
}

func TestCrawlRobots(t *testing.T) {
	pages := map[string]string{
		"/robots.txt": "User-agent: *\nDisallow: /no\nAllow: /no/but\n\nUser-agent: other\nDisallow: /\n",
		"/":           testPage("home", "/no/way", "/no/but", "/yes"),
		"/no/way":     testPage("no"), "/no/but": testPage("but"), "/yes": testPage("yes") + `<a rel="nofollow" href="/quiet"></a>`,
		"/quiet": testPage("quiet"),
	}
	s := serve(t, pages)
	site := newSite(t, plainOptions())
	if got := images(find(t, site, crawlOptions(s.URL+"/", 2), "")); !slices.Equal(got, []string{"but", "home", "yes"}) {
		t.Errorf("got %q", got)
	}
	o := crawlOptions(s.URL+"/", 2)
	o.IgnoreRobots = true
	if got := images(find(t, site, o, "")); !slices.Equal(got, []string{"but", "home", "no", "quiet", "yes"}) {
		t.Errorf("--ignore-robots: got %q", got)
	}
	if found := find(t, site, crawlOptions(s.URL+"/no/way", 2), ""); len(found.Unread) != 1 || !strings.Contains(found.Unread[0].Detail, "robots.txt disallows it") || len(found.requests) != 0 {
		t.Errorf("a start that is disallowed: %v", found.Unread)
	}
	// One for this program alone, which asks for slowness; and one that cannot be had.
	s.mu.Lock()
	pages["/robots.txt"] = "User-agent: *\nDisallow: /\n\nUser-agent: imgopt-prewarm\nCrawl-delay: 0.001\n"
	s.mu.Unlock()
	if found := find(t, site, crawlOptions(s.URL+"/", 2), ""); len(found.Notes) != 1 || !strings.Contains(found.Notes[0], "at most 1e+03 pages a second") || found.Pages != 4 {
		t.Errorf("a group of its own: %d pages, notes %q", found.Pages, found.Notes)
	}
	s.mu.Lock()
	pages["/robots.txt"] = "!500"
	s.mu.Unlock()
	if found := find(t, site, crawlOptions(s.URL+"/", 2), ""); len(found.Unread) != 1 || found.Pages != 0 || found.Unread[0].Status != 500 || !strings.HasSuffix(found.Unread[0].URL, "/robots.txt") {
		t.Errorf("robots.txt that cannot be had: %v", found.Unread)
	}
}

func TestCrawlFailures(t *testing.T) {
	other := serve(t, map[string]string{"/": testPage("foreign")})
	s := serve(t, map[string]string{
		"/":      testPage("home", "/gone", "/login", "/broken", "/away", "/moved", "/loop"),
		"/login": "!401 x", "/broken": "!500 x", "/away": "!302 " + other.URL, "/moved": "!301 /new", "/new": testPage("new"), "/loop": "!302 /loop",
	})
	found := find(t, newSite(t, plainOptions()), crawlOptions(s.URL, 1), "")
	if got := images(found); !slices.Equal(got, []string{"home", "new"}) {
		t.Errorf("got %q", got)
	}
	var unread []string
	for _, u := range found.Unread {
		unread = append(unread, strings.TrimPrefix(u.URL, s.URL)+" "+u.Reason)
	}
	// A link to nothing, to a login, away or in a circle hides no image; a page that failed may.
	if !slices.Equal(unread, []string{"/broken status"}) || len(found.Notes) != 4 {
		t.Errorf("unread %q, notes %q", unread, found.Notes)
	}
	if len(other.asked) != 0 {
		t.Error("another origin was asked")
	}
	for _, start := range []string{s.URL + "/gone", s.URL + "/broken", "http://127.0.0.1:1/"} {
		if found := find(t, newSite(t, plainOptions()), crawlOptions(start, 1), ""); len(found.Unread) != 1 {
			t.Errorf("%s: unread %v", start, found.Unread)
		}
	}
}

// The first page may lead to another origin, which is the site then; headers of the command line stay behind.
func TestCrawlStartRedirects(t *testing.T) {
	www := serve(t, map[string]string{"/home": testPage("home", "/a"), "/a": testPage("a")})
	bare := serve(t, map[string]string{"/": "!301 " + www.URL + "/home"})
	o := crawlOptions(bare.URL+"/", 1)
	o.Headers = []string{"X-Secret: s", "Host: shop.example", "User-Agent: me"}
	found := find(t, newSite(t, plainOptions()), o, "")
	if got := images(found); !slices.Equal(got, []string{"a", "home"}) {
		t.Errorf("got %q, unread %v", got, found.Unread)
	}
	for _, r := range bare.asked {
		if r.Header.Get("X-Secret") != "s" || r.Host != "shop.example" || r.UserAgent() != "me" {
			t.Errorf("%s: %v %s", r.URL, r.Header, r.Host)
		}
	}
	for _, r := range www.asked {
		// Pages of the new site are asked for as the site's own.
		if r.URL.Path == "/home" && (r.Header.Get("X-Secret") != "" || r.Host == "shop.example") {
			t.Errorf("%s: %v %s", r.URL, r.Header, r.Host)
		}
	}
}

func TestMaxPages(t *testing.T) {
	pages := map[string]string{}
	for i := range 30 {
		pages[fmt.Sprintf("/%d", i)] = testPage(fmt.Sprint(i), fmt.Sprintf("/%d", 2*i+1), fmt.Sprintf("/%d", 2*i+2))
	}
	s := serve(t, pages)
	o := crawlOptions(s.URL+"/0", 10)
	o.MaxPages = 7
	found := find(t, newSite(t, plainOptions()), o, "")
	if found.Pages != 7 || len(found.Notes) != 1 || !strings.Contains(found.Notes[0], "--max-pages 7 is reached") {
		t.Errorf("%d pages, notes %q", found.Pages, found.Notes)
	}
}

func TestForeignImages(t *testing.T) {
	s := serve(t, map[string]string{"/": testPage("own") + `<img src="https://other.example/_next/image?url=%2Fa.png&amp;w=32&amp;q=75"><img src="/plain.png">`})
	found := find(t, newSite(t, plainOptions()), crawlOptions(s.URL, 0), "")
	if got := images(found); !slices.Equal(got, []string{"own"}) || len(found.Notes) != 1 || !strings.Contains(found.Notes[0], "1 image url of other origins left out") {
		t.Errorf("got %q, notes %q", got, found.Notes)
	}
}

func TestSitemap(t *testing.T) {
	pages := map[string]string{
		"/robots.txt": "User-agent: *\nDisallow: /\n", // does not hold for what the owner lists
		"/a":          testPage("a", "/b"), "/b": testPage("b"), "/c": testPage("c"), "/doc.pdf": "x",
		"/broken": "!404 x",
	}
	s := serve(t, pages)
	const live = "https://www.shop.example"
	s.mu.Lock()
	maps.Copy(pages, map[string]string{
		"/index.xml": "<sitemapindex><sitemap><loc>" + s.URL + "/1.xml</loc></sitemap><sitemap><loc>" + s.URL + "/2.xml</loc></sitemap>" +
			"<sitemap><loc>" + s.URL + "/index.xml</loc></sitemap><sitemap><loc>" + s.URL + "/bad.xml</loc></sitemap></sitemapindex>",
		"/1.xml":    "<urlset><url><loc>" + s.URL + "/a#x</loc></url><url><loc>" + s.URL + "/a</loc></url><url><loc>" + s.URL + "/doc.pdf</loc></url></urlset>",
		"/2.xml":    "<urlset><url><loc>" + s.URL + "/c</loc></url><url><loc>" + s.URL + "/broken</loc></url><url><loc>" + live + "/b</loc></url></urlset>",
		"/bad.xml":  "<html>",
		"/live.xml": "<urlset><url><loc>" + live + "/b</loc></url><url><loc>" + live + "/c</loc></url></urlset>",
	})
	s.mu.Unlock()
	o := fast()
	o.Sitemaps = []string{s.URL + "/index.xml"}
	found := find(t, newSite(t, plainOptions()), o, "")
	if got := images(found); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("got %q", got)
	}
	var unread []string
	for _, u := range found.Unread {
		unread = append(unread, strings.TrimPrefix(u.URL, s.URL)+" "+u.Failure.Error())
	}
	if want := []string{`/bad.xml page: no sitemap: it begins with "html"`, "/broken status 404"}; !slices.Equal(unread, want) {
		t.Errorf("unread %q", unread)
	}
	if len(found.Notes) != 1 || !strings.Contains(found.Notes[0], "1 url of "+s.URL+"/index.xml of other origins left out; --rebase asks "+s.URL) {
		t.Errorf("notes %q", found.Notes)
	}
	o.Sitemaps, o.Rebase = []string{s.URL + "/live.xml"}, true
	if got := images(find(t, newSite(t, plainOptions()), o, "")); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("--rebase: got %q", got)
	}
}

func TestMeasure(t *testing.T) {
	s := serve(t, map[string]string{
		"/":       testPage("a") + testPage("missing") + `<img src="/_next/image?url=http%3A%2F%2FCDN%2Fc.png&amp;w=32&amp;q=75">`,
		"/a.png":  "0123456789",
		"/c.png":  "012345",
		"/plain":  "x",
		"/b.png":  "never asked: no page showed it",
		"/robots": "",
	})
	cdn := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	s.Config.Handler = func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				w.Header().Set("Content-Type", "text/html")
				fmt.Fprint(w, strings.Replace(testPage("a")+testPage("missing"), "<title>", `<img src="/_next/image?url=`+url.QueryEscape(cdn+"/c.png")+`&amp;w=32&amp;q=75"><title>`, 1))
				return
			}
			h.ServeHTTP(w, r)
		})
	}(s.Config.Handler)
	site := plainOptions()
	site.RemotePatterns[0].Hostname = ptr("localhost")
	o := crawlOptions(s.URL, 0)
	o.URLs = []string{"-"}
	o.Measure = true
	o.Headers = []string{"X-Secret: s"}
	found := find(t, newSite(t, site), o, "/b.png\n")
	want := map[string]int64{"/a.png": 10, cdn + "/c.png": 6}
	if !maps.Equal(found.sizes, want) {
		t.Errorf("got %v, want %v", found.sizes, want)
	}
	for _, r := range s.asked {
		if r.URL.Path == "/b.png" {
			t.Error("asked for the size of a source of which nobody said where it is")
		}
		if r.URL.Path == "/c.png" && (r.Header.Get("X-Secret") != "" || r.Method != http.MethodHead) {
			t.Errorf("the source's host got %s %v", r.Method, r.Header)
		}
		if r.URL.Path == "/a.png" && r.Header.Get("X-Secret") != "s" {
			t.Error("the site's own source was asked without the site's headers")
		}
	}
}
