// Package journal keeps what a pre-warming has done in an append-only file, so that another run can go on where one
// stopped, was killed, or lost its machine.
//
// The file is text, one record a line: the CRC-32C of the JSON that follows, eight hexadecimal digits, a space, the
// JSON. The first line is the header; it holds the options that the records belong to. A line that is cut short or does
// not match its checksum is as if it had never been written, and what it stood for is done again.
package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// format names the file's form in its header. Another form is another name.
const format = "imgopt.prewarm.journal/1"

// maxHeader bounds the header, so that a file that is no journal is not read to its end.
const maxHeader = 1 << 20

// syncEvery bounds what a loss of power can undo, besides being told to Sync.
const syncEvery = time.Second

// Record is one variant that is warm.
type Record struct {
	// Key names the variant.
	Key string `json:"k"`
	// Bytes and SourceBytes are sizes, 0 if unknown.
	Bytes       int64 `json:"b,omitempty"`
	SourceBytes int64 `json:"s,omitempty"`
	// Milliseconds is the time that the answer took.
	Milliseconds int64 `json:"ms,omitempty"`
	// State is where the answer came from, Type its media type.
	State string `json:"c,omitempty"`
	Type  string `json:"t,omitempty"`
	// Gone takes back an earlier record of the same key: it turned out not to be warm.
	Gone bool `json:"gone,omitempty"`
}

type header struct {
	Journal string            `json:"journal"`
	Options map[string]string `json:"options"`
}

// Errors that Open wraps.
var (
	// ErrForeign is a file that is no journal; it is left alone.
	ErrForeign = errors.New("not a journal of imgopt prewarm")
	// ErrInUse is a journal that another process writes.
	ErrInUse = errors.New("in use by another run")
)

// MismatchError says that a journal belongs to other options.
type MismatchError struct {
	// Differ are the names of the options, sorted; Was and Is their values by name, "" if there was or is none.
	Differ  []string
	Was, Is map[string]string
}

// Error names every option that differs.
func (e *MismatchError) Error() string {
	var b bytes.Buffer
	b.WriteString("belongs to a run with other options:")
	for i, name := range e.Differ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s was %q and is %q", name, e.Was[name], e.Is[name])
	}
	return b.String()
}

// Journal is an open journal. It can be used by many goroutines.
type Journal struct {
	// Done are the records that the file held when it was opened, by key; of several the last. It must not be changed.
	Done map[string]Record
	// Damaged is how many lines were left out, a last line that was cut short not counted.
	Damaged int

	mu     sync.Mutex
	file   *os.File
	synced time.Time
	err    error // the first failure; nothing is written after it
}

// Open opens the journal at path, or begins one. options are what its records depend on: a journal with others is not
// touched, and the error is a *MismatchError.
func Open(path string, options map[string]string) (_ *Journal, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	defer func() {
		if err != nil {
			_ = file.Close() // the error that matters is err
		}
	}()
	if info, err := file.Stat(); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open journal: %w: not a regular file", ErrForeign)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("open journal: %w", ErrInUse)
	} else if err != nil {
		return nil, fmt.Errorf("lock journal: %w", err)
	}
	read, err := parse(file)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	j := &Journal{file: file, Done: read.done, Damaged: read.damaged, synced: time.Now()}
	if read.options == nil {
		return j, j.begin(path, options)
	}
	if m := mismatch(read.options, options); m != nil {
		return nil, m
	}
	return j, j.cut(read.end)
}

// begin writes the header of a new journal and makes sure that the file is found again.
func (j *Journal) begin(path string, options map[string]string) error {
	if err := j.cut(0); err != nil {
		return err
	}
	if options == nil {
		options = map[string]string{}
	}
	line, err := encode(header{Journal: format, Options: options})
	if err != nil {
		return fmt.Errorf("begin journal: %w", err)
	}
	if len(line) > maxHeader {
		return fmt.Errorf("begin journal: the options take more than %d bytes", maxHeader)
	}
	if _, err := j.file.Write(line); err != nil {
		return fmt.Errorf("begin journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("begin journal: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("begin journal: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("begin journal: %w", err)
	}
	return nil
}

// cut removes what is behind the last complete line and makes the next record go there.
func (j *Journal) cut(end int64) error {
	if err := j.file.Truncate(end); err != nil {
		return fmt.Errorf("repair journal: %w", err)
	}
	if _, err := j.file.Seek(end, 0); err != nil {
		return fmt.Errorf("repair journal: %w", err)
	}
	return nil
}

// Add appends a record with one write, so that the end of this process does not lose it; about once a second the disk
// is made to have everything, too. After a failure nothing more is written, and every call returns that failure.
func (j *Journal) Add(r Record) error {
	line, err := encode(r)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	if _, err := j.file.Write(line); err != nil {
		j.err = fmt.Errorf("write journal: %w", err)
		return j.err
	}
	if time.Since(j.synced) >= syncEvery {
		return j.sync()
	}
	return nil
}

func (j *Journal) sync() error {
	j.synced = time.Now()
	if err := j.file.Sync(); err != nil {
		j.err = fmt.Errorf("write journal: %w", err)
	}
	return j.err
}

// Close makes the disk have everything and lets other runs use the file.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	if j.err == nil {
		err = j.sync()
	}
	return errors.Join(err, j.file.Close())
}
