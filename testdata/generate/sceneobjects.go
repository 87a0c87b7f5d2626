package main

import (
	"image"
	"image/color"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// The board stands left in the picture.
const (
	boardX0, boardX1 = 0.10, 0.56
	boardY0, boardY1 = 0.585, 0.77
)

// lettering is the board's text as a mask of the whole picture.
func lettering(w, h int) *image.Alpha {
	m := image.NewAlpha(image.Rect(0, 0, w, h))
	s := float64(h)
	line := func(ttf []byte, text string, size, y float64) {
		f := must(opentype.Parse(ttf))
		face := must(opentype.NewFace(f, &opentype.FaceOptions{Size: size * s, DPI: 72, Hinting: font.HintingNone}))
		d := font.Drawer{Dst: m, Src: image.Opaque, Face: face}
		centre := fixed.Int26_6((boardX0 + boardX1) / 2 * s * 64)
		d.Dot = fixed.Point26_6{X: centre - d.MeasureString(text)/2, Y: fixed.Int26_6(y * s * 64)}
		d.DrawString(text)
	}
	line(gobold.TTF, "IMGOPT LAKE", 0.058, 0.650)
	line(goregular.TTF, "1067 m · Größe 1600 × 1067", 0.026, 0.692)
	line(goregular.TTF, "the quick brown fox jumps over the lazy dog 0123456789", 0.0155, 0.722)
	line(goregular.TTF, "fine print: sixty-four pixels wide, quality seventy-five", 0.0105, 0.745)
	return m
}

// board draws the wooden board on two posts over c.
func (p painter) board(c rgb, x, y float64, px, py int) rgb {
	for _, post := range []float64{boardX0 + 0.05, boardX1 - 0.05} {
		if d := math.Abs(x-post) / 0.012; d < 1 && y > boardY0-0.02 && y < 0.90 {
			bark := octaves(x*120, y*18, 4, sceneSeed+100)
			c = rgb{0.20, 0.14, 0.10}.to(rgb{0.46, 0.36, 0.27}, bark).times(1 - 0.6*d*d)
		}
	}
	if x < boardX0 || x > boardX1 || y < boardY0 || y > boardY1 {
		return c
	}
	planks := 4.0
	row := (y - boardY0) / (boardY1 - boardY0) * planks
	i := int(row)
	fibre := octaves(x*7+float64(i)*13, y*210, 5, sceneSeed+101)
	rings := 0.5 + 0.5*math.Sin((y*60+octaves(x*3+float64(i)*5, y*6, 3, sceneSeed+102)*5)*6)
	wood := rgb{0.47, 0.30, 0.17}.to(rgb{0.80, 0.60, 0.38}, clamp01(0.65*fibre+0.3*rings))
	wood = wood.times(0.9 + 0.15*unit(i, 0, sceneSeed+103))
	if f := row - float64(i); f < 0.025 || f > 0.975 {
		wood = wood.times(0.35)
	}
	ink := float64(p.text.AlphaAt(px, py).A) / 255
	return wood.to(rgb{0.96, 0.95, 0.90}, ink)
}

// The person stands right in the picture.
const (
	headX, headY   = 1.17, 0.50
	headRX, headRY = 0.115, 0.155
)

// person draws a face with hair and a knitted pullover over c. Light comes from the right.
func person(c rgb, x, y float64) rgb {
	c = pullover(c, x, y)
	if math.Abs(x-headX) < 0.052+0.02*smooth(0.62, 0.70, y) && y > headY && y < 0.72 {
		c = skin(0.42+0.5*(x-headX+0.05)/0.1, x, y).times(0.62 + 0.3*smooth(0.64, 0.70, y))
	}
	dx, dy := (x-headX)/headRX, (y-headY)/headRY
	if dy > 0 {
		dx *= 1 + 0.20*dy*dy // a chin is narrower than a forehead
	}
	// Hair behind the face, in strands.
	hx, hy := (x-headX)/(headRX*1.22), (y-headY+0.035)/(headRY*1.2)
	if hair := hx*hx + hy*hy; hair < 1 && (hy < 0.2 || math.Abs(hx) > 0.70) {
		a := math.Atan2(hy+1.2, hx)
		strand := octaves(a*55, math.Hypot(hx, hy+1.2)*5, 4, sceneSeed+110)
		shine := math.Exp(-math.Pow((math.Hypot(hx-0.25, hy+0.35)-0.3)*6, 2))
		c = rgb{0.10, 0.06, 0.04}.to(rgb{0.42, 0.25, 0.14}, strand*0.9).plus(rgb{0.9, 0.7, 0.5}, 0.28*shine*strand)
		c = c.times(1 - 0.5*smooth(0.8, 1, hair))
	}
	r := dx*dx + dy*dy
	fringe := -0.62 + 0.10*math.Sin(x*60) + 0.12*octaves(x*90, 1, 3, sceneSeed+111)
	if r >= 1 || dy < fringe {
		return c
	}
	z := math.Sqrt(1 - r)
	light := clamp01(0.30 + 0.52*(0.62*dx-0.35*dy+0.70*z))
	light -= 0.16*blob(dx+0.12, dy-0.22, 0.10, 0.14) + 0.10*blob(dx, dy-0.36, 0.2, 0.05) // the nose and its shadow
	light += 0.10*blob(dx-0.03, dy-0.16, 0.06, 0.2) - 0.12*blob(dx, dy-0.80, 0.3, 0.05)
	f := skin(light, x, y)
	f = f.to(rgb{0.86, 0.42, 0.36}, 0.30*(blob(dx-0.48, dy-0.25, 0.2, 0.2)+blob(dx+0.48, dy-0.25, 0.2, 0.2)))
	return features(f, dx, dy)
}

// skin is the tone of skin under the given light (0 to 1), with pores.
func skin(light, x, y float64) rgb {
	pores := octaves(x*260, y*260, 4, sceneSeed+112) - 0.5
	light = clamp01(light + 0.07*pores + 0.06*(octaves(x*30, y*30, 3, sceneSeed+113)-0.5))
	dark, mid, bright := rgb{0.33, 0.17, 0.12}, rgb{0.78, 0.53, 0.42}, rgb{0.99, 0.86, 0.76}
	if light < 0.5 {
		return dark.to(mid, light*2)
	}
	return mid.to(bright, light*2-1)
}

// features puts brows, eyes and mouth on the face at (dx, dy), in units of the head's half-axes.
func features(c rgb, dx, dy float64) rgb {
	for _, side := range []float64{-1, 1} {
		ex, ey := dx-side*0.40, dy+0.06
		brow := blob(ex, ey+0.17+0.25*ex*ex, 0.22, 0.025)
		c = c.to(rgb{0.13, 0.08, 0.05}, 0.85*smooth(0.3, 0.7, brow+0.3*(octaves(dx*70, dy*30, 2, sceneSeed+114)-0.5)))
		c = c.times(1 - 0.22*blob(ex, ey+0.03, 0.26, 0.12))
		lid := (ex*ex)/(0.19*0.19) + (ey*ey)/(0.075*0.075)
		if lid > 1 {
			continue
		}
		ball := rgb{0.93, 0.91, 0.90}.times(1 - 0.45*lid*lid)
		iris := math.Hypot(ex*1.0-0.02, ey*1.35) / 0.085
		if iris < 1 {
			spoke := octaves(math.Atan2(ey, ex)*9, iris*2, 3, sceneSeed+115)
			ball = rgb{0.12, 0.25, 0.30}.to(rgb{0.40, 0.62, 0.60}, spoke).times(1 - 0.6*smooth(0.75, 1, iris))
		}
		if iris < 0.42 {
			ball = rgb{0.02, 0.02, 0.02}
		}
		if math.Hypot(ex-0.045, ey+0.025) < 0.018 {
			ball = rgb{1, 1, 1}
		}
		c = ball.times(1-0.5*smooth(0.02, -0.075, ey)).to(c, smooth(0.85, 1, lid))
	}
	curve := dy - 0.52 + 0.35*dx*dx
	if w := 1 - dx*dx/(0.30*0.30); w > 0 {
		lip := math.Abs(curve) / (0.075 * math.Sqrt(w))
		c = c.to(rgb{0.68, 0.28, 0.28}.times(1+0.35*math.Max(0, curve*6)), 0.85*smooth(1, 0.75, lip))
		c = c.to(rgb{0.25, 0.07, 0.08}, 0.9*smooth(0.012, 0.004, math.Abs(curve)))
	}
	return c
}

// blob is a soft spot of half-axes rx and ry: 1 in the middle, fading to 0.
func blob(dx, dy, rx, ry float64) float64 { return math.Exp(-(dx*dx)/(rx*rx) - (dy*dy)/(ry*ry)) }

// pullover is a knitted body below the neck: a regular fine pattern, which shows moiré.
func pullover(c rgb, x, y float64) rgb {
	dx := (x - headX) / 0.26
	top := 0.665 + 0.10*dx*dx + 0.35*math.Max(0, math.Abs(dx)-0.75)*math.Max(0, math.Abs(dx)-0.75)*8
	if math.Abs(dx) > 1.05 || y < top {
		return c
	}
	u, v := x*95, y*70
	stitch := math.Abs(math.Sin((u+0.35*math.Sin(v*2*math.Pi)/math.Pi)*math.Pi)) * (0.65 + 0.35*math.Sin(v*2*math.Pi+math.Abs(math.Mod(u, 1)-0.5)*4))
	yarn := rgb{0.30, 0.05, 0.10}.to(rgb{0.78, 0.18, 0.22}, clamp01(stitch))
	if band := math.Mod(y*18, 3); band < 1 {
		yarn = rgb{0.10, 0.14, 0.30}.to(rgb{0.30, 0.42, 0.72}, clamp01(stitch))
	}
	fuzz := octaves(x*300, y*300, 3, sceneSeed+116)
	return yarn.times((0.55 + 0.45*fuzz) * (0.75 + 0.3*dx))
}

// grass draws blades along the lower left edge.
func grass(img *image.NRGBA) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	s := float64(h)
	for i := range 1100 {
		x := unit(i, 0, sceneSeed+120) * unit(i, 1, sceneSeed+120) * 1.0
		y := 1.0 + 0.02*unit(i, 2, sceneSeed+120)
		length := 0.05 + 0.13*unit(i, 3, sceneSeed+120)*(1-x*0.7)
		bend := (unit(i, 4, sceneSeed+120) - 0.4) * 0.12
		tone := rgb{0.10, 0.22, 0.05}.to(rgb{0.62, 0.68, 0.25}, unit(i, 5, sceneSeed+120))
		steps := int(length * s * 2)
		for t := range steps {
			f := float64(t) / float64(steps)
			half := 0.0022 * (1 - f) * s
			cx, cy := (x+bend*f*f)*s, (y-length*f)*s
			c := tone.times(0.45 + 0.75*f)
			for px := int(cx - half); px <= int(cx+half); px++ {
				if px >= 0 && px < w && int(cy) >= 0 && int(cy) < h {
					img.SetNRGBA(px, int(cy), color.NRGBA{quantise(c[0]), quantise(c[1]), quantise(c[2]), 255})
				}
			}
		}
	}
}
