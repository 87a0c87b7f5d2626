package main

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// palette is Okabe and Ito's, which people with any kind of colour vision can tell apart, without black and yellow: each
// is seen on a light and on a dark ground.
var palette = []color.RGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {86, 180, 233, 255}, {230, 159, 0, 255}, {128, 128, 128, 255}, {148, 103, 189, 255}}

var (
	// ink and paper are what dark turns around; nothing else may have these colours.
	ink   = color.RGBA{1, 1, 1, 255}
	paper = color.RGBA{254, 254, 254, 255}
	rule  = color.RGBA{136, 136, 136, 255}
)

// dark has ink and paper change places for readers who prefer it. The ground is drawn, so either can be read wherever
// the picture is shown.
const dark = `<style>@media (prefers-color-scheme: dark) {
[style*="fill:#010101"] { fill: #e6edf3 !important }
[style*="stroke:#010101"] { stroke: #e6edf3 !important }
[style*="fill:#FEFEFE"] { fill: #0d1117 !important }
}</style>
`

const (
	width  = 9 * vg.Inch
	height = 4.2 * vg.Inch
)

func (p picture) draw() ([]byte, error) {
	pl := plot.New()
	pl.Title.Text, pl.X.Label.Text, pl.Y.Label.Text = p.Title, p.X, p.Y
	pl.BackgroundColor = paper
	sans := font.Font{Typeface: "Liberation", Variant: "Sans"}
	for _, s := range []*text.Style{&pl.Title.TextStyle, &pl.X.Label.TextStyle, &pl.Y.Label.TextStyle, &pl.X.Tick.Label, &pl.Y.Tick.Label, &pl.Legend.TextStyle} {
		size := s.Font.Size
		s.Font, s.Color = sans, ink
		s.Font.Size = size
	}
	pl.Title.TextStyle.Font.Size = 14
	pl.Title.Padding = 8
	for _, a := range []*plot.Axis{&pl.X, &pl.Y} {
		a.LineStyle.Color, a.Tick.LineStyle.Color = ink, ink
	}
	pl.Legend.Top = true
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color, grid.Horizontal.Dashes = rule, []vg.Length{1, 3}
	pl.Add(grid)
	var err error
	switch p.Kind {
	case "bars":
		err = p.bars(pl)
	case "lines":
		err = p.lines(pl)
	default:
		err = fmt.Errorf("no such kind of plot: %q", p.Kind)
	}
	if err != nil {
		return nil, err
	}
	if p.LogY {
		pl.Y.Label.Text += " (logarithmic)"
		pl.Y.Scale, pl.Y.Tick.Marker = plot.LogScale{}, decades{}
		pl.Y.Min = math.Pow(10, math.Floor(math.Log10(pl.Y.Min)+1e-9))
		pl.Y.Max = 1.3 * pl.Y.Max
	} else {
		pl.Y.Min = 0
		pl.Y.Max = 1.1 * pl.Y.Max
	}
	if p.LogX {
		pl.X.Scale, pl.X.Tick.Marker = plot.LogScale{}, decades{}
	}
	if p.Limit > 0 {
		f := plotter.NewFunction(func(float64) float64 { return p.Limit })
		f.Color, f.Dashes, f.Width = ink, []vg.Length{5, 3}, 1
		pl.Add(f)
		pl.Legend.Add(p.LimitName, f)
	}
	c := vgsvg.New(width, height)
	area := draw.New(c)
	area.SetColor(paper)
	area.Fill(area.Rectangle.Path())
	// The legend has a column of its own to the right: over the figures it would hide some.
	legend := pl.Legend
	legend.Padding = 3
	pl.Legend = plot.NewLegend()
	legendWidth := legend.Rectangle(area).Size().X + 14
	pl.Draw(draw.Crop(area, 6, -legendWidth, 4, -4))
	legend.Top, legend.Left = true, false
	legend.Draw(draw.Crop(area, 0, -6, 0, -34))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("writing: %w", err)
	}
	// Liberation Sans is as wide as Arial, which is what readers have.
	svg := bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	at := bytes.Index(svg, []byte("<svg"))
	if at < 0 {
		return nil, errors.New("what was written is no svg")
	}
	at += bytes.IndexByte(svg[at:], '>') + 1
	return bytes.Join([][]byte{svg[:at], []byte("\n" + dark), svg[at:]}, nil), nil
}

// bars has a group of bars for each category.
func (p picture) bars(pl *plot.Plot) error {
	groups, each := len(p.Categories), len(p.Series)
	if groups == 0 || each == 0 {
		return errors.New("no figures")
	}
	room := (width - 190) / vg.Length(groups)
	bar := min(0.8*room/vg.Length(each), 42)
	lowest := math.Inf(1)
	for _, s := range p.Series {
		for _, y := range s.Low {
			if y > 0 {
				lowest = min(lowest, y)
			}
		}
	}
	for i, s := range p.Series {
		if len(s.Y) != groups {
			return fmt.Errorf("%s: %d values for %d categories", s.Name, len(s.Y), groups)
		}
		b := &columns{series: s, width: bar, offset: (vg.Length(i) - vg.Length(each-1)/2) * bar, color: palette[i%len(palette)]}
		if p.LogY {
			b.floor = math.Pow(10, math.Floor(math.Log10(lowest)+1e-9))
		}
		pl.Add(b)
		if s.Name != "" {
			pl.Legend.Add(s.Name, b)
		}
	}
	pl.NominalX(wrapped(p.Categories)...)
	pl.X.LineStyle.Width = 0
	pl.X.Min, pl.X.Max = -0.5, float64(groups)-0.5
	return nil
}

// lines has a line for each series, through its ranges if it has some.
func (p picture) lines(pl *plot.Plot) error {
	for i, s := range p.Series {
		if len(s.X) == 0 || len(s.X) != len(s.Y) {
			return fmt.Errorf("%s: %d values of x for %d of y", s.Name, len(s.X), len(s.Y))
		}
		points := make(plotter.XYs, len(s.X))
		for k := range s.X {
			points[k] = plotter.XY{X: s.X[k], Y: s.Y[k]}
		}
		l, err := plotter.NewLine(points)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		l.Color, l.Width = palette[i%len(palette)], 1.8
		pl.Add(l)
		if len(s.X) > 30 { // a course of time
			pl.Legend.Add(s.Name, l)
			continue
		}
		dots, err := plotter.NewScatter(points)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		dots.Color, dots.Shape, dots.Radius = l.Color, draw.CircleGlyph{}, 3
		pl.Add(dots, &whiskers{s, l.Color})
		if len(s.Labels) == len(s.X) {
			pl.Add(&labels{s})
		}
		pl.Legend.Add(s.Name, l, dots)
	}
	return nil
}
