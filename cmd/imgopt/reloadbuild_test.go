package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgopt/nextwatch"
)

// volume is a folder with builds, of which a symbolic link names one: how Kubernetes and most deployments replace files.
type volume string

func newVolume(t *testing.T, build string) volume {
	v := volume(t.TempDir())
	v.deploy(t, build)
	return v
}

// nextDir is the folder of the build that is deployed.
func (v volume) nextDir() string { return filepath.Join(string(v), "..data", ".next") }

// deploy puts one of the test data's builds, or another folder, in place of the one that is there.
func (v volume) deploy(t *testing.T, build string) {
	t.Helper()
	release, err := os.MkdirTemp(string(v), "release-")
	if err == nil {
		err = os.CopyFS(filepath.Join(release, ".next"), os.DirFS(build))
	}
	next := filepath.Join(string(v), "next")
	if err == nil {
		err = os.Symlink(release, next)
	}
	if err == nil {
		err = os.Rename(next, filepath.Join(string(v), "..data"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

const testBuilds = "../../config/testdata/next"

// A new build in the folder is put in force without anybody's asking, and one that is broken is not.
func TestReloadBuild(t *testing.T) {
	t.Parallel()
	v := newVolume(t, filepath.Join(testBuilds, "defaults"))
	p := startService(t, "--origin="+imagesOrigin(t), "--nextDir="+v.nextDir())
	const small = 32 // no width of the build "patterns" for this path
	in := func(build string) {
		t.Helper()
		want := map[string]int{"defaults": http.StatusOK, "unoptimized": http.StatusNotFound}[build]
		if r := get(t, p.image("/photo-640.jpg", small)); r.status != want {
			t.Errorf("with the build %q: %v, want %d", build, r, want)
		}
	}
	in("defaults")
	v.deploy(t, filepath.Join(testBuilds, "unoptimized"))
	if l := p.reloaded(t, 1); l.Level != "INFO" || l.By != byBuild || !strings.Contains(l.Changed, "images.unoptimized") {
		t.Errorf("logged as %+v", l)
	}
	in("unoptimized")

	// Half of a file, for longer than a look takes: refused once.
	broken := t.TempDir()
	if err := os.CopyFS(broken, os.DirFS(filepath.Join(testBuilds, "defaults"))); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(broken, "required-server-files.json")
	whole, err := os.ReadFile(manifest)
	if err == nil {
		err = os.WriteFile(manifest, whole[:len(whole)/2], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	v.deploy(t, broken)
	if l := p.reloaded(t, 2); l.Level != "ERROR" || l.By != byBuild || !strings.Contains(l.Error, "required-server-files.json") {
		t.Errorf("logged as %+v", l)
	}
	in("unoptimized")
	if n := p.metric(t, "imgopt_reload_failures_total"); n != 1 {
		t.Errorf("%v failures counted", n)
	}

	// The rest of it comes.
	if err := os.WriteFile(filepath.Join(v.nextDir(), "required-server-files.json"), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if l := p.reloaded(t, 3); l.Level != "INFO" || !strings.Contains(l.Changed, "images.unoptimized") {
		t.Errorf("logged as %+v", l)
	}
	in("defaults")

	// Who is quicker than the next look does not have it done twice.
	v.deploy(t, filepath.Join(testBuilds, "unoptimized"))
	if status, answer := p.reload(t); status != http.StatusOK || len(answer.Changed) == 0 {
		t.Errorf("%d %+v", status, answer)
	}
	in("unoptimized")
	v.deploy(t, filepath.Join(testBuilds, "defaults"))
	if l := p.reloaded(t, 5); l.By != byBuild {
		t.Errorf("logged as %+v", l)
	}
	if n := len(p.reloads(t)); n != 5 {
		t.Errorf("%d reloads logged, want 5, in %v each: %+v", n, nextwatch.Every, p.reloads(t))
	}
}
