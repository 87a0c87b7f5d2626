package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// profileLines is how many functions of each profile are kept.
const profileLines = 18

// profileResult is where the service's own processor time goes, for each kind of answer. Encoding is done by codec
// processes, which it does not see.
type profileResult struct{ Profiles []profiled }

type profiled struct {
	Name string
	// Top is what pprof says, its largest first.
	Top string
}

// profile looks where imgopt's time goes while it answers.
func profile(ctx context.Context, s settings, r *report) (err error) {
	l, err := openHitLab(ctx, s, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	script, keys := filepath.Join(l.dir, "wrk.lua"), filepath.Join(l.dir, "keys")
	if err := os.WriteFile(script, []byte(wrkScript), 0o600); err != nil {
		return err
	}
	photo, err := source(s.images)
	if err != nil {
		return err
	}
	disk := []string{"--cache.disk.path", filepath.Join(l.dir, "cache")}
	wrk := func(answer string) func(context.Context, *stack) error {
		return func(ctx context.Context, st *stack) error {
			_, err := l.wrk(ctx, st, script, keys, hitResult{Answer: answer, Connections: 32}, s.hitSeconds+2)
			return err
		}
	}
	cold := func(ctx context.Context, st *stack) error {
		client := newClient(stormClients)
		defer client.CloseIdleConnections()
		until := time.Now().Add(time.Duration(s.hitSeconds+2) * time.Second)
		return closedLoop(ctx, stormClients, 100_000, func(i int) error {
			if time.Now().After(until) {
				return nil
			}
			_, err := get(ctx, client, st.base+nextTarget(variant(l.up, photo, 1_000_000+i), stormWidth, "webp"), "image/webp")
			return err
		})
	}
	result := &profileResult{}
	r.Other = result
	for _, c := range []struct {
		name string
		args []string
		load func(context.Context, *stack) error
	}{
		{"hits, memory", disk, wrk("200")},
		{"304s, memory", disk, wrk("304")},
		{"hits, disk", append([]string{"--cache.memory", "0"}, disk...), wrk("200")},
		{"new images, webp 828", nil, cold},
	} {
		top, err := l.profileOne(ctx, s, c.args, keys, c.load)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		result.Profiles = append(result.Profiles, profiled{c.name, top})
	}
	return nil
}

func (l *hitLab) profileOne(ctx context.Context, s settings, args []string, keys string, load func(context.Context, *stack) error) (top string, err error) {
	admin, err := freePort()
	if err != nil {
		return "", err
	}
	st, err := startImgopt(ctx, s, false, append([]string{"--adminListen", fmt.Sprintf("127.0.0.1:%d", admin), "--debug.pprof=true"}, args...))
	if err != nil {
		return "", err
	}
	defer func() {
		_, closed := st.close()
		err = errors.Join(err, closed)
	}()
	if args != nil { // from the cache
		if err := l.verify(ctx, st, l.targets[0], keys); err != nil {
			return "", err
		}
	}
	loaded := make(chan error, 1)
	go func() { loaded <- load(ctx, st) }()
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	b, err := body(ctx, client, fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/profile?seconds=%d", admin, s.hitSeconds), "*/*")
	if err := errors.Join(err, <-loaded); err != nil {
		return "", err
	}
	file := filepath.Join(l.dir, "profile")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", fmt.Sprintf("-nodecount=%d", profileLines), file).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("pprof: %w: %s", err, out)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "File:") && !strings.HasPrefix(line, "Build ID:") && !strings.HasPrefix(line, "Time:") && !strings.HasPrefix(line, "Type:") {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return strings.Join(lines, "\n"), nil
}

func (r *profileResult) table(b *strings.Builder, _ int) {
	b.WriteString("\nWhere the service's own processor time goes (codec processes are not in it):\n")
	for _, p := range r.Profiles {
		fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n```\n%s\n```\n\n</details>\n", p.Name, p.Top)
	}
}
