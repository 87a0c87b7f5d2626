package prewarm

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestDefaultsNeedOnlyASource(t *testing.T) {
	o := Defaults()
	o.URLs = []string{"-"}
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
	o = Defaults()
	const want = "--next-dir: nothing says what to warm: give --next-dir, --sitemap, --crawl or --urls"
	if err := o.Validate(); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Parts = []string{"pages", "images"} }, `--parts: "images": must be pages, media or public`},
		{func(o *Options) { o.NextDir, o.Parts = ".next", nil }, `--parts: must be pages, media or public`},
		{func(o *Options) { o.Sitemaps = []string{"/sitemap.xml"} }, `--sitemap: "/sitemap.xml": must be a url with http:// or https://`},
		{func(o *Options) { o.Crawl = []string{"ftp://a.example/"} }, `--crawl: "ftp://a.example/": must be a url with http:// or https://`},
		{func(o *Options) { o.Crawl = []string{"http://u:secret@[/"} }, `--crawl: "http://redacted@[/": must be a url with http:// or https://`},
		{func(o *Options) { o.URLs = []string{""} }, `--urls: "": must be the name of a file, or "-" for standard input`},
		{func(o *Options) { o.URLs = []string{"-", "a", "-"} }, `--urls: "-": standard input can be read only once`},
		{func(o *Options) { o.Depth = -1 }, `--depth: -1: must be an integer from 0 to 100`},
		{func(o *Options) { o.MaxPages = 0 }, `--max-pages: 0: must be an integer from 1 to 2147483647`},
		{func(o *Options) { o.PageRate = -1 }, `--page-rate: -1: must be a number of requests a second, or 0 for no limit`},
		{func(o *Options) { o.Rate = math.NaN() }, `--rate: NaN: must be a number of requests a second, or 0 for no limit`},
		{func(o *Options) { o.Rate = math.Inf(1) }, `--rate: +Inf: must be a number of requests a second, or 0 for no limit`},
		{func(o *Options) { o.Include = []string{"["} }, `--include: "[": not a pattern; must be a glob such as '/products/**', '*.jpg' or 'https://cdn.example/**'`},
		{func(o *Options) { o.Exclude = []string{""} }, `--exclude: "": not a pattern; must be a glob such as '/products/**', '*.jpg' or 'https://cdn.example/**'`},
		{func(o *Options) { o.Limit = -5 }, `--limit: -5: must be an integer from 0 to 2147483647`},
		{func(o *Options) { o.Target = "127.0.0.1:3000" }, `--target: "127.0.0.1:3000": must be a url with http:// or https://`},
		{func(o *Options) { o.Target = "http://u:secret@a.example/docs" }, `--target: "http://redacted@a.example/docs": must be a scheme, host and port only, such as http://127.0.0.1:3000; the path is made of basePath`},
		{func(o *Options) { o.Target = "http://a.example/?x" }, `--target: "http://a.example/?x": must be a scheme, host and port only, such as http://127.0.0.1:3000; the path is made of basePath`},
		{func(o *Options) { o.Headers = []string{"Authorization"} }, `--header: "Authorization": must be "Name: value"`},
		{func(o *Options) { o.Headers = []string{"A: b\nc"} }, `--header: "A": must be "Name: value"`},
		{func(o *Options) { o.Headers = []string{"accept: image/png"} }, `--header: "accept": is decided by what is asked for, and cannot be set`},
		{func(o *Options) { o.Concurrency = 0 }, `--concurrency: 0: must be an integer from 1 to 1024`},
		{func(o *Options) { o.Attempts = 101 }, `--attempts: 101: must be an integer from 1 to 100`},
		{func(o *Options) { o.Timeout = 0 }, `--attempt-timeout: 0s: must be a duration from 1ms to 1h, such as 30s`},
		{func(o *Options) { o.Timeout = 2 * time.Hour }, `--attempt-timeout: 2h0m0s: must be a duration from 1ms to 1h, such as 30s`},
		{func(o *Options) { o.Depth, o.Limit = 101, -1 }, "--depth: 101: must be an integer from 0 to 100\n--limit: -1: must be an integer from 0 to 2147483647"},
	} {
		o := Defaults()
		o.URLs = []string{"list"}
		c.change(&o)
		err := o.Validate()
		if err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
		if ExitCode(nil, err) != 2 {
			t.Errorf("%v: exit code %d", err, ExitCode(nil, err))
		}
	}
}

func TestValidateFor(t *testing.T) {
	o := Defaults()
	o.Formats, o.Widths, o.Qualities = []string{"avif", "webp"}, []int{640, 50}, []int{75, 80}
	err := o.ValidateFor(newSite(t, plainOptions()))
	want := []string{
		`--formats: "avif": the site serves this to no browser; must be webp or original`,
		`--widths: 50: in neither images.deviceSizes nor images.imageSizes; must be 32, 640 or 1080`,
		`--qualities: 80: not in images.qualities; must be 75`,
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got %v", err)
	}
	any := plainOptions()
	any.Qualities = nil
	o.Formats, o.Widths, o.Qualities = nil, nil, []int{80, 0}
	if err := o.ValidateFor(newSite(t, any)); err == nil || err.Error() != "--qualities: 0: must be an integer from 1 to 100" {
		t.Errorf("got %v", err)
	}
	o.Formats, o.Widths, o.Qualities = []string{"original"}, []int{32}, []int{75}
	if err := o.ValidateFor(newSite(t, plainOptions())); err != nil {
		t.Error(err)
	}
}
