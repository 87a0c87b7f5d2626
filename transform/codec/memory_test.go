//go:build !race

// The race detector's own memory counts against the limit.

package codec

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"imgopt/stress/corpus"
	"imgopt/transform"
)

// pngBombs are the PNGs of the stress tests whose text or profile takes more memory than their pixels.
func pngBombs(t *testing.T) map[string][]byte {
	t.Helper()
	var good [2][]byte
	for i, name := range []string{"avif-plain.avif", "webp-lossy.webp"} {
		b, err := os.ReadFile(filepath.Join("../../testdata/images", name))
		if err != nil {
			t.Fatal(err)
		}
		good[i] = b
	}
	bombs := map[string][]byte{}
	for _, c := range corpus.All(good[0], good[1]) {
		if strings.HasPrefix(c.Name, "png-") && strings.Contains(c.Name, "-bomb") {
			bombs[c.Name] = c.Make()
		}
	}
	if len(bombs) < 7 {
		t.Fatalf("%d bombs", len(bombs))
	}
	return bombs
}

// An image that needs more memory than a process may have fails alone, whether its decoder fails with grace or not, and
// has been estimated to need it. No process takes more than it may.
func TestMemoryLimit(t *testing.T) {
	s := patient(t)
	s.MaxData = 320 << 20
	p := pool(t, s)
	spec := transform.Spec{Output: transform.WebP, Width: 64, Quality: 75}
	sources := pngBombs(t)
	// All 12,000² pixels have to be held before the first row is complete.
	sources["interlaced"] = interlacedPNG(t, 12000)
	var most int64
	stop := watchMost(t, p, &most)
	for name, src := range sources {
		_, err := p.Encode(t.Context(), src, spec)
		var codec *transform.CodecError
		switch fits := strings.HasPrefix(name, "png-icc"); {
		case fits && err != nil:
			t.Errorf("%s: %v, want an image", name, err)
		case !fits && !errors.As(err, &codec):
			t.Errorf("%s: %v, want a codec error", name, err)
		case !fits && transform.Estimate(src, transform.PNG, spec).Bytes < int64(s.MaxData):
			t.Errorf("%s: estimated at %d MB", name, transform.Estimate(src, transform.PNG, spec).Bytes>>20)
		}
		t.Logf("%s: %d bytes: %v", name, len(src), err)
		if _, err := p.Encode(t.Context(), jpegOf(t, picture(300, 200)), spec); err != nil {
			t.Errorf("a good source after it: %v", err)
		}
	}
	stop()
	// Shared areas and the program do not count against the limit.
	limit := int64(s.MaxData) + 96<<20
	t.Logf("at most %d MB of %d", most>>20, limit>>20)
	if most > limit || most < int64(s.MaxData)/4 {
		t.Errorf("at most %d MB, want up to %d", most>>20, limit>>20)
	}
}

// watchMost looks for the largest private memory of the pool's processes until stop is called.
func watchMost(t *testing.T, p *Pool, most *int64) (stop func()) {
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			for _, pid := range p.victims() {
				*most = max(*most, residentMemory(pid))
			}
			select {
			case <-ended:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	return func() { close(ended); wg.Wait() }
}
