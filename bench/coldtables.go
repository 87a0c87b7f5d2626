package main

import (
	"fmt"
	"slices"
	"strings"
)

// of finds a participant's samples.
func of(all []participant, name string) []sample {
	for _, p := range all {
		if p.Name == name {
			return p.Samples
		}
	}
	return nil
}

const participantHead = "images/s | of the sharp loop | of Next.js | CPU s/image | of the sharp loop | peak memory | KB | clients' CPU s |\n"

func (rs *coldResults) table(b *strings.Builder, _ int) {
	fmt.Fprintf(b, "\nNew images from one 6-megapixel JPEG over HTTP, q=%d, two requests for each CPU at a time, every variant asked for once (`X-Nextjs-Cache: MISS` on each answer). "+
		"imgopt keeps results in memory and on disk, Next.js on disk; the others keep none. imgopt's codecs and the loops have no rival for the CPUs but the client, whose processor time is shown. Peak memory is the sum of the processes' proportional set sizes; of the loops, of resident sets.\n\n", quality)
	b.WriteString("| format, width | | " + participantHead + "|---|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range *rs {
		loop, nextjs := of(c.Peers, nameLoop), of(c.Peers, nameNext)
		for _, p := range c.Peers {
			name := p.Name
			if slices.Contains(c.Different, name) {
				name += " (other bytes)"
			}
			fmt.Fprintf(b, "| %s %d | %s | %s | %.2f | %.2f | %s | %.2f | %.0f MiB | %.1f | %.4f |\n", c.Format, c.Width, name,
				spread(p.Samples, sampleRate, "%.2f"), ratio(p.Samples, loop, sampleRate), ratio(p.Samples, nextjs, sampleRate),
				spread(p.Samples, sampleCPU, "%.4f"), ratio(p.Samples, loop, sampleCPU),
				median(p.Samples, sampleMemory), float64(p.Samples[0].Bytes)/1000, median(p.Samples, func(s sample) float64 { return s.Driver }))
		}
	}
	b.WriteString("\n")
	latencyHead(b, "format, width")
	for _, c := range *rs {
		latencyRows(b, fmt.Sprintf("%s %d", c.Format, c.Width), c.Latency)
	}
}

func latencyHead(b *strings.Builder, what string) {
	fmt.Fprintf(b, "Latency of new images at a constant rate of arrival, %.1f of what Next.js makes in the closed loop, from when a request was due:\n\n", latencyShare)
	fmt.Fprintf(b, "| %s | | offered/s | answered 200, of | refused | p50 ms | p95 ms | slowest ms |\n|---|---|---|---|---|---|---|---|\n", what)
}

func latencyRows(b *strings.Builder, what string, all []timed) {
	for _, t := range all {
		var good, due, refused, failed int
		for _, l := range t.Loops {
			good, due, refused, failed = good+l.Good, due+l.Due, refused+l.Refused, failed+l.Failed+l.Other
		}
		says := fmt.Sprint(refused)
		if failed > 0 {
			says += fmt.Sprintf(", %d failed", failed)
		}
		fmt.Fprintf(b, "| %s | %s | %.1f | %d of %d | %s | %s | %s | %s |\n", what, t.Name, t.Loops[0].Rate, good, due, says,
			spread(t.Loops, func(l loopResult) float64 { return l.P50 }, "%.0f"), spread(t.Loops, loopP95, "%.0f"),
			spread(t.Loops, func(l loopResult) float64 { return l.Max }, "%.0f"))
	}
}

func loopP95(l loopResult) float64 { return l.P95 }

func (rs *coldResults) claims() []claim {
	var out []claim
	for _, c := range *rs {
		what := fmt.Sprintf("%s %d", c.Format, c.Width)
		ours, loop := of(c.Peers, nameImgopt), of(c.Peers, nameLoop)
		out = append(out, claim{"cold-rate", what, ratios(ours, loop, sampleRate)}, claim{"cold-cpu", what, ratios(ours, loop, sampleCPU)})
	}
	return out
}

func (rs *coldResults) plots() []plot {
	if len(*rs) == 0 {
		return nil
	}
	p := plot{Name: "cold-" + (*rs)[0].Format, Title: "New images, " + (*rs)[0].Format + ": throughput", Kind: "bars", X: "width", Y: "images/s, of the bare sharp loop",
		Limit: 1, LimitName: "bare sharp loop"}
	for _, c := range *rs {
		p.Categories = append(p.Categories, fmt.Sprint(c.Width))
		loop := of(c.Peers, nameLoop)
		for _, peer := range c.Peers {
			if peer.Name == nameLoop {
				continue
			}
			name := peer.Name
			if slices.Contains(c.Different, name) {
				name += " (other bytes)"
			}
			i := slices.IndexFunc(p.Series, func(s series) bool { return s.Name == name })
			if i < 0 {
				i = len(p.Series)
				p.Series = append(p.Series, series{Name: name})
			}
			p.Series[i].add(ratios(peer.Samples, loop, sampleRate))
		}
	}
	return []plot{p}
}

func (m *mixResult) table(b *strings.Builder, _ int) {
	fmt.Fprintf(b, "\nA storm of %d new images of %d sources (JPEG, PNG, WebP, AVIF; 6 megapixels to thumbnails), widths %s in turn, avif and webp as 1 to 2, %d requests at a time. imgopt's and Next.js' bytes are equal for each; of ipx' %d are not.\n\n",
		m.Images, len(mixSources)+len(mixLarge), strings.Trim(fmt.Sprint(mixWidths), "[]"), m.Clients, m.Different)
	b.WriteString("| | images/s | of Next.js | CPU s/image | of Next.js | peak memory | of Next.js | clients' CPU s |\n|---|---|---|---|---|---|---|---|\n")
	nextjs := of(m.Peers, nameNext)
	for _, p := range m.Peers {
		fmt.Fprintf(b, "| %s | %s | %.2f | %s | %.2f | %s MiB | %.2f | %.4f |\n", p.Name, spread(p.Samples, sampleRate, "%.2f"), ratio(p.Samples, nextjs, sampleRate),
			spread(p.Samples, sampleCPU, "%.4f"), ratio(p.Samples, nextjs, sampleCPU), spread(p.Samples, sampleMemory, "%.0f"), ratio(p.Samples, nextjs, sampleMemory),
			median(p.Samples, func(s sample) float64 { return s.Driver }))
	}
	b.WriteString("\n")
	latencyHead(b, "set")
	latencyRows(b, "mixed", m.Latency)
}

func (m *mixResult) claims() []claim {
	return []claim{{"storm-memory", fmt.Sprintf("%d requests at a time", m.Clients), ratios(of(m.Peers, nameImgopt), of(m.Peers, nameNext), sampleMemory)}}
}

func (m *mixResult) plots() []plot {
	p := plot{Name: "mixed", Title: "A storm of new images of many kinds", Kind: "bars", Y: "of Next.js", Categories: []string{"images/s", "CPU per image", "peak memory"}, Limit: 1, LimitName: "next start"}
	nextjs := of(m.Peers, nameNext)
	for _, peer := range m.Peers {
		if peer.Name == nameNext {
			continue
		}
		s := series{Name: peer.Name}
		for _, f := range []func(sample) float64{sampleRate, sampleCPU, sampleMemory} {
			s.add(ratios(peer.Samples, nextjs, f))
		}
		p.Series = append(p.Series, s)
	}
	return []plot{p}
}
