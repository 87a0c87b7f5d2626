package codec

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imgopt/transform"
)

// ownCPU is the processor time of this process, the service's side.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// BenchmarkWebP828 encodes for a phone's width. It reports the processor time of both sides for each image: what is
// done so that nothing of an image is left for the next one's codec must not show in it.
func BenchmarkWebP828(b *testing.B) {
	photo, err := os.ReadFile(filepath.Join("../../testdata/images", "photo.jpg"))
	if err != nil {
		b.Fatal(err)
	}
	large := jpegOf(b, picture(4000, 3000))
	for _, c := range []struct {
		name    string
		sources [][]byte
	}{
		{"photo", [][]byte{photo}},
		{"large, then small", [][]byte{large, photo}},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := pool(b, patient(b))
			proc := <-p.idle
			defer func() { p.idle <- proc }()
			spec := transform.Spec{Output: transform.WebP, Width: 828, Quality: 75}
			bytes := 0
			own, theirs := ownCPU(b), proc.cpu()
			for b.Loop() {
				for _, src := range c.sources {
					out, _, err := proc.run(b.Context(), src, spec, 0, &p.oom)
					if err != nil {
						b.Fatal(err)
					}
					bytes += len(src) + len(out)
				}
			}
			n := float64(b.N * len(c.sources))
			b.ReportMetric(float64((ownCPU(b)-own).Microseconds())/n, "service-µs/image")
			b.ReportMetric(float64((proc.cpu()-theirs).Microseconds())/n, "codec-µs/image")
			b.ReportMetric(float64(bytes)/n/1024, "KiB/image")
		})
	}
}
