package jobs

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// folder is the shared folder of a filesystem queue, on a local file system:
//
//	queued/KEY.job  leased/KEY.job  dead/KEY.job   a job is in at most one of them; it changes by rename
//	owners/OWNER                                   locked (flock) by each living process for as long as it lives
//	lock                                           locked during every change
//	new                                            the file being written, by who holds lock
//
// The kernel frees both locks when a process dies, in whatever way. Files are not fsynced: they survive the death of
// the process, and a job that a power failure loses costs a revalidation or a variant made on demand.
type folder struct {
	root  string
	owner string

	turn      chan struct{} // one change at a time in this process; a channel, because its holder may sleep
	lock      *os.File      // flocked by the holder of turn
	self      *os.File      // our file in owners/
	busyUntil atomic.Int64  // Unix nanoseconds
	writes    uint64        // files written so far
	closed    bool
}

const (
	queuedDir = "queued"
	leasedDir = "leased"
	deadDir   = "dead"
	ownersDir = "owners"
	jobSuffix = ".job"
	ownerLen  = 26

	// How long a change waits for another: lockBriefly where somebody waits, lockPatiently elsewhere. Changes take
	// well under a millisecond, but the processes may be starved of CPU; one that holds the lock longer is
	// stopped. For lockPause nobody then waits briefly again.
	lockBriefly   = 500 * time.Millisecond
	lockPatiently = 10 * time.Second
	lockPause     = 5 * time.Second
)

var errFolderBusy = errors.New("the job folder is locked by another process")

func openFolder(root string) (*folder, error) {
	for _, dir := range []string{queuedDir, leasedDir, deadDir, ownersDir} {
		// Urls may carry tokens: nobody else may read them.
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			return nil, err
		}
	}
	lock, err := os.OpenFile(filepath.Join(root, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	f := &folder{root: root, owner: rand.Text(), turn: make(chan struct{}, 1), lock: lock}
	err = f.exclusive(lockPatiently, func() error {
		// Under the lock, so that nobody sees our file before it is locked and takes us for dead.
		if f.self, err = os.OpenFile(f.ownerPath(f.owner), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err != nil {
			return err
		}
		return tryLock(f.self)
	})
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *folder) close() error {
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	f.closed = true
	var errs []error
	if f.self != nil {
		errs = append(errs, os.Remove(f.self.Name()), f.self.Close())
	}
	return errors.Join(append(errs, f.lock.Close())...)
}

// exclusive runs a change of the folder while no other process and no other goroutine changes it. It waits that long
// for its turn, or fails with errFolderBusy.
func (f *folder) exclusive(wait time.Duration, change func() error) (err error) {
	if wait <= lockBriefly && time.Now().UnixNano() < f.busyUntil.Load() {
		return errFolderBusy
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-timer.C:
		f.busyUntil.Store(time.Now().Add(lockPause).UnixNano())
		return errFolderBusy
	}
	if f.closed {
		return ErrClosed
	}
	// Polling, since a blocked flock cannot be given up. Others hold the lock for some 100 µs.
	for pause := 20 * time.Microsecond; ; pause = min(2*pause, time.Millisecond) {
		err := tryLock(f.lock)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("locking the job folder: %w", err)
		}
		select {
		case <-timer.C:
			f.busyUntil.Store(time.Now().Add(lockPause).UnixNano())
			return errFolderBusy
		case <-time.After(pause):
		}
	}
	defer func() {
		if e := flock(f.lock, syscall.LOCK_UN); e != nil {
			err = errors.Join(err, fmt.Errorf("unlocking the job folder: %w", e))
		}
	}()
	return change()
}

func tryLock(f *os.File) error { return flock(f, syscall.LOCK_EX|syscall.LOCK_NB) }

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// alive tells whether the process with that name still lives. A dead one's file is removed. Needs exclusive.
func (f *folder) alive(owner string) bool {
	if owner == f.owner {
		return true
	}
	file, err := os.OpenFile(f.ownerPath(owner), os.O_RDWR, 0)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer file.Close()
	if tryLock(file) != nil {
		return true
	}
	_ = os.Remove(file.Name()) // if it stays, it is found dead again
	return false
}

// removeDeadOwners clears the files of dead processes that left no job behind. Needs exclusive.
func (f *folder) removeDeadOwners() error {
	files, err := os.ReadDir(filepath.Join(f.root, ownersDir))
	for _, file := range files {
		if isOwner(file.Name()) {
			f.alive(file.Name())
		}
	}
	return err
}

func (f *folder) ownerPath(owner string) string { return filepath.Join(f.root, ownersDir, owner) }

func (f *folder) path(dir string, key Key) string {
	return filepath.Join(f.root, dir, key.String()+jobSuffix)
}

// list returns the keys in dir, in no particular order.
func (f *folder) list(dir string) ([]Key, error) {
	d, err := os.Open(filepath.Join(f.root, dir))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	keys := make([]Key, 0, len(names))
	for _, name := range names {
		if hex, ok := strings.CutSuffix(name, jobSuffix); ok {
			if key, err := ParseKey(hex); err == nil {
				keys = append(keys, key)
			}
		}
	}
	return keys, err
}

// exists tells whether the job is queued or leased.
func (f *folder) exists(key Key) (bool, error) {
	for _, dir := range []string{queuedDir, leasedDir} {
		switch _, err := os.Lstat(f.path(dir, key)); {
		case err == nil:
			return true, nil
		case !errors.Is(err, fs.ErrNotExist):
			return false, err
		}
	}
	return false, nil
}

// corruptError says that a file could be read but holds no job.
type corruptError struct {
	path string
	err  error
}

func (e *corruptError) Error() string { return fmt.Sprintf("job file %s: %v", e.path, e.err) }
func (e *corruptError) Unwrap() error { return e.err }

// read returns a job's record: fs.ErrNotExist, *corruptError, or an I/O error.
func (f *folder) read(dir string, key Key) (*record, error) {
	path := f.path(dir, key)
	// Neither follow a link nor wait for a pipe's writer: nothing but a regular file is a job.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, &corruptError{path, err}
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && !info.Mode().IsRegular() {
		return nil, &corruptError{path, errors.New("not a regular file")}
	}
	b, err := io.ReadAll(io.LimitReader(file, recordMax+1))
	if err != nil {
		return nil, err
	}
	r, err := decodeRecord(b)
	if err == nil && r.Item.Key != key {
		err = errors.New("holds another job than its name says")
	}
	if err != nil {
		return nil, &corruptError{path, err}
	}
	return r, nil
}

// write stores a record in dir, replacing the job's file there. Needs exclusive.
func (f *folder) write(dir string, r *record) error {
	b, err := r.encode()
	if err != nil {
		return err
	}
	fresh := filepath.Join(f.root, "new")
	if err := os.WriteFile(fresh, b, 0o600); err != nil {
		return err
	}
	if err := os.Rename(fresh, f.path(dir, r.Item.Key)); err != nil {
		return err
	}
	f.writes++
	return nil
}

// move stores a record in one folder and then moves it to another, so that a crash in between leaves a whole file in
// either. Needs exclusive.
func (f *folder) move(from, to string, r *record) error {
	if err := f.write(from, r); err != nil {
		return err
	}
	return os.Rename(f.path(from, r.Item.Key), f.path(to, r.Item.Key))
}

// remove deletes a job's file, if it is there. RemoveAll: a damaged folder may hold a directory of that name.
func (f *folder) remove(dir string, key Key) error { return os.RemoveAll(f.path(dir, key)) }

// trimDead deletes the oldest dead letters beyond keep. Needs exclusive.
func (f *folder) trimDead(keep int) error {
	entries, err := os.ReadDir(filepath.Join(f.root, deadDir))
	if err != nil || len(entries) <= keep {
		return err
	}
	type aged struct {
		name string
		at   time.Time
	}
	letters := make([]aged, 0, len(entries))
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			letters = append(letters, aged{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(letters, func(a, b aged) int { return a.at.Compare(b.at) })
	var errs []error
	for _, l := range letters[:max(0, len(letters)-keep)] {
		errs = append(errs, os.Remove(filepath.Join(f.root, deadDir, l.name)))
	}
	return errors.Join(errs...)
}
