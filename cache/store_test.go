package cache_test

import (
	"path/filepath"
	"testing"

	"imgopt/cache"
	"imgopt/cache/storetest"
)

func openMemory(t *testing.T) *cache.Memory {
	t.Helper()
	m, err := cache.NewMemory(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func openDisk(t *testing.T, path string) *cache.Disk {
	t.Helper()
	d, err := cache.OpenDisk(cache.DiskOptions{Path: path, MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestMemoryConforms(t *testing.T) {
	storetest.Run(t, storetest.Subject{Open: func(t *testing.T) cache.Store { return openMemory(t) }})
}

func TestDiskConforms(t *testing.T) {
	paths := map[cache.Store]string{}
	storetest.Run(t, storetest.Subject{
		Open: func(t *testing.T) cache.Store {
			path := filepath.Join(t.TempDir(), "not", "there", "yet")
			d := openDisk(t, path)
			paths[d] = path
			return d
		},
		Reopen: func(t *testing.T, s cache.Store) cache.Store { return openDisk(t, paths[s]) },
	})
}

func TestTieredConforms(t *testing.T) {
	paths := map[cache.Store]string{}
	open := func(t *testing.T, path string) cache.Store {
		s := cache.NewTiered(
			cache.Tier{Name: "memory", Store: openMemory(t)},
			cache.Tier{Name: "disk", Store: openDisk(t, path)},
		)
		paths[s] = path
		return s
	}
	storetest.Run(t, storetest.Subject{
		Open:   func(t *testing.T) cache.Store { return open(t, t.TempDir()) },
		Reopen: func(t *testing.T, s cache.Store) cache.Store { return open(t, paths[s]) },
	})
}

// Three tiers have a middle one, to which entries are promoted as well.
func TestThreeTiersConform(t *testing.T) {
	paths := map[cache.Store]string{}
	open := func(t *testing.T, path string) cache.Store {
		s := cache.NewTiered(
			cache.Tier{Name: "memory", Store: openMemory(t)},
			cache.Tier{Name: "near", Store: openDisk(t, filepath.Join(path, "near"))},
			cache.Tier{Name: "far", Store: openDisk(t, filepath.Join(path, "far"))},
		)
		paths[s] = path
		return s
	}
	storetest.Run(t, storetest.Subject{
		Open:   func(t *testing.T) cache.Store { return open(t, t.TempDir()) },
		Reopen: func(t *testing.T, s cache.Store) cache.Store { return open(t, paths[s]) },
	})
}
