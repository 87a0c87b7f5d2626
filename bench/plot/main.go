// Command plot draws the plots that the benchmarks describe in their JSON results: a picture for each, as SVG, beside
// them. It is a module of its own, so that what it needs is no dependency of the service.
// Usage: plot FOLDER
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// picture is a plot as bench describes it: see bench/plots.go.
type picture struct {
	Name, Title, Kind string
	X, Y              string
	LogX, LogY        bool
	Categories        []string
	Series            []series
	Limit             float64
	LimitName         string
}

type series struct {
	Name            string
	Labels          []string
	X, Y, Low, High []float64
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: plot FOLDER")
		os.Exit(2)
	}
	if err := drawAll(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

// drawAll draws the plots of all results in a folder.
func drawAll(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var r struct{ Plots []picture }
		if err := json.Unmarshal(b, &r); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, p := range r.Plots {
			svg, err := p.draw()
			if err != nil {
				return fmt.Errorf("%s: %s: %w", file, p.Name, err)
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(p.Name)+".svg"), svg, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
