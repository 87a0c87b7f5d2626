package prewarm

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The whole plan for a real build: every document, static media, the public folder.
func TestBuild(t *testing.T) {
	site := newSite(t, appOptions())
	o := fast()
	o.NextDir = "testdata/app/build"
	o.Formats = []string{"avif"} // the others are the same again
	plan := NewPlan(find(t, site, o, ""), o)
	var b strings.Builder
	if err := plan.WriteJSON(&b, "http://user:secret@127.0.0.1:3000"); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", b.String())
	b.Reset()
	if err := plan.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.txt", b.String())
}

// What a browser would load of the documents, read off the sources of testdata/app: widths by the source's name.
func TestBuildPages(t *testing.T) {
	site := newSite(t, appOptions())
	o := fast()
	o.NextDir, o.Parts, o.Formats = "testdata/app/build", []string{PartPages}, []string{"webp"}
	plan := NewPlan(find(t, site, o, ""), o)
	got := map[string][]int{}
	for _, g := range plan.Groups {
		for _, v := range g.Variants {
			got[g.Source] = append(got[g.Source], v.Width)
		}
	}
	device := []int{640, 750, 828, 1080, 1200, 1920, 2048, 3840}
	want := map[string][]int{
		"/shop/_next/static/media/photo.0elvtu6zr8w4b.jpg": {640, 828},                        // 400 and 800 pixels
		"/shop/_next/static/media/tile.378_57pbq3t5m.png":  slices.Concat([]int{384}, device), // fill at 50vw
		"/shop/hero.jpg":                                 slices.Concat(device, []int{128}), // picture at q=50, poster at q=75
		"/shop/products/tile one.png":                    {128, 256},                        // image-set()
		"https://cdn.example/m.jpg?x=1&y=2":              device,                            // the img in picture
		"https://cdn.example/remote,%20with%20comma.jpg": {384, 640},                        // 300 and 600 pixels
		"https://cdn.example/slow.jpg":                   {128, 256},                        // behind Suspense
		"https://cdn.example/legacy.jpg":                 {384, 640},                        // next/legacy/image, in noscript
		"https://cdn.example/late.jpg":                   {384, 640},                        // only in the payload
		"https://cdn.example/later.jpg":                  {64, 128},                         // only in __NEXT_DATA__
		"https://cdn.example/p/a.jpg":                    {640, 1920}, "https://cdn.example/p/b.jpg": {640, 1920},
		"https://cdn.example/pre-a.jpg": {256, 640}, "https://cdn.example/pre-b.jpg": {256, 640}, // preload() only
	}
	for source, widths := range want {
		if !slices.Equal(got[source], widths) {
			t.Errorf("%s: %v, want %v", source, got[source], widths)
		}
	}
	for source := range got {
		if _, ok := want[source]; !ok {
			t.Errorf("%s: %v, want none", source, got[source])
		}
	}
	if len(plan.Refused) != 2 || !strings.Contains(plan.Refused[0].URL, "elsewhere.example") || plan.Refused[0].From != "server/app/index.html" {
		t.Errorf("refused: %+v", plan.Refused)
	}
}

func TestBuildParts(t *testing.T) {
	site := newSite(t, appOptions())
	sources := func(parts ...string) []string {
		o := fast()
		o.NextDir, o.Parts = "testdata/app/build", parts
		plan := NewPlan(find(t, site, o, ""), o)
		var out []string
		for _, g := range plan.Groups {
			out = append(out, strings.TrimPrefix(g.Source, "/shop"))
		}
		slices.Sort(out)
		return out
	}
	// icon.….png and opengraph-image.….jpg are copies of what Next.js serves by routes of their own; robots.txt, an
	// empty file and an SVG are nothing that next/image optimizes.
	for _, c := range []struct{ parts, want []string }{
		{[]string{PartMedia}, []string{"/_next/static/media/moving.3w4lczg0k99rh.gif", "/_next/static/media/photo.0elvtu6zr8w4b.jpg", "/_next/static/media/tile.378_57pbq3t5m.png"}},
		{[]string{PartPublic}, []string{"/hero.jpg", "/products/tile one.png", "/unused.png"}},
	} {
		if got := sources(c.parts...); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.parts, got, c.want)
		}
	}
	all := sources(PartPages, PartMedia, PartPublic)
	for _, s := range append(sources(PartPages), "/unused.png", "/_next/static/media/moving.3w4lczg0k99rh.gif") {
		if !slices.Contains(all, s) {
			t.Errorf("all parts lack %s", s)
		}
	}
	svg := appOptions()
	svg.AllowSVG = true
	site = newSite(t, svg)
	if got := sources(PartPublic); !slices.Contains(got, "/logo.svg") {
		t.Errorf("with dangerouslyAllowSVG: %q", got)
	}
}

// tree writes files and returns the folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBuildLayouts(t *testing.T) {
	const manifest = `{"version":1,"config":{"distDir":"build/next"}}`
	dir := tree(t, map[string]string{
		"build/next/required-server-files.json":         manifest,
		"build/next/static/media/a.1.png":               "x",
		"build/next/static/immutable/media/sub/b.2.JPG": "xx",
		"public/100% #1?.png":                           "xxx",
		"public/größe 1.webp":                           "xxxx",
		"public/real.png":                               "xxxxx",
	})
	if err := os.Symlink("real.png", filepath.Join(dir, "public", "link.png")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere.png", filepath.Join(dir, "public", "dangling.png")); err != nil {
		t.Fatal(err)
	}
	o := plainOptions()
	o.AssetPrefix = "https://static.example/x"
	o.RemotePatterns[0].Hostname = ptr("static.example")
	options := fast()
	options.NextDir = filepath.Join(dir, "build", "next")
	found := find(t, newSite(t, o), options, "")
	want := map[string]int64{
		"https://static.example/x/_next/static/media/a.1.png":               1,
		"https://static.example/x/_next/static/immutable/media/sub/b.2.JPG": 2,
		"/100%25 %231%3F.png": 3, "/größe 1.webp": 4, "/real.png": 5, "/link.png": 5,
	}
	if !maps.Equal(found.sizes, want) {
		t.Errorf("got %v, want %v", found.sizes, want)
	}
	plan := NewPlan(found, options)
	if plan.Counts.Sources != 6 || plan.Counts.SourceBytes != 20 || plan.Counts.SourcesMeasured != 6 || len(plan.Refused) != 0 {
		t.Errorf("counts %+v, refused %v", plan.Counts, plan.Refused)
	}
	if len(found.Notes) != 1 || !strings.Contains(found.Notes[0], "no prerendered page") {
		t.Errorf("notes %q", found.Notes)
	}
	// A project folder with .next; localPatterns that allow nothing refuse what nothing asks for.
	dir = tree(t, map[string]string{".next/images-manifest.json": `{"version":1}`, "public/a.png": "x"})
	o = plainOptions()
	o.LocalPatterns = o.LocalPatterns[:0]
	options.NextDir = dir
	plan = NewPlan(find(t, newSite(t, o), options, ""), options)
	if plan.Counts.Unasked != 1 || plan.Counts.Variants != 0 || len(plan.Refused) != 0 {
		t.Errorf("counts %+v, refused %v", plan.Counts, plan.Refused)
	}
}

func TestBuildErrors(t *testing.T) {
	for _, c := range []struct {
		dir, want string
	}{
		{"testdata/nowhere", `--next-dir: "testdata/nowhere": cannot be read: no such file or directory`},
		{"testdata", `--next-dir: "testdata": holds no Next.js build; run next build, or give the distDir`},
	} {
		_, err := Find(t.Context(), newSite(t, plainOptions()), Options{NextDir: c.dir, Parts: []string{PartPages}}, nil, nil)
		if err == nil || err.Error() != c.want || ExitCode(nil, err) != 2 {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	dir := tree(t, map[string]string{"required-server-files.json": "{"})
	if _, err := Find(t.Context(), newSite(t, plainOptions()), Options{NextDir: dir}, nil, nil); err == nil || !strings.Contains(err.Error(), "required-server-files.json is not a manifest of Next.js") {
		t.Errorf("got %v", err)
	}
	// A page that cannot be parsed is told; the others are read.
	dir = tree(t, map[string]string{
		"required-server-files.json": "{}",
		"server/app/a.html":          strings.Repeat("<div>", 600),
		"server/app/b.html":          `<img src="/_next/image?url=%2Fa.png&w=32&q=75">`,
	})
	o := fast()
	o.NextDir = dir
	found := find(t, newSite(t, plainOptions()), o, "")
	if found.Pages != 1 || len(found.Unread) != 1 || found.Unread[0].URL != "server/app/a.html" || len(found.requests) != 1 {
		t.Errorf("%d pages, unread %v, requests %v", found.Pages, found.Unread, found.requests)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Find(ctx, newSite(t, plainOptions()), o, nil, nil); !errors.Is(err, context.Canceled) || ExitCode(nil, err) != 1 {
		t.Errorf("cancelled: %v", err)
	}
}

func TestIcons(t *testing.T) {
	b := &nextBuild{icons: []string{"icon.png", "opengraph-image-1a2b3c.jpg", "apple-icon1.png"}}
	for name, want := range map[string]bool{
		"icon.378_57.png": true, "opengraph-image.0el.jpg": true, "apple-icon1.x.png": true,
		"icon.378_57.jpg": false, "icons.378_57.png": false, "opengraph.0el.jpg": false, "photo.1.png": false, "apple-icon.x.png": false,
	} {
		if got := b.isIcon(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
	for name, want := range map[string]bool{
		"favicon.ico": true, "icon.png": true, "icon2.svg": true, "apple-icon.png": true, "opengraph-image.jpg": true,
		"twitter-image-abc123.png": true, "robots.txt": false, "sitemap.xml": false, "iconic.png": false, "page": false, "icon": false,
	} {
		if got := isMetadata(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
