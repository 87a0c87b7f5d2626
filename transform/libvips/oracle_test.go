package libvips_test

import (
	"bytes"
	"image"
	"math"
	"testing"

	"github.com/disintegration/imaging"
	_ "golang.org/x/image/tiff" // a decoder for the oracle

	"imgopt/transform"
)

// meanError compares two pictures of one size: the mean difference of a channel, 0 to 255, over white.
func meanError(a, b image.Image) float64 {
	var sum float64
	bounds := a.Bounds()
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			r1, g1, b1, a1 := a.At(bounds.Min.X+x, bounds.Min.Y+y).RGBA()
			r2, g2, b2, a2 := b.At(b.Bounds().Min.X+x, b.Bounds().Min.Y+y).RGBA()
			for _, d := range [][4]uint32{{r1, a1, r2, a2}, {g1, a1, g2, a2}, {b1, a1, b2, a2}} {
				over := func(c, alpha uint32) float64 { return float64(c) + 65535 - float64(alpha) }
				sum += math.Abs(over(d[0], d[1]) - over(d[2], d[3]))
			}
		}
	}
	return sum / float64(3*bounds.Dx()*bounds.Dy()) / 257
}

// A second, independent opinion: imaging decodes, turns and scales with its own Lanczos in Go. A wrong orientation,
// colour or scale cannot hide behind "equal to sharp". Files whose colours need a profile are left to the other
// test, because imaging reads none.
func TestPixelsAreCloseToAnotherResizer(t *testing.T) {
	const limit = 8.5 // palettes of hard edges are at 8, photographs at 2; a mirrored picture is off by more than 20
	e := engine(t, next)
	groups := map[string]bool{"photo": true, "orientation": true, "alpha": true, "jpeg": true, "png": true, "size": true}
	compared, turned := 0, 0
	for _, c := range loadCases(t) {
		if !groups[c.Group] || c.Answer != "optimized" || c.Heavy {
			continue
		}
		src := readImage(t, c.File)
		// imaging turns by the EXIF of JPEGs only. Go's WebP decoder takes the studio range for the full one, so it
		// cannot judge colours.
		if c.Group == "orientation" && c.Type != transform.JPEG || c.Type == transform.WebP {
			continue
		}
		decoded, err := imaging.Decode(bytes.NewReader(src), imaging.AutoOrientation(true))
		if err != nil {
			continue // a feature Go's decoders lack
		}
		output := transform.PNG
		if opaque, ok := decoded.(interface{ Opaque() bool }); ok && opaque.Opaque() {
			output = transform.JPEG
		}
		out, err := e.Encode(t.Context(), src, transform.Spec{Output: output, Width: 128, Quality: 100})
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		got, _, err := image.Decode(bytes.NewReader(out))
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		size := got.Bounds().Size()
		want := imaging.Resize(decoded, size.X, size.Y, imaging.Lanczos)
		if width := min(128, decoded.Bounds().Dx()); size.X != width {
			t.Errorf("%s: %d pixels wide, want %d", c.Name, size.X, width)
		}
		if height := float64(decoded.Bounds().Dy()) * float64(size.X) / float64(decoded.Bounds().Dx()); math.Abs(height-float64(size.Y)) > 1 {
			t.Errorf("%s: %d pixels high, want %.1f", c.Name, size.Y, height)
		}
		if off := meanError(got, want); off > limit {
			t.Errorf("%s: a channel is off by %.1f on average, at most %.1f is expected", c.Name, off, limit)
		}
		compared++
		if c.Group == "orientation" {
			turned++
			if off := meanError(imaging.FlipH(got), want); off < 20 {
				t.Errorf("%s: its mirror image passes as well (%.1f): the bound proves nothing", c.Name, off)
			}
		}
	}
	if compared < 60 || turned < 8 {
		t.Errorf("only %d files compared, %d of them turned", compared, turned)
	}
	t.Logf("%d files compared", compared)
}
