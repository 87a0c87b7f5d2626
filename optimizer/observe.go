package optimizer

import "time"

// Outcomes of a revalidation.
const (
	Changed   = "changed"
	Unchanged = "unchanged"
	Failed    = "failed"
)

// Reasons of a fallback to the source's own bytes.
const (
	FallbackCodec   = "codec"   // it cannot be decoded or encoded
	FallbackTimeout = "timeout" // encoding took longer than the limit
	FallbackCrash   = "crash"   // it ended the process that decoded it
)

// Observer is told what happens to jobs, for metrics. Its methods are called from many goroutines and must not
// block.
type Observer interface {
	// Fetched: an attempt to fetch a source took d and brought that many bytes, or word that nothing has changed.
	Fetched(d time.Duration, bytes int, notModified bool, err error)
	// Encoded: in bytes became out bytes of the media type; d includes the wait for a free codec.
	Encoded(output string, d time.Duration, in, out int)
	// PassedThrough: a source of the media type is served unchanged by rule.
	PassedThrough(media string)
	// FellBack: a source is served unchanged because it could not be encoded, for one of the reasons above.
	FellBack(reason string)
	// Revalidated: an entry's revalidation ended with one of the outcomes above.
	Revalidated(outcome string)
}

type silent struct{}

func (silent) Fetched(time.Duration, int, bool, error) {}
func (silent) Encoded(string, time.Duration, int, int) {}
func (silent) PassedThrough(string)                    {}
func (silent) FellBack(string)                         {}
func (silent) Revalidated(string)                      {}
