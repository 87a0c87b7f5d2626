package main

import (
	"image"
	"image/color"
	"math"
	"sync"

	"github.com/disintegration/imaging"
)

// sceneSeed fixes every random choice in the picture.
const sceneSeed = 20261121

// Scene coordinates: x runs from 0 to 1.5, y from 0 (top) to 1, so the picture is 3:2.
const (
	shoreFar  = 0.545 // where land meets the far side of the lake
	shoreNear = 0.80  // where the lake meets the pebbles
)

// photo paints the photo-like picture: sky, clouds, ridges in haze, a forest, a lake that mirrors
// them, pebbles, grass, a lettered board and a face. It holds what real photographs hold: smooth
// gradients (banding shows), fine texture (ringing and blur show), hard edges and letters (chroma
// subsampling shows), skin tones (colour errors show) and sensor grain. samples is the number of
// sub-pixels along each axis.
func photo(width, samples int) *image.NRGBA {
	w := width * samples
	h := (w*2 + 1) / 3
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	p := painter{scale: float64(h), text: lettering(w, h)}
	rows := make(chan int, h)
	for y := range h {
		rows <- y
	}
	close(rows)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for y := range rows {
				for x := range w {
					p.pixel(img, x, y)
				}
			}
		})
	}
	wg.Wait()
	grass(img)
	out := img
	if samples > 1 {
		out = imaging.Resize(img, width, (width*2+1)/3, imaging.Box)
	}
	grain(out)
	return out
}

type painter struct {
	scale float64 // pixels per scene unit
	text  *image.Alpha
}

func (p painter) pixel(img *image.NRGBA, px, py int) {
	x, y := (float64(px)+0.5)/p.scale, (float64(py)+0.5)/p.scale
	c := ground(x, y)
	c = p.board(c, x, y, px, py)
	c = person(c, x, y)
	// A lens gives less light to the corners.
	r := math.Hypot(x-0.75, y-0.5)
	c = c.times(1 - 0.28*r*r)
	img.SetNRGBA(px, py, color.NRGBA{quantise(c[0]), quantise(c[1]), quantise(c[2]), 255})
}

func quantise(v float64) uint8 { return uint8(clamp01(v)*255 + 0.5) }

// ground is everything but the things in front: land and sky, their mirror image, the pebbles.
func ground(x, y float64) rgb {
	switch {
	case y < shoreFar:
		return land(x, y)
	case y < shoreNear+0.012*(octaves(x*9, 1, 4, sceneSeed+50)-0.5):
		return lake(x, y)
	default:
		return pebbles(x, y)
	}
}

func sky(x, y float64) rgb {
	t := clamp01(y / 0.5)
	c := rgb{0.17, 0.36, 0.66}.to(rgb{0.97, 0.80, 0.62}, math.Pow(t, 1.4))
	sun := math.Hypot(x-1.0, (y-0.40)*1.3)
	c = c.plus(rgb{0.9, 0.55, 0.25}, 0.55*math.Exp(-sun*5))
	warp := octaves(x*3, y*6, 4, sceneSeed+1) - 0.5
	density := octaves(x*2.1+warp*0.6, y*5.5+warp*0.5, 8, sceneSeed+2)
	cover := smooth(0.50, 0.78, density)
	light := smooth(0.35, 0.75, octaves(x*2.1+warp*0.6+0.05, y*5.5+warp*0.5-0.09, 6, sceneSeed+2))
	cloud := rgb{1.0, 0.93, 0.86}.to(rgb{0.60, 0.58, 0.66}, light*0.8)
	return c.to(cloud, cover*0.9)
}

// land is one ridge behind another, each farther one paler, and a forest in front of them.
func land(x, y float64) rgb {
	if y > treeTop(x) {
		d := octaves(x*160, y*160, 4, sceneSeed+20)
		return rgb{0.03, 0.09, 0.06}.to(rgb{0.22, 0.34, 0.16}, d*d*0.9)
	}
	for i := 2; i >= 0; i-- {
		far := float64(2 - i)
		seed := sceneSeed + 30 + uint32(i)*7
		crest := 0.25 + 0.10*float64(i) - (0.20-0.03*float64(i))*(ridges(x*(1.5+0.6*far)+float64(i)*3.1, 0.5, 7, seed)-0.35)
		if y < crest {
			continue
		}
		// Light from the right: what falls away to the left is in shade.
		k := 9.0
		slope := ridges(x*k, y*k, 7, seed+3) - ridges(x*k+0.05, y*k-0.02, 7, seed+3)
		lit := clamp01(0.5 + 3.2*slope)
		rock := rgb{0.20, 0.19, 0.24}.to(rgb{0.62, 0.52, 0.46}, lit)
		snow := smooth(0.10, 0.02, y-crest) * smooth(0.42, 0.60, octaves(x*14, y*14, 6, seed+4)+0.25*lit)
		rock = rock.to(rgb{0.97, 0.96, 0.99}.times(0.72+0.28*lit), snow)
		haze := rgb{0.80, 0.72, 0.70}
		return rock.to(haze, clamp01(0.62-0.24*float64(i)+0.5*smooth(crest, shoreFar, y)*0.5))
	}
	return sky(x, y)
}

// treeTop is the height of the forest's jagged outline at x.
func treeTop(x float64) float64 {
	top := shoreFar - 0.012
	for row := range 3 {
		pitch := 0.011 + 0.004*float64(row)
		cell := int(math.Floor(x / pitch))
		for c := cell - 1; c <= cell+1; c++ {
			seed := sceneSeed + 60 + uint32(row)
			centre := (float64(c) + unit(c, 1, seed)) * pitch
			height := 0.018 + 0.045*unit(c, 2, seed)*octaves(x*2, 3, 3, seed)*2
			side := math.Abs(x-centre) / (pitch * 0.75)
			tip := 1 - side - 0.12*math.Abs(math.Sin(side*30))
			top = math.Min(top, shoreFar-height*math.Max(0, tip))
		}
	}
	return top
}

// lake mirrors the land, shaken by ripples that grow towards the viewer.
func lake(x, y float64) rgb {
	depth := (y - shoreFar) / (shoreNear - shoreFar)
	freq := mix(340, 60, depth)
	ripple := octaves(x*freq*0.12, y*freq, 3, sceneSeed+70) - 0.5
	my := 2*shoreFar - y + ripple*mix(0.006, 0.055, depth)
	c := land(clamp01((x+ripple*0.012)/1.5)*1.5, math.Min(math.Max(my, 0), shoreFar-0.0005))
	c = c.times(0.80).to(rgb{0.08, 0.20, 0.26}, 0.25+0.3*depth)
	glint := smooth(0.30, 0.48, ripple) * math.Exp(-math.Abs(x-1.0)*5)
	return c.plus(rgb{1, 0.85, 0.6}, 0.8*glint)
}

func pebbles(x, y float64) rgb {
	// Perspective: nearer stones are larger.
	size := mix(75, 26, (y-shoreNear)/(1-shoreNear))
	near, second, id := cells(x*size, y*size*1.5, sceneSeed+80)
	stone := rgb{0.34, 0.31, 0.29}.to(rgb{0.74, 0.68, 0.60}, id)
	if id > 0.8 {
		stone = stone.to(rgb{0.55, 0.33, 0.25}, 0.6)
	}
	speck := octaves(x*420, y*420, 3, sceneSeed+81)
	stone = stone.times(0.75 + 0.5*speck)
	dome := 1.15 - 0.9*near
	gap := smooth(0.02, 0.16, second-near)
	wet := smooth(0.05, 0, y-shoreNear)
	return stone.times(dome*mix(0.25, 1, gap)).to(rgb{0.10, 0.12, 0.12}, wet*0.55)
}

// grain adds what a sensor adds: fine noise, a little coarser in the colours.
func grain(img *image.NRGBA) {
	w := img.Rect.Dx()
	for i := 0; i < len(img.Pix); i += 4 {
		x, y := i/4%w, i/4/w
		luma := unit(x, y, sceneSeed+90) + unit(x, y, sceneSeed+91) - 1
		for c := range 3 {
			n := luma*5 + (unit(x/2, y/2, sceneSeed+92+uint32(c))-0.5)*3
			img.Pix[i+c] = uint8(math.Min(255, math.Max(0, math.Round(float64(img.Pix[i+c])+n))))
		}
	}
}
