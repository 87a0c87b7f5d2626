package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// hitKeys is how many variants are asked for in turn.
	hitKeys = 600
	// hitWidth makes about 45 KB of the photo.
	hitWidth = 750
)

// wrkScript asks for all keys in turn, each request made ready beforehand, and prints what wrk's own text rounds or
// leaves out.
const wrkScript = `
local requests, i = {}, 0
function init(args)
  for line in io.lines(os.getenv("BENCH_KEYS")) do
    local path, etag = line:match("^(%S+)\t(.*)$")
    local headers = { Accept = "image/webp" }
    if os.getenv("BENCH_304") then headers["If-None-Match"] = etag end
    requests[#requests + 1] = wrk.format("GET", path, headers)
  end
end
function request()
  i = i % #requests + 1
  return requests[i]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), summary.bytes, e.connect + e.read + e.write + e.timeout + e.status))
end
`

var wrkResult = regexp.MustCompile(`RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)`)

// hitSample is one run of wrk: answers per second, latency in milliseconds, processor seconds per answer of the server
// and of wrk, peak memory in bytes.
type hitSample struct {
	Rate, P50, P99, CPU, Driver float64
	Memory                      int64
}

// hitResult is one kind of answer from one of those that are compared.
type hitResult struct {
	Name        string
	Answer      string // 200 or 304
	Connections int
	Samples     []hitSample
}

type hitResults struct {
	Keys        int
	BytesPerHit int64
	Runs        []hitResult
}

// hitTarget is something that answers all keys from what it has kept.
type hitTarget struct {
	name  string
	start func(context.Context) (*stack, error)
	// before and after stand around a key's number.
	before, after string
	tells         bool
}

func (t hitTarget) path(n int) string { return t.before + strconv.Itoa(n) + t.after }

// hitLab has all keys made, in every place that is measured.
type hitLab struct {
	dir     string
	keys    int
	size    int64
	sum     [32]byte
	targets []hitTarget
	valkey  *member
	up      *upstream
}

// openHitLab makes every key once with imgopt and once with Next.js, which must make the same bytes of it, and keeps
// them for all rounds; with valkey also in a Valkey server, for imgopt alone.
func openHitLab(ctx context.Context, s settings, valkey bool) (l *hitLab, err error) {
	photo, err := source(s.images)
	if err != nil {
		return nil, err
	}
	l = &hitLab{keys: hitKeys}
	if s.quick {
		l.keys = hitKeys / 10
	}
	if l.dir, err = tempDir(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.up, err = serveFiles([]string{photo}); err != nil {
		return l, err
	}
	before := "/_next/image?url=" + url.QueryEscape(variantPrefix(l.up, photo))
	after := fmt.Sprintf("&w=%d&q=%d", hitWidth, quality)
	target := func(name string, start func(context.Context) (*stack, error)) {
		l.targets = append(l.targets, hitTarget{name: name, start: start, before: before, after: after, tells: true})
	}
	disk := []string{"--cache.disk.path", filepath.Join(l.dir, "cache")}
	target("imgopt, memory", func(ctx context.Context) (*stack, error) { return startImgopt(ctx, s, false, disk) })
	target("imgopt, disk", func(ctx context.Context) (*stack, error) {
		return startImgopt(ctx, s, false, append(disk, "--cache.memory", "0"))
	})
	if valkey {
		var server string
		if l.valkey, server, err = startValkey(ctx); err != nil {
			return l, err
		}
		target("imgopt, Valkey", func(ctx context.Context) (*stack, error) {
			st, err := startImgopt(ctx, s, false, []string{"--cache.memory", "0", "--storage.type", "valkey", "--storage.url", server})
			if err == nil {
				st.also = []*process{l.valkey.process}
			}
			return st, err
		})
	}
	target(nameNext, next(s, true).start)
	if err := os.RemoveAll(filepath.Join(s.peers, ".next", "cache", "images")); err != nil {
		return l, err
	}
	static := filepath.Join(l.dir, "static")
	if err := os.Mkdir(static, 0o755); err != nil {
		return l, err
	}
	for i, t := range l.targets {
		if t.name == "imgopt, disk" {
			continue // has what memory has made
		}
		fmt.Printf("hits: making %d keys with %s\n", l.keys, t.name)
		if err := l.fill(ctx, t, static, i == 0); err != nil {
			return l, fmt.Errorf("filling %s: %w", t.name, err)
		}
	}
	l.targets = append(l.targets, hitTarget{name: nameNginx, before: "/", after: ".webp", start: func(ctx context.Context) (*stack, error) {
		return startNginx(ctx, l.dir)
	}})
	return l, nil
}

const nameNginx = "nginx, static files"

// variantPrefix is what stands before the number of a variant in its url.
func variantPrefix(up *upstream, photo string) string {
	return strings.TrimSuffix(variant(up, photo, 0), "0")
}

func (l *hitLab) close() error {
	var err error
	if l.valkey != nil {
		err = l.valkey.close()
	}
	if l.up != nil {
		l.up.close()
	}
	removeDir(l.dir)
	return err
}

// fill asks for every key once. The first that is filled says what the bytes are, and its answers are nginx' files.
func (l *hitLab) fill(ctx context.Context, t hitTarget, static string, first bool) (err error) {
	st, err := t.start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_, closed := st.close()
		err = errors.Join(err, closed)
	}()
	client := newClient(8)
	defer client.CloseIdleConnections()
	if first {
		a, err := get(ctx, client, st.base+t.path(0), "image/webp")
		if err != nil {
			return err
		}
		l.size, l.sum = a.size, a.sum
	}
	if err := closedLoop(ctx, 4, l.keys, func(i int) error {
		a, err := get(ctx, client, st.base+t.path(i), "image/webp")
		if err == nil && a.sum != l.sum {
			err = fmt.Errorf("%s: other bytes than imgopt's", t.path(i))
		}
		return err
	}); err != nil {
		return err
	}
	if !first {
		return nil
	}
	b, err := body(ctx, client, st.base+t.path(0), "image/webp")
	if err != nil {
		return err
	}
	for i := range l.keys {
		if err := os.WriteFile(filepath.Join(static, strconv.Itoa(i)+".webp"), b, 0o644); err != nil {
			return fmt.Errorf("writing a static file: %w", err)
		}
	}
	return nil
}

// startNginx serves the static files of the folder with what nginx has for it: sendfile, open files kept.
func startNginx(ctx context.Context, dir string) (*stack, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	conf := fmt.Sprintf(`daemon off; worker_processes auto; pid %[1]s/nginx.pid; error_log stderr crit; %[2]s
events { worker_connections 2048; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; open_file_cache max=2000; types { image/webp webp; }
  client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
  server { listen 127.0.0.1:%[3]d; root %[1]s/static; add_header Cache-Control "public, max-age=14400, must-revalidate"; }
}
`, dir, user, port)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	binary, err := exec.LookPath("nginx")
	if err != nil {
		binary = "/usr/sbin/nginx"
	}
	return run1(ctx, port, launch{argv: []string{binary, "-e", "stderr", "-c", file}}, "/0.webp")
}

// hits measures answers from what is kept, through the real listener, at saturation.
func hits(ctx context.Context, s settings, r *report) (err error) {
	l, err := openHitLab(ctx, s, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	script := filepath.Join(l.dir, "wrk.lua")
	if err := os.WriteFile(script, []byte(wrkScript), 0o600); err != nil {
		return err
	}
	result := &hitResults{Keys: l.keys, BytesPerHit: l.size}
	r.Hits = result
	runs := []hitResult{{Answer: "200", Connections: 32}, {Answer: "200", Connections: 256}, {Answer: "304", Connections: 32}, {Answer: "304", Connections: 256}}
	for _, t := range l.targets {
		for _, run := range runs {
			run.Name = t.name
			result.Runs = append(result.Runs, run)
		}
	}
	for round := range s.rounds {
		for i := range l.targets {
			n := (i + round) % len(l.targets)
			samples, err := l.hitRound(ctx, s, l.targets[n], script, runs)
			if err != nil {
				return fmt.Errorf("%s: %w", l.targets[n].name, err)
			}
			for k, h := range samples {
				run := &result.Runs[n*len(runs)+k]
				run.Samples = append(run.Samples, h)
				fmt.Printf("hits %s, %s, %d connections: %.0f/s, p50 %.2f ms, p99 %.2f ms, %.1f CPU µs\n", run.Name, run.Answer, run.Connections, h.Rate, h.P50, h.P99, h.CPU*1e6)
			}
		}
	}
	return nil
}

// hitRound starts a target, sees that it has every key with the right bytes, and runs wrk with each of the settings.
func (l *hitLab) hitRound(ctx context.Context, s settings, t hitTarget, script string, runs []hitResult) (out []hitSample, err error) {
	st, err := t.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		_, closed := st.close()
		err = errors.Join(err, closed)
	}()
	keys := filepath.Join(l.dir, "keys")
	if err := l.verify(ctx, st, t, keys); err != nil {
		return nil, err
	}
	if _, err := l.wrk(ctx, st, script, keys, runs[0], 2); err != nil { // to warm up
		return nil, err
	}
	for _, run := range runs {
		h, err := l.wrk(ctx, st, script, keys, run, s.hitSeconds)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// verify asks for every key twice, so that what can move into memory is there, holds the second answers against what
// they must be, and writes the list of keys and ETags.
func (l *hitLab) verify(ctx context.Context, st *stack, t hitTarget, keys string) error {
	client := newClient(8)
	defer client.CloseIdleConnections()
	var list strings.Builder
	for i := range l.keys {
		var a answer
		var err error
		for range 2 {
			if a, err = get(ctx, client, st.base+t.path(i), "image/webp"); err != nil {
				return err
			}
		}
		switch {
		case t.tells && a.cache != "HIT":
			return fmt.Errorf("%s: %s, want a hit", t.path(i), a.cache)
		case a.sum != l.sum:
			return fmt.Errorf("%s: wrong bytes", t.path(i))
		case a.etag == "":
			return fmt.Errorf("%s: no ETag", t.path(i))
		}
		fmt.Fprintf(&list, "%s\t%s\n", t.path(i), a.etag)
	}
	return os.WriteFile(keys, []byte(list.String()), 0o600)
}

func (l *hitLab) wrk(ctx context.Context, st *stack, script, keys string, run hitResult, seconds int) (hitSample, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(run.Connections), "-d"+strconv.Itoa(seconds)+"s", "--latency", "-s", script, st.base)
	cmd.Env = append(os.Environ(), "BENCH_KEYS="+keys)
	if run.Answer == "304" {
		cmd.Env = append(cmd.Env, "BENCH_304=1")
	}
	cpu := st.cpu()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return hitSample{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	cpu = st.cpu() - cpu
	m := wrkResult.FindSubmatch(out)
	if m == nil {
		return hitSample{}, fmt.Errorf("wrk: %s", out)
	}
	var v [6]float64
	for i := range v {
		v[i], _ = strconv.ParseFloat(string(m[i+1]), 64)
	}
	n, bytes := v[0], v[4]/max(v[0], 1)
	switch {
	case n == 0 || v[5] > 0:
		return hitSample{}, fmt.Errorf("wrk counted %.0f errors in %.0f answers: %s", v[5], n, out)
	// wrk does not tell a 304 from a 200, but how long they were it does. The last answers may be cut off.
	case run.Answer == "304" && bytes > 2000, run.Answer == "200" && bytes < 0.9*float64(l.size):
		return hitSample{}, fmt.Errorf("answers of %.0f bytes are not %s", bytes, run.Answer)
	}
	u := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return hitSample{Rate: n / (v[1] / 1e6), P50: v[2] / 1e3, P99: v[3] / 1e3, CPU: cpu / n,
		Driver: float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9 / n, Memory: treeMemories(st.pids())}, nil
}
