package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strconv"
)

// contents is what a file holds.
type contents struct {
	options map[string]string // nil if the file is new: empty, or with an incomplete header
	done    map[string]Record
	damaged int
	end     int64 // behind the last complete line, in bytes
}

// parse reads a file. The error is one of r, or ErrForeign.
func parse(r io.Reader) (*contents, error) {
	c := &contents{done: map[string]Record{}}
	in := bufio.NewReaderSize(r, maxHeader)
	first, err := in.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF) && (len(first) == 0 || isCutHeader(first)):
		return c, nil
	case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull):
		return nil, ErrForeign
	case err != nil:
		return nil, err
	}
	var h header
	if !decode(first, &h) || h.Journal != format || h.Options == nil {
		return nil, ErrForeign
	}
	c.options, c.end = h.Options, int64(len(first))
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return c, nil // what there is of a line was cut short
		}
		if err != nil {
			return nil, err
		}
		c.end += int64(len(line))
		var rec Record
		switch {
		case !decode(line, &rec) || rec.Key == "":
			c.damaged++
		case rec.Gone:
			delete(c.done, rec.Key)
		default:
			c.done[rec.Key] = rec
		}
	}
}

// isCutHeader reports whether a text without line break is the beginning of a header. It has to be more than the
// checksum, or any short text would do.
func isCutHeader(b []byte) bool {
	if len(b) <= checksumLen+1 {
		return false
	}
	if _, err := strconv.ParseUint(string(b[:checksumLen]), 16, 32); err != nil {
		return false
	}
	const begin = ` {"journal":"` + format + `"`
	n := min(len(b)-checksumLen, len(begin))
	return string(b[checksumLen:checksumLen+n]) == begin[:n]
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksumLen is the length of a checksum in characters.
const checksumLen = 8

// encode makes a line. JSON holds no line breaks.
func encode(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(text, castagnoli), text), nil
}

// decode reads a line, and reports false if it is damaged.
func decode(line []byte, into any) bool {
	if len(line) < checksumLen+2 || line[checksumLen] != ' ' {
		return false
	}
	sum, err := strconv.ParseUint(string(line[:checksumLen]), 16, 32)
	text := bytes.TrimSuffix(line[checksumLen+1:], []byte("\n"))
	return err == nil && uint32(sum) == crc32.Checksum(text, castagnoli) && json.Unmarshal(text, into) == nil
}

// mismatch says which options differ, nil if none does.
func mismatch(was, is map[string]string) *MismatchError {
	m := &MismatchError{Was: was, Is: is}
	names := map[string]bool{}
	for name := range was {
		names[name] = true
	}
	for name := range is {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if was[name] != is[name] {
			m.Differ = append(m.Differ, name)
		}
	}
	if m.Differ == nil {
		return nil
	}
	return m
}
