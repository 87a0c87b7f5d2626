package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The tests run the real program: the test binary, linked a second time under the name imgopt, is nothing but
// main(). So the codec processes that the service starts are the very same file, and under -race all of them are
// checked.
func TestMain(m *testing.M) {
	testscript.Main(program{m}, map[string]func(){"imgopt": main})
}

// program is run once imgopt is in PATH.
type program struct{ m *testing.M }

func (p program) Run() int {
	if err := placeLibrary(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return p.m.Run()
}

// placeLibrary puts the pinned libvips beside the program, as scripts/build does. The tests then start the program
// with an environment that says nothing of libraries.
func placeLibrary() error {
	if !pinned() {
		return nil
	}
	bin, err := exec.LookPath("imgopt")
	if err != nil {
		return err
	}
	lib, err := filepath.Abs(pinnedLibrary)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(lib, "versions.json")); err != nil {
		return fmt.Errorf("no pinned libvips, run scripts/libvips or set VIPS=system: %w", err)
	}
	return os.Symlink(lib, filepath.Join(filepath.Dir(bin), "lib"))
}

const pinnedLibrary = "../../.build/libvips/lib"

// pinned reports whether the program is linked with the libvips of Next.js.
func pinned() bool { return os.Getenv("VIPS") != "system" }

// TestScripts runs command lines and looks at what they print and how they exit.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			builds, err := filepath.Abs("../../config/testdata/next")
			e.Setenv("BUILDS", builds)
			images, err2 := filepath.Abs("../../testdata/images")
			e.Setenv("IMAGES", images)
			err = errors.Join(err, err2)
			return err
		},
		Condition: func(cond string) (bool, error) {
			if cond == "pinned" {
				return pinned(), nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs a command that must end with the given code:
//
//	exits 2 imgopt config --check
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code command [args...]")
	}
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}
