package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// hitKeys is how many variants are asked for in turn.
const hitKeys = 600

// wrkScript asks for all keys in turn and prints the figures that wrk's own text rounds.
const wrkScript = `
local paths, i = {}, 0
for line in io.lines(os.getenv("BENCH_PATHS")) do paths[#paths + 1] = line end
wrk.headers["Accept"] = "image/webp"
if os.getenv("BENCH_ETAG") then wrk.headers["If-None-Match"] = "*" end
request = function()
  i = i % #paths + 1
  return wrk.format("GET", paths[i])
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), e.connect + e.read + e.write + e.timeout))
end
`

type hitCase struct {
	name        string
	connections int
	notModified bool
	args        []string
}

// hits measures answers from the cache through the real listener.
func hits(ctx context.Context, s settings, r *report) error {
	photo, err := source(s.images)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "imgopt-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	paths := filepath.Join(dir, "paths")
	var list strings.Builder
	for i := range hitKeys {
		fmt.Fprintf(&list, "/_next/image?url=%%2F%s%%3Fv%%3D%d&w=828&q=75\n", filepath.Base(photo), i)
	}
	if err := os.WriteFile(paths, []byte(list.String()), 0o600); err != nil {
		return err
	}
	script := filepath.Join(dir, "wrk.lua")
	if err := os.WriteFile(script, []byte(wrkScript), 0o600); err != nil {
		return err
	}
	cache := filepath.Join(dir, "cache")
	common := []string{"--origin", "file://" + filepath.Dir(photo), "--images.localPatterns", `[{"pathname":"/**"}]`, "--cache.disk.path", cache}
	// All keys are made once; every later run finds them on disk.
	if r.BytesPerHit, err = warm(ctx, s, common, list.String()); err != nil {
		return err
	}
	for _, c := range []hitCase{
		{"memory", 32, false, nil}, {"memory", 256, false, nil},
		{"memory, 304", 32, true, nil},
		{"disk", 32, false, []string{"--cache.memory", "0"}}, {"disk", 256, false, []string{"--cache.memory", "0"}},
	} {
		result := hitResult{Tier: c.name, Connections: c.connections}
		for range s.rounds {
			h, err := runHits(ctx, s, append(common, c.args...), list.String(), script, paths, c)
			if err != nil {
				return err
			}
			fmt.Printf("hits %s, %d connections: %.0f/s, p50 %.2f ms, p99 %.2f ms, %.1f CPU µs\n", c.name, c.connections, h.Rate, h.P50, h.P99, h.CPU*1e6)
			result.Samples = append(result.Samples, h)
		}
		r.Hits = append(r.Hits, result)
	}
	return nil
}

// warm asks for every path once and returns the mean size of an answer.
func warm(ctx context.Context, s settings, args []string, list string) (int64, error) {
	srv, err := start(ctx, s.imgopt, args...)
	if err != nil {
		return 0, err
	}
	size, err := ask(ctx, srv, list)
	_, _, stopped := srv.close()
	return size, errors.Join(err, stopped)
}

func ask(ctx context.Context, srv *server, list string) (int64, error) {
	client := &http.Client{}
	defer client.CloseIdleConnections()
	var total, n int64
	for path := range strings.Lines(list) {
		size, _, err := srv.get(ctx, client, strings.TrimSpace(path), "image/webp")
		if err != nil {
			return 0, err
		}
		total, n = total+size, n+1
	}
	return total / n, nil
}

// hitSample is one wrk run: answers per second, latencies in milliseconds, server's processor seconds per answer.
type hitSample struct {
	Rate, P50, P99, CPU float64
	Memory              int64
}

var wrkResult = regexp.MustCompile(`RESULT (\d+) (\d+) (\d+) (\d+) (\d+)`)

func runHits(ctx context.Context, s settings, args []string, list, script, paths string, c hitCase) (hitSample, error) {
	srv, err := start(ctx, s.imgopt, args...)
	if err != nil {
		return hitSample{}, err
	}
	if _, err := ask(ctx, srv, list); err != nil {
		_, _, _ = srv.close()
		return hitSample{}, err
	}
	cmd := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(c.connections), "-d"+strconv.Itoa(s.hitSeconds)+"s", "--latency", "-s", script, srv.base)
	cmd.Env = append(os.Environ(), "BENCH_PATHS="+paths)
	if c.notModified {
		cmd.Env = append(cmd.Env, "BENCH_ETAG=1")
	}
	out, err := cmd.CombinedOutput()
	cpu, peak, stopped := srv.close()
	if err := errors.Join(err, stopped); err != nil {
		return hitSample{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	m := wrkResult.FindSubmatch(out)
	if m == nil || strings.Contains(string(out), "Non-2xx") && !c.notModified {
		return hitSample{}, fmt.Errorf("wrk: %s", out)
	}
	var v [5]float64
	for i := range v {
		v[i], _ = strconv.ParseFloat(string(m[i+1]), 64)
	}
	if v[4] > 0 {
		return hitSample{}, fmt.Errorf("wrk counted %.0f errors: %s", v[4], out)
	}
	return hitSample{Rate: v[0] / (v[1] / 1e6), P50: v[2] / 1e3, P99: v[3] / 1e3, CPU: cpu / v[0], Memory: peak}, nil
}
