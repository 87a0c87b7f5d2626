package main

import (
	"io"
	"log/slog"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"imgopt/config"
	"imgopt/handler"
)

// newLogger makes the logger that the configuration asks for.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	// The configuration has checked the name.
	_ = level.UnmarshalText([]byte(c.Level))
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// memoryShare is the part of the cgroup's memory that the Go heap may take before it collects harder. The rest is
// for the codecs.
const memoryShare = 0.5

// redact keeps what gives access to a source (user names, signatures, tokens in urls) out of every room's log lines.
func redact(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case "href", "error", "origin", "msg":
		if text := a.Value.String(); strings.Contains(text, "//") || strings.Contains(text, "=") {
			return slog.String(a.Key, handler.Loggable(text))
		}
	}
	return a
}

// Bounds of the memory a codec process may allocate, in bytes. Below the least it cannot start and decode a usual
// photo: its threads' stacks count.
const (
	mostCodecMemory  = 2 << 30
	leastCodecMemory = 256 << 20
)

// codecMemory is what one codec process may allocate: as configured, or three quarters of the cgroup's limit shared
// between all of them, at most 2 GiB.
func codecMemory(c *config.Config) uint64 {
	if c.Transform.MaxMemory > 0 {
		return uint64(c.Transform.MaxMemory)
	}
	limit, err := memlimit.FromCgroup()
	if err != nil || limit == 0 {
		return mostCodecMemory
	}
	return min(max(limit/4*3/uint64(workers(c)), leastCodecMemory), mostCodecMemory)
}

// limitMemory tells the Go runtime of the cgroup's limit, which it does not read itself (unlike the CPU quota).
func limitMemory(log *slog.Logger) {
	if limit, err := memlimit.Set(memlimit.WithRatio(memoryShare), memlimit.WithProvider(memlimit.FromCgroup)); err == nil && limit > 0 {
		log.Debug("the Go heap has a soft limit", "bytes", limit)
	}
}
