package browser

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"testing"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	ximage "golang.org/x/image/draw"
)

// difference is what two screenshots do not share.
type difference struct {
	pixels int             // how many differ
	first  image.Point     // the first one in reading order
	bounds image.Rectangle // the smallest rectangle that holds them all
	diff   *image.NRGBA    // the first picture, faded, with what differs in red
}

func (d *difference) String() string {
	return fmt.Sprintf("%d pixels differ, all within %v, the first at %v", d.pixels, d.bounds, d.first)
}

// compare compares two PNG files pixel by pixel. The result is nil if they show the same; two sizes are an error.
func compare(a, b []byte) (*difference, error) {
	if bytes.Equal(a, b) {
		return nil, nil
	}
	before, err := decode(a)
	if err != nil {
		return nil, err
	}
	after, err := decode(b)
	if err != nil {
		return nil, err
	}
	if before.Rect != after.Rect {
		return nil, fmt.Errorf("two sizes: %v and %v", before.Rect.Max, after.Rect.Max)
	}
	d := &difference{diff: image.NewNRGBA(before.Rect)}
	for i := 0; i < len(before.Pix); i += 4 {
		p, q := before.Pix[i:i+4:i+4], after.Pix[i:i+4:i+4]
		out := d.diff.Pix[i : i+4 : i+4]
		if [4]byte(p) == [4]byte(q) {
			grey := uint8(200 + (int(p[0])+int(p[1])+int(p[2]))*55/(3*255))
			out[0], out[1], out[2], out[3] = grey, grey, grey, 255
			continue
		}
		out[0], out[3] = 255, 255
		at := image.Pt(i%before.Stride/4, i/before.Stride)
		if d.pixels == 0 {
			d.first = at
		}
		d.bounds = d.bounds.Union(image.Rectangle{at, at.Add(image.Pt(1, 1))})
		d.pixels++
	}
	if d.pixels == 0 {
		return nil, nil // the same picture in two files
	}
	return d, nil
}

func decode(file []byte) (*image.NRGBA, error) {
	img, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("decode a screenshot: %w", err)
	}
	out := image.NewNRGBA(image.Rectangle{Max: img.Bounds().Size()})
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
	return out, nil
}

// sideBySide draws pictures beside each other, each width pixels wide, cut to height, below their labels.
func sideBySide(width, height int, labels []string, files ...[]byte) (*image.NRGBA, error) {
	const gap, bar = 8, 20
	out := image.NewNRGBA(image.Rect(0, 0, len(files)*(width+gap)+gap, height+bar+gap))
	draw.Draw(out, out.Rect, image.White, image.Point{}, draw.Src)
	for i, file := range files {
		img, err := decode(file)
		if err != nil {
			return nil, err
		}
		left := gap + i*(width+gap)
		write := font.Drawer{Dst: out, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(left, 14)}
		write.DrawString(labels[i])
		source := img.Rect
		source.Max.Y = min(source.Max.Y, height*source.Dx()/width)
		ximage.CatmullRom.Scale(out, image.Rect(left, bar, left+width, bar+source.Dy()*width/source.Dx()), img, source, draw.Src, nil)
	}
	return out, nil
}

func encode(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCompare(t *testing.T) {
	a := image.NewNRGBA(image.Rect(0, 0, 9, 7))
	draw.Draw(a, a.Rect, image.NewUniform(color.NRGBA{10, 200, 30, 255}), image.Point{}, draw.Src)
	b := image.NewNRGBA(a.Rect)
	copy(b.Pix, a.Pix)
	opaque := image.NewRGBA(a.Rect) // another colour model, the same pixels: another file
	draw.Draw(opaque, a.Rect, a, image.Point{}, draw.Src)
	for name, same := range map[string]image.Image{"file": b, "picture": opaque} {
		if d, err := compare(encode(t, a), encode(t, same)); d != nil || err != nil {
			t.Errorf("the same %s: %v, %v", name, d, err)
		}
	}
	b.SetNRGBA(3, 2, color.NRGBA{10, 201, 30, 255}) // by one, in one channel
	b.SetNRGBA(5, 6, color.NRGBA{0, 0, 0, 255})
	d, err := compare(encode(t, a), encode(t, b))
	if err != nil {
		t.Fatal(err)
	}
	if d == nil || d.pixels != 2 || d.first != image.Pt(3, 2) || d.bounds != image.Rect(3, 2, 6, 7) {
		t.Fatalf("two pixels: %v", d)
	}
	if red := (color.NRGBA{255, 0, 0, 255}); d.diff.NRGBAAt(3, 2) != red || d.diff.NRGBAAt(5, 6) != red || d.diff.NRGBAAt(4, 2) == red {
		t.Errorf("the picture of the difference shows something else")
	}
	if _, err := compare(encode(t, a), encode(t, image.NewNRGBA(image.Rect(0, 0, 9, 8)))); err == nil {
		t.Error("two sizes are no error")
	}
	if _, err := compare(encode(t, a), []byte("no picture")); err == nil {
		t.Error("rubbish is no error")
	}
}

func TestSideBySide(t *testing.T) {
	red, blue := image.NewNRGBA(image.Rect(0, 0, 40, 400)), image.NewNRGBA(image.Rect(0, 0, 40, 40))
	draw.Draw(red, red.Rect, image.NewUniform(color.NRGBA{255, 0, 0, 255}), image.Point{}, draw.Src)
	draw.Draw(blue, blue.Rect, image.NewUniform(color.NRGBA{0, 0, 255, 255}), image.Point{}, draw.Src)
	out, err := sideBySide(20, 100, []string{"a", "b"}, encode(t, red), encode(t, blue))
	if err != nil {
		t.Fatal(err)
	}
	if out.Rect.Dx() != 8+28+28 || out.Rect.Dy() != 128 {
		t.Errorf("size %v", out.Rect)
	}
	for at, want := range map[image.Point]color.NRGBA{
		{10, 119}: {255, 0, 0, 255}, {40, 30}: {0, 0, 255, 255}, {40, 60}: {255, 255, 255, 255},
	} {
		if got := out.NRGBAAt(at.X, at.Y); got != want {
			t.Errorf("at %v: %v", at, got)
		}
	}
}
