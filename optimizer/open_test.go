package optimizer_test

import (
	"bytes"
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/optimizer"
)

// What is fresh and on disk alone is opened. What is in memory, stale or absent is left to others.
func TestOpen(t *testing.T) {
	o := newOrigin(t, serving(photo(t, 1), "Cache-Control", "max-age=7200"))
	disk, err := cache.OpenDisk(cache.DiskOptions{Path: t.TempDir(), MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	memory, err := cache.NewMemory(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, o, func(opts *optimizer.Options) {
		opts.Memory = memory
		opts.Store = cache.NewTiered(cache.Tier{Name: "memory", Store: memory}, cache.Tier{Name: "disk", Store: disk})
	})
	t.Cleanup(func() {
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.Open(params) != nil {
		t.Error("opened before it was made")
	}
	e := get(t, s, params).Entry
	if s.Open(params) != nil {
		t.Error("opened though it is in memory")
	}
	if err := memory.Delete(t.Context(), s.Key(params)); err != nil {
		t.Fatal(err)
	}
	opened := s.Open(params)
	if opened == nil {
		t.Fatal("not opened")
	}
	b := make([]byte, opened.Size())
	if _, err := opened.ReadAt(b, 0); err != nil || !bytes.Equal(b, e.Body) || opened.ETag() != e.ETag {
		t.Errorf("%d bytes, tag %q, %v", len(b), opened.ETag(), err)
	}
	if err := opened.Close(); err != nil {
		t.Error(err)
	}
	s.advance(2*time.Hour + time.Second)
	if s.Open(params) != nil {
		t.Error("opened though stale")
	}
	if newService(t, o).Open(params) != nil {
		t.Error("opened by who has no disk")
	}
}
