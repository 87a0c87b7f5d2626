package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"imgopt/stress/load"
)

// curveRates are the rates of hits a second that are offered, until one is not borne.
var curveRates = []float64{1000, 2000, 4000, 8000, 16000, 24000, 32000}

// borne is the share of requests that must be answered in time for a rate to be borne.
const borne = 0.95

// curvePoint is one rate: latency in milliseconds from when a request was due, goodput in answers per second.
type curvePoint struct {
	Offered, Goodput        float64
	Refused, GaveUp, Broken int
	P50, P99, P999          float64
	// DriverCPU is the share of a CPU that the driver took.
	DriverCPU float64
}

// curveResult has one list of points for each round.
type curveResult struct {
	Name   string
	Rounds [][]curvePoint
}

type curveResults struct {
	Keys        int
	BytesPerHit int64
	Curves      []curveResult
}

// curve measures the latency of hits at constant rates of arrival.
func curve(ctx context.Context, s settings, r *report) (err error) {
	l, err := openHitLab(ctx, s, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	result := &curveResults{Keys: l.keys, BytesPerHit: l.size}
	r.Latency = result
	var targets []hitTarget
	for _, t := range l.targets {
		targets = append(targets, t)
		result.Curves = append(result.Curves, curveResult{Name: t.name})
	}
	rates := curveRates
	if s.quick {
		rates = []float64{1000, 4000, 16000}
	}
	for round := range s.rounds {
		for i := range targets {
			n := (i + round) % len(targets)
			points, err := l.curveRound(ctx, s, targets[n], rates)
			if err != nil {
				return fmt.Errorf("%s: %w", targets[n].name, err)
			}
			result.Curves[n].Rounds = append(result.Curves[n].Rounds, points)
		}
	}
	return nil
}

func (l *hitLab) curveRound(ctx context.Context, s settings, t hitTarget, rates []float64) (points []curvePoint, err error) {
	st, err := t.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		_, closed := st.close()
		err = errors.Join(err, closed)
	}()
	if err := l.verify(ctx, st, t, l.dir+"/keys"); err != nil {
		return nil, err
	}
	for i, rate := range append([]float64{rates[0]}, rates...) { // the first once more, to warm up
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		plan := load.Plan{Addr: strings.TrimPrefix(st.base, "http://"), For: s.curveFor, Classes: []load.Class{{Name: t.name, Rate: rate, Before: t.before, After: t.after,
			Cycle: l.keys, Header: []string{"Accept: image/webp"}, Conns: 256, Timeout: 2 * time.Second, Length: int(l.size)}}}
		if i == 0 {
			plan.For = time.Second
		}
		out, err := load.Run(plan)
		if err != nil {
			return nil, err
		}
		c := out.Classes[0]
		good := c.ByStatus[http.StatusOK]
		if c.WrongLength > 0 || c.Answers() != good.N+c.ByStatus[http.StatusServiceUnavailable].N {
			return nil, fmt.Errorf("answers that are none of hits: %+v", c)
		}
		if i == 0 {
			continue
		}
		ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		p := curvePoint{Offered: rate, Goodput: float64(good.N) / out.Wall.Seconds(), Refused: c.ByStatus[http.StatusServiceUnavailable].N, GaveUp: c.GaveUp, Broken: c.Broken,
			P50: ms(good.P50), P99: ms(good.P99), P999: ms(good.P999), DriverCPU: out.CPU.Seconds() / out.Wall.Seconds()}
		points = append(points, p)
		fmt.Printf("latency %s at %.0f/s: goodput %.0f/s, p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms\n", t.name, rate, p.Goodput, p.P50, p.P99, p.P999)
		if p.Goodput < borne*rate {
			break
		}
	}
	return points, nil
}
