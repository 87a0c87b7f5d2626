package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/cpu"
)

// PurgeOptions configures a log of purges.
type PurgeOptions struct {
	// Dir is the folder in which the log is kept, the disk tier's: entries there live as long as the purges that hold
	// for them. Processes that share the folder share the log. "" keeps it in memory.
	Dir string
	// Shared is the log that all replicas share. nil: there is none.
	Shared SharedPurges
	// Poll is how often Dir and Shared are looked at unasked, by default 5 s. (Shared says by itself when something
	// changes; that is what can be missed.)
	Poll time.Duration
	// Log gets a line for every purge that is applied here, and for failures. nil: no log.
	Log *slog.Logger
}

// SharedPurges is a log of purges for all replicas. Implementations bound their own time.
type SharedPurges interface {
	// Append adds p with a stamp later than seen and than every other in the log, and tells the replicas, of which it
	// returns how many heard it.
	Append(ctx context.Context, p Purge, seen uint64) (stamp uint64, heard int, err error)
	// Read returns the records stamped after the given stamp, or all records if the log is not the one with this id.
	Read(ctx context.Context, id string, after uint64) (SharedLog, error)
	// Merge adds records with the stamps they have, after the log was lost. If that changes it, it gets another id.
	Merge(ctx context.Context, records []PurgeRecord) error
	// Watch calls changed whenever there may be something to read, until ctx ends.
	Watch(ctx context.Context, changed func())
}

// SharedLog is what was read of a shared log.
type SharedLog struct {
	// ID names the log; it is another one after the log was lost or merged, and "" if there is none.
	ID string
	// Whole says that Records are all there are.
	Whole   bool
	Records []PurgeRecord
}

// PurgeReport says how far a purge got.
type PurgeReport struct {
	// Stamp is the purge's place among all purges.
	Stamp uint64
	// Pending says that the purge holds here and not yet in other replicas, because the shared log cannot be reached.
	// It will get there.
	Pending bool
	// Heard is how many replicas, this one included, were told at once; all others will find out.
	Heard int
}

// PurgeStats describes a log.
type PurgeStats struct {
	// Records is how many different purges are remembered, Pending how many of them the shared log does not have yet.
	Records, Pending int
	// Purges counts the purges asked for here, Learned those that came from elsewhere.
	Purges, Learned uint64
	// Errors counts failures of the folder and of the shared log.
	Errors uint64
	// Synced is when the shared log was last in step; zero if never.
	Synced time.Time
}

// Purges remembers which entries are not to be served any more.
//
// Nothing is searched for and deleted. Every entry carries the stamp of the latest purge that was known when work on
// it began (Entry.Mark), and is compared with the purges that hold for its Href when it is looked up: one with a later
// stamp makes it a miss, whatever tier it is in, whoever made it and whenever it comes back. So a purge takes no longer
// for a million entries than for one, none can slip through while it runs, and what was being fetched when the purge
// came is caught as well. An entry in memory is compared again only when the log has changed since.
//
// With a shared log, purges get their stamps there. While that is away, a purge holds in this process (and in its
// folder) at once and is handed in later.
type Purges struct {
	o    PurgeOptions
	file *purgeFile // nil without a folder

	generation atomic.Uint64 // counts changes of set
	mark       atomic.Uint64 // set.max

	_   cpu.CacheLinePad // every hit reads generation; look-ups of the set write mu
	mu  sync.RWMutex
	set *purgeSet

	// changing orders what changes the log as a whole: a purge, a look at folder or shared log.
	changing sync.Mutex
	sharedID string // of the log last read
	damaged  bool   // purges were lost when the folder's log was opened

	kick   chan struct{}
	cancel context.CancelFunc
	done   sync.WaitGroup
	closed atomic.Bool

	purges, learned, errs atomic.Uint64
	synced                atomic.Int64
}

// newPurges returns a log in memory.
func newPurges() *Purges {
	p := &Purges{set: newPurgeSet(), kick: make(chan struct{}, 1), cancel: func() {}}
	p.o.Log = slog.New(slog.DiscardHandler)
	p.mark.Store(firstMark)
	return p
}

// OpenPurges opens a log. It does not wait for the shared one. A folder's log that cannot be read is an error. If it is
// damaged, a disk tier that is used with the log is emptied, because it may have what was purged.
func OpenPurges(o PurgeOptions) (*Purges, error) {
	p := newPurges()
	if o.Log == nil {
		o.Log = p.o.Log
	}
	if o.Poll == 0 {
		o.Poll = 5 * time.Second
	}
	if o.Poll < 0 {
		return nil, fmt.Errorf("cache: purges: a poll every %v", o.Poll)
	}
	p.o = o
	if o.Dir != "" {
		if err := makeFolder(o.Dir); err != nil {
			return nil, fmt.Errorf("cache: purges: %w", err)
		}
		p.file = &purgeFile{dir: o.Dir}
		var damage *CorruptError
		if err := p.readFile(); errors.As(err, &damage) {
			p.damaged = true
		} else if err != nil {
			return nil, fmt.Errorf("cache: purges: %w", err)
		}
	}
	if o.Dir == "" && o.Shared == nil {
		return p, nil
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	p.done.Go(func() { p.run(ctx) })
	if o.Shared != nil {
		p.done.Go(func() { o.Shared.Watch(ctx, p.look) })
	}
	return p, nil
}

// Mark returns the mark of an entry that work begins on now: see Entry.Mark.
func (p *Purges) Mark() uint64 { return p.mark.Load() }

// Purged reports whether e may not be served any more. For an entry that was found good since the last purge it
// takes no lock.
func (p *Purges) Purged(e *Entry) bool {
	generation := p.generation.Load()
	if e.checked.Load() == generation {
		return false
	}
	p.mu.RLock()
	newest := p.set.newest(e.Href)
	p.mu.RUnlock()
	if newest > e.Mark {
		return true
	}
	e.checked.Store(generation) // what came in between has another generation
	return false
}

// Purge makes p hold for all entries made so far. It returns when that is so in this process, and has been stored and
// handed to the shared log if there are such. An error says that p holds here but may be lost when the process ends.
func (p *Purges) Purge(ctx context.Context, purge Purge) (PurgeReport, error) {
	if err := purge.Validate(); err != nil {
		return PurgeReport{}, err
	}
	if p.closed.Load() {
		return PurgeReport{}, ErrClosed
	}
	p.changing.Lock()
	defer p.changing.Unlock()
	p.purges.Add(1)
	report := PurgeReport{Pending: p.o.Shared != nil}
	if p.o.Shared != nil {
		stamp, heard, err := p.o.Shared.Append(ctx, purge, p.Mark())
		if err == nil {
			report = PurgeReport{Stamp: stamp, Heard: heard}
		} else {
			p.errs.Add(1)
			defer p.look() // later, when it is back
		}
	}
	r := PurgeRecord{Purge: purge, Stamp: report.Stamp, Pending: report.Pending}
	err := p.keep(&r)
	report.Stamp = r.Stamp
	p.o.Log.Info("cache: purged", "what", purge.String(), "stamp", report.Stamp, "pending", report.Pending, "error", err)
	return report, err
}

// keep applies a record and stores it in the folder. A stamp that the shared log has not given is made here. changing
// is held.
func (p *Purges) keep(r *PurgeRecord) error {
	stamped := func() []PurgeRecord {
		if r.Stamp == 0 {
			r.Stamp = p.Mark() + 1 // later than those of all who share the folder
		}
		return []PurgeRecord{*r}
	}
	err := p.store(stamped)
	if err != nil {
		p.apply(stamped()...)
		return fmt.Errorf("cache: a purge could not be stored: %w", err)
	}
	return nil
}

// store applies records and appends them to the folder's log, if there is one. They are asked for when everything
// that others have appended has been applied.
func (p *Purges) store(more func() []PurgeRecord) error {
	if p.file == nil {
		p.apply(more()...)
		return nil
	}
	err := p.file.change(func(others []PurgeRecord) []PurgeRecord {
		p.learned.Add(uint64(p.apply(others...)))
		added := more()
		p.apply(added...)
		return added
	}, p.records)
	if err != nil {
		p.errs.Add(1)
	}
	return err
}

// apply adds records and returns how many changed something.
func (p *Purges) apply(records ...PurgeRecord) (changed int) {
	if len(records) == 0 {
		return 0
	}
	p.mu.Lock()
	for _, r := range records {
		if p.set.add(r) {
			changed++
		}
	}
	p.mark.Store(p.set.max)
	p.mu.Unlock()
	if changed > 0 {
		p.generation.Add(1)
	}
	return changed
}

func (p *Purges) records() []PurgeRecord {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.set.records()
}

// Close ends the looks at folder and shared log.
func (p *Purges) Close() error {
	p.closed.Store(true)
	p.cancel()
	p.done.Wait()
	return nil
}

// Stats returns what the log holds and has done.
func (p *Purges) Stats() PurgeStats {
	p.mu.RLock()
	s := PurgeStats{Records: p.set.size(), Pending: p.set.pending}
	p.mu.RUnlock()
	s.Purges, s.Learned, s.Errors = p.purges.Load(), p.learned.Load(), p.errs.Load()
	if n := p.synced.Load(); n != 0 {
		s.Synced = time.Unix(0, n)
	}
	return s
}

// readFile applies what others wrote into the folder. A damaged file is written anew with what is known.
func (p *Purges) readFile() error {
	records, err := p.file.news()
	p.learned.Add(uint64(p.apply(records...)))
	var damage *CorruptError
	if !errors.As(err, &damage) {
		return err
	}
	p.o.Log.Error("cache: the log of purges is damaged", "dir", p.o.Dir, "error", err)
	return errors.Join(err, p.store(func() []PurgeRecord { return nil }))
}
