package cache

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// The log of purges in a folder is a text file of one line for each purge,
//
//	checksum stamp state "code"
//
// (CRC32C of the rest in hexadecimal, a number, "." or "pending", Purge.Code as a Go string) after a first line that
// names the format. Purges are appended, synced, and now and then the file is written anew without what later ones
// made superfluous. Whoever writes holds the lock file; who reads does not, and leaves a last line without its end to
// the next time. The next writer removes such a line if its own writer is dead: that purge had not been acknowledged.
const (
	purgeName     = "purges"
	purgeLockName = "purges.lock"
	purgeFormat   = "imgopt purges 1\n"
	pendingState  = "pending"
	doneState     = "."
)

// purgeFile is the log in one folder. One caller at a time uses it.
type purgeFile struct {
	dir     string
	seen    unix.Stat_t // the file as it was last read or written
	end     int64       // of its last whole line
	lines   int         // in it
	damaged bool        // it has lines that cannot be read
}

func (f *purgeFile) path() string { return filepath.Join(f.dir, purgeName) }

// news returns the records of the file if it has changed since it was last read or written. With a *CorruptError come
// those that are whole.
func (f *purgeFile) news() ([]PurgeRecord, error) {
	var st unix.Stat_t
	switch err := retryEINTR(func() error { return unix.Stat(f.path(), &st) }); {
	case errors.Is(err, unix.ENOENT):
		*f = purgeFile{dir: f.dir}
		return nil, nil
	case err != nil:
		return nil, ioError("stat", err)
	}
	if st.Ino == f.seen.Ino && st.Size == f.seen.Size && st.Mtim == f.seen.Mtim {
		return nil, nil
	}
	b, err := os.ReadFile(f.path())
	if err != nil {
		return nil, ioError("read", err)
	}
	records, err := parsePurges(b)
	f.damaged = err != nil
	f.end, f.lines = int64(bytes.LastIndexByte(b, '\n')+1), len(records)
	f.seen = st // as it was before: what has changed since then is read again
	return records, err
}

// change appends what more returns, which is given what others have appended meanwhile. whole returns all records
// that are worth keeping.
func (f *purgeFile) change(more func(others []PurgeRecord) []PurgeRecord, whole func() []PurgeRecord) error {
	lock, err := os.OpenFile(filepath.Join(f.dir, purgeLockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return ioError("open", err)
	}
	defer lock.Close() // which unlocks
	if err := retryEINTR(func() error { return unix.Flock(int(lock.Fd()), unix.LOCK_EX) }); err != nil {
		return ioError("lock", err)
	}
	others, err := f.news()
	var damage *CorruptError
	if err != nil && !errors.As(err, &damage) {
		return err
	}
	added := more(others)
	all := whole()
	if f.damaged || f.end == 0 || f.lines+len(added) > 2*len(all)+64 {
		return f.rewrite(all)
	}
	return f.append(added)
}

func (f *purgeFile) append(records []PurgeRecord) error {
	file, err := os.OpenFile(f.path(), os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return ioError("open", err)
	}
	defer file.Close()
	if f.end < f.seen.Size {
		if err := file.Truncate(f.end); err != nil {
			return ioError("truncate", err)
		}
	}
	var b []byte
	for _, r := range records {
		b = appendPurge(b, r)
	}
	if _, err := file.Write(b); err != nil {
		return ioError("write", err)
	}
	if err := file.Sync(); err != nil {
		return ioError("sync", err)
	}
	f.lines += len(records)
	return f.wrote(file)
}

func (f *purgeFile) rewrite(records []PurgeRecord) error {
	b := []byte(purgeFormat)
	for _, r := range records {
		b = appendPurge(b, r)
	}
	if err := renameio.WriteFile(f.path(), b, 0o600); err != nil {
		return ioError("write", err)
	}
	f.lines, f.damaged = len(records), false
	file, err := os.Open(f.path())
	if err != nil {
		return ioError("open", err)
	}
	defer file.Close()
	return f.wrote(file)
}

// wrote notes what the file is after a change, which need not be read. The lock is held.
func (f *purgeFile) wrote(file *os.File) error {
	if err := unix.Fstat(int(file.Fd()), &f.seen); err != nil {
		return ioError("stat", err)
	}
	f.end = f.seen.Size
	return nil
}

func appendPurge(b []byte, r PurgeRecord) []byte {
	state := doneState
	if r.Pending {
		state = pendingState
	}
	line := fmt.Sprintf("%d %s %s", r.Stamp, state, strconv.QuoteToASCII(r.Code()))
	return fmt.Appendf(b, "%08x %s\n", crc32.Checksum([]byte(line), castagnoli), line)
}

// parsePurges reads a file. With a *CorruptError it returns the records that are whole. A last line without its end is
// no damage.
func parsePurges(b []byte) ([]PurgeRecord, error) {
	rest, ok := bytes.CutPrefix(b, []byte(purgeFormat))
	if !ok {
		if bytes.HasPrefix([]byte(purgeFormat), b) {
			return nil, nil // being written
		}
		return nil, &CorruptError{"not a log of purges"}
	}
	var (
		records []PurgeRecord
		damage  error
	)
	lines := bufio.NewScanner(bytes.NewReader(rest[:bytes.LastIndexByte(rest, '\n')+1]))
	lines.Buffer(nil, 16*maxPattern)
	for lines.Scan() {
		r, err := parsePurge(lines.Text())
		if err != nil {
			damage = err
			continue
		}
		records = append(records, r)
	}
	if err := lines.Err(); err != nil {
		damage = &CorruptError{"a line of the log of purges is too long"}
	}
	return records, damage
}

func parsePurge(line string) (PurgeRecord, error) {
	damaged := &CorruptError{"a line of the log of purges"}
	sum, rest, ok := strings.Cut(line, " ")
	if n, err := strconv.ParseUint(sum, 16, 32); !ok || len(sum) != 8 || err != nil || uint32(n) != crc32.Checksum([]byte(rest), castagnoli) {
		return PurgeRecord{}, damaged
	}
	fields := strings.SplitN(rest, " ", 3)
	if len(fields) != 3 || fields[1] != doneState && fields[1] != pendingState {
		return PurgeRecord{}, damaged
	}
	stamp, err1 := strconv.ParseUint(fields[0], 10, 64)
	code, err2 := strconv.Unquote(fields[2])
	p, err3 := ParsePurge(code)
	if err1 != nil || err2 != nil || err3 != nil || stamp == 0 {
		return PurgeRecord{}, damaged
	}
	return PurgeRecord{Purge: p, Stamp: stamp, Pending: fields[1] == pendingState}, nil
}
