package main

import (
	"image"
	"image/color"
	"image/draw"

	"github.com/disintegration/imaging"
)

// The contact sheet: tiles of a picture and the file's name under it.
const (
	sheetColumns = 13
	tileW, tileH = 104, 72
	labelH       = 24
	margin       = 6
)

// sheet is a picture of all cases, so that a person can look the corpus over. What libvips cannot
// or should not decode is a grey tile.
func (c *corpus) sheet() ([]byte, error) {
	rows := ceilDiv(len(c.cases), sheetColumns)
	img := flat(sheetColumns*(tileW+margin)+margin, rows*(tileH+labelH+margin)+margin, color.NRGBA{250, 250, 250, 255})
	for i, t := range c.cases {
		at := image.Pt(margin+i%sheetColumns*(tileW+margin), margin+i/sheetColumns*(tileH+labelH+margin))
		tile := image.Rectangle{at, at.Add(image.Pt(tileW, tileH))}
		c.tile(img, tile, t)
		name := t.File
		for line := 0; line < 2 && name != ""; line++ {
			n := min(len(name), 14)
			label(img, name[:n], at.X, at.Y+tileH+10+line*12, color.NRGBA{40, 40, 40, 255})
			name = name[n:]
		}
	}
	return rgbPixels(img).encode(".webp[Q=30,effort=6]")
}

func (c *corpus) tile(img *image.NRGBA, at image.Rectangle, t *testCase) {
	var small *image.NRGBA
	if !t.Heavy && t.Group != "bomb" && t.Answer == answerOptimized || t.Animated {
		small, _ = thumbnail(t.body, tileW, tileH) // a failure shows as the grey tile
	}
	if small == nil {
		draw.Draw(img, at, image.NewUniform(color.NRGBA{205, 205, 210, 255}), image.Point{}, draw.Src)
		label(img, t.Answer, at.Min.X+6, at.Min.Y+20, color.NRGBA{90, 90, 100, 255})
		return
	}
	// A chequered ground shows transparency.
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			v := uint8(255 - (x/6+y/6)%2*35)
			img.SetNRGBA(x, y, color.NRGBA{v, v, v, 255})
		}
	}
	centre := at.Min.Add(at.Size().Sub(small.Rect.Size()).Div(2))
	draw.Draw(img, small.Rect.Add(centre), imaging.Clone(small), image.Point{}, draw.Over)
}
