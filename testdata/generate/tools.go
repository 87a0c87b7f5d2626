package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// errNoTool says that a program from outside is not installed.
var errNoTool = errors.New("not installed")

// runTool runs a program in an empty folder in which the file in holds input, and gives what it
// left in the file out. The pinned libvips cannot write JPEG XL, JPEG 2000, HEIC or arithmetic
// JPEG; these programs can (testdata/generate/tools installs them).
func runTool(name string, input []byte, in, out string, args ...string) []byte {
	path, err := exec.LookPath(name)
	if err != nil {
		panic(failed{fmt.Errorf("%s: %w", name, errNoTool)})
	}
	dir := must(os.MkdirTemp("", "generate"))
	defer os.RemoveAll(dir)
	must(0, os.WriteFile(filepath.Join(dir, in), input, 0o600))
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	if log, err := cmd.CombinedOutput(); err != nil {
		panic(failed{fmt.Errorf("%s: %w: %s", name, err, log)})
	}
	return must(os.ReadFile(filepath.Join(dir, out)))
}
