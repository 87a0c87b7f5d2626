package jobs

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
)

// Key names a job, and with it the cache entry the job makes and its lock, in every replica. Its underlying type is
// that of cache.Key, so the two convert into each other.
type Key [sha256.Size]byte

// String returns the key as 64 lower-case hexadecimal digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// ParseKey reads what String wrote.
func ParseKey(s string) (Key, error) {
	var k Key
	if len(s) != hex.EncodedLen(len(k)) {
		return Key{}, fmt.Errorf("job key %q: want %d hexadecimal digits", s, hex.EncodedLen(len(k)))
	}
	if _, err := hex.Decode(k[:], []byte(s)); err != nil {
		return Key{}, fmt.Errorf("job key %q: %w", s, err)
	}
	if k.String() != s {
		return Key{}, fmt.Errorf("job key %q: want lower-case digits", s)
	}
	return k, nil
}

// Spec is what a job is to make. Nothing in this package interprets it.
type Spec struct {
	// Href is the source: a path if relative, a serialised URL if absolute.
	Href string
	// Absolute says that Href is a URL with a host.
	Absolute bool
	// Width in pixels and Quality from 1 to 100 of the variant.
	Width, Quality int
	// Format is the negotiated media type, or "" for the source's own.
	Format string
	// Deployment is the version of the application that a relative Href belongs to, or "". It is no part of what KeyOf
	// hashes unless it is in extra.
	Deployment string
}

// KeyOf returns the key of a variant: the SHA-256 over the pipeline's version, the specification, and extra, which
// holds everything else that changes the result's bytes (the codec library's version, encoder settings, a
// deployment id). Each part is preceded by its length, so two different lists of parts never hash the same bytes;
// plain concatenation, as Next.js does it, lets /a.png?v=20 at width 48 collide with /a.png?v= at width 2048.
func KeyOf(version string, s Spec, extra ...string) Key {
	var space [512]byte // most urls fit: no allocation
	var digits [20]byte
	b := space[:0]
	b = appendPart(b, version)
	b = appendPart(b, s.Href)
	b = appendPart(b, strconv.AppendBool(digits[:0], s.Absolute))
	b = appendPart(b, strconv.AppendInt(digits[:0], int64(s.Width), 10))
	b = appendPart(b, strconv.AppendInt(digits[:0], int64(s.Quality), 10))
	b = appendPart(b, s.Format)
	for _, part := range extra {
		b = appendPart(b, part)
	}
	return sha256.Sum256(b)
}

func appendPart[T string | []byte](b []byte, part T) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
	return append(b, part...)
}
