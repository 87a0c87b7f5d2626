package optimizer

import (
	"testing"

	"imgopt/jobs"
	"imgopt/transform"
)

// The shares of codecs are about equal, no width is torn apart, and nothing is lost.
func TestSplit(t *testing.T) {
	var variants []*variant
	for _, width := range []int{16, 64, 256, 640, 750, 828, 1080, 1200, 1920, 2048} {
		for _, output := range []string{transform.WebP, transform.AVIF} {
			variants = append(variants, &variant{spec: jobs.Spec{Width: width}, draft: draft{plan: transform.Plan{Source: transform.JPEG, Output: output}}})
		}
	}
	for n := range 5 {
		parts := split(variants, n)
		if len(parts) != max(1, n) {
			t.Fatalf("%d parts for %d codecs", len(parts), n)
		}
		seen, owner := map[*variant]bool{}, map[int]int{}
		var least, most float64
		for i, part := range parts {
			cost := 0.0
			for _, v := range part {
				if before, ok := owner[v.spec.Width]; seen[v] || ok && before != i {
					t.Errorf("width %d is in two parts, or twice", v.spec.Width)
				}
				seen[v], owner[v.spec.Width] = true, i
				cost += float64(v.spec.Width) * float64(v.spec.Width)
			}
			if i == 0 || cost < least {
				least = cost
			}
			most = max(most, cost)
		}
		if len(seen) != len(variants) {
			t.Errorf("%d of %d variants", len(seen), len(variants))
		}
		if n == 2 && most > 1.2*least {
			t.Errorf("one codec gets %.0f, the other one %.0f", most, least)
		}
	}
	if parts := split(variants[:2], 4); len(parts) != 1 || len(parts[0]) != 2 {
		t.Errorf("one width in %d parts", len(parts))
	}
}
