package main

import (
	"io"
	"log/slog"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"imgopt/config"
)

// newLogger makes the logger that the configuration asks for.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	// The configuration has checked the name.
	_ = level.UnmarshalText([]byte(c.Level))
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// memoryShare is the part of the cgroup's memory that the Go heap may take before it collects harder. The rest is
// for the codecs.
const memoryShare = 0.5

// limitMemory tells the Go runtime of the cgroup's limit, which it does not read itself (unlike the CPU quota).
func limitMemory(log *slog.Logger) {
	if limit, err := memlimit.Set(memlimit.WithRatio(memoryShare), memlimit.WithProvider(memlimit.FromCgroup)); err == nil && limit > 0 {
		log.Debug("the Go heap has a soft limit", "bytes", limit)
	}
}
