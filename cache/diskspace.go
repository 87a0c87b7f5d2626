package cache

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// HalfFreeBytes returns half of what the file system of path has free, in bytes: the limit that HalfFree starts
// from. path, or the nearest of its parents that exists, decides the file system.
func HalfFreeBytes(path string) (int64, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return 0, err
	}
	free, err := freeBytes(path)
	return free / 2, err
}

// freeBytes returns what unprivileged users may still write on the file system of path or of the nearest of its
// parents that exists.
func freeBytes(path string) (int64, error) {
	for {
		var st unix.Statfs_t
		err := retryEINTR(func() error { return unix.Statfs(path, &st) })
		if err == nil {
			return int64(st.Bavail) * int64(st.Bsize), nil
		}
		parent := filepath.Dir(path)
		if !errors.Is(err, unix.ENOENT) || parent == path {
			return 0, &os.PathError{Op: "statfs", Path: path, Err: err}
		}
		path = parent
	}
}
