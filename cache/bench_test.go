package cache

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/google/renameio/v2"
)

const benchBody = 45_000 // a webp of 828 pixels' width

func BenchmarkMemoryHit(b *testing.B) {
	m := newMemory(b, 256<<20)
	benchGet(b, m, fill(b, m, 600, benchBody))
}

func BenchmarkTieredMemoryHit(b *testing.B) {
	s := NewTiered(Tier{"memory", newMemory(b, 256<<20)}, Tier{"disk", newDisk(b, b.TempDir(), roomy)})
	keys := make([]Key, 600)
	for i := range keys {
		e := sized(benchBody)
		e.ExpiresAt = time.Now().Add(time.Hour)
		keys[i] = Key{byte(i), byte(i >> 8)}
		mustPut(b, s, keys[i], e)
	}
	benchGet(b, s, keys)
}

func BenchmarkDiskHit(b *testing.B) {
	// A service has a heap. Without one the benchmark would be of a garbage collector that runs every 80 hits.
	m := newMemory(b, 256<<20)
	fill(b, m, 5000, benchBody)
	d := newDisk(b, b.TempDir(), roomy)
	benchGet(b, d, fill(b, d, 600, benchBody))
	runtime.KeepAlive(m)
}

func BenchmarkDiskMiss(b *testing.B) {
	d := newDisk(b, b.TempDir(), roomy)
	fill(b, d, 600, 100)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if _, err := d.Get(b.Context(), Key{byte(i), 9, byte(i >> 8), 9}); err != ErrMiss {
			b.Fatal(err)
		}
	}
}

func benchGet(b *testing.B, s Store, keys []Key) {
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		ctx := context.Background()
		for i := 0; pb.Next(); i++ {
			if _, err := s.Get(ctx, keys[i%len(keys)]); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkReadFile compares ways to read a file of the size of an entry: why readFile is what it is.
func BenchmarkReadFile(b *testing.B) {
	d := newDisk(b, b.TempDir(), roomy)
	keys := fill(b, d, 600, benchBody)
	root, err := os.OpenRoot(d.root)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	for _, way := range []struct {
		name string
		read func(Key) error
	}{
		{"syscalls", func(k Key) error { _, _, err := readFile(d.path(k)); return err }},
		{"os", func(k Key) error { _, err := os.ReadFile(d.path(k)); return err }},
		{"root", func(k Key) error {
			f, err := root.Open(d.path(k)[len(d.root)+1:])
			if err != nil {
				return err
			}
			info, err := f.Stat()
			if err != nil {
				return err
			}
			_, err = io.ReadFull(f, make([]byte, info.Size()))
			return errors.Join(err, f.Close())
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if err := way.read(keys[i%len(keys)]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkDiskPut(b *testing.B) {
	for _, size := range []int{benchBody, 50_000_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			d := newDisk(b, b.TempDir(), roomy)
			e := sized(size)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				mustPut(b, d, Key{byte(i), byte(i >> 8)}, e)
				i++
			}
		})
	}
}

// BenchmarkRenameio is what a Put would cost with a sync.
func BenchmarkRenameio(b *testing.B) {
	dir := b.TempDir()
	body := make([]byte, benchBody)
	i := 0
	for b.Loop() {
		if err := renameio.WriteFile(dir+"/"+strconv.Itoa(i%600), body, 0o600); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkDiskScan is what a start, and every comparison afterwards, costs per file.
func BenchmarkDiskScan(b *testing.B) {
	const files = 20_000
	root := b.TempDir()
	d := newDisk(b, root, roomy)
	for i := range files {
		mustPut(b, d, Key{byte(i), byte(i >> 8), byte(i >> 16)}, sized(1))
	}
	d.Close()
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			d := newDisk(b, root, roomy)
			<-d.Scanned()
			if d.Stats().Entries != files {
				b.Fatal(d.Stats())
			}
			d.Close()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/file")
	})
	b.Run("again", func(b *testing.B) {
		d := newDisk(b, root, roomy)
		<-d.Scanned()
		for b.Loop() {
			d.scan(b.Context())
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/file")
	})
}
