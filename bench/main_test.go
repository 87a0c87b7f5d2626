package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQuantile(t *testing.T) {
	v := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]float64{0: 1, 0.5: 6, 0.95: 10, 1: 10} {
		if got := quantile(v, q); got != want {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 {
		t.Error("a quantile of nothing")
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		target target
		value  float64
		want   string
	}{
		{target{Limit: 7}, 7.7, "yes, 10 % above"},
		{target{Limit: 7}, 6.3, "**no**, 10 % below"},
		{target{Limit: 7}, 7, "yes"},
		{target{Limit: 0.5, AtMost: true}, 0.25, "yes, 50 % below"},
		{target{Limit: 0.5, AtMost: true}, 1, "**no**, 100 % above"},
	} {
		if got := c.target.verdict(c.value); got != c.want {
			t.Errorf("%v of %+v: %s, want %s", c.value, c.target, got, c.want)
		}
	}
	var keys []string
	for _, tg := range targets {
		keys = append(keys, tg.Key)
	}
	slices.Sort(keys)
	if len(slices.Compact(keys)) != len(targets) {
		t.Error("two targets with one key")
	}
}

// Every claim is one of a target that there is, and each result has a table and plots that say something.
func TestReport(t *testing.T) {
	s := []sample{{Rate: 2, CPU: 0.1, Memory: 1 << 20, Bytes: 5}, {Rate: 4, CPU: 0.2, Memory: 2 << 20, Bytes: 5}}
	peers := []participant{{nameImgopt, s}, {nameNext, s}, {nameLoop, s}, {"ipx", s}}
	loops := []timed{{nameImgopt, []loopResult{{Due: 2, Good: 2}}}, {nameNext, []loopResult{{Due: 2, Good: 1, Refused: 1}}}}
	hit := []hitSample{{Rate: 2, P99: 1}}
	page := []neighbourSample{{Images: 1, Pages: loopResult{P95: 2}}}
	r := &report{Rounds: 2,
		Cold:  &coldResults{{Format: "webp", Width: 828, Peers: peers, Latency: loops, Different: []string{"ipx"}}},
		Mixed: &mixResult{Peers: peers, Latency: loops},
		Hits:  &hitResults{},
		Latency: &curveResults{Curves: []curveResult{{"imgopt, memory", [][]curvePoint{{{Offered: 1000, Goodput: 1000, P99: 1}, {Offered: 2000, Goodput: 2000, P99: 1}}}},
			{nameNext, [][]curvePoint{{{Offered: 1000, Goodput: 1000, P99: 10}, {Offered: 2000, Goodput: 1400, P99: 80}}}}}},
		Burst:     &burstResult{Peers: []burstPeer{{nameImgopt, []burstSample{{Last: 1, Fetches: 1}}}, {"imgopt, Valkey", []burstSample{{Last: 1, Fetches: 1}}}, {nameNext, []burstSample{{Last: 2, Fetches: 1}}}}},
		Neighbour: &neighbourResults{Ways: []neighbourResult{{wayAlone, "–", page}, {wayInside, "none", page}, {wayDefault, "nice", page}}},
		Memory:    &memoryResult{Images: 8, Peers: []memoryPeer{{nameImgopt, []memoryRun{{Points: []memoryPoint{{0, 1}, {8, 2}}, Second: 1, Last: 1}}}}},
		Startup:   &startResult{Peers: []startPeer{{Name: nameImgopt, Samples: []startSample{{Answer: 0.05}}}}},
		Isolation: &isolationResults{{"webp", 828, 2, s, s}},
		Fleet:     &fleetResult{Latency: []latencies{{What: "x"}}},
		Quality:   madeUp(0.25, 0.25),
		Other:     &prewarmResult{Requests: []srcsetSample{{CPU: 2, Fetches: 4}}, Direct: []srcsetSample{{CPU: 1, Fetches: 1}}},
	}
	for _, name := range []string{"imgopt, memory", "imgopt, disk", nameNext, nameNginx} {
		for _, answer := range []string{"200", "304"} {
			for _, connections := range []int{32, 256} {
				r.Hits.Runs = append(r.Hits.Runs, hitResult{name, answer, connections, hit})
			}
		}
	}
	dir := t.TempDir()
	if err := r.write(dir, "startup"); err != nil { // a name that summarize reads
		t.Fatal(err)
	}
	claimed := map[string]bool{}
	for _, c := range r.Claims {
		claimed[c.Target] = true
		if len(c.Values) == 0 {
			t.Errorf("%s %s: no values", c.Target, c.Case)
		}
		if !slices.ContainsFunc(targets, func(tg target) bool { return tg.Key == c.Target }) {
			t.Errorf("a claim of %s, which is no target", c.Target)
		}
	}
	for _, tg := range targets {
		if !claimed[tg.Key] {
			t.Errorf("nothing claims %s", tg.Key)
		}
	}
	for _, p := range r.Plots {
		if p.Name == "" || p.Title == "" || len(p.Series) == 0 {
			t.Errorf("an empty plot: %+v", p)
		}
		for _, s := range p.Series {
			if p.Kind == "bars" && len(s.Y) != len(p.Categories) {
				t.Errorf("%s: %d bars for %d categories", p.Name, len(s.Y), len(p.Categories))
			}
		}
	}
	if err := summarize(dir); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "targets.md"))
	if err != nil || !strings.Contains(string(b), "open loop, 1000/s") || !strings.Contains(string(b), "| 0.1 (0.1–0.1) | yes, 20 % below |") {
		t.Errorf("%v: %s", err, b)
	}
	// The rate that Next.js does not bear is none to compare at.
	if strings.Contains(string(b), "2000/s") {
		t.Errorf("compared where Next.js fails: %s", b)
	}
}

// Answers that are no images are counted, wrong ones end the loop, and what is sent is what was due.
func TestOpenLoop(t *testing.T) {
	var mu sync.Mutex
	var asked []int
	r, err := openLoop(t.Context(), 1000, 40*time.Millisecond, func(_ context.Context, i int) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, i)
		switch i % 4 {
		case 1:
			return 503, nil
		case 2:
			return 404, nil
		case 3:
			return 0, &requestError{errors.New("gone")}
		}
		return 200, nil
	})
	if err != nil || r.Due != 40 || r.Good != 10 || r.Refused != 10 || r.Other != 10 || r.Failed != 10 {
		t.Errorf("%+v, %v", r, err)
	}
	slices.Sort(asked)
	if len(slices.Compact(asked)) != 40 {
		t.Errorf("asked for %d", len(asked))
	}
	wrong := errors.New("wrong")
	if _, err := openLoop(t.Context(), 1000, 10*time.Millisecond, func(context.Context, int) (int, error) { return 200, wrong }); !errors.Is(err, wrong) {
		t.Errorf("a wrong answer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openLoop(ctx, 1, time.Hour, func(context.Context, int) (int, error) { return 200, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestClosedLoop(t *testing.T) {
	var mu sync.Mutex
	seen := map[int]int{}
	if err := closedLoop(t.Context(), 4, 100, func(i int) error {
		mu.Lock()
		defer mu.Unlock()
		seen[i]++
		return nil
	}); err != nil || len(seen) != 100 {
		t.Errorf("%d of 100, %v", len(seen), err)
	}
	wrong := errors.New("wrong")
	if err := closedLoop(t.Context(), 4, 1_000_000_000, func(int) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("%v", err)
	}
}

func TestUpstream(t *testing.T) {
	up, err := serveFiles([]string{"../testdata/images/64x64.png"}, "../testdata/images/2x2.png", "../testdata/images/photo-face.jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer up.close()
	client := newClient(2)
	defer client.CloseIdleConnections()
	for path, want := range map[string]string{"/64x64.png?v=7": "image/png", "/mix/0": "image/png", "/mix/1": "image/jpeg", "/mix/3": "image/jpeg", "/mix/4": "image/png"} {
		a, err := get(t.Context(), client, up.base+path, "*/*")
		if err != nil || a.contentType != want || a.size == 0 {
			t.Errorf("%s: %+v, %v", path, a, err)
		}
	}
	if n := up.fetches.Load(); n != 5 {
		t.Errorf("%d fetches counted", n)
	}
	for _, path := range []string{"/nothing", "/mix/x", "/mix/-1"} {
		if _, err := get(t.Context(), client, up.base+path, "*/*"); err == nil {
			t.Errorf("%s: no error", path)
		} else if status, ok := statusOf(err); !ok || status != 404 {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// What a peer says of its cache is held against what it must be.
func TestAsk(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" {
			w.WriteHeader(503)
			return
		}
		w.Header().Set("X-Nextjs-Cache", "HIT")
		fmt.Fprint(w, "image")
	}))
	defer s.Close()
	client := newClient(1)
	defer client.CloseIdleConnections()
	tells := peer{tells: true}
	if status, err := ask(t.Context(), client, s.URL, "image/webp", tells, "HIT"); status != 200 || err != nil {
		t.Error(status, err)
	}
	if _, err := ask(t.Context(), client, s.URL, "image/webp", tells, "MISS"); err == nil {
		t.Error("a hit was taken for a miss")
	}
	if status, err := ask(t.Context(), client, s.URL+"/busy", "image/webp", tells, "HIT"); status != 503 || err != nil {
		t.Error(status, err)
	}
}

// A process ends with what it has started, and its processor time and memory are seen meanwhile.
func TestProcess(t *testing.T) {
	p, err := startProcess(t.Context(), launch{argv: []string{"sh", "-c", "sleep 1000 & echo started; wait"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.await(t.Context(), func() error {
		if len(children(p.PID())) == 0 {
			return errors.New("no child yet")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	child := children(p.PID())[0]
	if treeMemory(p.PID()) <= pss(p.PID()) {
		t.Error("the child's memory is not counted")
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	// It has been killed; the kernel takes a moment to do it.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if status := oneLine(fmt.Sprintf("/proc/%d/status", child)); status == "" || strings.Contains(status, "zombie") {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the child lives: %s", status)
		}
	}
	if _, err := os.Stat(p.log.Name()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its log is still there: %v", err)
	}
	failed, err := startProcess(t.Context(), launch{argv: []string{"sh", "-c", "echo no >&2; exit 3"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := failed.await(t.Context(), func() error { return errors.New("not ready") }); err == nil || !strings.Contains(err.Error(), "no\n") {
		t.Errorf("a process that fails: %v", err)
	}
}

func TestPackageFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a/package.json":               `{"dependencies":{"b":"1","@next/swc-x":"1"},"optionalDependencies":{"missing":"1"}}`,
		"a/index.js":                   strings.Repeat("x", 1000),
		"b/package.json":               `{"dependencies":{"a":"1"}}`,
		"@next/swc-x/package.json":     `{}`,
		"unrelated/package.json":       `{}`,
		"unrelated/node_modules/x.txt": "x",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := filesOf(filepath.Join(dir, "a"), filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := packageFiles(dir, "a"); err != nil || got != want {
		t.Errorf("%d, want %d (%v)", got, want, err)
	}
}

func TestThinned(t *testing.T) {
	var all []memoryPoint
	for i := range int64(1000) {
		all = append(all, memoryPoint{Images: i})
	}
	if out := thinned(all, 150); len(out) > 151 || out[0].Images != 0 || out[len(out)-1].Images != 999 {
		t.Errorf("%d points, the last %+v", len(out), out[len(out)-1])
	}
	if out := thinned(all[:150], 150); len(out) != 150 {
		t.Errorf("%d of 150 points", len(out))
	}
}
