package main

import (
	"fmt"
	"strings"
)

func burstLast(s burstSample) float64    { return s.Last }
func burstFetches(s burstSample) float64 { return float64(s.Fetches) }

func (r *burstResult) of(name string) []burstSample {
	for _, p := range r.Peers {
		if p.Name == name {
			return p.Samples
		}
	}
	return nil
}

func (r *burstResult) table(b *strings.Builder, _ int) {
	fmt.Fprintf(b, "\n%d requests at once, each on a connection of its own, for one new variant (webp %d of a 6-megapixel JPEG; platformatic makes jpeg), after a warm-up with other variants:\n\n", r.Requests, burstWidth)
	b.WriteString("| | last answer, s | first answer, s | fetches | answered 200 | refused | CPU s | peak memory |\n|---|---|---|---|---|---|---|---|\n")
	for _, p := range r.Peers {
		fmt.Fprintf(b, "| %s | %s | %.3f | %.0f | %.0f | %.0f | %.2f | %.0f MiB |\n", p.Name, spread(p.Samples, burstLast, "%.3f"), median(p.Samples, func(s burstSample) float64 { return s.First }),
			median(p.Samples, burstFetches), median(p.Samples, func(s burstSample) float64 { return float64(s.Good) }), median(p.Samples, func(s burstSample) float64 { return float64(s.Refused) }),
			median(p.Samples, func(s burstSample) float64 { return s.CPU }), median(p.Samples, func(s burstSample) float64 { return mib(s.Memory) }))
	}
}

func (r *burstResult) claims() []claim {
	what := fmt.Sprintf("%d requests", r.Requests)
	return []claim{{"burst-fetches", what, values(r.of(nameImgopt), burstFetches)}, {"burst-fetches", what + ", Valkey", values(r.of("imgopt, Valkey"), burstFetches)},
		{"burst-time", what, ratios(r.of(nameImgopt), r.of(nameNext), burstLast)}}
}

func (r *burstResult) plots() []plot {
	p := plot{Name: "burst", Title: fmt.Sprintf("%d identical new requests at once: time to the last answer", r.Requests), Kind: "bars", Y: "seconds", LogY: true}
	var s series
	for _, peer := range r.Peers {
		p.Categories = append(p.Categories, peer.Name)
		s.add(values(peer.Samples, burstLast))
	}
	p.Series = []series{s}
	return []plot{p}
}

func (r *neighbourResults) of(name string) []neighbourSample {
	for _, w := range r.Ways {
		if w.Name == name {
			return w.Samples
		}
	}
	return nil
}

func pageP95(s neighbourSample) float64    { return s.Pages.P95 }
func imagesRate(s neighbourSample) float64 { return s.Images }

func (r *neighbourResults) table(b *strings.Builder, _ int) {
	fmt.Fprintf(b, "\nA page of a Next.js application, rendered anew for each of %d requests a second (open loop, from when a request was due), while %d clients ask for new images without a pause (avif and webp %d of a 6-megapixel JPEG). "+
		"All on the same CPUs, in one session and one control group (sched_autogroup_enabled: %s), except where the table says so.\n\n", r.PageRate, r.Clients, stormWidth, r.Autogroup)
	b.WriteString("| | CPU arbitration | page p50 ms | page p95 ms | p95, of the page alone | page p99 ms | pages answered, of | images/s | of those inside Next.js | peak memory |\n|---|---|---|---|---|---|---|---|---|---|\n")
	alone, inside := r.of(wayAlone), r.of(wayInside)
	for _, w := range r.Ways {
		var good, due int
		for _, s := range w.Samples {
			good, due = good+s.Pages.Good, due+s.Pages.Due
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %.1f | %.0f | %d of %d | %s | %.2f | %.0f MiB |\n", w.Name, w.Arbitration, spread(w.Samples, func(s neighbourSample) float64 { return s.Pages.P50 }, "%.1f"),
			spread(w.Samples, pageP95, "%.1f"), ratio(w.Samples, alone, pageP95), median(w.Samples, func(s neighbourSample) float64 { return s.Pages.P99 }), good, due,
			spread(w.Samples, imagesRate, "%.1f"), ratio(w.Samples, inside, imagesRate), median(w.Samples, func(s neighbourSample) float64 { return mib(s.Memory) }))
	}
}

func (r *neighbourResults) claims() []claim {
	return []claim{{"page-p95", "imgopt's defaults", ratios(r.of(wayDefault), r.of(wayAlone), pageP95)},
		{"page-images", "imgopt's defaults", ratios(r.of(wayDefault), r.of(wayInside), imagesRate)}}
}

func (r *neighbourResults) plots() []plot {
	p := plot{Name: "neighbour", Title: "A page beside a storm of images", Kind: "bars", Y: "page latency, ms", LogY: true}
	p50, p95 := series{Name: "p50"}, series{Name: "p95"}
	for _, w := range r.Ways {
		p.Categories = append(p.Categories, w.Name)
		p50.add(values(w.Samples, func(s neighbourSample) float64 { return s.Pages.P50 }))
		p95.add(values(w.Samples, pageP95))
	}
	p.Series = []series{p50, p95}
	return []plot{p}
}

func (r *memoryResult) table(b *strings.Builder, _ int) {
	fmt.Fprintf(b, "\n%d new images one after the other (webp %d of %d small sources, %d at a time); proportional set size of all processes, looked at four times a second. imgopt's memory cache is 8 MiB here, so that it is full before the second quarter.\n\n",
		r.Images, memoryWidth, len(memorySources), 4*2)
	b.WriteString("| | images/s | second quarter | last quarter | last, of the second | peak |\n|---|---|---|---|---|---|\n")
	for _, p := range r.Peers {
		fmt.Fprintf(b, "| %s | %s | %.0f MiB | %.0f MiB | %.3f | %s MiB |\n", p.Name, spread(p.Runs, func(m memoryRun) float64 { return m.Rate }, "%.0f"),
			median(p.Runs, func(m memoryRun) float64 { return m.Second / (1 << 20) }), median(p.Runs, func(m memoryRun) float64 { return m.Last / (1 << 20) }),
			median(p.Runs, growth), spread(p.Runs, func(m memoryRun) float64 { return mib(m.Peak) }, "%.0f"))
	}
}

func growth(m memoryRun) float64 {
	if m.Second == 0 {
		return 0
	}
	return m.Last / m.Second
}

func (r *memoryResult) claims() []claim {
	return []claim{{"memory-flat", fmt.Sprintf("%d images", r.Images), values(r.Peers[0].Runs, growth)}}
}

func (r *memoryResult) plots() []plot {
	p := plot{Name: "memory", Title: "Memory of all processes while new images are made", Kind: "lines", X: "images made", Y: "MiB"}
	for _, peer := range r.Peers {
		if len(peer.Runs) == 0 {
			continue
		}
		s := series{Name: peer.Name}
		for _, pt := range peer.Runs[0].Points { // one round: a line is easier to read than a band
			s.X, s.Y = append(s.X, float64(pt.Images)), append(s.Y, mib(pt.Bytes))
		}
		p.Series = append(p.Series, s)
	}
	return []plot{p}
}

func (r *startResult) table(b *strings.Builder, _ int) {
	fmt.Fprintf(b, "\nFrom the start of the process to its first answer of any kind, and to its first image (a PNG of 64 × 64 pixels over HTTP), files in the page cache. Installed files are the program and its libraries; of the others Node.js and the packages, without Next.js' compiler. No distribution is counted.\n\n")
	b.WriteString("| | first answer, ms | first image, ms | memory then | installed files |\n|---|---|---|---|---|\n")
	for _, p := range r.Peers {
		fmt.Fprintf(b, "| %s | %s | %s | %.0f MiB | %.0f MB |\n", p.Name, spread(p.Samples, startAnswer, "%.0f"), spread(p.Samples, func(s startSample) float64 { return 1000 * s.Image }, "%.0f"),
			median(p.Samples, func(s startSample) float64 { return mib(s.Memory) }), float64(p.Files)/1e6)
	}
}

func startAnswer(s startSample) float64 { return 1000 * s.Answer }

func (r *startResult) claims() []claim {
	return []claim{{"start", "first answer", values(r.Peers[0].Samples, startAnswer)}}
}
