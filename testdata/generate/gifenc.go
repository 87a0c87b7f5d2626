package main

import (
	"bytes"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/gif"
)

// paletted dithers img to the Plan 9 palette; pixels under half alpha become the transparent colour,
// the last of the palette.
func paletted(img *image.NRGBA) *image.Paletted {
	pal := append(color.Palette(nil), palette.Plan9[:255]...)
	p := image.NewPaletted(img.Rect, pal)
	draw.FloydSteinberg.Draw(p, img.Rect, img, image.Point{})
	p.Palette = append(p.Palette, color.NRGBA{})
	for i := range p.Pix {
		if img.Pix[4*i+3] < 128 {
			p.Pix[i] = 255
		}
	}
	return p
}

// gifOf writes frames one after the other. disposal is the same for all; loops as image/gif has it
// (-1: no loop extension).
func gifOf(imgs []*image.NRGBA, disposal byte, loops int) []byte {
	g := gif.GIF{LoopCount: loops}
	for _, img := range imgs {
		g.Image = append(g.Image, paletted(img))
		g.Delay = append(g.Delay, 20)
		g.Disposal = append(g.Disposal, disposal)
	}
	return encodeGIF(g)
}

func encodeGIF(g gif.GIF) []byte {
	var b bytes.Buffer
	must(0, gif.EncodeAll(&b, &g))
	return b.Bytes()
}

// gifInterlaced stores the rows in GIF's interlaced order and says so.
func gifInterlaced(img *image.NRGBA) []byte {
	p := paletted(img)
	q := image.NewPaletted(p.Rect, p.Palette)
	h, row := p.Rect.Dy(), 0
	for _, pass := range [4][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}} {
		for y := pass[0]; y < h; y += pass[1] {
			copy(q.Pix[row*q.Stride:(row+1)*q.Stride], p.Pix[y*p.Stride:(y+1)*p.Stride])
			row++
		}
	}
	var b bytes.Buffer
	must(0, gif.EncodeAll(&b, &gif.GIF{Image: []*image.Paletted{q}, Delay: []int{0}, LoopCount: -1}))
	out := b.Bytes()
	out[imageDescriptor(out)+9] |= 0x40
	return out
}

// imageDescriptor is where the first image descriptor stands in a GIF.
func imageDescriptor(b []byte) int {
	i := 13
	if b[10]&0x80 != 0 {
		i += 3 << (b[10]&7 + 1)
	}
	for b[i] == 0x21 { // an extension: skip its sub-blocks
		for i += 2; b[i] != 0; i += int(b[i]) + 1 {
		}
		i++
	}
	return i
}

// gifComment is a comment extension; what it says must be shorter than 256 bytes.
func gifComment(s string) []byte {
	return append(append([]byte{0x21, 0xfe, byte(len(s))}, s...), 0)
}

// gifInsert puts extra bytes right before the first image descriptor.
func gifInsert(b, extra []byte) []byte {
	i := imageDescriptor(b)
	return bytes.Join([][]byte{b[:i], extra, b[i:]}, nil)
}
