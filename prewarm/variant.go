package prewarm

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"imgopt/validate"
)

// Variant is one thing to warm: what the endpoint serves for one query to one kind of client.
type Variant struct {
	// Params is the checked request; Params.Href names the source.
	validate.Params
	// Query is the query of the request as a browser sends it, without "?".
	Query string
	// Accept is the request's Accept header.
	Accept string
	// Format is the type that is chosen for that header: "avif", "webp", or Original.
	Format string
	// Origin is the scheme, host and port the source is fetched from; "" is the application itself.
	Origin string
	// SourceBytes is the size of the source, 0 if it is not known.
	SourceBytes int64

	key Key
}

// Key names a variant: two requests with the same key get the same bytes from the same cache entry.
type Key string

// Key names the variant.
func (v *Variant) Key() Key { return v.key }

// keyOf hashes what makes a variant, each part with its length so that no two lists of parts look alike.
func keyOf(p validate.Params, deployment string) Key {
	h := sha256.New()
	var length [8]byte
	for _, part := range []string{p.Href, strconv.Itoa(p.Width), strconv.Itoa(p.Quality), p.Format, deployment} {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return Key(base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16]))
}
