package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// machine is what a measurement was made on and with.
type machine struct {
	CPU, Kernel, Go string
	CPUs            int
	// Versions are those of all programs, by name.
	Versions map[string]string
	// Load is the machine's load before the measurement: what else it did.
	Load string
}

func describe(ctx context.Context, s settings) machine {
	m := machine{CPU: "unknown", Kernel: oneLine("/proc/sys/kernel/osrelease"), Go: runtime.Version(), CPUs: runtime.NumCPU(), Versions: map[string]string{}}
	for line := range strings.Lines(oneLine("/proc/cpuinfo")) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	if f := strings.Fields(oneLine("/proc/loadavg")); len(f) > 0 {
		m.Load = f[0]
	}
	for _, name := range []string{"next", "sharp", "ipx", "@platformatic/next", "@platformatic/job-queue", "wattpm"} {
		b, err := os.ReadFile(filepath.Join(s.peers, "node_modules", name, "package.json"))
		var p struct{ Version string }
		if err == nil && json.Unmarshal(b, &p) == nil {
			m.Versions[name] = p.Version
		}
	}
	for name, argv := range map[string][]string{"imgopt": {s.imgopt, "version"}, "node": {node(s), "--version"}, "nginx": {"/usr/sbin/nginx", "-v"},
		"wrk": {"wrk", "-v"}, "valkey": {"valkey-server", "--version"}} {
		if v := firstLine(ctx, argv); v != "" {
			m.Versions[name] = v
		}
	}
	return m
}

// firstLine is the first line of what a program says, whatever it thinks of the question.
func firstLine(ctx context.Context, argv []string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput() // wrk -v fails
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(line)
}

// shortVersions is for a line of text: names with numbers only.
func (m machine) shortVersions() string {
	var out []string
	for _, name := range []string{"imgopt", "next", "sharp", "node", "@platformatic/next", "ipx", "nginx", "valkey", "wrk"} {
		v, ok := m.Versions[name]
		if !ok {
			continue
		}
		v = strings.TrimPrefix(strings.TrimPrefix(v, "nginx version: nginx/"), name+" ")
		for _, f := range strings.Fields(v) { // Valkey server v=8.1.1 sha=…
			if after, ok := strings.CutPrefix(f, "v="); ok {
				v = after
			}
		}
		v, _, _ = strings.Cut(strings.TrimPrefix(v, "v"), " ")
		out = append(out, name+" "+v)
	}
	return strings.Join(out, ", ")
}
