package valkeycache_test

import (
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/cache/storetest"
	"imgopt/cache/valkeycache"
	"imgopt/valkey/valkeytest"
)

const benchBody = 45_000 // a webp of 828 pixels' width

func BenchmarkGet(b *testing.B) {
	server := valkeytest.Start(b, valkeytest.Options{})
	s := newStore(b, valkeycache.Options{Client: connect(b, server.URL(), "")})
	if err := s.Put(b.Context(), storetest.Key(1), storetest.Entry(1, 1, benchBody)); err != nil {
		b.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		key  cache.Key
		want error
	}{{"hit", storetest.Key(1), nil}, {"miss", storetest.Key(2), cache.ErrMiss}} {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Get(b.Context(), tt.key); err != tt.want {
					b.Fatal(err)
				}
			}
		})
		b.Run(tt.name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Get(b.Context(), tt.key); err != tt.want {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func BenchmarkPut(b *testing.B) {
	server := valkeytest.Start(b, valkeytest.Options{})
	s := newStore(b, valkeycache.Options{Client: connect(b, server.URL(), "")})
	e := storetest.Entry(1, 1, benchBody)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := s.Put(b.Context(), storetest.Key(i%600), e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAway is what the tier costs a look-up while Valkey is known to be away.
func BenchmarkAway(b *testing.B) {
	server := valkeytest.Start(b, valkeytest.Options{})
	s := newStore(b, valkeycache.Options{Client: connectWithin(b, server.URL(), "", 50*time.Millisecond)})
	server.Kill()
	for range 10 {
		_, _ = s.Get(b.Context(), storetest.Key(1))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(b.Context(), storetest.Key(1)); err == nil {
			b.Fatal("found")
		}
	}
}

func BenchmarkPurge(b *testing.B) {
	server := valkeytest.Start(b, valkeytest.Options{})
	p := valkeycache.NewPurges(connect(b, server.URL(), ""))
	for b.Loop() {
		if _, _, err := p.Append(b.Context(), cache.Purge{URL: "/a.jpg"}, 1); err != nil {
			b.Fatal(err)
		}
	}
}
