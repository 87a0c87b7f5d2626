package main

import "math"

// The photo-like picture is built from lattice noise. Everything here is a pure function of its
// arguments: the same seed gives the same picture on every run.

// hash mixes two lattice coordinates and a seed into 32 well-spread bits.
func hash(x, y int, seed uint32) uint32 {
	h := uint32(x)*0x9e3779b1 ^ uint32(y)*0x85ebca6b ^ seed*0xc2b2ae35
	h ^= h >> 15
	h *= 0x2c1b3c6d
	h ^= h >> 12
	h *= 0x297a2d39
	h ^= h >> 15
	return h
}

// unit is hash as a number in [0, 1).
func unit(x, y int, seed uint32) float64 { return float64(hash(x, y, seed)) / (1 << 32) }

// gradients are sixteen directions around the circle, for gradient noise.
var gradients = func() (g [16][2]float64) {
	for i := range g {
		a := 2 * math.Pi * float64(i) / 16
		g[i] = [2]float64{math.Cos(a), math.Sin(a)}
	}
	return g
}()

// gradientNoise is Perlin's noise with his quintic fade, in about [-0.7, 0.7].
func gradientNoise(x, y float64, seed uint32) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	ix, iy := int(fx), int(fy)
	dx, dy := x-fx, y-fy
	corner := func(cx, cy int) float64 {
		g := gradients[hash(ix+cx, iy+cy, seed)>>28]
		return g[0]*(dx-float64(cx)) + g[1]*(dy-float64(cy))
	}
	u, v := fade(dx), fade(dy)
	return mix(mix(corner(0, 0), corner(1, 0), u), mix(corner(0, 1), corner(1, 1), u), v)
}

func fade(t float64) float64 { return t * t * t * (t*(t*6-15) + 10) }

// octaves sums n octaves of gradient noise, each twice as fine and half as strong, and brings the
// sum to about [0, 1] around 0.5.
func octaves(x, y float64, n int, seed uint32) float64 {
	sum, amp := 0.0, 1.0
	for i := range n {
		sum += amp * gradientNoise(x, y, seed+uint32(i)*101)
		// The offset keeps the lattices of two octaves from sharing their zeros.
		x, y, amp = x*2+17.3, y*2+9.1, amp/2
	}
	return clamp01(0.5 + 0.55*sum)
}

// ridges is like octaves with sharp crests, as rock has them; 0 to about 1.
func ridges(x, y float64, n int, seed uint32) float64 {
	sum, amp := 0.0, 0.5
	for i := range n {
		r := 1 - 2*math.Abs(gradientNoise(x, y, seed+uint32(i)*131))
		sum += amp * r * r
		x, y, amp = x*2+5.7, y*2+11.9, amp/2
	}
	return clamp01(sum)
}

// cells is Worley's noise: the distance to the nearest and second-nearest of one random point per
// lattice square, and a number in [0, 1) that names the nearest point.
func cells(x, y float64, seed uint32) (near, second, id float64) {
	fx, fy := int(math.Floor(x)), int(math.Floor(y))
	near, second = 9, 9
	for cy := fy - 1; cy <= fy+1; cy++ {
		for cx := fx - 1; cx <= fx+1; cx++ {
			px := float64(cx) + unit(cx, cy, seed)
			py := float64(cy) + unit(cx, cy, seed+1)
			d := math.Hypot(x-px, y-py)
			switch {
			case d < near:
				near, second, id = d, near, unit(cx, cy, seed+2)
			case d < second:
				second = d
			}
		}
	}
	return near, second, id
}

func mix(a, b, t float64) float64 { return a + (b-a)*t }

func clamp01(v float64) float64 { return math.Min(1, math.Max(0, v)) }

// smooth is 0 below lo, 1 above hi and an S-curve between.
func smooth(lo, hi, v float64) float64 {
	t := clamp01((v - lo) / (hi - lo))
	return t * t * (3 - 2*t)
}

// rgb is a colour in sRGB's own (gamma-encoded) scale, 0 to 1.
type rgb [3]float64

func (c rgb) to(d rgb, t float64) rgb {
	return rgb{mix(c[0], d[0], t), mix(c[1], d[1], t), mix(c[2], d[2], t)}
}

func (c rgb) times(f float64) rgb { return rgb{c[0] * f, c[1] * f, c[2] * f} }

func (c rgb) plus(d rgb, f float64) rgb {
	return rgb{c[0] + d[0]*f, c[1] + d[1]*f, c[2] + d[2]*f}
}
