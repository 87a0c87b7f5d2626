package main

import (
	"image"
	"image/color"
	"image/draw"
	"math"

	"github.com/disintegration/imaging"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// card is a picture whose every corner, edge and direction can be told apart: four quadrants (red,
// green, blue, yellow, clockwise from the top left), an arrow that points up, the letter F and a
// label. A wrong rotation or mirroring cannot go unseen.
func card(w, h int, caption string) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	quad := [4]color.NRGBA{{200, 40, 40, 255}, {40, 160, 60, 255}, {230, 200, 50, 255}, {50, 80, 200, 255}}
	for y := range h {
		for x := range w {
			c := quad[y*2/h*2+x*2/w]
			// A faint gradient, so that the halves of a flat quadrant differ as well.
			f := 0.80 + 0.2*float64(x+y)/float64(w+h)
			img.SetNRGBA(x, y, color.NRGBA{uint8(float64(c.R) * f), uint8(float64(c.G) * f), uint8(float64(c.B) * f), 255})
		}
	}
	white := color.NRGBA{255, 255, 255, 255}
	box := func(x0, y0, x1, y1 float64, c color.NRGBA) {
		r := image.Rect(int(x0*float64(w)), int(y0*float64(h)), int(x1*float64(w)), int(y1*float64(h)))
		draw.Draw(img, r, image.NewUniform(c), image.Point{}, draw.Src)
	}
	// The arrow: a head of rising width and a shaft.
	for y := range h {
		fy := float64(y) / float64(h)
		half := 0.0
		switch {
		case fy > 0.10 && fy < 0.42:
			half = (fy - 0.10) * 0.45
		case fy >= 0.42 && fy < 0.74:
			half = 0.045
		}
		box(0.5-half, fy, 0.5+half, fy+1.5/float64(h), white)
	}
	// F stands in the left half.
	box(0.12, 0.20, 0.17, 0.70, white)
	box(0.12, 0.20, 0.32, 0.28, white)
	box(0.12, 0.42, 0.26, 0.50, white)
	label(img, caption, 6, h-7, color.NRGBA{255, 255, 255, 255})
	return img
}

// label draws text with its baseline at (x, y), 7 by 13 pixels a letter.
func label(img *image.NRGBA, text string, x, y int, c color.NRGBA) {
	d := font.Drawer{Dst: img, Src: image.NewUniform(c), Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(text)
}

// stored is what a camera stores for the upright picture img when it notes the given EXIF
// orientation: the inverse of what a viewer does.
func stored(img *image.NRGBA, orientation int) *image.NRGBA {
	switch orientation {
	case 2:
		return imaging.FlipH(img)
	case 3:
		return imaging.Rotate180(img)
	case 4:
		return imaging.FlipV(img)
	case 5:
		return imaging.Transpose(img)
	case 6:
		return imaging.Rotate90(img)
	case 7:
		return imaging.Transverse(img)
	case 8:
		return imaging.Rotate270(img)
	default:
		return imaging.Clone(img)
	}
}

// sticker is a round picture with a soft edge; outside it everything is transparent, and the colour
// under zero alpha is hidden: only a resize that premultiplies keeps it from bleeding into the edge.
func sticker(w, h int, inside *image.NRGBA, hidden color.NRGBA) *image.NRGBA {
	fill := imaging.Fill(inside, w, h, imaging.Center, imaging.Lanczos)
	for y := range h {
		for x := range w {
			r := math.Hypot((float64(x)+0.5)/float64(w)*2-1, (float64(y)+0.5)/float64(h)*2-1)
			a := 1 - smooth(0.72, 0.96, r)
			c := fill.NRGBAAt(x, y)
			c.A = uint8(math.Round(255 * a))
			if c.A == 0 {
				c = hidden
				c.A = 0
			}
			fill.SetNRGBA(x, y, c)
		}
	}
	return fill
}

// withAlpha gives every pixel of img the alpha that f says.
func withAlpha(img *image.NRGBA, f func(x, y int) uint8) *image.NRGBA {
	out := imaging.Clone(img)
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			out.Pix[out.PixOffset(x, y)+3] = f(x, y)
		}
	}
	return out
}

// flat is a picture of one colour.
func flat(w, h int, c color.NRGBA) *image.NRGBA { return imaging.New(w, h, c) }

// frames are n pictures of a ball that crosses the card.
func frames(n, w, h int) []*image.NRGBA {
	out := make([]*image.NRGBA, n)
	for i := range out {
		img := flat(w, h, color.NRGBA{235, 238, 242, 255})
		cx, cy := float64(w)*(0.2+0.6*float64(i)/float64(max(1, n-1))), float64(h)*(0.5-0.25*math.Sin(math.Pi*float64(i)/float64(max(1, n-1))))
		for y := range h {
			for x := range w {
				d := math.Hypot(float64(x)-cx, float64(y)-cy) / (0.2 * float64(h))
				if d < 1 {
					s := 1 - 0.7*d*d
					img.SetNRGBA(x, y, color.NRGBA{uint8(220 * s), uint8(90 * s), uint8(40 * s), 255})
				}
			}
		}
		label(img, string(rune('1'+i)), 5, h-5, color.NRGBA{40, 40, 60, 255})
		out[i] = img
	}
	return out
}

// stripes is a cheap picture for odd sizes: colour bands with a period of 40 pixels.
func stripes(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			t := float64((x+y)%40) / 40
			img.SetNRGBA(x, y, color.NRGBA{quantise(0.5 + 0.5*math.Sin(2*math.Pi*t)), quantise(0.5 + 0.5*math.Sin(2*math.Pi*t+2)), quantise(t), 255})
		}
	}
	return img
}

// tiles is a cheap picture for enormous sizes: flat squares of 16 pixels, one JPEG block or more each.
func tiles(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := hash(x/16, y/16, 3)
			img.SetNRGBA(x, y, color.NRGBA{uint8(v & 0xc0), uint8(v >> 8 & 0xc0), 128, 255})
		}
	}
	return img
}
