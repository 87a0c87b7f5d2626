package cache

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// onDisk returns a composition of a memory tier of that size and a disk tier, and the latter.
func onDisk(t testing.TB, memory int64) (*Tiered, *Disk) {
	t.Helper()
	d := newDisk(t, t.TempDir(), roomy)
	<-d.Scanned() // which opens folders
	return NewTiered(Tier{"memory", newMemory(t, memory)}, Tier{"disk", d}), d
}

// live is fresh now, and its body says where each byte is.
func live(size int) *Entry {
	e := small()
	e.StoredAt, e.ExpiresAt = time.Now(), time.Now().Add(time.Hour)
	e.Body = make([]byte, size)
	for i := range e.Body {
		e.Body[i] = byte(i ^ i>>8)
	}
	return e
}

func mustOpen(t testing.TB, s *Tiered, k Key) *Opened {
	t.Helper()
	o := s.Open(k)
	if o == nil {
		t.Fatal("not opened")
	}
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// descriptors returns how many files in d's folder this process has open.
func descriptors(t testing.TB, d *Disk) (n int) {
	t.Helper()
	const all = "/proc/self/fd/"
	names, err := os.ReadDir(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if target, err := os.Readlink(all + name.Name()); err == nil && strings.HasPrefix(target, d.root) {
			n++
		}
	}
	return n
}

func TestOpen(t *testing.T) {
	s, d := onDisk(t, 0)
	k, e := Key{1}, live(10_000)
	mustPut(t, s, k, e)
	o := mustOpen(t, s, k)
	if o.Href() != e.Href || o.ContentType() != e.ContentType || o.ETag() != e.ETag || o.MaxAge() != e.MaxAge ||
		o.Size() != 10_000 || o.State(time.Now()) != Hit || o.State(time.Now().Add(2*time.Hour)) != Stale {
		t.Errorf("%+v", &o.entry)
	}
	if o.Sendable() {
		t.Error("may be sent, but nobody has checked the body")
	}
	if n := d.Stats(); n.Hits != 0 || n.Misses != 0 {
		t.Errorf("counted: %+v", n)
	}
	o.Hit()
	if n := d.Stats().Hits; n != 1 {
		t.Errorf("%d hits", n)
	}
	if _, err := s.Get(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, s, k)
	if !again.Sendable() || again.Wanted() || again.Wanted() {
		t.Error("not to be sent, though the body is sound and there is no memory")
	}
	if n := descriptors(t, d); n != 2 {
		t.Errorf("%d files open", n)
	}

	// The file is there whatever becomes of the entry.
	if err := s.Delete(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if s.Open(k) != nil {
		t.Error("opened though deleted")
	}
	for _, at := range []int64{0, 1, 4095, 4096, 9_999} {
		b := make([]byte, 4096)
		n, err := o.ReadAt(b, at)
		want := e.Body[at:min(at+4096, 10_000)]
		if !bytes.Equal(b[:n], want) || (err == io.EOF) != (at+4096 > 10_000) || err != nil && err != io.EOF {
			t.Errorf("at %d: %d bytes, %v", at, n, err)
		}
	}
	if n, err := o.ReadAt(make([]byte, 1), 10_000); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	fd, offset := o.File()
	b := make([]byte, 10)
	if _, err := unix.Pread(fd, b, offset); err != nil || !bytes.Equal(b, e.Body[:10]) {
		t.Errorf("%x, %v", b, err)
	}
	if err := errors.Join(o.Close(), o.Close(), again.Close()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s.Open(k) != nil {
		t.Error("opened though closed")
	}
	if n := descriptors(t, d); n != 0 {
		t.Errorf("%d files open in the end", n)
	}
}

// What Get would not simply find on disk, fresh, is left to Get, and nothing is counted or removed.
func TestNotOpened(t *testing.T) {
	k := Key{7}
	for name, c := range map[string]struct {
		memory int64
		change func(t *testing.T, s *Tiered, d *Disk)
		entry  func(*Entry)
	}{
		"absent": {change: func(t *testing.T, s *Tiered, d *Disk) {
			if err := s.Delete(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		}},
		"stale":               {entry: func(e *Entry) { e.ExpiresAt = time.Now().Add(-time.Second) }},
		"in memory":           {memory: 1 << 20},
		"stale in memory too": {memory: 1 << 20, entry: func(e *Entry) { e.ExpiresAt = time.Now().Add(-time.Second) }},
		"stale in memory, renewed on disk": {memory: 1 << 20, entry: func(e *Entry) { e.ExpiresAt = time.Now().Add(-time.Second) },
			change: func(t *testing.T, s *Tiered, d *Disk) { mustPut(t, d, k, live(100)) }},
		"purged":      {entry: func(e *Entry) { e.Mark = 0 }, change: func(t *testing.T, s *Tiered, d *Disk) { mustPurge(t, s, Purge{All: true}) }},
		"long header": {entry: func(e *Entry) { e.Href = "/" + strings.Repeat("a", headSize) }},
		"cut off":     {change: onFile(func(path string, b []byte) error { return os.Truncate(path, int64(len(b)-1)) })},
		"longer":      {change: onFile(func(path string, b []byte) error { return os.WriteFile(path, append(b, 0), 0o600) })},
		"empty":       {change: onFile(func(path string, b []byte) error { return os.Truncate(path, 0) })},
		"header damaged": {change: onFile(func(path string, b []byte) error {
			b[fixedLen]++
			return os.WriteFile(path, b, 0o600)
		})},
		"another version": {change: onFile(func(path string, b []byte) error {
			b[versionAt]++
			return os.WriteFile(path, b, 0o600)
		})},
		"another key": {change: onFile(func(path string, b []byte) error {
			b[keyAt]++
			reseal(b)
			return os.WriteFile(path, b, 0o600)
		})},
		"a folder": {change: onFile(func(path string, b []byte) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) })},
		"a link": {change: onFile(func(path string, b []byte) error {
			return errors.Join(os.Rename(path, path+"x"), os.Symlink(path+"x", path))
		})},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := onDisk(t, c.memory)
			e := live(1000)
			if c.entry != nil {
				c.entry(e)
			}
			mustPut(t, s, k, e)
			if c.change != nil {
				c.change(t, s, d)
			}
			stats, files := d.Stats(), exists(d.path(k))
			if o := s.Open(k); o != nil {
				t.Errorf("opened: %+v", &o.entry)
			}
			if n := descriptors(t, d); n != 0 {
				t.Errorf("%d files open", n)
			}
			if d.Stats() != stats || exists(d.path(k)) != files {
				t.Errorf("%+v, before %+v", d.Stats(), stats)
			}
		})
	}
}

// onFile returns a change of the file of TestNotOpened's entry, given its bytes.
func onFile(change func(path string, b []byte) error) func(*testing.T, *Tiered, *Disk) {
	return func(t *testing.T, _ *Tiered, d *Disk) {
		t.Helper()
		path := d.path(Key{7})
		b, err := os.ReadFile(path)
		if err == nil {
			err = change(path, b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A tier in between that cannot open anything, because it is far away, has to be asked.
func TestOpenBehindOthers(t *testing.T) {
	d := newDisk(t, t.TempDir(), roomy)
	k := Key{1}
	mustPut(t, d, k, live(100))
	for name, s := range map[string]*Tiered{
		"none":          NewTiered(),
		"memory":        NewTiered(Tier{"memory", newMemory(t, 1<<20)}),
		"far":           NewTiered(Tier{"far", &faulty{Store: newMemory(t, 1<<20)}}, Tier{"disk", d}),
		"two memories":  NewTiered(Tier{"memory", newMemory(t, 1<<20)}, Tier{"memory", newMemory(t, 1<<20)}, Tier{"disk", d}),
		"memory, far":   NewTiered(Tier{"memory", newMemory(t, 1<<20)}, Tier{"far", &faulty{Store: newMemory(t, 1<<20)}}, Tier{"disk", d}),
		"memory is not": NewTiered(Tier{"memory", newMemory(t, 0)}, Tier{"far", &faulty{Store: newMemory(t, 1<<20)}}),
	} {
		if o := s.Open(k); o != nil {
			_ = o.Close()
			t.Errorf("%s: opened", name)
		}
	}
	for name, s := range map[string]*Tiered{
		"disk":              NewTiered(Tier{"disk", d}),
		"memory, disk":      NewTiered(Tier{"memory", newMemory(t, 1<<20)}, Tier{"disk", d}),
		"memory, disk, far": NewTiered(Tier{"memory", newMemory(t, 1<<20)}, Tier{"disk", d}, Tier{"far", &faulty{Store: newMemory(t, 1<<20)}}),
	} {
		if o := s.Open(k); o == nil {
			t.Errorf("%s: not opened", name)
		} else if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A file is not sent before its body was checked in this process, nor after it changed, whoever changed it.
func TestSendableOnlyIfChecked(t *testing.T) {
	k := Key{7}
	flip := func(path string, b []byte) error {
		b[len(b)-1]++
		return os.WriteFile(path, b, 0o600)
	}
	for name, change := range map[string]func(*testing.T, *Tiered, *Disk){
		"body damaged": onFile(flip),
		"body damaged, time restored": onFile(func(path string, b []byte) error {
			st, err := os.Stat(path)
			return errors.Join(err, flip(path, b), os.Chtimes(path, st.ModTime(), st.ModTime()))
		}),
		"replaced": onFile(func(path string, b []byte) error {
			b[len(b)-1]++
			other := filepath.Join(filepath.Dir(path), "other")
			return errors.Join(os.WriteFile(other, b, 0o600), os.Rename(other, path))
		}),
		"put again": func(t *testing.T, s *Tiered, _ *Disk) { mustPut(t, s, k, live(1000)) },
	} {
		t.Run(name, func(t *testing.T) {
			s, d := onDisk(t, 0)
			mustPut(t, s, k, live(1000))
			if !has(t, s, k) || !mustOpen(t, s, k).Sendable() {
				t.Fatal("not sendable to begin with")
			}
			change(t, s, d)
			if mustOpen(t, s, k).Sendable() {
				t.Error("may be sent unchecked")
			}
			sound := name == "put again"
			if _, err := s.Get(t.Context(), k); (err == nil) != sound {
				t.Errorf("Get: %v", err)
			}
			if n := d.Stats().Corrupt; (n == 0) != sound {
				t.Errorf("%d corrupt", n)
			}
			if o := s.Open(k); (o != nil && o.Sendable()) != sound {
				t.Errorf("afterwards: %v", o)
			}
		})
	}
	t.Run("another process", func(t *testing.T) {
		s, d := onDisk(t, 0)
		mustPut(t, s, k, live(1000))
		if !has(t, s, k) {
			t.Fatal("absent")
		}
		next := newDisk(t, d.root, roomy)
		<-next.Scanned()
		o := next.open(k)
		if o == nil {
			t.Fatal("not opened")
		}
		defer o.Close()
		if o.Sendable() {
			t.Error("may be sent, but nobody has checked it since the start")
		}
		if !has(t, next, k) || !o.Sendable() {
			t.Error("may not be sent")
		}
	})
}
