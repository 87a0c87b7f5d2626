package cache

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The folder of a disk tier:
//
//	3f/3f…64 hexadecimal digits….entry              one entry
//	3f/.3f…64 hexadecimal digits….…16….tmp          an entry being written
//
// Names are made from keys alone, so no url can lead out of the folder, and only files whose names have exactly one
// of these two forms, in the sub-folder they belong to, are ever removed: the folder may be somebody's home by mistake.
const (
	entrySuffix = ".entry"
	tempSuffix  = ".tmp"
	tempTagLen  = 16
	blockSize   = 4096
	// fileOverhead is an inode and a name.
	fileOverhead = 512
	// maxFileSize keeps a file that merely has the name of an entry from being read into memory.
	maxFileSize = 1 << 30
)

var errNotAFile error = &CorruptError{"not a regular file of possible size"}

// headers recycles the buffers in which headers are put together.
var headers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// fileCost returns what a file of size bytes takes of the limit. Blocks in use are computed rather than asked for,
// because file systems that allocate late do not know them right after a write.
func fileCost(size int64) int64 {
	return (size+blockSize-1)/blockSize*blockSize + fileOverhead
}

func (d *Disk) path(k Key) string {
	var space [256]byte // no allocation beside the string, unless the folder's name is very long
	b := append(space[:0], d.root...)
	b = append(b, '/')
	b = hex.AppendEncode(b, k[:1])
	b = append(b, '/')
	b = hex.AppendEncode(b, k[:])
	b = append(b, entrySuffix...)
	return string(b)
}

func (d *Disk) shardPath(shard byte) string { return d.root + "/" + hex.EncodeToString([]byte{shard}) }

func (d *Disk) tempPath(k Key) string {
	return d.shardPath(k[0]) + "/." + k.String() + "." + d.names.next() + tempSuffix
}

// tempNames makes names that no other writer uses: a random start, from which it counts.
type tempNames struct{ n atomic.Uint64 }

func (t *tempNames) init() {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: see crypto/rand
	t.n.Store(binary.NativeEndian.Uint64(b[:]))
}

func (t *tempNames) next() string { return fmt.Sprintf("%0*x", tempTagLen, t.n.Add(1)) }

// entryKey returns the key of an entry's file in a shard's folder; ok is false for any other name.
func entryKey(shard byte, name string) (k Key, ok bool) {
	hexKey, ok := strings.CutSuffix(name, entrySuffix)
	if !ok {
		return Key{}, false
	}
	k, err := ParseKey(hexKey)
	return k, err == nil && k[0] == shard
}

// isTemp reports whether name is that of a temporary file in a shard's folder.
func isTemp(shard byte, name string) bool {
	name, ok1 := strings.CutPrefix(name, ".")
	name, ok2 := strings.CutSuffix(name, tempSuffix)
	hexKey, tag, ok3 := strings.Cut(name, ".")
	if !ok1 || !ok2 || !ok3 || len(tag) != tempTagLen {
		return false
	}
	for i := range len(tag) {
		if hexDigit(tag[i]) < 0 {
			return false
		}
	}
	k, err := ParseKey(hexKey)
	return err == nil && k[0] == shard
}

// openRegular opens a file for reading. Its descriptor is returned, and has to be closed, only without an error.
// os.Open would add the registration with the poller and a finalizer, os.Root a look-up per path element.
func openRegular(path string, st *unix.Stat_t) (fd int, err error) {
	// a fifo or a symbolic link under an entry's name must neither block nor lead anywhere
	err = retryEINTR(func() error {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return -1, err
	}
	err = unix.Fstat(fd, st)
	if err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxFileSize) {
		err = errNotAFile
	}
	if err != nil {
		_ = unix.Close(fd) // opened for reading: nothing can be lost
		return -1, err
	}
	return fd, nil
}

// readFile reads a whole file in four system calls and one allocation.
func readFile(path string) (b []byte, st unix.Stat_t, err error) {
	fd, err := openRegular(path, &st)
	if err != nil {
		return nil, st, err
	}
	defer unix.Close(fd)
	b = make([]byte, st.Size)
	for got := 0; got < len(b); {
		n, err := unix.Read(fd, b[got:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, st, err
		case n == 0: // shorter than it was a moment ago: the decoder will notice
			return b[:got], st, nil
		default:
			got += n
		}
	}
	return b, st, nil
}

// writeTemp writes a new file and returns its modification time in Unix nanoseconds. On failure no file is left.
func writeTemp(path string, header, body []byte) (mtime int64, err error) {
	var fd int
	err = retryEINTR(func() error {
		fd, err = unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
		return err
	})
	if err != nil {
		return 0, err
	}
	var st unix.Stat_t
	err = writeAll(fd, header)
	if err == nil {
		err = writeAll(fd, body)
	}
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	// Linux closes the descriptor even when it reports EINTR, which then says nothing about the data
	if e := unix.Close(fd); err == nil && e != unix.EINTR {
		err = e
	}
	if err != nil {
		_ = unix.Unlink(path) // a scan removes what cannot be removed now
		return 0, err
	}
	return st.Mtim.Nano(), nil
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// touchFile sets the modification time that orders files after a restart.
func touchFile(path string, now time.Time) error {
	ts := []unix.Timespec{unix.NsecToTimespec(now.UnixNano()), unix.NsecToTimespec(now.UnixNano())}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW)
}

// makeFolder creates a folder that only this user may read: images may come from private sources.
func makeFolder(path string) error { return os.MkdirAll(path, 0o700) }

func retryEINTR(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// ioError wraps a failure of the disk with what was being done and a label.
func ioError(op string, err error) *IOError {
	reason := "io"
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		reason = "no_space"
	case errors.Is(err, unix.EROFS):
		reason = "read_only"
	case errors.Is(err, os.ErrPermission):
		reason = "permission"
	}
	return &IOError{Op: op, Reason: reason, Err: err}
}
