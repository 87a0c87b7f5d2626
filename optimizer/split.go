package optimizer

import (
	"cmp"
	"runtime"
	"slices"

	"imgopt/transform"
)

// freeCodecs is how many codecs nobody uses or waits for, at least one.
func (o *Optimizer) freeCodecs() int {
	s := o.opts.Gate.Stats()
	if s.Waiting > 0 {
		return 1
	}
	return max(1, min(s.Slots-s.Inside, runtime.GOMAXPROCS(0)))
}

// avifCosts is what encoding AVIF takes, measured in what the other formats take.
const avifCosts = 4

// split shares out the variants of one source to at most n codecs, so that they are ready at about the same time. All
// formats of a width stay together, because they are made from the same resized picture: the widths go, dearest first,
// to whoever has the least to do.
func split(variants []*variant, n int) [][]*variant {
	type width struct {
		variants []*variant
		cost     float64
	}
	// Of widths beyond the source's only the quality and the format count.
	first := variants[0].draft
	source := transform.Estimate(first.body, first.plan.Source, transform.Spec{Output: first.plan.Output, Width: 1})
	byWidth := map[int]*width{}
	var widths []*width
	for _, v := range variants {
		pixels := v.spec.Width
		if source.Known {
			pixels = min(pixels, max(source.Width, source.Height)) // it may be turned
		}
		w := byWidth[pixels]
		if w == nil {
			w = &width{}
			byWidth[pixels] = w
			widths = append(widths, w)
		}
		w.variants = append(w.variants, v)
		cost := float64(pixels) * float64(pixels)
		if v.draft.plan.Output == transform.AVIF {
			cost *= avifCosts
		}
		w.cost += cost
	}
	slices.SortStableFunc(widths, func(a, b *width) int { return cmp.Compare(b.cost, a.cost) })
	parts := make([]width, max(1, min(n, len(widths))))
	for _, w := range widths {
		least := 0
		for i := range parts {
			if parts[i].cost < parts[least].cost {
				least = i
			}
		}
		parts[least].variants = append(parts[least].variants, w.variants...)
		parts[least].cost += w.cost
	}
	out := make([][]*variant, len(parts))
	for i := range parts {
		out[i] = parts[i].variants
	}
	return out
}
