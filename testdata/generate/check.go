package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// verify changes nothing in dir. It fails if a file is missing, unknown or not what the manifest
// says, if cases.json does not fit the files, or if making everything anew with the same Go and
// libvips gives other bytes. With other versions such differences are told, but no failure; nor are
// those of files that a program from outside made.
func verify(dir string, log io.Writer) error {
	sums, made, err := readManifest(dir)
	if err != nil {
		return err
	}
	wrong := 0
	complain := func(format string, args ...any) {
		wrong++
		fmt.Fprintf(log, format+"\n", args...)
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			complain("%s: missing", name)
		} else if sum(b) != sums[name] {
			complain("%s: not what the manifest says", name)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if n := e.Name(); sums[n] == "" && n != manifestFile && n != casesFile && n != readmeFile {
			complain("%s: not in the manifest", n)
		}
	}
	old, err := readCases(filepath.Join(dir, casesFile))
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		switch t := old[name]; {
		case t.SHA256 != sums[name]:
			complain("%s: cases.json has another checksum", name)
		case t.Next == nil:
			complain("%s: cases.json lacks Next's answer (run testdata/generate/oracle.mjs)", name)
		}
	}

	files, c, kept, err := build(dir)
	if err != nil {
		return err
	}
	noteKept(log, kept)
	tool := map[string]string{}
	for _, t := range c.cases {
		tool[t.File] = t.Tool
	}
	same := made == madeWith()
	if !same {
		fmt.Fprintf(log, "the folder was %s; this is %s: differences below are no failure\n", made[2:], madeWith()[12:])
	}
	differ := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		was, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && bytes.Equal(was, files[name]) {
			continue
		}
		differ++
		switch {
		case tool[name] != "":
			fmt.Fprintf(log, "%s: made anew by the installed %s it differs (no failure)\n", name, tool[name])
		case same:
			complain("%s: made anew it differs", name)
		default:
			fmt.Fprintf(log, "%s: made anew it differs\n", name)
		}
	}
	fmt.Fprintf(log, "%d files checked, %d made anew, %d of them differ\n", len(sums), len(files)-len(kept), differ)
	if wrong > 0 {
		return fmt.Errorf("%d faults in %s", wrong, dir)
	}
	return nil
}
