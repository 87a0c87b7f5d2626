package cache

import (
	"fmt"
	"testing"
)

// BenchmarkTieredMemoryHitAfterPurges is a hit with as many purges as a log remembers.
func BenchmarkTieredMemoryHitAfterPurges(b *testing.B) {
	s := NewTiered(Tier{"memory", newMemory(b, 256<<20)})
	fillPurges(s.purges)
	keys := make([]Key, 600)
	for i := range keys {
		keys[i] = Key{byte(i), byte(i >> 8)}
		mustPut(b, s, keys[i], made(s, fmt.Sprintf("/%d", i)))
	}
	benchGet(b, s, keys)
}

// BenchmarkPurgedCheck is what the first look at an entry after a purge costs.
func BenchmarkPurgedCheck(b *testing.B) {
	p := newPurges()
	fillPurges(p)
	e := made(p, "https://example.com/products/12345/images/front-large.jpg?v=20261121")
	b.ReportAllocs()
	for b.Loop() {
		e.checked.Store(0)
		if p.Purged(e) {
			b.Fatal("it is not purged")
		}
	}
}

func fillPurges(p *Purges) {
	for i := range maxPurges {
		r := PurgeRecord{Purge: Purge{URL: fmt.Sprintf("https://example.com/%d", i)}, Stamp: uint64(i + 2)}
		if i%100 == 0 {
			r.Purge = Purge{Prefix: fmt.Sprintf("https://example.com/%0*d/", i%60+1, i)}
		}
		p.apply(r)
	}
}
