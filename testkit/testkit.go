// Package testkit is what tests in several folders need that start the built program or copy an application. It is not a
// part of the program.
package testkit

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Program returns the program under test: $IMGOPT_BIN, or what `make build` makes, which is named relative to the
// folder of the test.
func Program(t testing.TB, built string) string {
	t.Helper()
	path := os.Getenv("IMGOPT_BIN")
	if path == "" {
		path = built
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("the program under test is missing; build it (make build): %v", err)
	}
	return path
}

// CopyTree copies a folder with the times of its files, of which Next.js makes ETags.
func CopyTree(to, from string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return os.Chtimes(filepath.Join(to, rel), info.ModTime(), info.ModTime())
	})
}
