package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeShared is a shared log in memory, of a server that can be away and can lose what it has.
type fakeShared struct {
	mu      sync.Mutex
	away    bool
	id, ids int // 0: there is no log
	stamp   uint64
	set     *purgeSet
	watched []func()
}

var errAway = errors.New("away")

func newFakeShared() *fakeShared { return &fakeShared{set: newPurgeSet(), stamp: 1000} }

func (f *fakeShared) Append(_ context.Context, p Purge, seen uint64) (uint64, int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return 0, 0, errAway
	}
	if f.id == 0 {
		f.newID()
	}
	f.stamp = max(f.stamp+10, seen+1)
	f.set.add(PurgeRecord{Purge: p, Stamp: f.stamp})
	for _, changed := range f.watched {
		changed()
	}
	return f.stamp, len(f.watched), nil
}

func (f *fakeShared) Read(_ context.Context, id string, after uint64) (SharedLog, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return SharedLog{}, errAway
	}
	log := SharedLog{ID: fmt.Sprint(f.id)}
	if f.id == 0 {
		log.ID = ""
	}
	log.Whole = log.ID == "" || log.ID != id
	for _, r := range f.set.records() {
		if log.Whole || r.Stamp > after {
			log.Records = append(log.Records, r)
		}
	}
	return log, nil
}

func (f *fakeShared) Merge(_ context.Context, records []PurgeRecord) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return errAway
	}
	changed := 0
	for _, r := range records {
		if f.set.add(r) {
			changed++
		}
	}
	if changed > 0 {
		f.newID()
	}
	return nil
}

func (f *fakeShared) Watch(ctx context.Context, changed func()) {
	f.mu.Lock()
	f.watched = append(f.watched, changed)
	f.mu.Unlock()
	<-ctx.Done()
}

func (f *fakeShared) newID() {
	f.ids++
	f.id = f.ids
}

// do changes the server.
func (f *fakeShared) do(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeShared) lose() {
	f.do(func() { f.set, f.id = newPurgeSet(), 0 })
}

func TestPurgesShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeShared()
		a, b := openPurges(t, PurgeOptions{Shared: shared}), openPurges(t, PurgeOptions{Shared: shared})
		synctest.Wait()
		ofA, ofB := made(a, "/x"), made(b, "/x")
		r := mustPurge(t, a, Purge{URL: "/x"})
		if r.Pending || r.Heard != 2 || r.Stamp < 1000 {
			t.Errorf("report: %+v", r)
		}
		purged(t, a, "at once", true, ofA, ofB)
		time.Sleep(settle)
		synctest.Wait()
		purged(t, b, "there", true, ofA, ofB)
		purged(t, a, "made after", false, made(b, "/x"))
		purged(t, b, "made after", false, made(a, "/x"))
		if s := b.Stats(); s.Learned != 1 || s.Records != 1 || s.Errors != 0 || s.Synced.IsZero() {
			t.Errorf("stats: %+v", s)
		}
	})
}

// A replica that starts, or was not told, learns what it missed.
func TestPurgesCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeShared()
		a, b := openPurges(t, PurgeOptions{Shared: shared}), openPurges(t, PurgeOptions{Shared: shared})
		synctest.Wait()
		e := made(b, "/x")
		shared.do(func() { shared.watched = nil }) // b does not hear of it
		mustPurge(t, a, Purge{URL: "/x"})
		synctest.Wait()
		purged(t, b, "not told", false, fromDisk(e))
		time.Sleep(5 * time.Second) // it looks by itself
		synctest.Wait()
		purged(t, b, "looked", true, fromDisk(e))
		c := openPurges(t, PurgeOptions{Shared: shared})
		time.Sleep(time.Millisecond)
		synctest.Wait()
		purged(t, c, "started later", true, fromDisk(e))
	})
}

// While the shared log is away a purge holds here, and is handed in when it is back. No clock, however wrong, and no
// purge of others in the meantime lets anything through.
func TestPurgesWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeShared()
		dir := t.TempDir()
		a, b := openPurges(t, PurgeOptions{Shared: shared, Dir: dir}), openPurges(t, PurgeOptions{Shared: shared})
		synctest.Wait()
		mustPurge(t, b, Purge{URL: "/first"})
		time.Sleep(settle)
		synctest.Wait()

		ofB := made(b, "/x") // in the shared cache, say
		shared.do(func() { shared.away = true })
		r := mustPurge(t, a, Purge{URL: "/x"})
		if !r.Pending || a.Stats().Pending != 1 {
			t.Errorf("report: %+v", r)
		}
		purged(t, a, "here at once", true, ofB)
		ofA, ofA2 := made(a, "/x"), made(a, "/y")
		ofA2.StoredAt = time.Now().Add(time.Hour) // its clock is wrong
		purged(t, a, "made after it", false, ofA, ofA2)

		// a restarts, still away
		a.Close()
		a = openPurges(t, PurgeOptions{Shared: shared, Dir: dir})
		purged(t, a, "after a restart", true, fromDisk(ofB))
		purged(t, a, "after a restart", false, fromDisk(ofA))

		// b is not away, and purges something that a made and does not hear of
		shared.do(func() { shared.away = false })
		mustPurge(t, b, Purge{URL: "/y"})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, p := range []*Purges{a, b} {
			purged(t, p, "everywhere", true, fromDisk(ofB), fromDisk(ofA2))
			purged(t, p, "made now", false, made(a, "/x"), made(b, "/x"), made(a, "/y"))
			if s := p.Stats(); s.Pending != 0 || s.Records != 3 {
				t.Errorf("stats: %+v", s)
			}
		}
		a.Close()
		if s := openPurges(t, PurgeOptions{Dir: dir}).Stats(); s.Pending != 0 || s.Records != 3 {
			t.Errorf("stored: %+v", s)
		}
	})
}

// A server that forgot everything gets the purges back from those who know them; entries made since are not touched.
func TestSharedPurgesLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newFakeShared()
		a, b := openPurges(t, PurgeOptions{Shared: shared}), openPurges(t, PurgeOptions{Shared: shared})
		synctest.Wait()
		old := made(a, "/x")
		mustPurge(t, a, Purge{URL: "/x"})
		mustPurge(t, a, Purge{Prefix: "/p"})
		time.Sleep(settle)
		synctest.Wait()
		since := made(b, "/x")

		shared.lose()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		c := openPurges(t, PurgeOptions{Shared: shared}) // was away all the time
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, p := range []*Purges{a, b, c} {
			purged(t, p, "from before", true, fromDisk(old))
			purged(t, p, "from since", false, fromDisk(since), made(p, "/x"))
			if s := p.Stats(); s.Records != 2 {
				t.Errorf("stats: %+v", s)
			}
		}

		// somebody purges before the others have given back what they know
		shared.do(func() { shared.watched = nil })
		shared.lose()
		mustPurge(t, c, Purge{URL: "/z"})
		time.Sleep(20 * time.Second)
		synctest.Wait()
		d := openPurges(t, PurgeOptions{Shared: shared})
		time.Sleep(time.Second)
		synctest.Wait()
		for _, p := range []*Purges{a, b, c, d} {
			purged(t, p, "from before", true, fromDisk(old))
			purged(t, p, "from since", false, fromDisk(since))
			if s := p.Stats(); s.Records != 3 {
				t.Errorf("stats: %+v", s)
			}
		}
	})
}
