package codec

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// area is memory that the service shares with one codec process. A source is copied in once and read where it
// lies; a result is copied out once, into the slice the cache keeps. Its size is fixed and sealed: a codec that
// was taken over could otherwise shrink it under the service's feet, and the next touch would be a SIGBUS. Pages
// cost nothing until they are written.
type area struct {
	file *os.File
	data []byte
}

// How much of an area stays allocated between jobs; what a larger image touched is given back. Getting pages from the
// kernel and giving them back costs some microseconds each, more than the copying: 15 ms for 13 MB, against 1 ms.
const (
	keepSource = 16 << 20
	keepResult = 4 << 20
)

func newArea(name string, size int) (*area, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("creating a memory area of %d bytes: %w", size, err)
	}
	a := &area{file: os.NewFile(uintptr(fd), name)}
	if err := a.fix(size); err != nil {
		a.close()
		return nil, err
	}
	if err := a.open(size, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// fix gives the area its size, for good.
func (a *area) fix(size int) error {
	if err := a.file.Truncate(int64(size)); err != nil {
		return fmt.Errorf("sizing a memory area to %d bytes: %w", size, err)
	}
	if _, err := unix.FcntlInt(a.file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return fmt.Errorf("sealing a memory area: %w", err)
	}
	return nil
}

// inheritArea maps an area that the parent process passed as a descriptor.
func inheritArea(fd uintptr, name string, prot int) (*area, error) {
	a := &area{file: os.NewFile(fd, name)}
	info, err := a.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("looking at the %s area: %w", name, err)
	}
	if err := a.open(int(info.Size()), prot); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *area) open(size, prot int) error {
	data, err := unix.Mmap(int(a.file.Fd()), 0, size, prot, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mapping a memory area of %d bytes: %w", size, err)
	}
	a.data = data
	return nil
}

// trim gives back the pages beyond keep that the last used bytes touched.
func (a *area) trim(used, keep int) {
	if used > keep {
		// Failing leaves the pages allocated, which the recycling of the process ends.
		_ = unix.Fallocate(int(a.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(keep), int64(used-keep))
	}
}

func (a *area) close() {
	if a.data != nil {
		_ = unix.Munmap(a.data)
		a.data = nil
	}
	_ = a.file.Close()
}

// noteSize bounds what is kept of a process's standard error, noted what of it goes into an error: the first lines say
// what happened, the rest is a trace.
const (
	noteSize = 4 << 10
	noted    = 300
)

// note is where a codec process writes its standard error: memory of a fixed size, so that a process that floods it
// costs the service nothing, and what comes first, of which the rest follows, is what stays. Nobody has to drain it.
type note struct{ area }

func newNote() (*note, error) {
	fd, err := unix.MemfdCreate("imgopt-stderr", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("creating a codec's standard error: %w", err)
	}
	n := &note{area{file: os.NewFile(uintptr(fd), "imgopt-stderr")}}
	if err := n.fix(noteSize); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// String is what was written first, in one line.
func (n *note) String() string {
	b := make([]byte, noted)
	read, _ := n.file.ReadAt(b, 0)
	text, _, _ := bytes.Cut(b[:read], []byte{0})
	return oneLine(string(text))
}
