package valkeytest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// Log collects log lines. The zero value is empty.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write adds to it.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns all lines.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Count counts how often something occurs; "\n" occurs once in each line.
func (l *Log) Count(part string) int { return strings.Count(l.String(), part) }

// Logger returns a logger whose lines it collects.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
