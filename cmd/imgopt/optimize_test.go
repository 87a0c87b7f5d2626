package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The files are byte for byte what Next.js serves.
func TestOptimizeEqualsNext(t *testing.T) {
	t.Parallel()
	want, ok := nextSum(t, "photo-640.jpg", 64, "image/webp")
	if !ok {
		t.Log("no hash of Next.js for this libvips: comparing with nothing")
	}
	out := filepath.Join(t.TempDir(), "out.webp")
	cmd := exec.Command("imgopt", "optimize", strings.TrimPrefix(imagesOrigin(t), "file://")+"/photo-640.jpg", "-w", "64", "-f", "webp", "-o", out)
	cmd.Env = environment()
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	if got := hex.EncodeToString(sum[:]); ok && got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	p := startService(t, "--origin="+imagesOrigin(t), "--transform.isolation=none")
	for _, flags := range [][]string{nil, {"--ready"}} {
		cmd := exec.Command("imgopt", append([]string{"health", "--adminListen=" + strings.TrimPrefix(p.admin, "http://")}, flags...)...)
		cmd.Env = environment()
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v: %s", flags, err, b)
		}
	}
}
