package cache

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// To each other, two Disks on one folder are what two processes are: they share nothing but the files.

func TestDiskSharedFolder(t *testing.T) {
	root := t.TempDir()
	a, b := newDisk(t, root, roomy), newDisk(t, root, roomy)
	<-a.Scanned()
	<-b.Scanned()
	k := Key{1}
	mustPut(t, a, k, sized(100))
	if b.Stats().Entries != 0 || !has(t, b, k) || b.Stats().Entries != 1 || b.Stats().Bytes != fileCost(300) {
		t.Errorf("a file of the other did not join the index at its first hit: %+v", b.Stats())
	}
	mustPut(t, a, k, sized(10_000))
	if e, err := b.Get(t.Context(), k); err != nil || len(e.Body) != 10_000 {
		t.Errorf("a replaced file was not seen: %v", err)
	}
	if err := a.Delete(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if has(t, b, k) || b.Stats().Entries != 0 || b.Stats().Bytes != 0 {
		t.Errorf("a removed file is still counted: %+v", b.Stats())
	}
}

// Two that evict the same files at the same time do each other no harm.
func TestDiskSharedEviction(t *testing.T) {
	root := t.TempDir()
	a := newDisk(t, root, roomy)
	fill(t, a, 40, 100)
	b := newDisk(t, root, 10*(4096+fileOverhead)) // its scan evicts 30 of a's
	<-b.Scanned()
	if names, _ := filesIn(t, root); len(names) != 10 {
		t.Fatalf("%d files", len(names))
	}
	a.max.Store(10 * (4096 + fileOverhead))
	mustPut(t, a, Key{255}, sized(100)) // evicts in its own order, mostly what is gone
	if s := a.Stats(); s.Errors != 0 || s.Entries != 10 {
		t.Errorf("Stats: %+v", s)
	}
	a.scan(t.Context())
	b.scan(t.Context())
	names, cost := filesIn(t, root)
	for _, s := range []Stats{a.Stats(), b.Stats()} {
		if s.Entries != int64(len(names)) || s.Bytes != cost || s.Errors != 0 {
			t.Errorf("after scans: %+v, there are %d files that cost %d", s, len(names), cost)
		}
	}
}

func TestDiskRescan(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a, b := newDisk(t, root, roomy), newDisk(t, root, roomy)
		<-a.Scanned()
		<-b.Scanned()
		keys := fill(t, a, 20, 100)
		for _, k := range keys[10:] {
			if !has(t, b, k) {
				t.Fatal("missing")
			}
		}
		for _, k := range keys[:15] { // 10 that b has not seen, 5 that it has
			if err := a.Delete(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		}
		mustPut(t, a, Key{200}, sized(100))
		if s := b.Stats(); s.Entries != 10 {
			t.Errorf("before the next scan: %+v", s)
		}
		time.Sleep(defaultTiming.rescan)
		synctest.Wait()
		if s := b.Stats(); s.Entries != 6 || s.Bytes != 6*fileCost(300) {
			t.Errorf("after the next scan: %+v", s)
		}
		a.Close()
		b.Close()
	})
}

// A hit renews the file's time, but not every hit: an inode is written at most once per interval.
func TestDiskTouch(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t, root, roomy)
		<-d.Scanned()
		k := Key{1}
		mustPut(t, d, k, small())
		path := d.path(k)
		mtime := func() time.Time {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			return info.ModTime()
		}
		start := time.Now().Add(-defaultTiming.touch)
		setMtime(t, path, start)
		has(t, d, k)
		if !mtime().Equal(start) {
			t.Error("touched although the interval is not over")
		}
		time.Sleep(time.Millisecond)
		has(t, d, k)
		if !mtime().Equal(time.Now()) {
			t.Errorf("not touched after the interval: %v, now %v", mtime(), time.Now())
		}
		touched := time.Now()
		time.Sleep(defaultTiming.touch / 2)
		has(t, d, k)
		if !mtime().Equal(touched) {
			t.Error("touched twice in an interval")
		}
		d.Close()
	})
}

// What another process used is spared although this one did not use it, and goes when neither does.
func TestDiskSparesWhatTheOtherUses(t *testing.T) {
	root := t.TempDir()
	d := newDisk(t, root, 4*(4096+fileOverhead))
	<-d.Scanned()
	keys := fill(t, d, 4, 100)
	for i, k := range keys {
		at := noon.Add(time.Duration(i) * time.Hour)
		setMtime(t, d.path(k), at)
		d.index.nodes[k[0]][k].mtime = at.UnixNano()
	}
	setMtime(t, d.path(keys[0]), time.Now().Add(time.Hour)) // by the other, whose clock is ahead
	mustPut(t, d, Key{201}, sized(100))
	if !exists(d.path(keys[0])) || exists(d.path(keys[1])) {
		t.Error("the used file was evicted in place of the unused")
	}
	for i := range 4 {
		mustPut(t, d, Key{202, byte(i)}, sized(100))
	}
	if exists(d.path(keys[0])) {
		t.Error("a file was spared twice for one use")
	}
	if _, cost := filesIn(t, root); cost != d.Stats().Bytes {
		t.Errorf("Stats: %+v, files cost %d", d.Stats(), cost)
	}
}

func TestDiskTempFiles(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t, root, roomy)
		<-d.Scanned()
		if err := makeFolder(d.shardPath(5)); err != nil {
			t.Fatal(err)
		}
		old, young := d.tempPath(Key{5, 1}), d.tempPath(Key{5, 2})
		for path, age := range map[string]time.Duration{old: defaultTiming.tempAge, young: defaultTiming.tempAge - 1} {
			if err := os.WriteFile(path, []byte("half an ent"), 0o600); err != nil {
				t.Fatal(err)
			}
			setMtime(t, path, time.Now().Add(-age))
		}
		d.Close()

		d = newDisk(t, root, roomy) // the start after the crash
		<-d.Scanned()
		if exists(old) || !exists(young) {
			t.Errorf("old temporary file exists: %v, young: %v", exists(old), exists(young))
		}
		if s := d.Stats(); s.Entries != 0 || s.Errors != 0 {
			t.Errorf("Stats: %+v", s)
		}
		time.Sleep(defaultTiming.rescan)
		synctest.Wait()
		if exists(young) {
			t.Error("a temporary file grew old and stayed")
		}
		d.Close()
	})
}

// A writer so slow that its temporary file was taken for a dead process's fails, and nothing worse.
func TestDiskTempVanishes(t *testing.T) {
	d := newDisk(t, t.TempDir(), roomy)
	d.write = func(path string, header, body []byte) (int64, error) {
		mtime, err := writeTemp(path, header, body)
		return mtime, errors.Join(err, os.Remove(path))
	}
	mustFolder := makeFolder(d.shardPath(1))
	err := d.Put(t.Context(), Key{1}, small())
	var ioErr *IOError
	if mustFolder != nil || !errors.As(err, &ioErr) || ioErr.Op != "rename" {
		t.Errorf("Put: %v, %v", err, mustFolder)
	}
	if s := d.Stats(); s.Entries != 0 || s.Bytes != 0 || s.Errors != 1 {
		t.Errorf("Stats: %+v", s)
	}
}

// Next's default limit. The cache's own files count as free, so a restart does not shrink it.
func TestDiskHalfFree(t *testing.T) {
	root := t.TempDir()
	half, err := HalfFreeBytes(filepath.Join(root, "does", "not", "exist"))
	if err != nil || half <= 0 {
		t.Fatalf("HalfFreeBytes: %d, %v", half, err)
	}
	d := newDiskWith(t, DiskOptions{Path: root, MaxBytes: HalfFree}, defaultTiming)
	<-d.Scanned()
	const slack = 64 << 20 // others use the disk too
	if got := d.Stats().MaxBytes; got < half-slack || got > half+slack {
		t.Errorf("limit of an empty cache: %d, half of what is free: %d", got, half)
	}
	// as if most of what the disk can give were the cache's
	const own = 1 << 40
	d.index.add(Key{1}, own, 0, 1)
	d.updateLimit(false)
	if got := d.Stats().MaxBytes; got < half+own-slack || got > half+own+slack {
		t.Errorf("limit while scanning: %d, want room for half of what is free, %d, beside %d", got, half, own)
	}
	d.updateLimit(true)
	if got, want := d.Stats().MaxBytes, half+own/2; got < want-slack || got > want+slack {
		t.Errorf("limit of a full cache: %d, want %d", got, want)
	}
	if _, err := HalfFreeBytes("/dev/null/x"); err == nil {
		t.Error("HalfFreeBytes of a path below a file: no error")
	}
}
