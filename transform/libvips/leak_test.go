package libvips_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"imgopt/transform"
	"imgopt/transform/libvips"
)

// rss is this process's resident memory in bytes.
func rss(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Fscan(bytes.NewReader(b), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// memoryAtRest is what libvips holds when nothing runs any more: after a failure its own threads give back what they hold
// in their own time.
func memoryAtRest() libvips.Memory {
	held := libvips.ReadMemory()
	for end := time.Now().Add(10 * time.Second); held.Allocs != 0 && time.Now().Before(end); held = libvips.ReadMemory() {
		time.Sleep(time.Millisecond)
	}
	return held
}

// Two thousand transformations, good and bad sources, every format: the memory afterwards is what it was once
// the allocators were warm, and libvips holds nothing.
func TestNothingLeaksOver2000Transformations(t *testing.T) {
	e := engine(t, next)
	m := noisy(200, 150)
	photo, drawing := asJPEG(t, m), asPNG(t, m)
	sources := [][]byte{photo, drawing, photo[:len(photo)*2/3], drawing[:len(drawing)/2], []byte("GIF89a")}
	outputs := []string{transform.JPEG, transform.PNG, transform.WebP, transform.AVIF, transform.GIF}
	round := func(n int) {
		for i := range n {
			spec := transform.Spec{Output: outputs[i%len(outputs)], Width: 64, Quality: 40 + i%60}
			_, _ = e.Encode(t.Context(), sources[i/len(outputs)%len(sources)], spec)
		}
		runtime.GC()
		debug.FreeOSMemory()
	}
	round(500)
	before := rss(t)
	round(2000)
	after := rss(t)
	t.Logf("RSS %.1f MB after 500 transformations, %.1f MB after 2,500", float64(before)/1e6, float64(after)/1e6)
	// A leak of one small source (12 KB) per transformation would add 24 MB.
	if grown := after - before; grown > 6<<20 {
		t.Errorf("memory grew by %.1f MB over 2,000 transformations", float64(grown)/1e6)
	}
	if held := memoryAtRest(); held.Mem != 0 || held.Allocs != 0 {
		t.Errorf("libvips still holds %+v", held)
	}
}
