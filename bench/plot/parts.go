package main

import (
	"image/color"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// columns are the bars of one series, with their ranges. The library's own begin at zero, which a logarithmic scale has
// not.
type columns struct {
	series        series
	width, offset vg.Length
	floor         float64
	color         color.RGBA
}

func (b *columns) Plot(c draw.Canvas, pl *plot.Plot) {
	tx, ty := pl.Transforms(&c)
	for i, y := range b.series.Y {
		if y <= b.floor {
			continue
		}
		x := tx(float64(i)) + b.offset
		bar := []vg.Point{{X: x - b.width/2, Y: ty(b.floor)}, {X: x - b.width/2, Y: ty(y)}, {X: x + b.width/2, Y: ty(y)}, {X: x + b.width/2, Y: ty(b.floor)}}
		c.FillPolygon(b.color, bar)
		whisker(c, x, b.series, i, ty)
		style := pl.X.Tick.Label
		style.Font.Size, style.XAlign, style.YAlign = 8, draw.XCenter, draw.YBottom
		top := y
		if i < len(b.series.High) {
			top = max(y, b.series.High[i])
		}
		c.FillText(style, vg.Point{X: x, Y: ty(top) + 2}, number(y))
	}
}

func (b *columns) DataRange() (xmin, xmax, ymin, ymax float64) {
	ymin, ymax = math.Inf(1), math.Inf(-1)
	for i, y := range b.series.Y {
		ymax = max(ymax, y)
		if i < len(b.series.High) {
			ymax = max(ymax, b.series.High[i])
		}
		ymin = min(ymin, y)
	}
	if b.floor > 0 {
		ymin = b.floor
	}
	return 0, float64(len(b.series.Y) - 1), ymin, ymax
}

// Thumbnail is the entry of the legend.
func (b *columns) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(b.color, []vg.Point{{X: c.Min.X, Y: c.Min.Y}, {X: c.Min.X, Y: c.Max.Y}, {X: c.Max.X, Y: c.Max.Y}, {X: c.Max.X, Y: c.Min.Y}})
}

// whiskers are the ranges along a line.
type whiskers struct {
	series series
	color  color.Color
}

func (w *whiskers) Plot(c draw.Canvas, pl *plot.Plot) {
	tx, ty := pl.Transforms(&c)
	for i, x := range w.series.X {
		whisker(c, tx(x), w.series, i, ty)
	}
}

// labels are words beside the points of a line.
type labels struct{ series series }

func (l *labels) Plot(c draw.Canvas, pl *plot.Plot) {
	tx, ty := pl.Transforms(&c)
	style := pl.X.Tick.Label
	style.Font.Size, style.XAlign, style.YAlign = 9, draw.XLeft, draw.YBottom
	for i, x := range l.series.X {
		c.FillText(style, vg.Point{X: tx(x) + 4, Y: ty(l.series.Y[i]) + 3}, l.series.Labels[i])
	}
}

func whisker(c draw.Canvas, x vg.Length, s series, i int, ty func(float64) vg.Length) {
	if i >= len(s.Low) || i >= len(s.High) || s.Low[i] <= 0 || s.Low[i] == s.High[i] {
		return
	}
	style := draw.LineStyle{Color: ink, Width: 0.8}
	low, high := ty(s.Low[i]), ty(s.High[i])
	c.StrokeLine2(style, x, low, x, high)
	c.StrokeLine2(style, x-2, low, x+2, low)
	c.StrokeLine2(style, x-2, high, x+2, high)
}

// number has three digits that count.
func number(v float64) string {
	switch {
	case v >= 10_000:
		return strconv.FormatFloat(v/1000, 'f', 0, 64) + "k"
	case v >= 1000:
		return strconv.FormatFloat(v/1000, 'f', 1, 64) + "k"
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// decades are the marks of a logarithmic scale: 1, 2 and 5 of every power of ten.
type decades struct{}

func (decades) Ticks(low, high float64) []plot.Tick {
	var out []plot.Tick
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, e)
			if v >= 0.999*low && v <= 1.001*high {
				out = append(out, plot.Tick{Value: v, Label: short(v)})
			}
		}
	}
	return out
}

func short(v float64) string {
	if v >= 1000 {
		return strconv.FormatFloat(v/1000, 'g', 3, 64) + "k"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// wrapped breaks long names into lines.
func wrapped(names []string) []string {
	const line = 16
	var out []string
	for _, name := range names {
		var lines []string
		at := ""
		for _, word := range strings.Fields(name) {
			if at != "" && len(at)+1+len(word) > line {
				lines, at = append(lines, at), word
				continue
			}
			at = strings.TrimSpace(at + " " + word)
		}
		out = append(out, strings.Join(append(lines, at), "\n"))
	}
	return out
}
