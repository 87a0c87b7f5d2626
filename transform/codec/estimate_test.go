//go:build !race

// The race detector's own memory would be measured.

package codec

import (
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"imgopt/transform"
	"imgopt/transform/libvips"
)

// With -estimate.full every way to store a picture is measured in several sizes, targets and formats (an hour, and
// 1 GB), and the corpus with what is heavy in it; without, a few of each.
var estimateFull = flag.Bool("estimate.full", false, "measure everything that transform.Estimate's factors come from")

// statusBytes is a field of /proc/PID/status that is in kB, in bytes.
func statusBytes(t testing.TB, pid int, name string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.Fields(field(t, procFile(t, pid, "status"), name))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// realPeak is by how much the resident memory of a fresh process grows over one encoding, at its peak: shared areas
// included, code that the small image before it has brought in left out.
func realPeak(t testing.TB, p *Pool, small, src []byte, spec transform.Spec) (int64, error) {
	t.Helper()
	return peakOf(t, p, small, spec, func(proc *process) error {
		_, _, err := proc.run(t.Context(), src, spec, 0, &p.oom) // what fails costs memory, too
		return err
	})
}

func peakOf(t testing.TB, p *Pool, small []byte, spec transform.Spec, work func(*process) error) (int64, error) {
	t.Helper()
	proc, err := p.launcher.start(&p.settings)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.free()
	tiny := spec
	tiny.Width = 64
	_, _, _ = proc.run(t.Context(), small, tiny, 0, &p.oom) // broken sources may come without a small one
	pid := proc.cmd.Process.Pid
	const resetPeak = "5"
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte(resetPeak), 0); err != nil {
		t.Fatal(err)
	}
	before := statusBytes(t, pid, "VmRSS:")
	err = work(proc)
	return statusBytes(t, pid, "VmHWM:") - before, err
}

// compareEstimate checks one estimate: not under the real peak (by more than a fifth), and not absurdly over it.
func compareEstimate(t *testing.T, p *Pool, name string, small, src []byte, media string, spec transform.Spec) {
	t.Helper()
	const (
		// What is over the real peak: the factors are those of noise, a photograph takes a third.
		absurd = 6
		// Below that the base counts most.
		little = 48 << 20
	)
	cost := p.settings.Options.Profile.Estimate(src, media, spec)
	estimate := cost.Under(p.settings.Options.MaxInputPixels)
	peak, failed := realPeak(t, p, small, src, spec)
	line := fmt.Sprintf("%-32s %5d × %5d, %5.1f MB, to %s %d: %6.1f MB, estimated %6.1f MB (%.2f)", name, cost.Width, cost.Height,
		float64(len(src))/1e6, spec.Output, spec.Width, float64(peak)/1e6, float64(estimate)/1e6, float64(estimate)/float64(peak))
	if *estimateFull {
		t.Log(line)
	}
	// What is refused half-way may cost next to nothing.
	if estimate < peak*8/10 || failed == nil && estimate > max(little, absurd*peak) {
		t.Errorf("not near: %s", line)
	}
}

// transform.EstimateAll against the memory that all of Next.js' widths in two formats take in one process.
func TestEstimateCoversSeveralResults(t *testing.T) {
	p := measuringPool(t)
	var specs []transform.Spec
	for _, width := range []int{64, 256, 640, 750, 828, 1080, 1200} {
		for _, output := range []string{transform.WebP, transform.JPEG} {
			specs = append(specs, transform.Spec{Output: output, Width: width, Quality: 75})
		}
	}
	src, small := jpegOf(t, noise(2400, 1600)), jpegOf(t, noise(96, 64))
	peak, err := peakOf(t, p, small, specs[0], func(proc *process) error {
		_, err := proc.runAll(t.Context(), src, specs, 0, &p.oom, func(_ []byte, _ reply, err error) {
			if err != nil {
				t.Error(err)
			}
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	estimate := transform.EstimateAll(src, transform.JPEG, specs).Bytes
	t.Logf("%.1f MB, estimated %.1f MB", float64(peak)/1e6, float64(estimate)/1e6)
	if estimate < peak*8/10 || estimate > 6*peak {
		t.Error("not near")
	}
}

func measuringPool(t *testing.T) *Pool { return measuringPoolOf(t, transform.ProfileNext) }

func measuringPoolOf(t *testing.T, profile transform.Profile) *Pool {
	s := patient(t)
	s.Options.Profile = profile
	s.MaxSource, s.MaxResult = 512<<20, 256<<20
	if err := libvips.Start(); err != nil { // here, to make the sources
		t.Fatal(err)
	}
	return pool(t, s)
}

// transform.Estimate against the memory that a codec really takes.
func TestEstimateCoversTheRealPeak(t *testing.T) {
	p := measuringPool(t)
	type size struct {
		width, height int
		draw          func(width, height int) *image.NRGBA
	}
	sizes := []size{{1500, 1000, noise}}
	specs := []transform.Spec{{Output: transform.WebP, Width: 1920, Quality: 75}}
	if *estimateFull {
		sizes = []size{{1500, 1000, noise}, {3000, 2000, noise}, {3000, 2000, seeThrough}, {3000, 2000, photo}, {6000, 4000, photo}, {500, 12000, photo}, {12000, 500, photo}}
		specs = nil
		for _, width := range []int{64, 640, 1920, 3840} {
			specs = append(specs, transform.Spec{Output: transform.WebP, Width: width, Quality: 75})
		}
	}
	others := []transform.Spec{{Width: 640}, {Output: transform.JPEG, Width: 1920, Quality: 75}, {Output: transform.PNG, Width: 640, Quality: 75}, {Output: transform.AVIF, Width: 1080, Quality: 75}}
	for _, v := range variants {
		if !*estimateFull && !v.quick {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			small := v.make(t, photo(96, 64))
			for _, s := range sizes {
				if strings.Contains(v.name, "turned") && s.height > 4*s.width {
					continue // what EXIF says is not relied on: such a strip is estimated as if it stayed upright
				}
				src := v.make(t, s.draw(s.width, s.height))
				media, err := transform.Detect(src)
				if err != nil {
					t.Fatal(err)
				}
				for _, spec := range specs {
					compareEstimate(t, p, v.name, small, src, media, spec)
				}
				if *estimateFull && s.height == 2000 {
					for _, spec := range others {
						compareEstimate(t, p, v.name, small, src, media, spec)
					}
				}
			}
		})
	}
	t.Run("outputs", func(t *testing.T) {
		src := variants[0].make(t, noise(1500, 1000))
		for output, width := range map[string]int{transform.JPEG: 1920, transform.PNG: 384, transform.AVIF: 1080} {
			compareEstimate(t, p, variants[0].name, src[:100], src, transform.JPEG, transform.Spec{Output: output, Width: width, Quality: 75})
		}
	})
}

// The other profiles tell encoders to work more, or to keep more.
func TestEstimateCoversEveryProfile(t *testing.T) {
	width, height := 900, 600
	if *estimateFull {
		width, height = 3000, 2000
	}
	opaque, alpha := pngOf(t, noise(width, height)), pngOf(t, seeThrough(width, height))
	small, smallAlpha := pngOf(t, noise(96, 64)), pngOf(t, seeThrough(96, 64))
	for _, profile := range []transform.Profile{transform.ProfileFast, transform.ProfileSmall} {
		p := measuringPoolOf(t, profile)
		for _, spec := range []transform.Spec{
			{Output: transform.JPEG, Width: 3840, Quality: 75}, {Output: transform.WebP, Width: 3840, Quality: 75}, {Output: transform.AVIF, Width: 256, Quality: 75},
		} {
			if *estimateFull && spec.Output == transform.AVIF {
				spec.Width = 1080
			}
			compareEstimate(t, p, "png, "+string(profile), small, opaque, transform.PNG, spec)
			compareEstimate(t, p, "png, alpha, "+string(profile), smallAlpha, alpha, transform.PNG, spec)
		}
	}
}

// No file of the corpus, bombs and broken ones included, takes more than its estimate.
func TestEstimateCoversTheCorpus(t *testing.T) {
	const corpus = "../../testdata/images"
	p := measuringPool(t)
	b, err := os.ReadFile(filepath.Join(corpus, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, File, Group string
		Heavy             bool
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, c := range cases {
		if !*estimateFull && (c.Heavy || !strings.HasPrefix(c.Name, "bomb")) {
			continue
		}
		src, err := os.ReadFile(filepath.Join(corpus, c.File))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := transform.Decide(src, transform.WebP, false)
		if err != nil || plan.Passthrough {
			continue
		}
		compared++
		compareEstimate(t, p, c.Name, src[:min(100, len(src))], src, plan.Source, transform.Spec{Output: transform.WebP, Width: 640, Quality: 75})
	}
	for name, src := range pngBombs(t) {
		if *estimateFull || strings.HasPrefix(name, "png-icc") { // the others take gigabytes
			compared++
			compareEstimate(t, p, name, pngOf(t, picture(64, 48)), src, transform.PNG, transform.Spec{Output: transform.WebP, Width: 640, Quality: 75})
		}
	}
	if compared < 13 {
		t.Errorf("only %d files compared", compared)
	}
}
