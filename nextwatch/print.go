// Package nextwatch notices that a Next.js build was replaced by another one, in a folder that somebody else writes: a
// volume shared with the frontend, a checkout in which `next build` runs.
//
// It asks the file system every now and then. Notifications of the kernel (inotify) do not come for network volumes, and
// are lost where a symbolic link above the folder is swapped, which is how Kubernetes and most deployments replace files.
package nextwatch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"imgopt/config"
)

// Print tells builds apart by what is read of them: of two builds with the same settings and the same BUILD_ID it is the
// same. The zero Print is no build's.
type Print struct {
	// ID says that there is a BUILD_ID, Manifest that there is a file with settings.
	ID, Manifest bool
	sum          [sha256.Size]byte
}

// Looker looks at one build again and again. It reads files only when they seem to have changed. It must not be used by
// several goroutines at once.
type Looker struct {
	files []*file
}

// NewLooker returns one for the build in dir, as for the key nextDir.
func NewLooker(dir string) *Looker {
	l := &Looker{}
	for _, path := range config.BuildFiles(dir) {
		l.files = append(l.files, &file{path: path})
	}
	return l
}

// Look returns the print of what is there now. Every path is resolved anew. Files that change meanwhile may go into it
// in any state; the next Look then returns another print.
func (l *Looker) Look() Print {
	p := Print{}
	all := sha256.New()
	for _, f := range l.files {
		f.look()
		fmt.Fprintf(all, "%t %x %q\n", f.there, f.sum, f.problem)
		if f.there && filepath.Base(f.path) == config.BuildID {
			p.ID = true
		} else if f.there {
			p.Manifest = true
		}
	}
	all.Sum(p.sum[:0])
	return p
}

// settledAfter is when a file's stamp is trusted: file systems tell times in steps of some milliseconds, and within one
// a file can change twice.
const settledAfter = 5 * time.Second

// stamp is what a file's content cannot change without, but for settledAfter. Modification times alone are not enough: in images and archives
// that are built reproducibly all of them are the same, and so is the length of every BUILD_ID.
type stamp struct {
	dev, ino        uint64
	size            int64
	modified, inode syscall.Timespec
}

// file is what is known of one file.
type file struct {
	path    string
	there   bool
	stamp   stamp
	sum     [sha256.Size]byte
	settled bool   // the stamp was old enough when the file was read
	problem string // why it is there and cannot be read
	reads   int
}

func (f *file) look() {
	before := *f
	*f = file{path: f.path, reads: f.reads}
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return
	}
	f.there = true
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a file") // opening a pipe would wait for whoever writes to it
	}
	if err == nil {
		sys := info.Sys().(*syscall.Stat_t) // as always on Linux
		f.stamp = stamp{sys.Dev, sys.Ino, info.Size(), sys.Mtim, sys.Ctim}
		if before.settled && before.stamp == f.stamp {
			f.sum, f.settled = before.sum, true
			return
		}
		f.reads++
		now := time.Now()
		if f.sum, err = hash(f.path); err == nil {
			f.settled = now.Sub(time.Unix(sys.Ctim.Unix())) > settledAfter
		}
	}
	if err != nil {
		f.problem = err.Error()
	}
}

// hash returns the hash of a file's content. It takes no more memory than a buffer, however large the file is.
func hash(path string) (sum [sha256.Size]byte, err error) {
	in, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer in.Close()
	h := sha256.New()
	if _, err = io.Copy(h, in); err == nil {
		h.Sum(sum[:0])
	}
	return sum, err
}
