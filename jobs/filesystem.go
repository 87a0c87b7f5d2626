package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// FilesystemOptions configure a Filesystem queue.
type FilesystemOptions struct {
	// Dir is the folder, on a local file system; it is made if missing. Several processes may share it.
	Dir string
	// Version is the pipeline's version. Jobs of another version are left to the processes that know it, and are
	// deleted when they are a day old.
	Version string
	// Limits bound the queue; Background counts the whole folder, as of the last look at it.
	Limits Limits
	// MaxDead bounds the dead letters kept; the oldest are deleted first. 0: 1000.
	MaxDead int
	// Poll is how often the folder is searched for jobs of other processes, living and dead. 0: 1 s.
	Poll time.Duration
	// Log gets what an operator must see; nil means slog.Default().
	Log *slog.Logger
}

const (
	defaultMaxDead = 1000
	defaultPoll    = time.Second
	// foreignAge is when a job of another pipeline version is taken for forgotten.
	foreignAge = 24 * time.Hour
)

// Filesystem is a queue that keeps the jobs nobody waits for in a folder: they survive the death of the process, and
// several processes share them. A job that a process leased and that did not end is taken over as soon as the kernel
// says that the process died, or when the lease expires. Interactive jobs are only kept in memory, because those who
// wait for them die with the process; they never touch the disk, unless the same job had been submitted before.
//
// If the folder cannot be written, background jobs are kept in memory too, and one log line tells.
type Filesystem struct {
	opt    FilesystemOptions
	log    *slog.Logger
	s      *schedule
	folder *folder
	stop   context.CancelFunc
	done   sync.WaitGroup

	corrupt, reclaimed, storeErrors atomic.Uint64

	failing atomic.Bool       // the last change of the folder failed
	foreign map[Key]time.Time // jobs of other versions, and when they were enqueued; only used during a change
}

// OpenFilesystem opens the folder, makes ready the jobs that dead processes left in it, and starts watching it.
func OpenFilesystem(o FilesystemOptions) (*Filesystem, error) {
	if err := o.Limits.validate(); err != nil {
		return nil, fmt.Errorf("filesystem queue: %w", err)
	}
	if o.MaxDead < 0 || o.Poll < 0 || o.Dir == "" {
		return nil, errors.New("filesystem queue: needs a folder; MaxDead and Poll must not be negative")
	}
	if o.MaxDead == 0 {
		o.MaxDead = defaultMaxDead
	}
	if o.Poll == 0 {
		o.Poll = defaultPoll
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	folder, err := openFolder(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the job folder: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	q := &Filesystem{opt: o, log: o.Log.With("folder", o.Dir), s: newSchedule(o.Limits), folder: folder, stop: stop,
		foreign: make(map[Key]time.Time)}
	err = q.change(lockPatiently, func() error { return errors.Join(folder.removeDeadOwners(), q.scan()) })
	if err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("reading the job folder: %w", err), folder.close())
	}
	q.done.Go(func() { q.poll(ctx) })
	return q, nil
}

// change runs a change of the folder. The first failure is logged, and the first success after failures; that takes
// a file written, as a full disk can still be read.
func (q *Filesystem) change(wait time.Duration, f func() error) error {
	wrote := false
	err := q.folder.exclusive(wait, func() error {
		before := q.folder.writes
		defer func() { wrote = q.folder.writes > before }()
		return f()
	})
	switch {
	case err == nil:
		if wrote && q.failing.Swap(false) {
			q.log.Info("the job folder works again")
		}
	case errors.Is(err, ErrLeaseLost), errors.Is(err, ErrFull), errors.Is(err, ErrClosed):
	default:
		q.storeErrors.Add(1)
		if !q.failing.Swap(true) {
			q.log.Error("the job folder fails; background jobs are kept in memory", "error", err)
		}
	}
	return err
}

// Enqueue implements Queue. A background job is in its file when Enqueue returns.
func (q *Filesystem) Enqueue(_ context.Context, item Item) (joined bool, err error) {
	if item.Priority == Interactive {
		_, joined, err = q.s.put(item, asked{})
		return joined, err
	}
	known := false
	err = q.change(lockBriefly, func() error {
		there, err := q.folder.exists(item.Key)
		if err != nil || there {
			joined = there
			return err
		}
		var held entry
		if held, joined, err = q.s.put(item, asked{durable: true}); err != nil {
			return err
		}
		known = true
		// From here on a leaser may wait for the folder to lease the file as well.
		if held.state == entryLeased {
			err = q.folder.write(leasedDir, q.leaseRecord(Lease{Item: held.item, Token: held.token}, held.at))
		} else {
			err = q.folder.write(queuedDir, &record{Version: q.opt.Version, Item: held.item, NotBefore: delayedUntil(held)})
		}
		if err != nil {
			q.s.forgetFile(item.Key)
		}
		return err
	})
	if err != nil && !known && !errors.Is(err, ErrFull) && !errors.Is(err, ErrClosed) {
		_, joined, err = q.s.put(item, asked{}) // better done once than lost with a full disk
	}
	if known {
		err = nil // stored or not, it will be done
	}
	return joined, err
}

func delayedUntil(e entry) time.Time {
	if e.state == entryDelayed {
		return e.at
	}
	return time.Time{}
}

// Withdraw implements Queue.
func (q *Filesystem) Withdraw(_ context.Context, key Key) (dropped bool, err error) {
	return q.s.withdraw(key), nil
}

// Stats implements Queue.
func (q *Filesystem) Stats(context.Context) (QueueStats, error) {
	st := q.s.stats()
	st.Corrupt, st.StoreErrors = q.corrupt.Load(), q.storeErrors.Load()
	st.Reclaimed += q.reclaimed.Load()
	return st, nil
}

// Close implements Queue.
func (q *Filesystem) Close() error {
	q.stop()
	q.done.Wait()
	q.s.close()
	err := q.change(lockPatiently, q.handBack)
	if errors.Is(err, ErrClosed) {
		return nil // a second Close
	}
	if err != nil {
		err = fmt.Errorf("handing jobs back: %w", err)
	}
	return errors.Join(err, q.folder.close())
}
