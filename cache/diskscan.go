package cache

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// run scans the folder at once and then every now and then, until Close.
func (d *Disk) run(ctx context.Context) {
	defer close(d.done)
	d.scan(ctx)
	close(d.scanned)
	t := time.NewTicker(d.timing.rescan)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			d.scan(ctx)
		}
	}
}

// scan makes the index agree with the folder: files of an earlier run and of other processes are added, vanished
// ones forgotten, temporary files of dead writers removed; then the limit is enforced.
func (d *Disk) scan(ctx context.Context) {
	first := !isClosed(d.scanned)
	for shard := range 256 {
		if ctx.Err() != nil {
			return
		}
		d.scanShard(byte(shard))
		if first {
			d.updateLimit(false)
		}
	}
	d.updateLimit(true)
	for ctx.Err() == nil {
		v, ok := d.index.reserve(0, d.max.Load())
		if ok || v == nil {
			return
		}
		d.evict(v)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// updateLimit follows the file system when the limit is half of what it could give. As long as not all files are
// known it cannot be told how much is the cache's own; until then there may be added half of what is free.
func (d *Disk) updateLimit(allKnown bool) {
	if !d.half {
		return
	}
	free, err := freeBytes(d.root)
	if err != nil {
		d.upkeepFailed(d.root, ioError("statfs", err))
		return
	}
	_, bytes := d.index.size()
	if allKnown {
		d.max.Store((free + bytes) / 2)
	} else {
		d.max.Store(free/2 + bytes)
	}
}

func (d *Disk) scanShard(shard byte) {
	path := d.shardPath(shard)
	listed := map[Key]struct{}{}
	err := eachName(path, func(name string) {
		if k, ok := entryKey(shard, name); ok {
			listed[k] = struct{}{}
		} else if isTemp(shard, name) {
			d.removeOldTemp(path + "/" + name)
		}
	})
	if err != nil {
		d.upkeepFailed(path, ioError("list", err))
		return // an incomplete list says nothing about what is missing
	}
	unknown, missing := d.index.compare(shard, listed)
	for _, k := range unknown {
		d.join(k, 0)
	}
	for _, k := range missing {
		d.forgetIfGone(k)
	}
}

// eachName calls f with the names in a folder, of which there are none if it does not exist.
func eachName(path string, f func(string)) error {
	dir, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			f(name)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// removeAll removes every entry.
func (d *Disk) removeAll() {
	for shard := range 256 {
		err := eachName(d.shardPath(byte(shard)), func(name string) {
			if k, ok := entryKey(byte(shard), name); ok {
				_ = d.Delete(context.Background(), k) // counted
			}
		})
		if err != nil {
			d.upkeepFailed(d.shardPath(byte(shard)), ioError("list", err))
		}
	}
}

// removeOldTemp removes a temporary file that nobody can still be writing.
func (d *Disk) removeOldTemp(path string) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil || time.Now().UnixNano()-st.Mtim.Nano() < int64(d.timing.tempAge) {
		return
	}
	if err := unix.Unlink(path); err != nil && err != unix.ENOENT {
		d.upkeepFailed(path, ioError("remove", err))
	}
}

// join adds a file to the index that it does not know, used at the given time, or when the file was last modified
// if that is 0.
func (d *Disk) join(k Key, used int64) {
	mu := d.lock(k)
	defer mu.Unlock()
	var st unix.Stat_t
	if unix.Lstat(d.path(k), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return // evicted, or nothing of ours
	}
	mtime := st.Mtim.Nano()
	if used == 0 {
		used = min(mtime, time.Now().UnixNano()) // a time in the future would never be evicted
	}
	d.index.add(k, fileCost(st.Size), mtime, used)
}

// forgetIfGone takes k out of the index if its file does not exist: another process removed it.
func (d *Disk) forgetIfGone(k Key) {
	if !d.index.has(k) {
		return
	}
	mu := d.lock(k)
	defer mu.Unlock()
	var st unix.Stat_t
	if unix.Lstat(d.path(k), &st) == unix.ENOENT {
		d.index.remove(k)
	}
}

// removeIfSame removes the file of k if it is still the one that st describes.
func (d *Disk) removeIfSame(k Key, st *unix.Stat_t) {
	mu := d.lock(k)
	defer mu.Unlock()
	path := d.path(k)
	var now unix.Stat_t
	if err := unix.Lstat(path, &now); err != nil || now.Ino != st.Ino || now.Dev != st.Dev {
		return
	}
	if err := unix.Unlink(path); err != nil && err != unix.ENOENT {
		d.upkeepFailed(path, ioError("remove", err))
		return
	}
	d.index.remove(k)
}

// reserve makes room for size bytes and counts them as used; it reports whether that was possible.
func (d *Disk) reserve(size int64) bool {
	if size > d.max.Load() {
		return false
	}
	for {
		v, ok := d.index.reserve(size, d.max.Load())
		if ok {
			return true
		}
		if v == nil {
			return false // everything is taken by entries being written
		}
		d.evict(v)
	}
}

// evict removes the file of a node that was taken out of the index, unless the file was replaced meanwhile or used
// by another process after this one. Whatever comes of it, the node's bytes are accounted for.
func (d *Disk) evict(v *diskNode) {
	mu := d.lock(v.key)
	defer mu.Unlock()
	if !d.index.departs(v) { // replaced, or found by a Get
		d.index.evicted(v)
		return
	}
	path := d.path(v.key)
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err == nil && st.Mtim.Nano() > v.mtime {
		// Each sparing takes a new modification time, so it comes to an end.
		v.mtime = st.Mtim.Nano()
		v.used = max(v.used, min(v.mtime, time.Now().UnixNano()))
		d.index.restore(v, fileCost(st.Size))
		return
	}
	switch err := unix.Unlink(path); err {
	case nil:
		d.evictions.Add(1)
	case unix.ENOENT:
	default:
		d.upkeepFailed(path, ioError("evict", err)) // no longer counted; a scan will find it again
	}
	d.index.evicted(v)
}
