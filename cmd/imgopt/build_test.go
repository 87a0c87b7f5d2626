package main

import (
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
