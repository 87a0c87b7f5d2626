//go:build e2e

package prewarm

import (
	"context"
	"html"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"imgopt/config"
	"imgopt/prewarm/journal"
	"imgopt/validate"
)

// These tests need what e2e/setup and `make build` make, and fail without it.

// start runs a program that listens on a free port until the test ends. argv gets the port for PORT.
func start(t *testing.T, ready string, argv ...string) (base string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range argv {
		argv[i] = strings.ReplaceAll(argv[i], "PORT", port)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "NEXT_TELEMETRY_DISABLED=1", "NODE_ENV=production")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it starts is stopped with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		_ = log.Close()
	})
	base = "http://127.0.0.1:" + port
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(base + ready)
		if err == nil {
			_ = resp.Body.Close()
			return base
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", argv[0], err, tail(t, log.Name()))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %v\n%s", argv[0], err, tail(t, log.Name()))
		}
	}
}

func tail(t *testing.T, file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	return string(b[max(0, len(b)-2000):])
}

// startNext starts `next start` on a copy of a build, because Next.js keeps its images there.
func startNext(t *testing.T, variant string) (base, dist string) {
	t.Helper()
	root, err := filepath.Abs("../e2e/next")
	if err != nil {
		t.Fatal(err)
	}
	app := t.TempDir()
	dist = filepath.Join(app, ".next-"+variant)
	if err := os.CopyFS(dist, os.DirFS(filepath.Join(root, ".next-"+variant))); err != nil {
		t.Fatalf("no build of the variant %s: run e2e/setup first: %v", variant, err)
	}
	for _, name := range []string{"node_modules", "app", "public", ".assets", "package.json", "next.config.mjs", "variants.mjs"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(app, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("E2E_VARIANT", variant)
	return start(t, "/", "node", filepath.Join(root, "node_modules/next/dist/bin/next"), "start", app, "-H", "127.0.0.1", "-p", "PORT"), dist
}

// siteOfBuild reads the rules as imgopt does.
func siteOfBuild(t *testing.T, dist string) *Site {
	t.Helper()
	c, _, err := config.Load(config.Sources{Flags: []config.Flag{{Name: "nextDir", Value: dist}}})
	if err != nil {
		t.Fatal(err)
	}
	o := SiteOptions{
		Options: validate.Options{
			BasePath: c.BasePath, DeviceSizes: c.Images.DeviceSizes, ImageSizes: c.Images.ImageSizes,
			Qualities: c.Images.Qualities, Formats: c.Images.Formats,
		},
		AssetPrefix: c.Next.AssetPrefix, TrailingSlash: c.TrailingSlash, AllowSVG: c.Images.DangerouslyAllowSVG,
	}
	for _, p := range c.Images.LocalPatterns {
		o.LocalPatterns = append(o.LocalPatterns, validate.LocalPattern{Pathname: p.Pathname, Search: p.Search})
	}
	return newSite(t, o)
}

// browsers are Accept headers of other versions than those that are asked with.
var browsers = map[string]string{
	"avif":   "image/avif,image/webp,image/apng,image/*,*/*;q=0.8",
	"webp":   "image/webp,*/*",
	Original: "*/*",
}

// visitPage loads a page and all that its img elements could ask for, and returns the answers' X-Nextjs-Cache.
func visitPage(t *testing.T, frontend, images, path string) map[string]string {
	t.Helper()
	get := func(url, accept string) (http.Header, string) {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v", url, resp.StatusCode, err)
		}
		return resp.Header, string(body)
	}
	_, doc := get(frontend+path, "text/html")
	states := map[string]string{}
	for _, part := range strings.Split(doc, `srcSet="`)[1:] {
		srcset, _, _ := strings.Cut(part, `"`)
		for _, candidate := range strings.Split(html.UnescapeString(srcset), ", ") {
			url, _, _ := strings.Cut(candidate, " ")
			for name, accept := range browsers {
				header, _ := get(images+url, accept)
				states[name+" "+url] = header.Get("X-Nextjs-Cache")
			}
		}
	}
	if len(states) == 0 {
		t.Fatalf("%s shows no image", path)
	}
	return states
}

func warmed(t *testing.T, states map[string]string) {
	t.Helper()
	for what, state := range states {
		if state != "HIT" {
			t.Errorf("%s: %s", what, state)
		}
	}
}

// After a pre-warming a visit with avif, webp and neither shows only hits: in front of Next.js, and in Next.js itself.
func TestE2E(t *testing.T) {
	for _, variant := range []string{"formats", "basepath", "svg"} {
		t.Run(variant, func(t *testing.T) {
			frontend, dist := startNext(t, variant)
			site := siteOfBuild(t, dist)
			home := site.options.BasePath + "/"
			bin, err := filepath.Abs("../bin/imgopt")
			if err != nil {
				t.Fatal(err)
			}
			images := start(t, "/", bin, "serve", "--nextDir", dist, "--origin", frontend, "--listen", "127.0.0.1:PORT", "--adminListen=", "--log.level=error")
			for _, target := range []struct{ name, base string }{{"imgopt", images}, {"next", frontend}} {
				t.Run(target.name, func(t *testing.T) {
					o := Defaults()
					o.Target = target.base
					if target.name == "imgopt" {
						o.NextDir, o.Parts = dist, []string{PartPages, PartMedia}
					} else {
						o.Crawl = []string{frontend + home}
					}
					r := e2eRun(t, site, o, nil)
					if r.ExitCode != 0 || r.Warm == 0 || r.Made != r.Warm || r.Verified != r.Warm || r.Untold != 0 {
						var text strings.Builder
						_ = r.WriteText(&text)
						t.Errorf("%s", text.String())
					}
					if target.name == "imgopt" && r.SourcesMeasured != r.Sources {
						t.Errorf("the sizes of %d of %d sources are known", r.SourcesMeasured, r.Sources)
					}
					warmed(t, visitPage(t, frontend, target.base, home))
					if again := e2eRun(t, site, o, nil); again.Made != 0 || again.Hit != again.Warm || again.Warm != r.Warm {
						t.Errorf("once more: %+v", again.Totals)
					}
				})
			}
		})
	}
}

func e2eRun(t *testing.T, site *Site, o Options, j *journal.Journal) *Report {
	t.Helper()
	plan := NewPlan(find(t, site, o, ""), o)
	target := newTarget(t, site, o)
	return Run(t.Context(), plan, target, RunOptions{Concurrency: o.Concurrency, Batch: 1, Verify: o.Verify, Journal: j, Target: o.Target}, nil)
}

// Ctrl-C in the middle, and on again: nothing is done twice.
func TestE2EResume(t *testing.T) {
	bin, err := filepath.Abs("../bin/imgopt")
	if err != nil {
		t.Fatal(err)
	}
	dir := tree(t, map[string]string{".next/required-server-files.json": "{}"})
	if err := os.CopyFS(filepath.Join(dir, "public"), os.DirFS("../e2e/next/public/assets")); err != nil {
		t.Fatalf("run e2e/setup first: %v", err)
	}
	images := start(t, "/", bin, "serve", "--origin", "file://"+dir, "--listen", "127.0.0.1:PORT", "--adminListen=", "--log.level=error")
	o := plainOptions()
	o.DeviceSizes, o.ImageSizes, o.RemotePatterns = []int{640, 750, 828, 1080, 1200, 1920, 2048, 3840}, nil, nil
	site := newSite(t, o)
	options := Defaults()
	options.Target, options.NextDir, options.Parts = images, dir, []string{PartPublic}
	options.Include = []string{"/{tile,small,cached}.png", "*.{jpg,webp}"}
	options.Resume = filepath.Join(t.TempDir(), "journal")
	plan := NewPlan(find(t, site, options, ""), options)
	run := func(ctx context.Context, p Progress) *Report {
		j, err := OpenJournal(options, site, options.Target, "")
		if err != nil {
			t.Fatal(err)
		}
		target := newTarget(t, site, options)
		r := Run(ctx, plan, target, RunOptions{Concurrency: 2, Batch: 1, Verify: true, Journal: j}, p)
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		return r
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := run(ctx, stopAt{n: 20, stop: cancel})
	if first.ExitCode != 1 || !first.Interrupted || first.Warm < 20 || first.Left == 0 || first.Failed != 0 {
		t.Fatalf("interrupted: %+v", first)
	}
	second := run(t.Context(), nil)
	if second.ExitCode != 0 || second.Resumed != first.Warm || second.Left != 0 || second.Warm != plan.Counts.Variants {
		t.Errorf("resumed: %+v", second)
	}
	if third := run(t.Context(), nil); third.ExitCode != 0 || third.Resumed != plan.Counts.Variants {
		t.Errorf("all done: %+v", third)
	}
}

// stopAt is a Progress that stops the run after n steps.
type stopAt struct {
	quiet
	n    int
	stop func()
}

func (s stopAt) Step(t Tally) {
	if t.Done == s.n {
		s.stop()
	}
}
