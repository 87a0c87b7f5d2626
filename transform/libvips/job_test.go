package libvips_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"imgopt/transform"
	"imgopt/transform/libvips"
)

// made is one result.
type made struct {
	out []byte
	err error
}

func encodeAll(t *testing.T, e transform.MultiEngine, src []byte, specs []transform.Spec) []made {
	t.Helper()
	results := make([]made, len(specs))
	calls := make([]int, len(specs))
	e.EncodeAll(t.Context(), src, specs, func(i int, out []byte, err error) {
		calls[i]++
		results[i] = made{out, err}
	})
	for i, n := range calls {
		if n != 1 {
			t.Errorf("%+v: done was called %d times", specs[i], n)
		}
	}
	return results
}

func sameMade(t *testing.T, name string, spec transform.Spec, alone, shared made) {
	t.Helper()
	var a, b *transform.CodecError
	if errors.As(alone.err, &a) != errors.As(shared.err, &b) || (alone.err == nil) != (shared.err == nil) {
		t.Errorf("%s %+v: alone %v, with others %v", name, spec, alone.err, shared.err)
	} else if !bytes.Equal(alone.out, shared.out) {
		t.Errorf("%s %+v: %d bytes alone, %d other ones with others", name, spec, len(alone.out), len(shared.out))
	}
}

// corpusSpecs are widths on all sides of what decoders shrink by, in mixed order, with formats and a quality beside each
// other where they cost little.
func corpusSpecs(src []byte, media string) []transform.Spec {
	var specs []transform.Spec
	cost := transform.Estimate(src, media, transform.Spec{Output: transform.WebP, Width: 64})
	large := cost.Width*cost.Height > 1_000_000
	widths := []int{3840, 48, 256, 24, 640, 500}
	if large {
		widths = []int{640, 48, 750, 256}
	}
	for _, width := range widths {
		specs = append(specs, transform.Spec{Output: transform.WebP, Width: width, Quality: 75})
		switch width {
		case 48:
			for _, output := range []string{transform.JPEG, transform.PNG, media, transform.AVIF} {
				if large && (output == transform.PNG || output == transform.AVIF) {
					continue
				}
				specs = append(specs, transform.Spec{Output: output, Width: width, Quality: 75})
			}
		case 256:
			specs = append(specs, transform.Spec{Output: transform.WebP, Width: width, Quality: 40}, transform.Spec{Output: transform.JPEG, Width: width, Quality: 75})
		}
	}
	if !large { // neither is enlarged: the same picture
		specs = append(specs, transform.Spec{Output: transform.WebP, Width: 2048, Quality: 75})
	}
	return specs
}

// Whatever results share, each has the bytes, or the kind of error, that it has alone.
func TestSharingChangesNoByte(t *testing.T) {
	opts := next
	opts.Workers, opts.Timeout = 2, 0
	e := engine(t, opts)
	files := 0
	for _, c := range loadCases(t) {
		if c.Heavy {
			continue
		}
		src := readImage(t, c.File)
		if plan, err := transform.Decide(src, transform.WebP, false); err != nil || plan.Passthrough {
			continue
		}
		files++
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			specs := corpusSpecs(src, c.Type)
			shared := encodeAll(t, e, src, specs)
			for i, spec := range specs {
				out, err := e.Encode(t.Context(), src, spec)
				sameMade(t, c.Name, spec, made{out, err}, shared[i])
			}
		})
	}
	if files < 150 {
		t.Errorf("only %d files", files)
	}
}

// decodes makes all results and counts how often the source was decoded for them.
func decodes(t *testing.T, src []byte, specs []transform.Spec) int {
	t.Helper()
	if err := libvips.Start(); err != nil {
		t.Fatal(err)
	}
	sorted := make([]transform.Spec, 0, len(specs))
	for _, i := range transform.Order(specs) {
		sorted = append(sorted, specs[i])
	}
	opts := next
	opts.Timeout = 0
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&src[0])
	j := libvips.NewJob(t.Context(), src, sorted, opts)
	for _, spec := range sorted {
		if err := j.Next(func([]byte) error { return nil }); err != nil {
			t.Errorf("%+v: %v", spec, err)
		}
	}
	j.Close()
	return j.Decodes()
}

func specsOf(outputs []string, widths ...int) []transform.Spec {
	var specs []transform.Spec
	for _, output := range outputs {
		for _, width := range widths {
			specs = append(specs, transform.Spec{Output: output, Width: width, Quality: 75})
		}
	}
	return specs
}

// Next's default widths.
var nextWidths = []int{32, 48, 64, 96, 128, 256, 384, 640, 750, 828, 1080, 1200, 1920, 2048, 3840}

func TestOneDecodingServesManyResults(t *testing.T) {
	both := []string{transform.WebP, transform.JPEG}
	m := noisy(1300, 200)
	drawing := asPNG(t, m)
	photo := asJPEG(t, m)
	for name, c := range map[string]struct {
		src   []byte
		specs []transform.Spec
		want  int
	}{
		"png":                {drawing, specsOf(both, nextWidths...), 1},
		"png, one result":    {drawing, specsOf(both[:1], 640), 1},
		"png, one width":     {drawing, specsOf(both, 640), 1},
		"jpeg: 1, 2, 4, 8":   {photo, specsOf(both, nextWidths...), 4},
		"jpeg, one factor":   {photo, specsOf(both, 300, 350, 400), 1},
		"jpeg, two factors":  {photo, specsOf(both, 200, 300, 400), 2},
		"jpeg, not enlarged": {photo, specsOf(both, 1920, 2048, 3840), 1},
		"the same twice":     {photo, specsOf([]string{transform.WebP, transform.WebP}, 64), 1},
	} {
		if got := decodes(t, c.src, c.specs); got != c.want {
			t.Errorf("%s: %d results took %d decodings, want %d", name, len(c.specs), got, c.want)
		}
	}
	// Alpha is premultiplied for resizing only: what is not resized is decoded once more.
	alpha, err := os.ReadFile(images + "/png-rgba-8.png")
	if err != nil {
		t.Fatal(err)
	}
	if got := decodes(t, alpha, specsOf(both, nextWidths...)); got != 2 {
		t.Errorf("alpha: %d decodings, want 2", got)
	}
}

// The limit holds for each result, and the time that one takes is none of the next one's.
func TestEachResultHasItsOwnTime(t *testing.T) {
	opts := next
	opts.Timeout = time.Millisecond
	e := engine(t, opts)
	for i, r := range encodeAll(t, e, asPNG(t, noisy(2500, 2500)), specsOf([]string{transform.WebP}, 64, 640, 1920)) {
		var codec *transform.CodecError
		if !errors.As(r.err, &codec) || !codec.TimedOut {
			t.Errorf("result %d: %v, want the time limit", i, r.err)
		}
	}
}

func TestACancelledJobEndsForAll(t *testing.T) {
	e := engine(t, next)
	ctx, cancel := context.WithCancel(t.Context())
	specs := specsOf([]string{transform.WebP}, 64, 128, 256)
	var got []error
	e.EncodeAll(ctx, asJPEG(t, noisy(600, 400)), specs, func(_ int, _ []byte, err error) {
		got = append(got, err)
		cancel()
	})
	if len(got) != 3 || got[0] != nil || slices.ContainsFunc(got[1:], func(err error) bool { return !errors.Is(err, context.Canceled) }) {
		t.Errorf("%v, want one result and two times context.Canceled", got)
	}
}

func TestDamagedAndEmptySourcesFailForAll(t *testing.T) {
	e := engine(t, next)
	whole := asJPEG(t, noisy(900, 700))
	for name, src := range map[string][]byte{"empty": nil, "no image": []byte("hello"), "truncated": whole[:len(whole)/2]} {
		for _, r := range encodeAll(t, e, src, specsOf([]string{transform.WebP, transform.JPEG}, 64, 640, 750)) {
			var codec *transform.CodecError
			if !errors.As(r.err, &codec) || codec.Message == "" || codec.TimedOut {
				t.Errorf("%s: %v, want a codec error with a message", name, r.err)
			}
		}
	}
}

// Whatever becomes of a job, libvips holds nothing of it afterwards. The tests that run at the same time are over by then.
func TestJobsLeaveNothing(t *testing.T) {
	whole := asJPEG(t, noisy(600, 400))
	alpha, err := os.ReadFile(images + "/png-rgba-8.png")
	if err != nil {
		t.Fatal(err)
	}
	engine(t, next)
	specs := specsOf([]string{transform.WebP, transform.JPEG}, 32, 48, 200, 300, 900, 1000)
	for name, src := range map[string][]byte{"photo": whole, "truncated": whole[:len(whole)/2], "alpha": alpha, "no image": []byte("hello")} {
		for done := range len(specs) + 1 {
			j := libvips.NewJob(t.Context(), src, specs, next)
			for range done {
				_ = j.Next(func([]byte) error { return nil }) // what fails must leave nothing either
			}
			j.Close()
			held := memoryAtRest()
			if held.Mem != 0 || held.Allocs != 0 {
				t.Fatalf("%s after %d results: libvips still holds %+v", name, done, held)
			}
		}
	}
}
