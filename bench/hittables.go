package main

import (
	"fmt"
	"strings"
)

func (h *hitResults) of(name, answer string, connections int) []hitSample {
	for _, r := range h.Runs {
		if r.Name == name && r.Answer == answer && r.Connections == connections {
			return r.Samples
		}
	}
	return nil
}

func hitRate(s hitSample) float64 { return s.Rate }
func hitP99(s hitSample) float64  { return s.P99 }

func (h *hitResults) table(b *strings.Builder, _ int) {
	fmt.Fprintf(b, "\nAnswers from what is kept, %d keys of %.1f KB in turn, as fast as they come (wrk, one thread, on the same CPUs, its processor time shown). "+
		"Every key was a hit with the right bytes in each place before; Next.js keeps results on disk. With Valkey, its server's time and memory are counted with imgopt's. 304s are those of the keys' own ETags.\n\n", h.Keys, float64(h.BytesPerHit)/1000)
	b.WriteString("| from | answers | connections | answers/s | of Next.js | of nginx | p50 ms | p99 ms | CPU µs/answer | wrk's CPU µs | memory |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range h.Runs {
		fmt.Fprintf(b, "| %s | %s | %d | %s | %.2f | %.2f | %.2f | %s | %.1f | %.1f | %.0f MiB |\n", r.Name, r.Answer, r.Connections, spread(r.Samples, hitRate, "%.0f"),
			ratio(r.Samples, h.of(nameNext, r.Answer, r.Connections), hitRate), ratio(r.Samples, h.of(nameNginx, r.Answer, r.Connections), hitRate),
			median(r.Samples, func(s hitSample) float64 { return s.P50 }), spread(r.Samples, hitP99, "%.2f"),
			median(r.Samples, func(s hitSample) float64 { return s.CPU * 1e6 }), median(r.Samples, func(s hitSample) float64 { return s.Driver * 1e6 }),
			median(r.Samples, func(s hitSample) float64 { return mib(s.Memory) }))
	}
}

func (h *hitResults) claims() []claim {
	var out []claim
	add := func(target, ours, answer string, connections int, against string, f func(hitSample) float64) {
		what := fmt.Sprintf("%d connections", connections)
		out = append(out, claim{target, what, ratios(h.of(ours, answer, connections), h.of(against, answer, connections), f)})
	}
	for _, c := range []int{32, 256} {
		add("hits-next", "imgopt, memory", "200", c, nameNext, hitRate)
		add("hits-nginx", "imgopt, memory", "200", c, nameNginx, hitRate)
		add("hits-p99", "imgopt, memory", "200", c, nameNext, hitP99)
		add("disk-next", "imgopt, disk", "200", c, nameNext, hitRate)
		add("304-next", "imgopt, memory", "304", c, nameNext, hitRate)
	}
	return out
}

func (h *hitResults) plots() []plot {
	p := plot{Name: "hits", Title: "Hits and 304s at saturation", Kind: "bars", Y: "answers/s", X: "answer, connections", LogY: true}
	for _, r := range h.Runs {
		if n := len(p.Series); n == 0 || p.Series[n-1].Name != r.Name {
			p.Series = append(p.Series, series{Name: r.Name})
		}
		s := &p.Series[len(p.Series)-1]
		s.add(values(r.Samples, hitRate))
		if len(p.Series) == 1 {
			p.Categories = append(p.Categories, fmt.Sprintf("%s, %d", r.Answer, r.Connections))
		}
	}
	return []plot{p}
}

// at has one curve's points at a rate, one for each round that came so far.
func (c curveResult) at(rate float64) []curvePoint {
	var out []curvePoint
	for _, round := range c.Rounds {
		for _, p := range round {
			if p.Offered == rate {
				out = append(out, p)
			}
		}
	}
	return out
}

func (c *curveResults) table(b *strings.Builder, rounds int) {
	fmt.Fprintf(b, "\nLatency of hits at constant rates of arrival (open loop, from when a request was due; %d keys of %.1f KB, at most 256 connections; the driver is one thread on the same CPUs). A rate that is not borne (less than %.0f %% answered in time) ends a curve.\n\n",
		c.Keys, float64(c.BytesPerHit)/1000, 100*borne)
	b.WriteString("| from | offered/s | goodput/s | refused or given up | p50 ms | p99 ms | p99.9 ms | driver, CPUs |\n|---|---|---|---|---|---|---|---|\n")
	for _, curve := range c.Curves {
		for _, rate := range curveRates {
			points := curve.at(rate)
			if len(points) == 0 {
				continue
			}
			fmt.Fprintf(b, "| %s | %.0f | %.0f | %.0f | %s | %s | %s | %.2f |\n", curve.Name, rate, median(points, func(p curvePoint) float64 { return p.Goodput }),
				median(points, func(p curvePoint) float64 { return float64(p.Refused + p.GaveUp + p.Broken) }),
				spread(points, func(p curvePoint) float64 { return p.P50 }, "%.2f"), spread(points, pointP99, "%.2f"),
				spread(points, func(p curvePoint) float64 { return p.P999 }, "%.2f"), median(points, func(p curvePoint) float64 { return p.DriverCPU }))
		}
	}
}

func pointP99(p curvePoint) float64 { return p.P99 }

// claims compares at the highest rate that Next.js bears in every round.
func (c *curveResults) claims() []claim {
	var ours, nextjs curveResult
	for _, curve := range c.Curves {
		switch curve.Name {
		case "imgopt, memory":
			ours = curve
		case nameNext:
			nextjs = curve
		}
	}
	var best float64
	for _, rate := range curveRates {
		points := nextjs.at(rate)
		all := len(points) == len(nextjs.Rounds)
		for _, p := range points {
			all = all && p.Goodput >= borne*rate
		}
		if all && len(points) > 0 {
			best = rate
		}
	}
	if best == 0 {
		return nil
	}
	return []claim{{"hits-p99", fmt.Sprintf("open loop, %.0f/s", best), ratios(ours.at(best), nextjs.at(best), pointP99)}}
}

func (c *curveResults) plots() []plot {
	p := plot{Name: "latency", Title: "Hits: p99 at constant rates of arrival", Kind: "lines", X: "offered requests/s", Y: "p99, ms", LogX: true, LogY: true}
	for _, curve := range c.Curves {
		s := series{Name: curve.Name}
		for _, rate := range curveRates {
			if points := curve.at(rate); len(points) > 0 {
				s.X = append(s.X, rate)
				s.add(values(points, pointP99))
			}
		}
		p.Series = append(p.Series, s)
	}
	return []plot{p}
}
