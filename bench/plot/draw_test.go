package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

var pictures = []picture{
	{Name: "bars", Title: "Bars", Kind: "bars", Y: "of it", Categories: []string{"one", "a name that is long"}, Limit: 1, LimitName: "limit",
		Series: []series{{Name: "a", Y: []float64{1, 2}, Low: []float64{0.5, 1.5}, High: []float64{1.5, 2.5}}, {Name: "b", Y: []float64{0, 3}}}},
	{Name: "log", Title: "Logarithmic", Kind: "bars", LogY: true, Categories: []string{"x"}, Series: []series{{Y: []float64{0.07}, Low: []float64{0.06}, High: []float64{0.08}}}},
	{Name: "lines", Title: "Lines", Kind: "lines", LogX: true, LogY: true, Series: []series{{Name: "a", Labels: []string{"few", "many"}, X: []float64{1000, 32000}, Y: []float64{0.5, 900}, Low: []float64{0.4, 800}, High: []float64{0.6, 1000}}}},
}

// Every picture is well-formed, has its texts, and both grounds.
func TestDraw(t *testing.T) {
	for _, p := range pictures {
		svg, err := p.draw()
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		d := xml.NewDecoder(bytes.NewReader(svg))
		for err == nil {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", p.Name, err)
		}
		for _, want := range []string{p.Title, "prefers-color-scheme: dark", "fill:#FEFEFE", "fill:#010101"} {
			if !bytes.Contains(svg, []byte(want)) {
				t.Errorf("%s: no %q", p.Name, want)
			}
		}
		for _, s := range p.Series {
			for _, label := range s.Labels {
				if !bytes.Contains(svg, []byte(label)) {
					t.Errorf("%s: no %q", p.Name, label)
				}
			}
		}
		if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
			t.Errorf("%s: something is nowhere", p.Name)
		}
	}
	for _, p := range []picture{{Kind: "pie"}, {Kind: "bars"}, {Kind: "bars", Categories: []string{"x"}, Series: []series{{Y: []float64{1, 2}}}}, {Kind: "lines", Series: []series{{Y: []float64{1}}}}} {
		if _, err := p.draw(); err == nil {
			t.Errorf("%+v: no error", p)
		}
	}
}

func TestDrawAll(t *testing.T) {
	dir := t.TempDir()
	b, err := json.Marshal(map[string]any{"Plots": pictures})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := drawAll(dir); err != nil {
		t.Fatal(err)
	}
	if svgs, err := filepath.Glob(filepath.Join(dir, "*.svg")); err != nil || len(svgs) != len(pictures) {
		t.Errorf("%v, %v", svgs, err)
	}
}
