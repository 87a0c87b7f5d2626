package main

import (
	"log"
	"log/slog"
	"strings"
	"testing"
)

func TestLibrariesLog(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	var b strings.Builder
	captureLibraries(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelInfo})))
	log.Print("Unsolicited response received on idle HTTP channel starting with \"x\"; err=<nil>")
	log.Print("http: something else, http://user:s3cret@host/?token=1")
	if out := b.String(); strings.Contains(out, "Unsolicited") || !strings.Contains(out, "level=WARN") || !strings.Contains(out, "something else") || strings.Contains(out, "s3cret") {
		t.Errorf("%s", out)
	}
}
