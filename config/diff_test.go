package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every key of the schema is told apart and can be kept, and no other one is touched by that.
func TestDiffAndKeep(t *testing.T) {
	base, _ := mustLoad(t, Sources{})
	for _, k := range keys().keys {
		// A companion is set on both sides, and so is no difference.
		flags := companions[k.path]
		with, _, err := Load(Sources{Flags: append(slices.Clip(flags), Flag{Name: k.path, Value: sample(t, k)})})
		if err != nil {
			t.Fatalf("%s: %v", k.path, err)
		}
		without := base
		for _, f := range flags {
			without = Keep(with, without, []string{f.Name})
		}
		changed := Diff(without, with)
		if !slices.Contains(changed, k.path) {
			t.Errorf("%s: the difference is %v", k.path, changed)
		}
		if k.path != "nextDir" && len(changed) != 1 {
			t.Errorf("%s: others differ too: %v", k.path, changed)
		}
		kept := Keep(without, with, changed)
		if left := Diff(without, kept); len(left) > 0 {
			t.Errorf("%s was not kept: %v", k.path, left)
		}
		if again := Diff(without, with); !slices.Equal(again, changed) {
			t.Errorf("%s: Keep has changed its arguments: %v, before %v", k.path, again, changed)
		}
	}
	if d := Diff(base, base); d != nil {
		t.Errorf("no difference: %v", d)
	}
}

// The order is the reference's, and what is no key is the new configuration's.
func TestKeepSome(t *testing.T) {
	old, _ := mustLoad(t, Sources{})
	next, _ := mustLoad(t, Sources{Flags: []Flag{
		{Name: "nextDir", Value: "testdata/next/basepath"}, {Name: "timeout", Value: "3s"}, {Name: "listen", Value: ":1"},
	}})
	want := []string{"listen", "nextDir", "basePath", "trailingSlash", "images.remotePatterns", "timeout"}
	if got := Diff(old, next); !slices.Equal(got, want) {
		t.Errorf("the difference is %v, want %v", got, want)
	}
	kept := Keep(old, next, []string{"listen", "nextDir"})
	if kept.Listen != old.Listen || kept.NextDir != "" || kept.Timeout != next.Timeout || kept.BasePath != next.BasePath || kept.Next != next.Next {
		t.Errorf("kept: %+v", kept)
	}
	// A build that says what the defaults say anyway is no difference but for its place.
	build, _ := mustLoad(t, Sources{Flags: []Flag{{Name: "nextDir", Value: "testdata/next/defaults"}}})
	if got := Diff(old, build); !slices.Equal(got, []string{"nextDir"}) {
		t.Errorf("a build of defaults differs in %v", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a name that is no key was taken")
		}
	}()
	Keep(old, next, []string{"listne"})
}

func TestCombine(t *testing.T) {
	c, _ := mustLoad(t, Sources{})
	if err := c.Combine(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	bad := *c
	bad.ShutdownTimeout, bad.ShutdownDelay = 1, 2
	err := bad.Combine()
	if errs := (Errors)(nil); !errors.As(err, &errs) || !strings.Contains(err.Error(), "shutdownDelay") {
		t.Errorf("a delay longer than the time: %v", err)
	}
}

// What Load reads of a build is among the files listed: without them there is no build.
func TestBuildFiles(t *testing.T) {
	for _, place := range []string{"", ".next"} {
		for _, build := range []string{"basepath", "next15"} {
			dir := t.TempDir()
			if err := os.CopyFS(filepath.Join(dir, place), os.DirFS(filepath.Join("testdata/next", build))); err != nil {
				t.Fatal(err)
			}
			sources := Sources{Flags: []Flag{{Name: "nextDir", Value: dir}}}
			before, _ := mustLoad(t, sources)
			files := BuildFiles(dir)
			if !slices.Contains(files, before.Next.Manifest) {
				t.Errorf("%s in %q: %s is not among %v", build, place, before.Next.Manifest, files)
			}
			for _, f := range files {
				if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
			}
			if _, _, err := Load(sources); err == nil || !strings.Contains(err.Error(), "holds no Next.js build") {
				t.Errorf("%s in %q without the files: %v", build, place, err)
			}
		}
	}
}
