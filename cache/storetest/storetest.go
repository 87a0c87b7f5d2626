// Package storetest is the one test suite that every implementation of cache.Store has to pass.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"imgopt/cache"
)

// Subject is the implementation under test.
type Subject struct {
	// Open returns an empty store with room for 64 MiB and for single entries of 4 MiB. The suite closes it.
	Open func(t *testing.T) cache.Store
	// Reopen returns a store over the same data as s, which has been closed. nil for stores that do not outlive
	// their process.
	Reopen func(t *testing.T, s cache.Store) cache.Store
	// MayKeepLater says that a Put need not replace an entry with a later StoredAt, as is right for a store that several
	// processes write to.
	MayKeepLater bool
}

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	tests := []struct {
		name string
		run  func(*testing.T, cache.Store)
	}{
		{"absent", absent},
		{"round trip", roundTrip},
		{"replace", replace},
		{"replace by older", func(t *testing.T, store cache.Store) { replaceByOlder(t, store, s.MayKeepLater) }},
		{"replace by as old", replaceByAsOld},
		{"delete", deletes},
		{"keys are distinct", distinctKeys},
		{"no body", noBody},
		{"stale entries are kept", staleKept},
		{"canceled", canceled},
		{"closed", closed},
		{"close while in use", closeInUse},
		{"concurrent", concurrent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := s.Open(t)
			tt.run(t, store)
			if err := store.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	if s.Reopen != nil {
		t.Run("reopen", func(t *testing.T) { reopen(t, s) })
	}
}

// Key returns a key that depends on n alone.
func Key(n int) cache.Key {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	return sha256.Sum256(b[:])
}

// Entry returns an entry whose every field depends on n and version alone, with a body of size bytes that tells a
// mixture of two versions from either. Check verifies it.
func Entry(n, version, size int) *cache.Entry {
	stored := time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC).Add(time.Duration(version) * time.Second)
	return &cache.Entry{
		Href:               fmt.Sprintf("https://example.com/bilder/größe-%d.jpg?v=%d", n, version),
		Body:               body(n, version, size),
		ContentType:        "image/webp",
		ETag:               fmt.Sprintf("etag-%d-%d", n, version),
		UpstreamETag:       fmt.Sprintf("upstream-%d-%d", n, version),
		SourceETag:         fmt.Sprintf(`W/"source-%d-%d"`, n, version),
		SourceLastModified: "Sat, 21 Nov 2026 12:00:00 GMT",
		MaxAge:             int64(version),
		StoredAt:           stored,
		ExpiresAt:          stored.Add(4 * time.Hour),
		OriginalSize:       int64(size) * 10,
		Mark:               uint64(version) + 1,
	}
}

func body(n, version, size int) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(n))
	binary.LittleEndian.PutUint64(seed[8:], uint64(version))
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(b) // cannot fail
	return b
}

// Check returns what is wrong with e as some version of entry n made by Entry.
func Check(e *cache.Entry, n int) error {
	version := int(e.MaxAge)
	return Same(e, Entry(n, version, len(e.Body)))
}

// Same returns how got differs from want.
func Same(got, want *cache.Entry) error {
	for _, f := range []struct {
		name      string
		got, want any
	}{
		{"Href", got.Href, want.Href},
		{"ContentType", got.ContentType, want.ContentType},
		{"ETag", got.ETag, want.ETag},
		{"UpstreamETag", got.UpstreamETag, want.UpstreamETag},
		{"SourceETag", got.SourceETag, want.SourceETag},
		{"SourceLastModified", got.SourceLastModified, want.SourceLastModified},
		{"MaxAge", got.MaxAge, want.MaxAge},
		{"OriginalSize", got.OriginalSize, want.OriginalSize},
		{"Mark", got.Mark, want.Mark},
		{"len(Body)", len(got.Body), len(want.Body)},
	} {
		if f.got != f.want {
			return fmt.Errorf("%s: got %v, want %v", f.name, f.got, f.want)
		}
	}
	if !got.StoredAt.Equal(want.StoredAt) {
		return fmt.Errorf("StoredAt: got %v, want %v", got.StoredAt, want.StoredAt)
	}
	if !got.ExpiresAt.Equal(want.ExpiresAt) {
		return fmt.Errorf("ExpiresAt: got %v, want %v", got.ExpiresAt, want.ExpiresAt)
	}
	if !bytes.Equal(got.Body, want.Body) {
		return errors.New("the body has other content")
	}
	return nil
}

// MustPut stores e or ends the test.
func MustPut(t *testing.T, s cache.Store, k cache.Key, e *cache.Entry) {
	t.Helper()
	if err := s.Put(t.Context(), k, e); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

// MustHave ends the test unless s has an entry like want.
func MustHave(t *testing.T, s cache.Store, k cache.Key, want *cache.Entry) *cache.Entry {
	t.Helper()
	got, err := s.Get(t.Context(), k)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if err := Same(got, want); err != nil {
		t.Fatalf("Get: %v", err)
	}
	return got
}

// MustMiss ends the test unless s has no entry for k; it returns the error.
func MustMiss(t *testing.T, s cache.Store, k cache.Key) error {
	t.Helper()
	got, err := s.Get(t.Context(), k)
	if !errors.Is(err, cache.ErrMiss) || got != nil {
		t.Fatalf("Get: got %v, %v, want a miss", got, err)
	}
	return err
}

func absent(t *testing.T, s cache.Store) {
	if err := MustMiss(t, s, Key(1)); err != cache.ErrMiss {
		t.Errorf("a plain miss has a cause: %v", err)
	}
	if err := s.Delete(t.Context(), Key(1)); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
}

func roundTrip(t *testing.T, s cache.Store) {
	entries := []*cache.Entry{
		Entry(0, 1, 1),
		Entry(1, 1, 45_000),
		Entry(2, 1, 4096),
		Entry(3, 1, 3<<20),
		{Body: []byte{0}}, // all else zero, times included
		{Body: []byte("x"), MaxAge: -1, OriginalSize: -1, StoredAt: time.Unix(-1, 1), ExpiresAt: time.Unix(1<<40, 999_999_999)},
		{Body: []byte("z"), Href: "/" + strings.Repeat("x", 3071), SourceETag: strings.Repeat("e", 8000), StoredAt: time.Unix(1, 0)},
		{Body: []byte("y"), Href: string([]byte{0, 255, '\n'}), ETag: "\"", StoredAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600))},
	}
	for i, e := range entries {
		MustPut(t, s, Key(i), e)
	}
	for i, e := range entries {
		MustHave(t, s, Key(i), e)
	}
}

func replace(t *testing.T, s cache.Store) {
	for v := 1; v <= 3; v++ {
		MustPut(t, s, Key(1), Entry(1, v, 1000*v))
		MustHave(t, s, Key(1), Entry(1, v, 1000*v))
	}
}

// In a process's own store a Put is an order, not a proposal: it holds even if clocks were set back.
func replaceByOlder(t *testing.T, s cache.Store, mayKeepLater bool) {
	MustPut(t, s, Key(1), Entry(1, 9, 1000))
	MustPut(t, s, Key(1), Entry(1, 2, 500))
	got, err := s.Get(t.Context(), Key(1))
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if mayKeepLater && Same(got, Entry(1, 9, 1000)) == nil {
		return
	}
	if err := Same(got, Entry(1, 2, 500)); err != nil {
		t.Errorf("Get: %v", err)
	}
}

// Of two that are as old the one that was put later counts.
func replaceByAsOld(t *testing.T, s cache.Store) {
	for _, href := range []string{"/a", "/b"} {
		e := Entry(1, 3, 1000)
		e.Href = href
		MustPut(t, s, Key(1), e)
		MustHave(t, s, Key(1), e)
	}
}

func deletes(t *testing.T, s cache.Store) {
	MustPut(t, s, Key(1), Entry(1, 1, 100))
	MustPut(t, s, Key(2), Entry(2, 1, 100))
	for range 2 {
		if err := s.Delete(t.Context(), Key(1)); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		MustMiss(t, s, Key(1))
	}
	MustHave(t, s, Key(2), Entry(2, 1, 100))
	MustPut(t, s, Key(1), Entry(1, 2, 100))
	MustHave(t, s, Key(1), Entry(1, 2, 100))
}

func distinctKeys(t *testing.T, s cache.Store) {
	base := Key(0)
	for bit := range 8 * len(base) {
		k := base
		k[bit/8] ^= 1 << (bit % 8)
		MustPut(t, s, k, Entry(bit, 1, 64))
	}
	MustMiss(t, s, base)
	for bit := range 8 * len(base) {
		k := base
		k[bit/8] ^= 1 << (bit % 8)
		MustHave(t, s, k, Entry(bit, 1, 64))
	}
}

func noBody(t *testing.T, s cache.Store) {
	for _, e := range []*cache.Entry{nil, {Href: "/a"}, {Href: "/a", Body: []byte{}}} {
		if err := s.Put(t.Context(), Key(1), e); !errors.Is(err, cache.ErrEmpty) {
			t.Errorf("Put(%+v): got %v, want ErrEmpty", e, err)
		}
	}
	MustMiss(t, s, Key(1))
}

func staleKept(t *testing.T, s cache.Store) {
	e := Entry(1, 1, 100)
	e.StoredAt, e.ExpiresAt = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	MustPut(t, s, Key(1), e)
	for range 3 {
		if got := MustHave(t, s, Key(1), e); got.State(time.Now()) != cache.Stale {
			t.Errorf("State: got %s", got.State(time.Now()))
		}
	}
}

// With a context that has ended a store may work or not, but a Get that does not is a miss.
func canceled(t *testing.T, s cache.Store) {
	MustPut(t, s, Key(1), Entry(1, 1, 100))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := s.Get(ctx, Key(1))
	switch {
	case err == nil:
		if err := Same(got, Entry(1, 1, 100)); err != nil {
			t.Error(err)
		}
	case !errors.Is(err, cache.ErrMiss):
		t.Errorf("Get: %v is no miss", err)
	}
	if err := s.Put(ctx, Key(2), Entry(2, 1, 100)); err == nil {
		MustHave(t, s, Key(2), Entry(2, 1, 100))
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("Put: got %v", err)
	}
}

func closed(t *testing.T, s cache.Store) {
	MustPut(t, s, Key(1), Entry(1, 1, 100))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	if err := MustMiss(t, s, Key(1)); !errors.Is(err, cache.ErrClosed) {
		t.Errorf("Get after Close: got %v, want ErrClosed as the cause", err)
	}
	if err := s.Put(t.Context(), Key(1), Entry(1, 1, 100)); !errors.Is(err, cache.ErrClosed) {
		t.Errorf("Put after Close: got %v, want ErrClosed", err)
	}
}

func closeInUse(t *testing.T, s cache.Store) {
	var wg sync.WaitGroup
	started := make(chan struct{}, 4)
	for w := range 4 {
		wg.Go(func() {
			for i := range 200 {
				n := (w + i) % 7
				if err := s.Put(t.Context(), Key(n), Entry(n, i, 200)); err != nil && !errors.Is(err, cache.ErrClosed) {
					t.Errorf("Put: %v", err)
				}
				if e, err := s.Get(t.Context(), Key(n)); err == nil {
					if err := Check(e, n); err != nil {
						t.Error(err)
					}
				} else if !errors.Is(err, cache.ErrMiss) {
					t.Errorf("Get: %v", err)
				}
				if i == 20 {
					started <- struct{}{}
				}
			}
		})
	}
	<-started
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
	MustMiss(t, s, Key(0))
}

// Whatever runs at the same time, a Get sees one version of an entry, whole.
func concurrent(t *testing.T, s cache.Store) {
	const keys, workers, rounds = 8, 8, 150
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range rounds {
				n := rng.IntN(keys)
				switch rng.IntN(8) {
				case 0:
					if err := s.Delete(t.Context(), Key(n)); err != nil {
						t.Errorf("Delete: %v", err)
					}
				case 1, 2, 3:
					if err := s.Put(t.Context(), Key(n), Entry(n, w*rounds+i, 1+rng.IntN(20_000))); err != nil {
						t.Errorf("Put: %v", err)
					}
				default:
					e, err := s.Get(t.Context(), Key(n))
					if err == nil {
						err = Check(e, n)
					} else if err == cache.ErrMiss {
						err = nil
					}
					if err != nil {
						t.Errorf("Get: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func reopen(t *testing.T, subject Subject) {
	s := subject.Open(t)
	const n = 50
	for i := range n {
		MustPut(t, s, Key(i), Entry(i, 1, 100+i))
	}
	if err := s.Delete(t.Context(), Key(0)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = subject.Reopen(t, s)
	defer s.Close()
	MustMiss(t, s, Key(0))
	for i := 1; i < n; i++ {
		MustHave(t, s, Key(i), Entry(i, 1, 100+i))
	}
}
