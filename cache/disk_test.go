package cache

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const roomy = 1 << 30

func newDisk(t testing.TB, path string, size int64) *Disk {
	t.Helper()
	return newDiskWith(t, DiskOptions{Path: path, MaxBytes: size}, defaultTiming)
}

func newDiskWith(t testing.TB, o DiskOptions, timing diskTiming) *Disk {
	t.Helper()
	d, err := openDisk(o, timing)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func mustPut(t testing.TB, s Store, k Key, e *Entry) {
	t.Helper()
	if err := s.Put(t.Context(), k, e); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

func has(t testing.TB, s Store, k Key) bool {
	t.Helper()
	_, err := s.Get(t.Context(), k)
	if err != nil && !errors.Is(err, ErrMiss) {
		t.Fatalf("Get: %v", err)
	}
	return err == nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// filesIn returns the names of all files below path, and what they cost.
func filesIn(t testing.TB, path string) (names []string, cost int64) {
	t.Helper()
	err := filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed while we walk
		}
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		names = append(names, p)
		cost += fileCost(info.Size())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names, cost
}

func setMtime(t testing.TB, path string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestOpenDiskRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []DiskOptions{
		{Path: "", MaxBytes: 1},
		{Path: t.TempDir(), MaxBytes: 0},
		{Path: t.TempDir(), MaxBytes: -2},
		{Path: file, MaxBytes: 1},
		{Path: filepath.Join(file, "sub"), MaxBytes: HalfFree},
	} {
		if d, err := OpenDisk(o); err == nil {
			d.Close()
			t.Errorf("OpenDisk(%+v): no error", o)
		}
	}
}

func TestDiskFiles(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a", "b")
	d := newDisk(t, root, roomy)
	k := Key{0x3f, 1}
	mustPut(t, d, k, sized(1000))
	names, cost := filesIn(t, root)
	if len(names) != 1 || names[0] != filepath.Join(root, "3f", k.String()+".entry") {
		t.Fatalf("files: %v", names)
	}
	if s := d.Stats(); s.Bytes != cost || s.Bytes != 4096+fileOverhead || s.Entries != 1 {
		t.Errorf("Stats: %+v, files cost %d", s, cost)
	}
	for path, want := range map[string]fs.FileMode{names[0]: 0o600, filepath.Dir(names[0]): 0o700 | fs.ModeDir, root: 0o700 | fs.ModeDir, filepath.Dir(root): 0o700 | fs.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

func TestDiskDamagedFile(t *testing.T) {
	k := Key{1}
	good := encode(t, k, small())
	var logged bytes.Buffer
	d := newDiskWith(t, DiskOptions{Path: t.TempDir(), MaxBytes: roomy, Log: slog.New(slog.NewTextHandler(&logged, nil))}, defaultTiming)
	path := d.path(k)
	damaged := uint64(0)
	check := func(b []byte) {
		t.Helper()
		mustPut(t, d, k, small())
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		damaged++
		_, err := d.Get(t.Context(), k)
		var corrupt *CorruptError
		if !errors.Is(err, ErrMiss) || !errors.As(err, &corrupt) {
			t.Fatalf("Get: %v", err)
		}
		if exists(path) {
			t.Fatal("the damaged file is still there")
		}
		if s := d.Stats(); s.Corrupt != damaged || s.Misses != damaged || s.Entries != 0 || s.Bytes != 0 {
			t.Fatalf("Stats after %d damaged files: %+v", damaged, s)
		}
	}
	for n := range good {
		check(good[:n])
	}
	for i := range good {
		if i >= versionAt && i < versionAt+4 {
			continue
		}
		b := append([]byte(nil), good...)
		b[i] ^= 1 << (i % 8)
		check(b)
	}
	check(append(append([]byte(nil), good...), 'x'))
	check(encode(t, Key{2}, small())) // somebody renamed a file
	if n := strings.Count(logged.String(), "damaged file removed"); uint64(n) != damaged || !strings.Contains(logged.String(), path) {
		t.Errorf("%d log lines about %d damaged files", n, damaged)
	}
	// and the place is usable again
	mustPut(t, d, k, small())
	if !has(t, d, k) {
		t.Error("no entry after damage was repaired by a Put")
	}
}

// During an upgrade the old and the new version may share the folder: neither removes the other's entries.
func TestDiskOtherVersion(t *testing.T) {
	d := newDisk(t, t.TempDir(), roomy)
	k := Key{1}
	mustPut(t, d, k, small())
	b := encode(t, k, small())
	b[versionAt]++
	if err := os.WriteFile(d.path(k), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get(t.Context(), k); !errors.Is(err, ErrMiss) || !errors.Is(err, ErrVersion) {
		t.Errorf("Get: %v", err)
	}
	if s := d.Stats(); s.Corrupt != 0 || s.Misses != 1 || !exists(d.path(k)) {
		t.Errorf("Stats: %+v, file exists: %v", s, exists(d.path(k)))
	}
	mustPut(t, d, k, small())
	if !has(t, d, k) {
		t.Error("a Put did not replace the other version's entry")
	}
}

func TestDiskEvictsLeastRecentlyUsed(t *testing.T) {
	const each = 4096 + fileOverhead
	d := newDisk(t, t.TempDir(), 4*each)
	key := func(i int) Key { return Key{byte(i * 50), byte(i)} }
	for i := range 4 {
		mustPut(t, d, key(i), sized(100))
	}
	has(t, d, key(0)) // now 1 is the oldest
	mustPut(t, d, key(4), sized(100))
	has(t, d, key(2)) // now 3
	mustPut(t, d, key(5), sized(100))
	for i, want := range []bool{true, false, true, false, true, true} {
		if got := exists(d.path(key(i))); got != want {
			t.Errorf("entry %d exists: %v, want %v", i, got, want)
		}
	}
	if s := d.Stats(); s.Evictions != 2 || s.Bytes != 4*each {
		t.Errorf("Stats: %+v", s)
	}
	// one that needs all the room
	mustPut(t, d, key(6), sized(4*4096-200))
	if s := d.Stats(); s.Entries != 1 || !has(t, d, key(6)) {
		t.Errorf("Stats: %+v", s)
	}
	// and one that cannot have it takes its predecessor with it
	if err := d.Put(t.Context(), key(6), sized(4*each)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Put: %v", err)
	}
	if s := d.Stats(); s.Rejected != 1 || s.Entries != 0 || s.Bytes != 0 || exists(d.path(key(6))) {
		t.Errorf("Stats: %+v", s)
	}
}

func TestDiskBoundUnderConcurrency(t *testing.T) {
	const limit = 40 * (8192 + fileOverhead)
	root := t.TempDir()
	d := newDisk(t, root, limit)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() { // stored bytes are never beyond the limit, not even for a moment
		for {
			select {
			case <-stop:
				return
			default:
				if s := d.Stats(); s.Bytes > limit || s.Bytes < 0 {
					t.Errorf("%d bytes of %d", s.Bytes, limit)
					return
				}
			}
		}
	})
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 300 {
				n := (i*7 + w*13) % 120
				k := Key{byte(n), byte(n >> 4)}
				var err error
				if i%10 == 9 {
					err = d.Delete(t.Context(), k)
				} else if i%3 == 0 {
					if _, err = d.Get(t.Context(), k); errors.Is(err, ErrMiss) {
						err = nil
					}
				} else {
					err = d.Put(t.Context(), k, sized(1000+i*37%12_000))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	wg.Wait()
	names, cost := filesIn(t, root)
	if s := d.Stats(); s.Bytes != cost || s.Entries != int64(len(names)) || cost > limit || s.Evictions == 0 {
		t.Errorf("Stats: %+v; there are %d files that cost %d of %d", s, len(names), cost, limit)
	}
}

// Right after a start the scan has not come far, or nowhere: entries are found all the same.
func TestDiskWarmBeforeScan(t *testing.T) {
	root := t.TempDir()
	d := newDisk(t, root, roomy)
	keys := fill(t, d, 300, 100)
	d.Close()

	d, err := openDisk(DiskOptions{Path: root, MaxBytes: roomy}, defaultTiming)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.cancel() // ends the scan where it is
	<-d.done
	for _, k := range keys {
		if !has(t, d, k) {
			t.Fatal("an entry is missing")
		}
	}
	if s := d.Stats(); s.Entries != 300 || s.Hits != 300 || s.Bytes != 300*(4096+fileOverhead) {
		t.Errorf("Stats: %+v", s)
	}
}

// The order of a restarted process is that of the files' times.
func TestDiskWarmOrder(t *testing.T) {
	const each = 4096 + fileOverhead
	root := t.TempDir()
	d := newDisk(t, root, roomy)
	keys := fill(t, d, 6, 100)
	for age, i := range []int{3, 0, 5, 1, 4, 2} { // youngest first
		setMtime(t, d.path(keys[i]), noon.Add(-time.Duration(age)*time.Hour))
	}
	d.Close()

	d = newDisk(t, root, 4*each) // and the limit has become smaller
	<-d.Scanned()
	if s := d.Stats(); s.Entries != 4 || s.Bytes != 4*each || s.Evictions != 2 {
		t.Errorf("Stats after the scan: %+v", s)
	}
	mustPut(t, d, Key{255}, sized(100))
	for i, want := range map[int]bool{3: true, 0: true, 5: true, 1: false, 4: false, 2: false} {
		if got := exists(d.path(keys[i])); got != want {
			t.Errorf("entry %d exists: %v, want %v", i, got, want)
		}
	}
}

// A Get that opened a file just before it was replaced must not count, or remove, the new one as the old.
func TestDiskRemovesOnlyWhatItRead(t *testing.T) {
	d := newDisk(t, t.TempDir(), roomy)
	k := Key{1}
	mustPut(t, d, k, small())
	_, st, err := readFile(d.path(k))
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, d, k, small())
	d.removeIfSame(k, &st)
	if !has(t, d, k) {
		t.Error("the new file was removed in place of the old")
	}
}

// An eviction that comes after its file was replaced leaves the new file alone.
func TestDiskEvictsOnlyWhatItChose(t *testing.T) {
	d := newDisk(t, t.TempDir(), roomy)
	k := Key{1}
	mustPut(t, d, k, sized(10_000))
	v := d.index.pop()
	mustPut(t, d, k, sized(100))
	d.evict(v)
	if s := d.Stats(); !has(t, d, k) || s.Evictions != 0 || s.Bytes != fileCost(300) {
		t.Errorf("Stats: %+v", s)
	}
}

func TestDiskCloseWaits(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t, root, roomy)
		<-d.Scanned()
		synctest.Wait() // between two scans
		if err := d.Close(); err != nil || !isClosed(d.done) {
			t.Errorf("Close: %v, its goroutine has ended: %v", err, isClosed(d.done))
		}
	})
}

func TestDiskDeleteWhileContextEnded(t *testing.T) {
	d := newDisk(t, t.TempDir(), roomy)
	mustPut(t, d, Key{1}, small())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Get(ctx, Key{1}); !errors.Is(err, ErrMiss) || !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v", err)
	}
	if err := d.Put(ctx, Key{1}, small()); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v", err)
	}
	if err := d.Delete(ctx, Key{1}); err != nil || has(t, d, Key{1}) { // a purge is carried out
		t.Errorf("Delete: %v", err)
	}
}
