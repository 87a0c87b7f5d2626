package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func openPurges(t testing.TB, o PurgeOptions) *Purges {
	t.Helper()
	p, err := OpenPurges(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

// made returns an entry of href that work began on now.
func made(p interface{ Mark() uint64 }, href string) *Entry {
	e := sized(10)
	e.Href, e.Mark = href, p.Mark()
	e.StoredAt, e.ExpiresAt = time.Now(), time.Now().Add(time.Hour)
	return e
}

func mustPurge(t testing.TB, p interface {
	Purge(context.Context, Purge) (PurgeReport, error)
}, what Purge) PurgeReport {
	t.Helper()
	r, err := p.Purge(t.Context(), what)
	if err != nil {
		t.Fatalf("Purge: %v", err)
	}
	return r
}

// purged ends the test unless exactly the wanted entries are purged.
func purged(t testing.TB, p interface{ Purged(*Entry) bool }, what string, want bool, entries ...*Entry) {
	t.Helper()
	for _, e := range entries {
		if got := p.Purged(e); got != want {
			t.Errorf("%s: %s with mark %d: purged is %t", what, e.Href, e.Mark, got)
		}
	}
}

func TestPurges(t *testing.T) {
	p := openPurges(t, PurgeOptions{})
	a, b, c := made(p, "/img/a.jpg"), made(p, "/img/b.jpg"), made(p, "https://x/c.jpg")
	unmarked := &Entry{Href: "/img/a.jpg"}
	purged(t, p, "nothing", false, a, b, c, unmarked)
	mustPurge(t, p, Purge{URL: "/img/a.jpg"})
	purged(t, p, "url", true, a, unmarked)
	purged(t, p, "url", false, b, c)
	a2 := made(p, "/img/a.jpg")
	purged(t, p, "made after", false, a2)
	mustPurge(t, p, Purge{Prefix: "/img/"})
	purged(t, p, "prefix", true, a, a2, b)
	purged(t, p, "prefix", false, c)
	mustPurge(t, p, Purge{All: true})
	purged(t, p, "all", true, a, b, c)
	purged(t, p, "made after all", false, made(p, "/img/a.jpg"), made(p, "https://x/c.jpg"))
	if _, err := p.Purge(t.Context(), Purge{}); !errors.Is(err, ErrBadPurge) {
		t.Errorf("an empty purge: %v", err)
	}
	if s := p.Stats(); s.Records != 1 || s.Purges != 3 || s.Pending != 0 {
		t.Errorf("stats: %+v", s)
	}
	p.Close()
	if _, err := p.Purge(t.Context(), Purge{All: true}); err != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
}

// What was good stays good without another look at the log, and what a purge comes upon is found out at once.
func TestPurgedIsCheckedOnce(t *testing.T) {
	p := openPurges(t, PurgeOptions{})
	mustPurge(t, p, Purge{URL: "/x"})
	e := made(p, "/a")
	purged(t, p, "first", false, e)
	p.mu.Lock() // whoever looks at the log now waits for ever
	purged(t, p, "again", false, e)
	p.mu.Unlock()
	mustPurge(t, p, Purge{URL: "/a"})
	purged(t, p, "purged", true, e, e)
	if n := testing.AllocsPerRun(1000, func() { p.Purged(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A purge holds for everything that was begun before it, whoever looks at it at the same time.
func TestPurgeRaces(t *testing.T) {
	p := openPurges(t, PurgeOptions{})
	var current atomic.Pointer[Entry]
	current.Store(made(p, "/x"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				p.Purged(current.Load())
				runtime.Gosched()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 500 {
		e := made(p, "/x")
		current.Store(e)
		runtime.Gosched()
		mustPurge(t, p, Purge{URL: "/x"})
		if !p.Purged(e) {
			t.Error("it is still good")
			break
		}
	}
	close(stop)
	wg.Wait()
}

func TestPurgesSurviveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	p := openPurges(t, PurgeOptions{Dir: dir})
	before := made(p, "/a")
	report := mustPurge(t, p, Purge{URL: "/a"})
	mustPurge(t, p, Purge{Prefix: "/\"\n\x00ü/"})
	after := made(p, "/a")
	p.Close()

	p = openPurges(t, PurgeOptions{Dir: dir})
	purged(t, p, "made before", true, fromDisk(before), fromDisk(&Entry{Href: "/\"\n\x00ü/x", Mark: 1}))
	purged(t, p, "made after", false, fromDisk(after), made(p, "/a"))
	if next := mustPurge(t, p, Purge{URL: "/b"}); next.Stamp <= report.Stamp || next.Pending {
		t.Errorf("the next purge: %+v", next)
	}
	if info, err := os.Stat(filepath.Join(dir, purgeName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// fromDisk returns e as it comes back from a slower tier: without what is only in memory.
func fromDisk(e *Entry) *Entry {
	return &Entry{Href: e.Href, Body: e.Body, Mark: e.Mark, StoredAt: e.StoredAt, ExpiresAt: e.ExpiresAt}
}

// Several processes share a folder: what one purges the others learn, and no two purges get one stamp.
func TestPurgesShareAFolder(t *testing.T) {
	dir := t.TempDir()
	const n = 4
	var logs [n]*Purges
	for i := range logs {
		logs[i] = openPurges(t, PurgeOptions{Dir: dir, Poll: 10 * time.Millisecond})
	}
	old := made(logs[0], "/0/5")
	var wg sync.WaitGroup
	var mu sync.Mutex
	stamps := map[uint64]int{}
	for i, p := range logs {
		wg.Go(func() {
			for j := range 20 {
				r, err := p.Purge(t.Context(), Purge{URL: fmt.Sprintf("/%d/%d", i, j)})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				stamps[r.Stamp]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(stamps) != n*20 {
		t.Errorf("%d different stamps of %d purges", len(stamps), n*20)
	}
	for _, p := range logs {
		eventually(t, func() bool { return p.Stats().Records == n*20 })
		purged(t, p, "by another", true, fromDisk(old))
		purged(t, p, "made after", false, made(p, "/0/5"))
		if s := p.Stats(); s.Errors != 0 || s.Learned != (n-1)*20 {
			t.Errorf("stats: %+v", s)
		}
	}
}

// eventually waits for what another goroutine does with the file system.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen")
		}
	}
}

// The file does not grow with the number of purges, only with that of different ones.
func TestPurgeFileIsRewritten(t *testing.T) {
	dir := t.TempDir()
	p := openPurges(t, PurgeOptions{Dir: dir})
	for i := range 1000 {
		mustPurge(t, p, Purge{URL: fmt.Sprintf("/%d", i%3)})
	}
	info, err := os.Stat(filepath.Join(dir, purgeName))
	if err != nil || info.Size() > 5000 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	if got := openPurges(t, PurgeOptions{Dir: dir}).Stats().Records; got != 3 {
		t.Errorf("%d records", got)
	}
}

// Whatever a crash leaves of the last line, the purges before it hold and the next ones can be written.
func TestPurgeFileCut(t *testing.T) {
	dir := t.TempDir()
	p := openPurges(t, PurgeOptions{Dir: dir})
	mustPurge(t, p, Purge{URL: "/a"})
	first, err := os.ReadFile(filepath.Join(dir, purgeName))
	if err != nil {
		t.Fatal(err)
	}
	mustPurge(t, p, Purge{URL: "/b"})
	second, err := os.ReadFile(filepath.Join(dir, purgeName))
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	for n := range len(second) {
		content := second[:n]
		if n%2 == 1 { // a power failure may leave zeroes
			content = append(append([]byte(nil), content...), make([]byte, 5)...)
		}
		if n < len(first) && n%2 == 1 {
			continue // the first line had been acknowledged: see TestPurgeFileDamaged
		}
		if err := os.WriteFile(filepath.Join(dir, purgeName), content, 0o600); err != nil {
			t.Fatal(err)
		}
		p := openPurges(t, PurgeOptions{Dir: dir})
		want := 0
		if n >= len(first) {
			want = 1
		}
		if s := p.Stats(); s.Records != want || p.damaged {
			t.Fatalf("cut at %d: %+v", n, s)
		}
		mustPurge(t, p, Purge{URL: "/c"})
		p.Close()
		p = openPurges(t, PurgeOptions{Dir: dir})
		if s := p.Stats(); s.Records != want+1 || p.damaged {
			t.Fatalf("cut at %d and written to: %+v", n, s)
		}
		p.Close()
	}
}

// Where acknowledged purges are lost, all that may have been purged goes.
func TestPurgeFileDamaged(t *testing.T) {
	dir := t.TempDir()
	p := openPurges(t, PurgeOptions{Dir: dir})
	for _, u := range []string{"/a", "/b", "/c"} {
		mustPurge(t, p, Purge{URL: u})
	}
	mark := p.Mark()
	p.Close()
	path := filepath.Join(dir, purgeName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		strings.Replace(string(good), `"u/b"`, `"u/x"`, 1), strings.Replace(string(good), "\n", "\n\n", 1), "something else\n", strings.Repeat("x", 1<<20),
	} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		d := newDisk(t, dir, roomy)
		mustPut(t, d, Key{1}, &Entry{Href: "/b", Body: []byte("b"), Mark: 2})
		p := openPurges(t, PurgeOptions{Dir: dir})
		s := NewTieredWith(p, Tier{"disk", d})
		if _, err := s.Get(t.Context(), Key{1}); err != ErrMiss {
			t.Errorf("%.40q: what was purged came back: %v", bad, err)
		}
		mustPut(t, s, Key{2}, made(p, "/b"))
		mustPurge(t, p, Purge{URL: "/d"})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		p = openPurges(t, PurgeOptions{Dir: dir})
		if p.damaged || p.Stats().Records == 0 {
			t.Errorf("%.40q: it was not repaired: %+v", bad, p.Stats())
		}
		p.Close()
	}
	if mark < 4 {
		t.Errorf("mark %d", mark)
	}
}

func TestPurgeFileUnusable(t *testing.T) {
	for _, o := range []PurgeOptions{{Dir: "/dev/null/x"}, {Poll: -1}} {
		if p, err := OpenPurges(o); err == nil {
			t.Errorf("%+v was accepted", o)
			p.Close()
		}
	}
	dir := t.TempDir()
	p := openPurges(t, PurgeOptions{Dir: dir})
	e := made(p, "/a")
	if err := os.Mkdir(filepath.Join(dir, purgeLockName), 0o700); err != nil {
		t.Fatal(err)
	}
	var ioErr *IOError
	if r, err := p.Purge(t.Context(), Purge{URL: "/a"}); !errors.As(err, &ioErr) || r.Stamp == 0 {
		t.Errorf("a folder that cannot be written to: %+v, %v", r, err)
	}
	purged(t, p, "although it was not stored", true, e)
	if p.Stats().Errors != 1 {
		t.Errorf("stats: %+v", p.Stats())
	}
}

func FuzzParsePurges(f *testing.F) {
	good := []byte(purgeFormat)
	for _, r := range []PurgeRecord{url("/a", 2), prefix("ü\n", 3), pending(all(4))} {
		good = appendPurge(good, r)
	}
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add([]byte(purgeFormat + "00000000 1 . \"a\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := parsePurges(b)
		again := []byte(purgeFormat)
		for _, r := range records {
			if r.Validate() != nil || r.Stamp == 0 {
				t.Errorf("%+v", r)
			}
			again = appendPurge(again, r)
		}
		if err == nil {
			if same, err := parsePurges(again); err != nil || fmt.Sprint(same) != fmt.Sprint(records) {
				t.Errorf("written again: %v, %v, want %v", same, err, records)
			}
		}
	})
}
