package transform

import (
	"encoding/json"
	"os"
	"testing"
)

// golden is what Next.js' own detectors said (testdata/golden.mjs).
type golden struct {
	Bytes          []byte `json:"bytes"`
	Type           string `json:"type"`
	TypeThrows     bool   `json:"typeThrows"`
	Animated       bool   `json:"animated"`
	AnimatedThrows bool   `json:"animatedThrows"`
}

func loadGolden(tb testing.TB) []golden {
	tb.Helper()
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		tb.Fatal(err)
	}
	var cases []golden
	if err := json.Unmarshal(b, &cases); err != nil {
		tb.Fatal(err)
	}
	if len(cases) < 400 {
		tb.Fatalf("only %d golden cases", len(cases))
	}
	return cases
}

func TestDetectEqualsNext(t *testing.T) {
	for _, g := range loadGolden(t) {
		got, err := Detect(g.Bytes)
		if (err != nil) != g.TypeThrows || (err == nil && got != g.Type) {
			t.Errorf("Detect(%q) = %q, %v; Next.js: %q, throws %t", g.Bytes, got, err, g.Type, g.TypeThrows)
		}
	}
}

func TestAnimatedEqualsNext(t *testing.T) {
	for _, g := range loadGolden(t) {
		got, err := Animated(g.Bytes)
		if (err != nil) != g.AnimatedThrows || (err == nil && got != g.Animated) {
			t.Errorf("Animated(%q) = %t, %v; Next.js: %t, throws %t", g.Bytes, got, err, g.Animated, g.AnimatedThrows)
		}
	}
}

func FuzzDecide(f *testing.F) {
	for _, g := range loadGolden(f) {
		f.Add(g.Bytes, "image/webp", true)
	}
	f.Fuzz(func(t *testing.T, b []byte, format string, allowSVG bool) {
		plan, err := Decide(b, format, allowSVG)
		if err != nil {
			return
		}
		if plan.Source == "" || plan.Output == "" {
			t.Fatalf("plan without a type: %+v", plan)
		}
		if plan.Passthrough && plan.Output != plan.Source {
			t.Fatalf("passed through as another type: %+v", plan)
		}
		if plan.Source == SVG && !allowSVG {
			t.Fatal("svg went through although it is not allowed")
		}
	})
}
