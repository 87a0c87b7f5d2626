package main

import (
	"context"
	"io"
	"log"
	"log/slog"
	"strings"

	"imgopt/config"
	"imgopt/handler"
	"imgopt/tracing"
)

// newLogger makes the logger that the configuration asks for.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	// The configuration has checked the name.
	_ = level.UnmarshalText([]byte(c.Level))
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	if c.Format == "json" {
		return slog.New(tracing.LogHandler(slog.NewJSONHandler(w, options)))
	}
	return slog.New(tracing.LogHandler(slog.NewTextHandler(w, options)))
}

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

// libraryLog gives what libraries say through the standard logger to ours. What origins can make net/http say is for
// debugging: a stranger must not be able to fill the log.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Write(b []byte) (int, error) {
	text, level := strings.TrimSpace(string(b)), slog.LevelWarn
	if strings.HasPrefix(text, "Unsolicited response received") {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, handler.Loggable(text), "from", "a library")
	return len(b), nil
}

// captureLibraries makes log the one that every library writes to.
func captureLibraries(l *slog.Logger) {
	slog.SetDefault(l)
	log.SetFlags(0)
	log.SetOutput(libraryLog{l})
}
