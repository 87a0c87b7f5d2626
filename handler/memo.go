package handler

import (
	"hash/maphash"
	"sync"
	"unsafe"

	"imgopt/validate"
)

// Bounds of the memo: at most memoShards*memoPerShard requests of up to memoMaxKey bytes, about 12 MB when all of
// them are that long and 2 MB as urls usually are.
const (
	memoShards   = 16
	memoPerShard = 256
	memoMaxKey   = 1024
)

// memo remembers what Rules made of a request, because matching patterns and negotiating types costs several
// times as much as everything else a hit needs. It belongs to its Rules: other rules come with another memo.
// Refusals are not remembered, so that nobody can fill it with them.
type memo struct {
	rules  Rules
	seed   maphash.Seed
	shards [memoShards]memoShard
}

type memoShard struct {
	mu sync.RWMutex
	m  map[memoKey]validate.Params
	_  [32]byte // keeps shards on cache lines of their own
}

type memoKey struct{ query, accept string }

func newMemo(rules Rules) *memo {
	m := &memo{rules: rules, seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].m = make(map[memoKey]validate.Params)
	}
	return m
}

// check returns what the rules say of a query, or that it cannot be part of a request target. The arguments may be reused by the caller afterwards.
func (m *memo) check(query, accept []byte) (validate.Params, error) {
	// The key lends the bytes of the request, which is fine for a look-up.
	lent := memoKey{lend(query), lend(accept)}
	s := &m.shards[maphash.Bytes(m.seed, query)%memoShards]
	s.mu.RLock()
	p, ok := s.m[lent]
	s.mu.RUnlock()
	if ok {
		return p, nil
	}
	// What outlives the request must be a copy: fasthttp reuses its buffers.
	k := memoKey{string(query), string(accept)}
	if !isTarget(k.query) {
		return validate.Params{}, errBadRequest
	}
	p, err := m.rules.Check(k.query, k.accept)
	if err != nil || len(query)+len(accept) > memoMaxKey {
		return p, err
	}
	s.mu.Lock()
	if len(s.m) >= memoPerShard {
		for old := range s.m { // whichever comes first: maps are walked from a random place
			delete(s.m, old)
			break
		}
	}
	s.m[k] = p
	s.mu.Unlock()
	return p, nil
}

// lend returns b as a string without a copy. It must not be kept.
func lend(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
