package config

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func ptr[T any](v T) *T { return &v }

var (
	anyLocal    = []LocalPattern{{Pathname: ptr("**"), Search: ptr("")}}
	staticLocal = []LocalPattern{
		{Pathname: ptr("/_next/static/media/**"), Search: ptr("")},
		{Pathname: ptr("/_next/static/immutable/media/**"), Search: ptr("")},
	}
)

// TestNextBuilds loads the manifests of real builds (testdata/next/build.mjs): what differs from the defaults is stated.
func TestNextBuilds(t *testing.T) {
	defaults, _ := mustLoad(t, Sources{})
	for name, change := range map[string]func(*Config){
		"defaults":    func(*Config) {},
		"unoptimized": func(c *Config) { c.Images.Unoptimized = true },
		"loader":      func(c *Config) { c.Images.Loader = "custom" },
		"standalone": func(c *Config) {
			c.Images.LocalPatterns = staticLocal
			c.Images.MaximumDiskCacheSize = ptr(ByteSize(0))
			c.Compress, c.SkipTrailingSlashRedirect = false, true
		},
		"basepath": func(c *Config) {
			c.BasePath = "/docs"
			c.TrailingSlash, c.Next.AssetPrefix = true, "https://cdn.example.com/assets"
			c.Images.RemotePatterns = []RemotePattern{
				{Protocol: ptr("https"), Hostname: "img.example.com"},
				{Protocol: ptr("https"), Hostname: "cdn.example.com", Port: ptr("")},
			}
		},
		"patterns": func(c *Config) {
			c.Images = Images{
				DeviceSizes: []int{640, 828, 1200}, ImageSizes: []int{16, 32}, Qualities: []int{50, 75, 100},
				Formats: []string{"image/avif", "image/webp"}, Domains: []string{"legacy.example.com"},
				RemotePatterns: []RemotePattern{
					{Protocol: ptr("https"), Hostname: "photos.example.com", Port: ptr(""), Pathname: ptr("/account/**"), Search: ptr("")},
					{Protocol: ptr("https"), Hostname: "*.example.org", Port: ptr(""), Pathname: ptr("/media/**"), Search: ptr("?v=1")},
					{Hostname: "**.cdn.example.net"},
				},
				LocalPatterns:   append([]LocalPattern{{Pathname: ptr("/assets/**"), Search: ptr("")}, {Pathname: ptr("/uploads/**")}}, staticLocal...),
				MinimumCacheTTL: 60, MaximumRedirects: 0, MaximumResponseBody: 1e6, MaximumDiskCacheSize: ptr(ByteSize(500e6)),
				ContentSecurityPolicy: "default-src 'none'", ContentDispositionType: "inline",
				DangerouslyAllowSVG: true, DangerouslyAllowLocalIP: true, Loader: "default",
			}
			c.Transform.MaxInputPixels, c.Transform.Timeout = 1_000_000, 20*time.Second
			c.Transform.Mozjpeg = false
		},
		"next15": func(c *Config) {
			c.Next.Version = "15.5.29"
			c.Images.ImageSizes = []int{16, 32, 48, 64, 96, 128, 256, 384}
			c.Images.Qualities, c.Images.LocalPatterns = nil, nil
			c.Images.MinimumCacheTTL = 60
			c.Images.RemotePatterns = []RemotePattern{{Protocol: ptr("https"), Hostname: "img.example.com", Pathname: ptr("/a/**")}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", "next", name)
			want := *defaults
			want.NextDir = dir
			want.Next = NextBuild{Dir: dir, Manifest: filepath.Join(dir, serverFilesManifest), Version: "16.4.6"}
			change(&want)
			got, p := mustLoad(t, Sources{Flags: []Flag{{"nextDir", dir}}})
			if !reflect.DeepEqual(got, &want) {
				t.Errorf("got  %s\nwant %s", asJSON(got), asJSON(&want))
			}
			if o := p.Of("images.deviceSizes"); o != (Origin{Kind: FromNextBuild, Name: want.Next.Manifest}) {
				t.Errorf("origin %+v", o)
			}
		})
	}
}

func asJSON(v any) string {
	data, _ := json.Marshal(v)
	return string(data)
}

// copyBuild copies some files of a real build into a new directory.
func copyBuild(t *testing.T, name, to string, files ...string) {
	t.Helper()
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join("testdata", "next", name, f))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(to, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestImagesManifest compares what the two manifests of one build give: the same but for the form of the patterns and
// what only one of them knows.
func TestImagesManifest(t *testing.T) {
	for _, name := range []string{"defaults", "patterns", "basepath", "unoptimized", "loader", "standalone", "next15"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			copyBuild(t, name, dir, imagesManifest, routesManifest)
			full, _ := mustLoad(t, Sources{Flags: []Flag{{"nextDir", filepath.Join("testdata", "next", name)}}})
			got, _ := mustLoad(t, Sources{Flags: []Flag{{"nextDir", dir}}})
			if got.Next != (NextBuild{Dir: dir, Manifest: filepath.Join(dir, imagesManifest)}) {
				t.Errorf("next: %+v", got.Next)
			}
			if len(got.Images.RemotePatterns) != len(full.Images.RemotePatterns) || len(got.Images.LocalPatterns) != len(full.Images.LocalPatterns) ||
				(got.Images.LocalPatterns == nil) != (full.Images.LocalPatterns == nil) {
				t.Fatalf("patterns: %s", asJSON(got.Images))
			}
			for i, p := range got.Images.RemotePatterns {
				if p.Hostname != "" || p.Pathname != nil || !strings.HasPrefix(p.HostnameRegexp, "^") || !strings.HasPrefix(p.PathnameRegexp, "^") {
					t.Errorf("remote pattern %s", asJSON(p))
				}
				if q := full.Images.RemotePatterns[i]; !reflect.DeepEqual([]*string{p.Protocol, p.Port, p.Search}, []*string{q.Protocol, q.Port, q.Search}) {
					t.Errorf("remote pattern %s, full %s", asJSON(p), asJSON(q))
				}
			}
			for i, p := range got.Images.LocalPatterns {
				if p.Pathname != nil || !strings.HasPrefix(p.PathnameRegexp, "^") || !reflect.DeepEqual(p.Search, full.Images.LocalPatterns[i].Search) {
					t.Errorf("local pattern %s", asJSON(p))
				}
			}
			got.Images.RemotePatterns, got.Images.LocalPatterns = full.Images.RemotePatterns, full.Images.LocalPatterns
			if !reflect.DeepEqual(got.Images, full.Images) || got.BasePath != full.BasePath {
				t.Errorf("got  %s\nwant %s", asJSON(got.Images), asJSON(full.Images))
			}
		})
	}
}

// TestNextDir has the places where a build may be found.
func TestNextDir(t *testing.T) {
	project := t.TempDir()
	dist := filepath.Join(project, ".next")
	copyBuild(t, "defaults", dist, serverFilesManifest)
	for _, dir := range []string{project, dist} {
		c, _ := mustLoad(t, Sources{Flags: []Flag{{"nextDir", dir}}})
		if c.Next.Dir != dist || c.Next.Version != "" {
			t.Errorf("%s: %+v", dir, c.Next)
		}
	}
	pkg := filepath.Join(project, "node_modules", "next", "package.json")
	if err := os.MkdirAll(filepath.Dir(pkg), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pkg, []byte(`{"name": "next", "version": "16.1.0"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, _ := mustLoad(t, Sources{Flags: []Flag{{"nextDir", dist}}}); c.Next.Version != "16.1.0" {
		t.Errorf("version %q", c.Next.Version)
	}
}

func TestBadBuilds(t *testing.T) {
	const images = `"images": {}`
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"garbled":         {map[string]string{serverFilesManifest: `{"version": 1, "config": {`}, "DIR/required-server-files.json: not a manifest of Next.js: unexpected EOF"},
		"two values":      {map[string]string{serverFilesManifest: `{"version": 1, "config": {"images": {}}} x`}, "DIR/required-server-files.json: not a manifest of Next.js: more follows after the first value"},
		"empty":           {map[string]string{serverFilesManifest: ``}, "DIR/required-server-files.json: not a manifest of Next.js: EOF"},
		"an array":        {map[string]string{serverFilesManifest: `[]`}, "DIR/required-server-files.json: not a manifest of Next.js: json: cannot unmarshal array into Go value of type struct { Version *int \"json:\\\"version\\\"\" }"},
		"too new":         {map[string]string{serverFilesManifest: `{"version": 2, "config": {` + images + `}}`}, "DIR/required-server-files.json: version: 2: must be 1; this imgopt knows the builds of Next.js up to 16"},
		"no version":      {map[string]string{serverFilesManifest: `{"config": {` + images + `}}`}, "DIR/required-server-files.json: version: none: must be 1; this imgopt knows the builds of Next.js up to 16"},
		"no images":       {map[string]string{serverFilesManifest: `{"version": 1, "config": {}}`}, "DIR/required-server-files.json: images: missing; must be an object"},
		"wrong type":      {map[string]string{serverFilesManifest: `{"version": 1, "config": {"images": {"minimumCacheTTL": "60"}}}`}, `DIR/required-server-files.json: images.minimumCacheTTL: "60": must be an integer from 0 to 3153600000`},
		"bad basePath":    {map[string]string{serverFilesManifest: `{"version": 1, "config": {"basePath": "docs", ` + images + `}}`}, `DIR/required-server-files.json: basePath: "docs": must be empty or a path that starts with / and does not end with it, such as /docs`},
		"bad timeout":     {map[string]string{serverFilesManifest: `{"version": 1, "config": {"experimental": {"imgOptTimeoutInSeconds": true}, ` + images + `}}`}, `DIR/required-server-files.json: transform.timeout: true: must be a duration from 0s to 1h, such as 7s, 500ms or 1m30s`},
		"pattern":         {map[string]string{serverFilesManifest: `{"version": 1, "config": {"images": {"remotePatterns": [{"hostname": "a", "x": 1, "b": 2}]}}}`}, "DIR/required-server-files.json: images.remotePatterns[0].b: unknown key; must be protocol, hostname, port, pathname or search\nDIR/required-server-files.json: images.remotePatterns[0].x: unknown key; must be protocol, hostname, port, pathname or search"},
		"no routes":       {map[string]string{imagesManifest: `{"version": 1, "images": {}}`}, "DIR/routes-manifest.json: basePath: cannot be read: no such file or directory"},
		"new routes":      {map[string]string{imagesManifest: `{"version": 1, "images": {}}`, routesManifest: `{"version": 4, "basePath": ""}`}, "DIR/routes-manifest.json: version: 4: must be 3; this imgopt knows the builds of Next.js up to 16"},
		"new images":      {map[string]string{imagesManifest: `{"version": 2, "images": {}}`}, "DIR/images-manifest.json: version: 2: must be 1; this imgopt knows the builds of Next.js up to 16"},
		"images no array": {map[string]string{imagesManifest: `{"version": 1, "images": []}`}, "DIR/images-manifest.json: not a manifest of Next.js: json: cannot unmarshal array into Go struct field .images of type map[string]interface {}"},
	} {
		dir := t.TempDir()
		for file, content := range tt.files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := Load(Sources{Flags: []Flag{{"nextDir", dir}}})
		if want := strings.ReplaceAll(tt.want, "DIR", dir); err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, want)
		}
	}
}

// TestExplicitPatterns has what Next.js adds to lists in next.config.js.
func TestExplicitPatterns(t *testing.T) {
	many := func(n int, pattern string) string {
		return "[" + strings.Repeat(pattern+",", n-1) + pattern + "]"
	}
	host := RemotePattern{Protocol: ptr("https"), Hostname: "cdn.example.com", Port: ptr("")}
	for name, tt := range map[string]struct {
		flags  map[string]string
		local  []LocalPattern
		remote []RemotePattern
	}{
		"unset":       {nil, anyLocal, []RemotePattern{}},
		"empty":       {map[string]string{"images.localPatterns": "[]"}, staticLocal, []RemotePattern{}},
		"given":       {map[string]string{"images.localPatterns": "[{pathname: /a}]"}, append([]LocalPattern{{Pathname: ptr("/a")}}, staticLocal...), []RemotePattern{}},
		"there":       {map[string]string{"images.localPatterns": `[{pathname: /_next/static/immutable/media/**, search: ''}]`}, []LocalPattern{staticLocal[1], staticLocal[0]}, []RemotePattern{}},
		"other":       {map[string]string{"images.localPatterns": `[{pathname: /_next/static/media/**}]`}, append([]LocalPattern{{Pathname: ptr("/_next/static/media/**")}}, staticLocal...), []RemotePattern{}},
		"a url":       {map[string]string{"images.remotePatterns": `["https://Example.com/a b/**"]`}, anyLocal, []RemotePattern{{Protocol: ptr("https"), Hostname: "example.com", Port: ptr(""), Pathname: ptr("/a%20b/**"), Search: ptr("")}}},
		"assetPrefix": {map[string]string{"nextDir": "testdata/next/basepath", "images.remotePatterns": `[{hostname: a}]`}, anyLocal, []RemotePattern{{Hostname: "a"}, host}},
		"no prefix":   {map[string]string{"nextDir": "testdata/next/defaults", "images.remotePatterns": `[{hostname: a}]`}, anyLocal, []RemotePattern{{Hostname: "a"}}},
		"same":        {map[string]string{"nextDir": "testdata/next/basepath", "images.remotePatterns": `[{hostname: cdn.example.com, protocol: https, port: ''}]`}, anyLocal, []RemotePattern{host}},
		"covered":     {map[string]string{"nextDir": "testdata/next/basepath", "images.remotePatterns": `[{hostname: cdn.example.com}]`}, anyLocal, []RemotePattern{{Hostname: "cdn.example.com"}}},
		"another":     {map[string]string{"nextDir": "testdata/next/basepath", "images.remotePatterns": `[{hostname: cdn.example.com, protocol: http}]`}, anyLocal, []RemotePattern{{Hostname: "cdn.example.com", Protocol: ptr("http")}, host}},
		"25 local":    {map[string]string{"images.localPatterns": many(25, "{}")}, slices.Concat(make([]LocalPattern, 25), staticLocal), []RemotePattern{}},
	} {
		var flags []Flag
		for _, key := range slices.Sorted(maps.Keys(tt.flags)) {
			flags = append(flags, Flag{key, tt.flags[key]})
		}
		c, _ := mustLoad(t, Sources{Flags: flags})
		if !reflect.DeepEqual(c.Images.LocalPatterns, tt.local) {
			t.Errorf("%s: local %s, want %s", name, asJSON(c.Images.LocalPatterns), asJSON(tt.local))
		}
		if !reflect.DeepEqual(c.Images.RemotePatterns, tt.remote) {
			t.Errorf("%s: remote %s, want %s", name, asJSON(c.Images.RemotePatterns), asJSON(tt.remote))
		}
	}
	_, _, err := Load(Sources{Flags: []Flag{{"images.localPatterns", many(26, "{}")}, {"images.remotePatterns", many(51, "{hostname: a}")}}})
	const want = "--images.localPatterns: images.localPatterns: 26 elements: must be a list of at most 25 patterns\n" +
		"--images.remotePatterns: images.remotePatterns: 51 elements: must be a list of at most 50 patterns"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
