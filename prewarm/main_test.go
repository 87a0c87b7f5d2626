package prewarm

import (
	"context"
	"flag"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"imgopt/validate"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./prewarm -update writes it anew); got:\n%s", path, got)
	}
}

func ptr(s string) *string { return &s }

// plainOptions are those of a Next.js without any configuration, but for few sizes and a host.
func plainOptions() SiteOptions {
	return SiteOptions{Options: validate.Options{
		DeviceSizes: []int{640, 1080}, ImageSizes: []int{32}, Qualities: []int{75}, Formats: []string{"image/webp"},
		RemotePatterns: []validate.RemotePattern{{Hostname: ptr("cdn.example")}},
		LocalPatterns:  []validate.LocalPattern{{Pathname: ptr("**"), Search: ptr("")}},
	}}
}

// appOptions are those of testdata/app.
func appOptions() SiteOptions {
	o := SiteOptions{
		Options: validate.Options{
			BasePath:    "/shop",
			DeviceSizes: []int{640, 750, 828, 1080, 1200, 1920, 2048, 3840}, ImageSizes: []int{32, 48, 64, 96, 128, 256, 384},
			Qualities: []int{50, 75}, Formats: []string{"image/avif", "image/webp"},
			RemotePatterns: []validate.RemotePattern{{Hostname: ptr("cdn.example")}},
			LocalPatterns:  []validate.LocalPattern{{Pathname: ptr("**"), Search: ptr("")}},
		},
		AssetPrefix: "/shop", TrailingSlash: true,
	}
	return o
}

func newSite(t testing.TB, o SiteOptions) *Site {
	t.Helper()
	s, err := NewSite(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// find looks for what o names, and fails the test if that is misuse.
func find(t testing.TB, site *Site, o Options, stdin string) *Found {
	t.Helper()
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	f, err := Find(context.Background(), site, o, strings.NewReader(stdin), nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// fast are options whose pauses a test can wait for.
func fast() Options {
	o := Defaults()
	o.PageRate, o.Attempts = 0, 1
	return o
}

// fromStdin are options for a list on standard input.
func fromStdin() Options {
	o := fast()
	o.URLs = []string{"-"}
	return o
}

func planned(p *Plan) []string {
	var out []string
	for _, g := range p.Groups {
		for _, v := range g.Variants {
			out = append(out, v.Format+" "+v.Query)
		}
	}
	return out
}
