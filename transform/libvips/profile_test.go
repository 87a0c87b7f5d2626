package libvips_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"strings"
	"testing"

	"imgopt/transform"
	"imgopt/transform/libvips"
)

func withProfile(profile transform.Profile) transform.Options {
	opts := next
	opts.Timeout, opts.Profile = 0, profile
	return opts
}

// widthOf decodes what was encoded.
func widthOf(t *testing.T, e transform.Engine, encoded []byte) int {
	t.Helper()
	back, err := e.Encode(t.Context(), encoded, transform.Spec{Output: transform.PNG, Width: 3840, Quality: 100})
	if err != nil {
		t.Fatalf("reading it back: %v", err)
	}
	m, err := png.DecodeConfig(bytes.NewReader(back))
	if err != nil {
		t.Fatal(err)
	}
	return m.Width
}

// The encoders accept every row of the tables; what is made is what was asked for, and it is what Next.js has where the
// encoding is Next.js'.
func TestEveryProfileEncodes(t *testing.T) {
	src := asJPEG(t, noisy(300, 200))
	reference := engine(t, withProfile(transform.ProfileNext))
	for _, profile := range transform.Profiles() {
		e := engine(t, withProfile(profile))
		for _, output := range []string{transform.JPEG, transform.PNG, transform.WebP, transform.AVIF} {
			others, differ := 0, 0
			for _, quality := range []int{1, 30, 50, 75, 90, 100} {
				spec := transform.Spec{Output: output, Width: 96, Quality: quality}
				got, err := e.Encode(t.Context(), src, spec)
				if err != nil {
					t.Fatalf("%s %+v: %v", profile, spec, err)
				}
				if media, _ := transform.Detect(got); media != output {
					t.Errorf("%s %+v: the result is %q", profile, spec, media)
				}
				if width := widthOf(t, reference, got); width != 96 {
					t.Errorf("%s %+v: %d pixels wide", profile, spec, width)
				}
				want, err := reference.Encode(t.Context(), src, spec)
				if err != nil {
					t.Fatal(err)
				}
				switch same := bytes.Equal(got, want); {
				case withProfile(profile).Encoding(spec) != withProfile(transform.ProfileNext).Encoding(spec):
					others++
					differ += b2i(!same)
				case !same:
					t.Errorf("%s %+v: %d bytes that are not Next.js'", profile, spec, len(got))
				}
			}
			if others > 0 && differ == 0 {
				t.Errorf("%s %s: %d other encodings give the bytes of Next.js", profile, output, others)
			}
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// GIF and TIFF are encoded in their own format, with the encoder's defaults whatever the profile.
func TestProfilesLeaveTheSourcesFormatAlone(t *testing.T) {
	for _, c := range []struct{ file, media string }{{"gif-interlaced.gif", transform.GIF}, {"tiff-lzw.tif", transform.TIFF}} {
		src := readImage(t, c.file)
		spec := transform.Spec{Output: c.media, Width: 32, Quality: 75}
		var want []byte
		for _, profile := range transform.Profiles() {
			got, err := engine(t, withProfile(profile)).Encode(t.Context(), src, spec)
			if err != nil {
				t.Fatalf("%s %s: %v", profile, c.file, err)
			}
			if want == nil {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: %s has other bytes", profile, c.file)
			}
		}
	}
}

// Several results of one source have the bytes that they have alone, also where two qualities become one.
func TestProfilesShareDecoding(t *testing.T) {
	src := asJPEG(t, noisy(400, 300))
	var specs []transform.Spec
	for _, output := range []string{transform.JPEG, transform.WebP, transform.AVIF, transform.PNG} {
		for _, quality := range []int{1, 2, 74, 75} {
			specs = append(specs, transform.Spec{Output: output, Width: 48, Quality: quality})
		}
		specs = append(specs, transform.Spec{Output: output, Width: 64, Quality: 75})
	}
	for _, profile := range []transform.Profile{transform.ProfileFast, transform.ProfileSmall} {
		e := engine(t, withProfile(profile))
		for i, shared := range encodeAll(t, e, src, specs) {
			out, err := e.Encode(t.Context(), src, specs[i])
			if err != nil {
				t.Fatalf("%s %+v: %v", profile, specs[i], err)
			}
			sameMade(t, string(profile), specs[i], made{out, err}, shared)
		}
	}
}

func encodeAs(t *testing.T, src []byte, output string, e transform.Encoding) ([]byte, error) {
	t.Helper()
	return libvips.EncodeAs(t.Context(), src, transform.Spec{Output: output, Width: 200}, e, withProfile(transform.ProfileNext))
}

// Every field of an encoding reaches the encoder: each changes the bytes.
func TestEachPartOfAnEncodingCounts(t *testing.T) {
	if !strings.HasPrefix(libvips.Version(), "8.18.") {
		t.Skipf("libvips %s and its encoders do not know all of them", libvips.Version())
	}
	src := readImage(t, "photo-640.jpg")
	for _, c := range []struct {
		output string
		from   transform.Encoding
		change map[string]func(*transform.Encoding)
	}{
		{transform.WebP, transform.Encoding{Quality: 60, Effort: 4}, map[string]func(*transform.Encoding){
			"quality":      func(e *transform.Encoding) { e.Quality = 61 },
			"effort":       func(e *transform.Encoding) { e.Effort = 2 },
			"sharpYUV":     func(e *transform.Encoding) { e.SharpYUV = true },
			"smartDeblock": func(e *transform.Encoding) { e.SmartDeblock = true },
			"passes":       func(e *transform.Encoding) { e.Passes = 10 },
			"preset":       func(e *transform.Encoding) { e.Preset = "text" },
		}},
		{transform.AVIF, transform.Encoding{Quality: 40, Effort: 1}, map[string]func(*transform.Encoding){
			"quality":   func(e *transform.Encoding) { e.Quality = 50 },
			"effort":    func(e *transform.Encoding) { e.Effort = 4 },
			"subsample": func(e *transform.Encoding) { e.Subsample = true },
			"tune":      func(e *transform.Encoding) { e.Tune = "psnr" },
		}},
		{transform.JPEG, transform.Encoding{Quality: 60}, map[string]func(*transform.Encoding){
			"quality":       func(e *transform.Encoding) { e.Quality = 61 },
			"subsample":     func(e *transform.Encoding) { e.Subsample = true },
			"progressive":   func(e *transform.Encoding) { e.Progressive = true },
			"trellis":       func(e *transform.Encoding) { e.Trellis = true },
			"quantTable":    func(e *transform.Encoding) { e.QuantTable = 3 },
			"optimizeScans": func(e *transform.Encoding) { e.Progressive, e.OptimizeScans = true, true },
		}},
	} {
		plain, err := encodeAs(t, src, c.output, c.from)
		if err != nil {
			t.Fatalf("%s: %v", c.output, err)
		}
		seen := map[string]string{string(plain): "nothing"}
		for name, change := range c.change {
			e := c.from
			change(&e)
			out, err := encodeAs(t, src, c.output, e)
			if err != nil {
				t.Errorf("%s %s: %v", c.output, name, err)
			} else if other, ok := seen[string(out)]; ok {
				t.Errorf("%s: changing %s gives what changing %s gives", c.output, name, other)
			}
			seen[string(out)] = name
		}
	}
}

// Overshoot deringing shows beside white only.
func TestOvershootCounts(t *testing.T) {
	if !strings.HasPrefix(libvips.Version(), "8.18.") {
		t.Skipf("libvips %s may come without mozjpeg", libvips.Version())
	}
	src := asPNG(t, whiteSquares(96, 96))
	plain, err := encodeAs(t, src, transform.JPEG, transform.Encoding{Quality: 50})
	if err != nil {
		t.Fatal(err)
	}
	deringed, err := encodeAs(t, src, transform.JPEG, transform.Encoding{Quality: 50, Overshoot: true})
	if err != nil || bytes.Equal(plain, deringed) {
		t.Errorf("overshoot deringing changes nothing (%v)", err)
	}
}

func whiteSquares(width, height int) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	draw.Draw(m, m.Bounds(), image.White, image.Point{}, draw.Src)
	for y := 3; y < height; y += 14 {
		for x := 3; x < width; x += 14 {
			draw.Draw(m, image.Rect(x, y, x+5, y+5), image.NewUniform(color.NRGBA{20, 20, 60, 255}), image.Point{}, draw.Src)
		}
	}
	return m
}

func TestEncodeAsIsTheEngine(t *testing.T) {
	src := asJPEG(t, noisy(200, 150))
	for _, profile := range transform.Profiles() {
		opts := withProfile(profile)
		e := engine(t, opts)
		for _, output := range []string{transform.JPEG, transform.PNG, transform.WebP, transform.AVIF} {
			spec := transform.Spec{Output: output, Width: 64, Quality: 75}
			want, err := e.Encode(t.Context(), src, spec)
			if err != nil {
				t.Fatal(err)
			}
			got, err := libvips.EncodeAs(t.Context(), src, transform.Spec{Output: output, Width: 64}, opts.Encoding(spec), withProfile(transform.ProfileNext))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s %s: %d bytes, want %d (%v)", profile, output, len(got), len(want), err)
			}
		}
	}
}

// With alpha, WebP's greatest effort would take a minute for what takes a second.
func TestAlphaBoundsTheEffort(t *testing.T) {
	src := readImage(t, "png-rgba-8.png")
	var made [7][]byte
	for effort := range made {
		out, err := encodeAs(t, src, transform.WebP, transform.Encoding{Quality: 75, Effort: effort})
		if err != nil {
			t.Fatal(err)
		}
		made[effort] = out
	}
	if bytes.Equal(made[4], made[5]) || !bytes.Equal(made[5], made[6]) {
		t.Errorf("efforts 4, 5 and 6 give %d, %d and %d bytes; want that the last two are the same", len(made[4]), len(made[5]), len(made[6]))
	}
}

// AVIF's effort 4 is for what takes a second or two with it.
func TestSizeBoundsTheEffort(t *testing.T) {
	for _, c := range []struct {
		width, height int
		same          bool
	}{{1024, 1024, false}, {1025, 1024, true}} {
		rings := image.NewGray(image.Rect(0, 0, c.width, c.height)) // quick to encode, and not trivial
		for i := range rings.Pix {
			x, y := i%c.width-500, i/c.width-500
			rings.Pix[i] = byte((x*x + y*y) >> 11)
		}
		src := asPNG(t, rings)
		var made [2][]byte
		for i, effort := range []int{3, 4} {
			out, err := libvips.EncodeAs(t.Context(), src, transform.Spec{Output: transform.AVIF, Width: c.width}, transform.Encoding{Quality: 47, Effort: effort}, transform.Options{})
			if err != nil {
				t.Fatal(err)
			}
			made[i] = out
		}
		if bytes.Equal(made[0], made[1]) != c.same {
			t.Errorf("%d × %d: efforts 3 and 4 give %d and %d bytes; the same: want %t", c.width, c.height, len(made[0]), len(made[1]), c.same)
		}
		// An AVIF that stays one is encoded as sharp does it, whatever its size.
		kept, err := libvips.EncodeAs(t.Context(), made[0], transform.Spec{Width: c.width}, transform.Encoding{}, transform.Options{})
		if err != nil {
			t.Fatal(err)
		}
		less, err := libvips.EncodeAs(t.Context(), made[0], transform.Spec{Output: transform.AVIF, Width: c.width}, transform.Encoding{Quality: 50, Effort: 3}, transform.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(kept, less) {
			t.Errorf("%d × %d: what stays AVIF is encoded with effort 3, want sharp's 4", c.width, c.height)
		}
	}
}

func TestEncodersRefuseWhatIsNoEncoding(t *testing.T) {
	if !strings.HasPrefix(libvips.Version(), "8.18.") {
		t.Skipf("libvips %s does not know what AVIF is tuned for", libvips.Version())
	}
	src := asJPEG(t, noisy(64, 64))
	for _, c := range []struct {
		output string
		e      transform.Encoding
	}{
		{transform.WebP, transform.Encoding{Quality: 75, Preset: "drawings"}},
		{transform.WebP, transform.Encoding{Quality: 75, Preset: strings.Repeat("default", 20)}},
		{transform.AVIF, transform.Encoding{Quality: 75, Tune: "eyes"}},
	} {
		var codec *transform.CodecError
		if out, err := encodeAs(t, src, c.output, c.e); !errors.As(err, &codec) || codec.Message == "" {
			t.Errorf("%s %+v: %d bytes, %v; want a codec error", c.output, c.e, len(out), err)
		}
	}
}

// The encoding of a profile costs no memory that stays.
func TestProfilesHoldNothing(t *testing.T) {
	src := asJPEG(t, noisy(200, 150))
	for _, profile := range transform.Profiles() {
		e := engine(t, withProfile(profile))
		for _, output := range []string{transform.JPEG, transform.WebP, transform.AVIF} {
			if _, err := e.Encode(t.Context(), src, transform.Spec{Output: output, Width: 64, Quality: 75}); err != nil {
				t.Fatal(err)
			}
			if held := memoryAtRest(); held.Mem != 0 || held.Allocs != 0 {
				t.Errorf("%s %s: libvips still holds %+v", profile, output, held)
			}
		}
	}
}
