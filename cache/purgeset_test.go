package cache

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func url(s string, stamp uint64) PurgeRecord { return PurgeRecord{Purge: Purge{URL: s}, Stamp: stamp} }
func prefix(s string, stamp uint64) PurgeRecord {
	return PurgeRecord{Purge: Purge{Prefix: s}, Stamp: stamp}
}
func all(stamp uint64) PurgeRecord      { return PurgeRecord{Purge: Purge{All: true}, Stamp: stamp} }
func pending(r PurgeRecord) PurgeRecord { r.Pending = true; return r }

func TestPurgeValidate(t *testing.T) {
	for _, p := range []Purge{{}, {URL: "a", Prefix: "a"}, {URL: "a", All: true}, {URL: strings.Repeat("x", maxPattern+1)}} {
		if err := p.Validate(); !errors.Is(err, ErrBadPurge) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	for _, p := range []Purge{{URL: "/a.jpg"}, {Prefix: "/"}, {All: true}, {URL: "\x00\xff\n\""}} {
		if err := p.Validate(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
		if got, err := ParsePurge(p.Code()); err != nil || got != p {
			t.Errorf("%+v: read back %+v, %v", p, got, err)
		}
	}
	for _, code := range []string{"", "u", "p", "x/a", "ax", "i1"} {
		if p, err := ParsePurge(code); !errors.Is(err, ErrBadPurge) {
			t.Errorf("%q: %+v, %v", code, p, err)
		}
	}
	for p, want := range map[Purge]string{{All: true}: "everything", {URL: "/a"}: `url "/a"`, {Prefix: "/a"}: `prefix "/a"`} {
		if p.String() != want {
			t.Errorf("got %s, want %s", p, want)
		}
	}
}

func TestPurgeSetNewest(t *testing.T) {
	s := newPurgeSet()
	for _, r := range []PurgeRecord{url("/a/b.jpg", 5), prefix("/a/", 7), prefix("/a/c", 9), url("/a/b.jpg", 8), prefix("https://x/", 3), url("/z", 2)} {
		if !s.add(r) {
			t.Errorf("%+v changed nothing", r)
		}
	}
	for href, want := range map[string]uint64{
		"/a/b.jpg": 8, "/a/b.jpgx": 7, "/a/": 7, "/a/c": 9, "/a/cd": 9, "/a": 0, "/b": 0, "": 0, "https://x/y": 3, "https://x": 0, "/z": 2, "/zz": 0,
	} {
		if got := s.newest(href); got != want {
			t.Errorf("%q: got %d, want %d", href, got, want)
		}
	}
	for _, r := range []PurgeRecord{url("/a/b.jpg", 8), url("/a/b.jpg", 4), prefix("/a/cde", 9), prefix("/a/", 6), url("/a/c", 9)} {
		if s.add(r) {
			t.Errorf("%+v changed something", r)
		}
	}
	if s.size() != 5 { // the first purge of /a/b.jpg is gone
		t.Errorf("%d records: %+v", s.size(), s.records())
	}
	s.add(prefix("/a", 10)) // covers three
	s.add(all(4))           // covers those of 2 and 3
	if got := fmt.Sprint(s.records()); got != fmt.Sprint([]PurgeRecord{all(4), prefix("/a", 10)}) {
		t.Errorf("left: %v", got)
	}
	if s.newest("anything") != 4 || s.newest("/a/b.jpg") != 10 || s.max != 10 {
		t.Error("what was folded no longer holds")
	}
}

// Pending purges stay until the shared log has them, whatever else is purged there.
func TestPurgeSetPending(t *testing.T) {
	s := newPurgeSet()
	s.add(pending(url("/a", 5)))
	s.add(pending(prefix("/b", 6)))
	s.add(all(100))
	if got := fmt.Sprint(s.waiting()); got != fmt.Sprint([]PurgeRecord{pending(url("/a", 5)), pending(prefix("/b", 6))}) {
		t.Errorf("waiting: %v", got)
	}
	if s.add(pending(url("/a", 5))) {
		t.Error("the same again changed something")
	}
	s.add(url("/a", 101)) // handed in
	s.add(prefix("/b", 102))
	if len(s.waiting()) != 0 || s.pending != 0 || s.newest("/a") != 101 {
		t.Errorf("waiting: %v", s.waiting())
	}
	s.add(pending(url("/c", 103)))
	s.add(pending(all(104))) // will be handed in itself
	if got := s.waiting(); len(got) != 1 || !got[0].All {
		t.Errorf("waiting: %v", got)
	}
	s.add(all(104)) // the same stamp, by chance or from the file of another process
	if s.pending != 0 {
		t.Error("still waiting")
	}
}

// However many purges there are, the log stays within its limit, and none of them is forgotten.
func TestPurgeSetFolds(t *testing.T) {
	s := newPurgeSet()
	const n = 3 * maxPurges
	for i := range n {
		s.add(url(fmt.Sprintf("/%d", i), uint64(i+2)))
		if s.size() > maxPurges {
			t.Fatalf("%d records", s.size())
		}
	}
	if s.size() < foldTo {
		t.Errorf("only %d records are left", s.size())
	}
	for i := range n {
		if got := s.newest(fmt.Sprintf("/%d", i)); got < uint64(i+2) {
			t.Fatalf("purge %d no longer holds", i)
		}
	}
	if got := s.newest("/other"); got == 0 || got >= n-foldTo+2 {
		t.Errorf("everything made before %d is purged", got)
	}
	p := newPurgeSet()
	for i := range maxPurges + 1 {
		p.add(pending(url(fmt.Sprintf("/%d", i), uint64(i+2))))
	}
	if w := p.waiting(); !w[0].All || len(w) != p.size() || p.pending != len(w) {
		t.Errorf("%d of %d wait, the first is %+v", len(w), p.size(), w[0])
	}
}

// Whatever the order and the repetitions, two logs of the same purges agree about every url.
func TestPurgeSetsConverge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var records []PurgeRecord
		for stamp := range uint64(30) {
			path := strings.Repeat("a", rng.IntN(4)) + strings.Repeat("b", rng.IntN(3))
			switch r := rng.IntN(20); {
			case r == 0:
				records = append(records, all(stamp+2))
			case r < 8 && path != "":
				records = append(records, prefix(path, stamp+2))
			case path != "":
				records = append(records, url(path, stamp+2))
			}
		}
		naive := func(href string) (n uint64) {
			for _, r := range records {
				if r.All || r.URL == href && r.URL != "" || r.Prefix != "" && strings.HasPrefix(href, r.Prefix) {
					n = max(n, r.Stamp)
				}
			}
			return n
		}
		s := newPurgeSet()
		for range 2 {
			for _, i := range rng.Perm(len(records)) {
				s.add(records[i])
			}
		}
		copied := newPurgeSet()
		for _, r := range s.records() {
			copied.add(r)
		}
		for _, href := range []string{"", "a", "b", "aa", "ab", "aab", "aaabb", "bb", "abb", "c"} {
			if want := naive(href); s.newest(href) != want || copied.newest(href) != want {
				t.Fatalf("%q: got %d and %d, want %d, of %v", href, s.newest(href), copied.newest(href), want, records)
			}
		}
		if len(s.lengths) != len(s.counts) {
			t.Fatalf("lengths %v, counts %v", s.lengths, s.counts)
		}
	}
}
