package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// HalfFree as DiskOptions.MaxBytes makes the limit half of what the file system could give to the cache, which is
// Next's default for images.maximumDiskCacheSize.
//
// Next computes it once, from what is free at start; a full cache would thus get half its size at the next start.
// Here the cache's own files count as free, and the limit follows the file system at every scan.
const HalfFree int64 = -1

// DiskOptions configures a disk tier.
type DiskOptions struct {
	// Path is the folder; it is created if need be. Several processes may use one folder.
	Path string
	// MaxBytes limits the files' sizes, each rounded up to whole blocks and with its inode and name: a positive
	// number or HalfFree. It does not include the at most 256 sub-folders.
	MaxBytes int64
	// Log gets a line for every damaged file, and at most one a minute about failures of upkeep. nil: no log.
	Log *slog.Logger
}

// diskTiming holds the intervals that tests shorten.
type diskTiming struct {
	// rescan is how often the folder is compared with the index, for the sake of other processes' files.
	rescan time.Duration
	// touch is how old a file's modification time may be before a hit renews it. It is the precision of the LRU order
	// that a restarted or another process sees; a shorter one costs inode writes.
	touch time.Duration
	// tempAge is how old a temporary file must be for its writer to be dead.
	tempAge time.Duration
	// logEvery is the least time between two log lines about upkeep.
	logEvery time.Duration
}

var defaultTiming = diskTiming{rescan: 10 * time.Minute, touch: 10 * time.Minute, tempAge: 15 * time.Minute, logEvery: time.Minute}

// Disk keeps entries as files, one each, in a folder that survives restarts and may be shared with other processes.
//
// The files are the truth; the index in memory only knows in which order to evict them and how much they take. So
// every Get tries its file, whether the index knows it or not: the folder is warm from the first request after a
// start on, while the index is still being built by a scan in the background, and what another process writes is
// found. Files are written under a temporary name and renamed, so that nobody sees half of one. They are not synced
// (which is why renameio, which always syncs, is not used): after a power failure a file may be torn, and then its
// checksum gives it away, which costs one miss instead of a disk flush on every Put.
//
// The limit is this process's: files of others count once a Get or a scan found them, so processes that share a
// folder may together exceed the limit by what was written since the last scan.
type Disk struct {
	root   string
	half   bool // HalfFree
	log    *slog.Logger
	timing diskTiming
	max    atomic.Int64
	index  diskIndex
	names  tempNames
	purges *Purges // nil unless NewTieredWith gave it
	// write is writeTemp, and a failing disk in tests.
	write func(path string, header, body []byte) (mtime int64, err error)

	// locks make a change of a file and of its index node one step. The one for a key is locks[key[0]]. It is taken
	// before the index's own lock, never after.
	locks [256]sync.Mutex

	closed  atomic.Bool
	cancel  context.CancelFunc
	done    chan struct{}
	scanned chan struct{}
	lastLog atomic.Int64

	hits, misses, evictions, rejected, errors, corrupt atomic.Uint64
}

// OpenDisk opens the folder and starts to scan it in the background. It does not fail because the folder cannot be
// written to: then Put does.
func OpenDisk(o DiskOptions) (*Disk, error) { return openDisk(o, defaultTiming) }

func openDisk(o DiskOptions, timing diskTiming) (*Disk, error) {
	if o.Path == "" {
		return nil, errors.New("cache: disk tier: no path")
	}
	if o.MaxBytes <= 0 && o.MaxBytes != HalfFree {
		return nil, fmt.Errorf("cache: disk tier of %d bytes: must be positive or HalfFree", o.MaxBytes)
	}
	root, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("cache: disk tier: %w", err)
	}
	if err := makeFolder(root); err != nil {
		return nil, fmt.Errorf("cache: disk tier: %w", err)
	}
	d := &Disk{
		root:    root,
		half:    o.MaxBytes == HalfFree,
		log:     o.Log,
		timing:  timing,
		write:   writeTemp,
		done:    make(chan struct{}),
		scanned: make(chan struct{}),
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.names.init()
	d.index.init()
	d.max.Store(o.MaxBytes)
	if d.half {
		free, err := freeBytes(root)
		if err != nil {
			return nil, fmt.Errorf("cache: disk tier: %w", err)
		}
		d.max.Store(free / 2)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go d.run(ctx)
	return d, nil
}

// Get reads the file of k.
func (d *Disk) Get(ctx context.Context, k Key) (*Entry, error) {
	if d.closed.Load() {
		return nil, d.miss(ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return nil, d.miss(err)
	}
	path := d.path(k)
	b, st, err := readFile(path)
	switch {
	case errors.Is(err, unix.ENOENT):
		d.forgetIfGone(k)
		d.misses.Add(1)
		return nil, ErrMiss
	case errors.Is(err, errNotAFile):
		return nil, d.discard(k, &st, err)
	case err != nil:
		err = ioError("read", err)
		d.upkeepFailed(path, err)
		return nil, d.miss(err)
	}
	e, err := Decode(k, b)
	if err != nil {
		return nil, d.discard(k, &st, err)
	}
	if d.purges != nil && d.purges.Purged(e) {
		d.removeIfSame(k, &st)
		d.misses.Add(1)
		return nil, ErrMiss
	}
	d.hits.Add(1)
	d.used(k, path, &st)
	d.index.check(k, fileMark(&st))
	return e, nil
}

// miss counts a miss with a cause.
func (d *Disk) miss(cause error) error {
	d.misses.Add(1)
	return &MissError{Cause: cause}
}

// discard makes a miss of a file that holds no entry for us. A damaged one is removed. One of another version is
// left to that version, which may run beside this one during an upgrade; it is overwritten or ages.
func (d *Disk) discard(k Key, st *unix.Stat_t, cause error) error {
	if errors.Is(cause, ErrVersion) {
		return d.miss(cause)
	}
	d.corrupt.Add(1)
	d.log.Warn("cache: damaged file removed", "file", d.path(k), "error", cause)
	d.removeIfSame(k, st)
	return d.miss(cause)
}

// used notes a hit: in the index, and now and then on the file, for the next start and for other processes.
func (d *Disk) used(k Key, path string, st *unix.Stat_t) {
	now := time.Now()
	mtime := st.Mtim.Nano()
	if now.UnixNano()-mtime > int64(d.timing.touch) && touchFile(path, now) == nil {
		mtime = now.UnixNano()
	}
	if !d.index.hit(k, fileCost(st.Size), mtime, now.UnixNano()) {
		d.join(k, now.UnixNano())
	}
}

// Put writes e. Room for it is made before it is written, so the folder never exceeds its limit. A full, read-only
// or forbidden disk is an *IOError; the previous entry, if any, is then still there.
func (d *Disk) Put(ctx context.Context, k Key, e *Entry) error {
	if d.closed.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cache: put: %w", err)
	}
	buf := headers.Get().(*[]byte)
	defer headers.Put(buf)
	header, err := appendHeader((*buf)[:0], k, e)
	if err != nil {
		return err
	}
	*buf = header
	cost := fileCost(int64(len(header) + len(e.Body)))
	if !d.reserve(cost) {
		d.rejected.Add(1)
		return errors.Join(
			fmt.Errorf("%w: %d bytes in a disk tier of %d", ErrTooLarge, cost, d.max.Load()), d.Delete(ctx, k))
	}
	temp := d.tempPath(k)
	mtime, err := d.writeRetrying(temp, header, e.Body, cost)
	if err == nil {
		err = d.publish(k, temp, cost, mtime)
	}
	if err != nil {
		d.index.release(cost)
		d.errors.Add(1)
		return err
	}
	return nil
}

// publish gives the file its name.
func (d *Disk) publish(k Key, temp string, cost, mtime int64) error {
	mu := d.lock(k)
	defer mu.Unlock()
	d.index.rename(k)
	if err := retryEINTR(func() error { return unix.Rename(temp, d.path(k)) }); err != nil {
		d.index.give(k)
		// Nothing can be done about a name that cannot be removed either; a scan will try again.
		_ = unix.Unlink(temp)
		return ioError("rename", err)
	}
	d.index.commit(k, cost, mtime, time.Now().UnixNano())
	return nil
}

// writeRetrying writes a temporary file. When somebody else filled the disk, the limit does not help: old entries
// are given up for the new one, once.
func (d *Disk) writeRetrying(temp string, header, body []byte, cost int64) (int64, error) {
	mtime, err := d.writeInFolder(temp, header, body)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		for freed := int64(0); freed < 2*cost; {
			v := d.index.pop()
			if v == nil {
				break
			}
			freed += v.size
			d.evict(v)
		}
		mtime, err = d.writeInFolder(temp, header, body)
	}
	if err != nil {
		return 0, ioError("write", err)
	}
	return mtime, nil
}

// writeInFolder writes a temporary file and, if need be, creates its folder: nothing was stored there yet, or
// somebody emptied the cache.
func (d *Disk) writeInFolder(temp string, header, body []byte) (int64, error) {
	mtime, err := d.write(temp, header, body)
	if errors.Is(err, unix.ENOENT) {
		if err := makeFolder(filepath.Dir(temp)); err != nil {
			return 0, err
		}
		return d.write(temp, header, body)
	}
	return mtime, err
}

// Delete removes the file of k.
func (d *Disk) Delete(_ context.Context, k Key) error {
	mu := d.lock(k)
	defer mu.Unlock()
	switch err := unix.Unlink(d.path(k)); err {
	case nil, unix.ENOENT:
		d.index.remove(k)
		return nil
	default:
		d.errors.Add(1)
		return ioError("remove", err)
	}
}

// usePurges makes p hold for what is on disk. If p has lost purges, everything there goes.
func (d *Disk) usePurges(p *Purges) {
	d.purges = p
	if p.damaged {
		d.removeAll()
	}
}

// Close ends the scan. A Get or Put that is running finishes.
func (d *Disk) Close() error {
	d.closed.Store(true)
	d.cancel()
	<-d.done
	return nil
}

// Scanned is closed when the first scan is over: from then on Stats tell of all files.
func (d *Disk) Scanned() <-chan struct{} { return d.scanned }

// Stats returns what the tier holds and has done. While the first scan runs, entries and bytes are still growing.
func (d *Disk) Stats() Stats {
	entries, bytes := d.index.size()
	return Stats{
		Entries:   entries,
		Bytes:     bytes,
		MaxBytes:  d.max.Load(),
		Hits:      d.hits.Load(),
		Misses:    d.misses.Load(),
		Evictions: d.evictions.Load(),
		Rejected:  d.rejected.Load(),
		Errors:    d.errors.Load(),
		Corrupt:   d.corrupt.Load(),
	}
}

// lock locks what changes k's file.
func (d *Disk) lock(k Key) *sync.Mutex {
	mu := &d.locks[k[0]]
	mu.Lock()
	return mu
}

// upkeepFailed counts a failure that no caller gets to see, and logs it unless another was logged just now: a broken
// disk fails at every request.
func (d *Disk) upkeepFailed(path string, err error) {
	d.errors.Add(1)
	now, last := time.Now().UnixNano(), d.lastLog.Load()
	if now-last >= int64(d.timing.logEvery) && d.lastLog.CompareAndSwap(last, now) {
		d.log.Error("cache: disk tier", "path", path, "error", err, "failures", d.errors.Load())
	}
}
