package cache

import (
	"errors"
	"fmt"
	"strings"
)

// Purge says which entries are not to be served any more. Exactly one of its fields is set.
type Purge struct {
	// URL is the Href of the entries, exactly.
	URL string
	// Prefix is what the Href of the entries begins with.
	Prefix string
	// All means every entry.
	All bool
}

// maxPattern is the longest URL or Prefix in bytes, well above the longest url that is ever fetched.
const maxPattern = 8 << 10

// ErrBadPurge is what Validate's errors are.
var ErrBadPurge = errors.New("cache: not a purge")

// Validate reports what is wrong with p.
func (p Purge) Validate() error {
	n := 0
	for _, set := range []bool{p.URL != "", p.Prefix != "", p.All} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		return fmt.Errorf("%w: want one of a url, a prefix, or all, got %d of them", ErrBadPurge, n)
	case len(p.URL)+len(p.Prefix) > maxPattern:
		return fmt.Errorf("%w: %d bytes are too long for a url, at most %d", ErrBadPurge, len(p.URL)+len(p.Prefix), maxPattern)
	}
	return nil
}

// String describes p for logs.
func (p Purge) String() string {
	switch {
	case p.All:
		return "everything"
	case p.URL != "":
		return fmt.Sprintf("url %q", p.URL)
	default:
		return fmt.Sprintf("prefix %q", p.Prefix)
	}
}

// Code writes p as one string, for logs of purges in other places: a letter (u, p or a) and the url or prefix.
func (p Purge) Code() string {
	switch {
	case p.All:
		return "a"
	case p.URL != "":
		return "u" + p.URL
	default:
		return "p" + p.Prefix
	}
}

// ParsePurge reads what Code writes.
func ParsePurge(code string) (Purge, error) {
	if code == "" {
		return Purge{}, fmt.Errorf("%w: empty", ErrBadPurge)
	}
	var p Purge
	switch rest := code[1:]; code[0] {
	case 'u':
		p.URL = rest
	case 'p':
		p.Prefix = rest
	case 'a':
		p.All = rest == ""
	}
	return p, p.Validate()
}

// covers reports whether every entry that o holds for is also one that p holds for.
func (p Purge) covers(o Purge) bool {
	switch {
	case p.All:
		return true
	case o.All:
		return false
	case p.Prefix != "":
		return strings.HasPrefix(o.URL+o.Prefix, p.Prefix)
	default:
		return p.URL == o.URL && o.URL != ""
	}
}

// PurgeRecord is a purge in a log.
//
// Stamp orders it among all others: who knows a purge knows its stamp, and an entry is marked with the latest one
// that was known when work on it began. A purge with a later stamp therefore holds for the entry. No clock of any
// process is involved, and one that has not heard of a purge yet makes entries that the purge still holds for.
type PurgeRecord struct {
	Purge
	Stamp uint64
	// Pending says that the shared log does not have the purge yet. The stamp is then this process's own.
	Pending bool
}

// firstMark is the mark of entries made before any purge. It is not 0, so that it differs from no mark.
const firstMark = 1
