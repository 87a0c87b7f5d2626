package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The program as scripts/build makes it: it knows the version the linker gave it, and finds its libvips, and itself
// for the codec processes, without any help from the environment.
func TestBuilt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "imgopt")
	build := exec.Command("go", "build", "-ldflags", "-s -w -X main.version=v1.2.3-test", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if pinned() {
		if err := os.CopyFS(filepath.Join(dir, "lib"), os.DirFS(pinnedLibrary)); err != nil {
			t.Fatal(err)
		}
	}
	printed := exec.Command(program, "version")
	printed.Env = []string{"PATH=/nonexistent"}
	out, err := printed.Output()
	if err != nil || !strings.HasPrefix(string(out), "imgopt v1.2.3-test (go1.") {
		t.Errorf("version: %v\n%s", err, out)
	}

	p := startServiceOf(t, program, "--origin="+imagesOrigin(t), "--transform.workers=1")
	r := get(t, p.image("/photo-640.jpg", 64), "Accept", "image/webp")
	if want, ok := nextSum(t, "photo-640.jpg", 64, "image/webp"); r.status != http.StatusOK || ok && r.sum() != want {
		t.Errorf("an image: %v", r)
	}
	if r := get(t, p.admin+"/metrics"); !strings.Contains(string(r.body), `version="v1.2.3-test"`) {
		t.Error("the metrics do not tell the version")
	}
}

// imgopt config --json is for programs: the configuration, the origin of each value, and the Next.js build.
func TestConfigJSON(t *testing.T) {
	t.Parallel()
	build := filepath.Join("../../config/testdata/next/basepath")
	out, err := exec.Command("imgopt", "config", "--json", "--nextDir="+build, "--timeout=1m", "--origin=http://a:1", "--origin=http://b:2").Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Config struct {
			Timeout, BasePath string
			Origin            []string
			MaxAttempts       int
			Transform         struct{ Mozjpeg bool }
			TrailingSlash     bool
		}
		Origins map[string]struct{ Layer, Name string }
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := got.Config
	if c.Timeout != "1m0s" || c.BasePath != "/docs" || strings.Join(c.Origin, " ") != "http://a:1 http://b:2" || c.MaxAttempts != 3 || !c.Transform.Mozjpeg {
		t.Errorf("config: %+v", c)
	}
	if !c.TrailingSlash {
		t.Error("the build's trailingSlash is not there")
	}
	for key, name := range map[string]string{
		"timeout": "--timeout", "origin": "--origin", "maxAttempts": "", "basePath": filepath.Join(build, "required-server-files.json"),
	} {
		if o, ok := got.Origins[key]; !ok || o.Name != name {
			t.Errorf("origins: %s comes from %+v, want %q", key, o, name)
		}
	}

	// What it prints is a configuration file.
	var printed struct{ Config json.RawMessage }
	if err := json.Unmarshal(out, &printed); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "imgopt.json")
	if err := os.WriteFile(file, printed.Config, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("imgopt", "config", "--check", "--config="+file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
