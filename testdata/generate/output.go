package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Files of the corpus that are no cases.
const (
	manifestFile = "MANIFEST"
	casesFile    = "cases.json"
	readmeFile   = "README.md"
	sheetFile    = "contact-sheet.webp"
)

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// madeWith names what the bytes depend on besides this program: another Go may compress otherwise,
// another libvips encode otherwise, another processor round otherwise.
func madeWith() string {
	return fmt.Sprintf("# made with %s %s, libvips %s", runtime.Version(), runtime.GOARCH, vipsVersion())
}

// build makes the whole folder: file name to content. kept are files whose program is missing.
func build(dir string) (files map[string][]byte, c *corpus, kept []string, err error) {
	defer func() { // recipes that ran while the cases were listed
		if v := recover(); v != nil {
			f, ok := v.(failed)
			if !ok {
				panic(v)
			}
			err = fmt.Errorf("list of cases: %w", f.error)
		}
	}()
	c = newCorpus()
	kept, err = c.build(func(file string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, file)) })
	if err != nil {
		return nil, nil, nil, err
	}
	if err := c.recall(filepath.Join(dir, casesFile)); err != nil {
		return nil, nil, nil, err
	}
	files = map[string][]byte{}
	for _, t := range c.cases {
		files[t.File] = t.body
	}
	if files[sheetFile], err = c.sheet(); err != nil {
		return nil, nil, nil, err
	}
	files[casesFile] = c.list()
	files[readmeFile] = c.readme()
	files[manifestFile] = manifest(files)
	return files, c, kept, nil
}

// manifest lists every other file as sha256sum does, so that `sha256sum -c MANIFEST` works. The
// list of cases and the README are left out: they change without any image changing.
func manifest(files map[string][]byte) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, madeWith())
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name != casesFile && name != readmeFile {
			fmt.Fprintf(&b, "%s  %s\n", sum(files[name]), name)
		}
	}
	return b.Bytes()
}

// list is cases.json: one case a line.
func (c *corpus) list() []byte {
	var b bytes.Buffer
	b.WriteString("[\n")
	for i, t := range c.cases {
		var line bytes.Buffer
		e := json.NewEncoder(&line)
		e.SetEscapeHTML(false)
		must(0, e.Encode(t))
		b.Write(bytes.TrimSpace(line.Bytes()))
		if i < len(c.cases)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]\n")
	return b.Bytes()
}

// recall takes over what oracle.mjs wrote about files that have not changed since.
func (c *corpus) recall(path string) error {
	old, err := readCases(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, t := range c.cases {
		if o := old[t.File]; o != nil && o.SHA256 == t.SHA256 {
			t.Next = o.Next
		}
	}
	return err
}

func readCases(path string) (map[string]*testCase, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cases: %w", err)
	}
	var list []*testCase
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("cases: %s: %w", path, err)
	}
	out := map[string]*testCase{}
	for _, t := range list {
		out[t.File] = t
	}
	return out, nil
}

// write makes the folder and takes away files of an earlier one that are no longer made.
func write(dir string, log io.Writer) error {
	files, c, kept, err := build(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	old, _, err := readManifest(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for name := range old {
		if _, still := files[name]; !still {
			fmt.Fprintln(log, "removed", name)
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	total, changed := 0, 0
	for name, b := range files {
		total += len(b)
		path := filepath.Join(dir, name)
		if was, err := os.ReadFile(path); err == nil && bytes.Equal(was, b) {
			continue
		}
		changed++
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	noteKept(log, kept)
	asked := 0
	for _, t := range c.cases {
		if t.Next != nil {
			asked++
		}
	}
	fmt.Fprintf(log, "%d cases, %d files, %d bytes; %d files changed; %d cases know Next's answer", len(c.cases), len(files), total, changed, asked)
	if asked < len(c.cases) {
		fmt.Fprint(log, " (run testdata/generate/oracle.mjs for the others)")
	}
	fmt.Fprintln(log)
	return nil
}

func noteKept(log io.Writer, kept []string) {
	if len(kept) > 0 {
		fmt.Fprintf(log, "kept as committed, their programs are not installed (testdata/generate/tools): %s\n", strings.Join(kept, " "))
	}
}

// readManifest gives checksums by file, and the line that says what made them.
func readManifest(dir string) (sums map[string]string, made string, err error) {
	b, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return nil, "", fmt.Errorf("manifest: %w", err)
	}
	sums = map[string]string{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			made = line
			continue
		}
		digest, name, ok := strings.Cut(line, "  ")
		if !ok || name != filepath.Base(name) {
			return nil, "", fmt.Errorf("manifest: line %q", line)
		}
		sums[name] = digest
	}
	return sums, made, nil
}
