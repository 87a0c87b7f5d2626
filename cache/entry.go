package cache

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// State says what a look-up found; its values are those of the X-Nextjs-Cache header.
type State string

// The states of an entry.
const (
	Miss  State = "MISS"
	Hit   State = "HIT"
	Stale State = "STALE"
)

// Entry is one finished variant. Its exported fields are never changed once it has been given to a Store, because
// the memory tier hands the same Entry, and the same Body, to every request without a copy. A changed entry is a
// new one: see Renewed and Retained.
type Entry struct {
	// Href is the source's url: what a purge by source looks for, and where Content-Disposition takes its name from.
	Href string
	// Body is the image as sent. It is never empty.
	Body []byte
	// ContentType is the media type of Body.
	ContentType string
	// ETag is the entity tag as sent to clients, without quotes.
	ETag string
	// UpstreamETag is the source's entity tag in Next's form (base64url). It equals ETag when the source was passed
	// through unchanged.
	UpstreamETag string
	// SourceETag and SourceLastModified are the source's validators as received, for conditional revalidation.
	SourceETag, SourceLastModified string
	// MaxAge is what Cache-Control's max-age says, in seconds. (Origins do say 31536000000, which is more than a
	// time.Duration can hold.) It is not the freshness here: after a failed revalidation it is shorter than
	// ExpiresAt - StoredAt (see Retained).
	MaxAge int64
	// StoredAt is when the entry was made or last confirmed by its source. Of two entries of one key, the one with
	// the later StoredAt is the truer.
	StoredAt time.Time
	// ExpiresAt is the last instant at which the entry is fresh.
	ExpiresAt time.Time
	// OriginalSize is the size of the source in bytes, for metrics and reports.
	OriginalSize int64
	// Mark is what Tiered.Mark said before the source was asked: a purge that was not known then holds for the entry.
	// 0 means that nobody asked; the entry then counts as made when it is put into a Tiered.
	Mark uint64

	// prepared is what the handler keeps with an entry in memory: see Prepared.
	prepared atomic.Value
	// lookedAt is when a slower tier was last asked whether it has something newer, in Unix nanoseconds: see Tiered.
	lookedAt atomic.Int64
	// checked is the generation of the purge log at which no purge held for the entry: see Purges.
	checked atomic.Uint64
}

// State reports whether e is fresh at now: Hit, Stale, or Miss when e is nil. The comparison is Next's: an entry is
// stale once now is past its expiry, not when it reaches it.
func (e *Entry) State(now time.Time) State {
	switch {
	case e == nil:
		return Miss
	case now.After(e.ExpiresAt):
		return Stale
	default:
		return Hit
	}
}

// Prepared returns what SetPrepared stored, or nil.
//
// A hit is answered with headers that depend on nothing but the entry (ETag, Content-Type, Content-Length,
// Content-Disposition, Cache-Control). Building them again for each of tens of thousands of requests per second
// would be most of the work and all of the garbage of a hit, so the handler builds them once and keeps them here,
// where they live exactly as long as the entry does in memory. The slot belongs to the process: it is not part of
// the encoded entry, and entries made by Renewed, Retained and Decode start without it.
func (e *Entry) Prepared() any { return e.prepared.Load() }

// SetPrepared stores v, which must not be nil, unless another request was faster, and returns what is stored now.
// All values given to one entry must have the same type.
func (e *Entry) SetPrepared(v any) any {
	if e.prepared.CompareAndSwap(nil, v) {
		return v
	}
	return e.prepared.Load()
}

// Expiry returns until when a variant made at now is fresh: for as long as its source allows, but at least for
// minimumTTL (images.minimumCacheTTL). Source: ImageOptimizerCache.set in next/dist/server/image-optimizer.js.
func Expiry(now time.Time, maxAge int64, minimumTTL time.Duration) time.Time {
	return now.Add(max(time.Duration(min(maxAge, maxFresh))*time.Second, minimumTTL))
}

// maxFresh is for how many seconds an entry can be fresh: a century, far from where a time.Duration ends.
const maxFresh = 100 * 365 * 24 * 3600

// Renewed returns a copy of e that was confirmed at now by its source and says maxAge. It shares e's Body. Its Mark
// is e's: who asked the source anew may set a later one.
//
// Next keeps the previous entry's max-age when the source has not changed (previousOutput.maxAge in
// next/dist/server/image-optimizer/transform.js), so callers that follow it pass e.MaxAge unless that is 0.
func (e *Entry) Renewed(now time.Time, maxAge int64, minimumTTL time.Duration) *Entry {
	return &Entry{
		Href:               e.Href,
		Body:               e.Body,
		ContentType:        e.ContentType,
		ETag:               e.ETag,
		UpstreamETag:       e.UpstreamETag,
		SourceETag:         e.SourceETag,
		SourceLastModified: e.SourceLastModified,
		MaxAge:             maxAge,
		StoredAt:           now,
		ExpiresAt:          Expiry(now, maxAge, minimumTTL),
		OriginalSize:       e.OriginalSize,
		Mark:               e.Mark,
	}
}

// marked returns a copy of e with a mark. It shares e's Body.
func (e *Entry) marked(mark uint64) *Entry {
	c := e.Renewed(e.StoredAt, e.MaxAge, 0)
	c.ExpiresAt, c.Mark = e.ExpiresAt, mark
	return c
}

// Bounds of the max-age, in seconds, that an entry says after its revalidation failed.
const (
	retainedMin = 3
	retainedMax = 30
)

// Retained returns a copy of e to store at now after a revalidation that failed: the old bytes with a max-age of 3
// to 30 s, so that clients ask again soon, while the source is left alone for at least minimumTTL. It shares e's
// Body. Source: retainPreviousCacheEntry in next/dist/server/response-cache/index.js.
func (e *Entry) Retained(now time.Time, minimumTTL time.Duration) *Entry {
	return e.Renewed(now, min(max(e.MaxAge, retainedMin), retainedMax), minimumTTL)
}

// newerThan reports whether e says more about the source's present than o. The expiry does not decide that: an
// entry with a short life may well be younger than one with a long life. It only breaks ties.
func (e *Entry) newerThan(o *Entry) bool {
	if c := e.StoredAt.Compare(o.StoredAt); c != 0 {
		return c > 0
	}
	return e.ExpiresAt.After(o.ExpiresAt)
}

// claimLook reports whether the caller is the one to ask a slower tier for something newer than the stale e; at
// most one caller per interval is.
func (e *Entry) claimLook(now time.Time, interval time.Duration) bool {
	n, last := now.UnixNano(), e.lookedAt.Load()
	return n-last >= int64(interval) && e.lookedAt.CompareAndSwap(last, n)
}

const (
	// prepared headers (about 700 bytes as fasthttp keeps them), the memory tier's node and its slot in the table
	entryExtra = 1024
	// Go's allocator takes whole 8 KiB pages for objects above 32 KiB and wastes at most an eighth below
	pageSize, largeObject = 8 << 10, 32 << 10
)

// footprint returns how many bytes of heap the entry takes with everything that is kept for its sake.
func (e *Entry) footprint() int64 {
	n := int64(unsafe.Sizeof(*e)) + entryExtra
	n += int64(len(e.Href) + len(e.ContentType) + len(e.ETag) + len(e.UpstreamETag) + len(e.SourceETag) + len(e.SourceLastModified))
	body := int64(cap(e.Body))
	if body > largeObject {
		return n + (body+pageSize-1)/pageSize*pageSize
	}
	return n + body + body/8
}
