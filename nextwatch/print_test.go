package nextwatch

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"imgopt/config"
)

const builds = "../config/testdata/next"

// copyBuild makes a copy of one of the test data's builds, with a BUILD_ID unless it is "".
func copyBuild(t *testing.T, dir, name, id string) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(builds, name))); err != nil {
		t.Fatal(err)
	}
	if id != "" {
		write(t, filepath.Join(dir, config.BuildID), id)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A print is that of the content: of the settings and the name, wherever they are, and of nothing else.
func TestPrint(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	copyBuild(t, a, "basepath", "one")
	copyBuild(t, b, "basepath", "one")
	look := func(dir string) Print { return NewLooker(dir).Look() }
	first := look(a)
	if !first.ID || !first.Manifest || first != look(a) || first != look(b) {
		t.Fatalf("the same build twice: %v, %v", first, look(b))
	}
	write(t, filepath.Join(b, "other.json"), "{}")
	must(t, os.Chtimes(filepath.Join(b, config.BuildID), time.Now(), time.Now().Add(time.Hour)))
	if look(b) != first {
		t.Error("another print after what does not matter")
	}

	seen := map[Print]string{first: "first", {}: "no print"}
	expect := func(what string, dir string, id, manifest bool) {
		t.Helper()
		p := look(dir)
		if before, ok := seen[p]; ok || p.ID != id || p.Manifest != manifest {
			t.Errorf("%s: %+v, the print of %q", what, p, before)
		}
		seen[p] = what
	}
	write(t, filepath.Join(b, config.BuildID), "two")
	expect("another name", b, true, true)
	must(t, os.Remove(filepath.Join(b, config.BuildID)))
	expect("no name", b, false, true)
	must(t, os.Mkdir(filepath.Join(b, ".next"), 0o700))
	must(t, os.Rename(filepath.Join(b, "required-server-files.json"), filepath.Join(b, ".next", "required-server-files.json")))
	expect("moved", b, false, true)
	write(t, filepath.Join(b, "required-server-files.json"), "{}")
	expect("cut off", b, false, true)
	must(t, os.Remove(filepath.Join(b, "required-server-files.json")))
	must(t, syscall.Mkfifo(filepath.Join(b, "required-server-files.json"), 0o600)) // must not be waited for
	expect("a pipe", b, false, true)
	expect("nothing", filepath.Join(b, "nothing"), false, false)
	write(t, filepath.Join(b, "file"), "")
	if look(filepath.Join(b, "file")) != look(filepath.Join(b, "nothing")) {
		t.Error("a file in the build's place is another print than nothing")
	}
}

// A file is read again only if it may have changed, and then in any case: all times and sizes may be the same.
func TestLookerReads(t *testing.T) {
	dir := t.TempDir()
	copyBuild(t, filepath.Join(dir, "a"), "basepath", "one")
	copyBuild(t, filepath.Join(dir, "b"), "basepath", "two")
	epoch := time.Unix(0, 0)
	for _, name := range []string{"a", "b"} {
		for _, path := range config.BuildFiles(filepath.Join(dir, name)) {
			if _, err := os.Stat(path); err == nil {
				must(t, os.Chtimes(path, epoch, epoch))
			}
		}
	}
	link := filepath.Join(dir, "current")
	must(t, os.Symlink("a", link))
	l := NewLooker(link)
	reads := func() (n int) {
		for _, f := range l.files {
			n += f.reads
		}
		return n
	}
	const there = 4 // three manifests and BUILD_ID
	first := l.Look()
	if n := reads(); n != there {
		t.Fatalf("%d files read, want %d", n, there)
	}
	// They were made a moment ago, so they are not trusted yet.
	if l.Look() != first || reads() != 2*there {
		t.Errorf("%d files read, want all again", reads())
	}
	for _, f := range l.files {
		f.settled = f.there // as if they had been made long ago
	}
	if l.Look() != first || reads() != 2*there {
		t.Errorf("%d files read, want none again", reads())
	}
	must(t, os.Remove(link))
	must(t, os.Symlink("b", link))
	second := l.Look()
	if second == first || reads() != 3*there {
		t.Errorf("the other build: the same print %t, %d files read", second == first, reads())
	}
	if want := NewLooker(filepath.Join(dir, "b")).Look(); second != want {
		t.Error("not the print of the other build")
	}
}
