package corpus

import (
	"bytes"
	"compress/zlib"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgopt/transform"
)

func image(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../testdata/images", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func all(t *testing.T) []Case {
	t.Helper()
	return All(image(t, "avif-plain.avif"), image(t, "webp-lossy.webp"))
}

// The prefixes of names say what Next takes the bytes for, but for those that are no image to it.
func TestCases(t *testing.T) {
	media := map[string]string{"png": transform.PNG, "jpeg": transform.JPEG, "gif": transform.GIF, "webp": transform.WebP,
		"avif": transform.AVIF, "tiff": transform.TIFF}
	seen := map[string]bool{}
	for _, c := range all(t) {
		if seen[c.Name] || c.Name == "" || strings.ContainsAny(c.Name, "/?#% .\"") {
			t.Errorf("%s: not a unique segment of a path", c.Name)
		}
		seen[c.Name] = true
		b := c.Make()
		if !bytes.Equal(b, c.Make()) {
			t.Errorf("%s: other bytes the second time", c.Name)
		}
		if len(b) > 8<<20 {
			t.Errorf("%s: %d bytes, want at most 8 MiB", c.Name, len(b))
		}
		if want, ok := media[c.Group]; ok && c.Name != "tiff-big-offset-63-bits" {
			if got, err := transform.Detect(b); got != want || err != nil {
				t.Errorf("%s: taken for %q (%v), want %s", c.Name, got, err, want)
			}
		}
	}
	if len(seen) < 300 {
		t.Errorf("%d cases, want at least 300", len(seen))
	}
}

func TestZeros(t *testing.T) {
	for _, n := range []int{1, 2, 258, 259, 260, 5000, 100_000} {
		r, err := zlib.NewReader(bytes.NewReader(zeros(n)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || len(b) != n || len(bytes.Trim(b, "\x00")) != 0 {
			t.Errorf("%d zeros: %d bytes, %v", n, len(b), err)
		}
	}
}

func TestRepeated(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 1 << 20, 2<<20 - 1, 2 << 20, 3<<20 + 1, 20_000_000} {
		packed := repeated('A', n)
		r, err := zlib.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || len(b) != n || len(bytes.Trim(b, "A")) != 0 {
			t.Errorf("%d times: %d bytes, %v", n, len(b), err)
		}
		if len(packed) > 100+n/900 {
			t.Errorf("%d times: it takes %d bytes", n, len(packed))
		}
	}
}

// What is said to be complete can be decoded.
func TestCompletePictures(t *testing.T) {
	if _, err := png.Decode(bytes.NewReader(blackPNG(100, 70, 16, pngRGBA))); err != nil {
		t.Errorf("png: %v", err)
	}
	for _, scans := range []int{1, 20} {
		if _, err := jpeg.Decode(bytes.NewReader(progressiveJPEG(1500, 1500, scans))); err != nil {
			t.Errorf("progressive jpeg: %v", err)
		}
	}
	if _, err := jpeg.Decode(bytes.NewReader(greyJPEG(100, 70))); err != nil {
		t.Errorf("jpeg: %v", err)
	}
	one := join(gifScreen(50, 40), gifFrame(50, 40, 0), gifData(2, lzwZeros(2000)), []byte{0x3b})
	if _, err := gif.Decode(bytes.NewReader(one)); err != nil {
		t.Errorf("gif: %v", err)
	}
}

func TestCuts(t *testing.T) {
	for _, size := range []int{0, 1, 2, 39, 40, 41, 300, 512, 100_000} {
		cuts := Cuts(size, 40)
		if len(cuts) != min(size, 40) || !slices.IsSorted(cuts) || len(slices.Compact(slices.Clone(cuts))) != len(cuts) {
			t.Errorf("%d: %v", size, cuts)
		}
		if len(cuts) > 0 && (cuts[0] < 0 || cuts[len(cuts)-1] >= size) {
			t.Errorf("%d: %v", size, cuts)
		}
	}
}

func TestFlip(t *testing.T) {
	b := image(t, "photo-640.jpg")
	seen := map[string]bool{}
	for i := range 200 {
		f := Flip(b, "photo", i)
		if !bytes.Equal(f, Flip(b, "photo", i)) {
			t.Fatal("other bytes the second time")
		}
		changed := 0
		for i := range f {
			if f[i] != b[i] {
				changed++
			}
		}
		if changed > 1<<maxFlipsLog {
			t.Errorf("%d bytes changed", changed)
		}
		seen[string(f)] = true
	}
	if len(seen) < 195 {
		t.Errorf("%d different copies of 200", len(seen))
	}
	if len(Flip(nil, "", 0)) != 0 || bytes.Equal(Flip(b, "a", 1), Flip(b, "b", 1)) {
		t.Error("empty, or independent of the name")
	}
}
