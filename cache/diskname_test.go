package cache

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDiskLeavesOtherFilesAlone(t *testing.T) {
	root := t.TempDir()
	d := newDisk(t, root, 10*(4096+fileOverhead))
	k := Key{0x3f}
	mustPut(t, d, k, small())
	long := strings.Repeat("0", 62)
	var others []string
	for _, name := range []string{
		"holiday.jpg", "3f/holiday.jpg", "3f/" + k.String(), "3f/" + k.String() + ".entry.bak", "3f/." + k.String() + ".tmp",
		"3f/" + strings.ToUpper(k.String()) + ".entry", "3f/ab" + long + ".entry", // not where it would belong
		"3f/.ab" + long + ".0123456789abcdef.tmp", "3f/." + k.String() + ".0123456789ABCDEF.tmp", "3f/." + k.String() + ".0123456789abcdef0.tmp",
		"xx/" + k.String() + ".entry", "3f/sub/" + k.String() + ".entry", k.String() + ".entry",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("mine"), 0o600)); err != nil {
			t.Fatal(err)
		}
		setMtime(t, path, time.Unix(0, 0))
		others = append(others, path)
	}
	d.Close()
	d = newDisk(t, root, 10*(4096+fileOverhead))
	<-d.Scanned()
	if s := d.Stats(); s.Entries != 1 {
		t.Errorf("Stats: %+v", s)
	}
	fill(t, d, 100, 1000)
	for _, path := range others {
		if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
}

// Only names that this package makes, in the folder they belong to, are ours.
func TestDiskNames(t *testing.T) {
	d := newDisk(t, t.TempDir(), roomy)
	k := Key{0x3f, 7}
	entry, temp := filepath.Base(d.path(k)), filepath.Base(d.tempPath(k))
	if got, ok := entryKey(0x3f, entry); !ok || got != k {
		t.Errorf("entryKey(%s): %v, %v", entry, got, ok)
	}
	if another := filepath.Base(d.tempPath(k)); !isTemp(0x3f, temp) || another == temp {
		t.Errorf("isTemp(%s): false, or two writers with one name", temp)
	}
	if _, ok := entryKey(0x40, entry); ok || isTemp(0x40, temp) {
		t.Error("a name was accepted in another key's folder")
	}
	for _, name := range []string{"", ".", "..", entrySuffix, tempSuffix, "." + tempSuffix, entry[1:], "0" + entry, entry + "~", temp[1:], "." + temp, temp + "~", strings.Replace(temp, ".tmp", "0.tmp", 1)} {
		if _, ok := entryKey(0x3f, name); ok || isTemp(0x3f, name) {
			t.Errorf("%q was accepted", name)
		}
	}
}

// What has the name of an entry but is no file is a miss that neither blocks nor leads out of the folder.
func TestDiskStrangeFiles(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	d := newDisk(t, t.TempDir(), roomy)
	link, dir, fifo := Key{1, 1}, Key{1, 2}, Key{1, 3}
	if err := os.WriteFile(outside, encode(t, link, small()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(d.shardPath(1), 0o700), os.Symlink(outside, d.path(link)), os.MkdirAll(filepath.Join(d.path(dir), "x"), 0o700), mkfifo(d.path(fifo))); err != nil {
		t.Fatal(err)
	}
	for _, k := range []Key{link, dir, fifo} {
		if has(t, d, k) {
			t.Errorf("%v: an entry", k)
		}
	}
	mustPut(t, d, link, small())
	if !has(t, d, link) {
		t.Error("a Put did not replace the link")
	}
	if b, err := os.ReadFile(outside); err != nil || !bytes.Equal(b, encode(t, link, small())) {
		t.Errorf("the link's target was changed: %v", err)
	}
	if err := d.Put(t.Context(), dir, small()); err == nil {
		t.Error("a Put replaced a folder")
	}
	if !exists(filepath.Join(d.path(dir), "x")) {
		t.Error("a folder was removed")
	}
	names, _ := filesIn(t, d.root)
	if len(names) != 1 { // no temporary file is left from the Put that failed, and the fifo is gone
		t.Errorf("files: %v", names)
	}
}
