package codec

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

// poison remembers sources that killed two processes, by the hash of their bytes: another width of the same image,
// or another url with the same bytes, would kill two more. While it is empty, which is nearly always, asking costs
// one atomic load and no hashing.
type poison struct {
	count atomic.Int32
	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
}

// maxPoison bounds the memory; the oldest is forgotten first.
const maxPoison = 1024

func (p *poison) knows(src []byte) bool {
	if p.count.Load() == 0 {
		return false
	}
	key := sha256.Sum256(src)
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.until[key]
	if ok && time.Now().After(until) {
		delete(p.until, key)
		ok = false
	}
	p.count.Store(int32(len(p.until)))
	return ok
}

func (p *poison) add(src []byte) {
	key := sha256.Sum256(src)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until == nil {
		p.until = map[[sha256.Size]byte]time.Time{}
	}
	for len(p.until) >= maxPoison {
		var oldest [sha256.Size]byte
		var first time.Time
		for k, t := range p.until {
			if first.IsZero() || t.Before(first) {
				oldest, first = k, t
			}
		}
		delete(p.until, oldest)
	}
	p.until[key] = time.Now().Add(poisonFor)
	p.count.Store(int32(len(p.until)))
}
