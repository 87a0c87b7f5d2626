package prewarm

import (
	"context"
	"time"
)

// Warmer makes variants warm: a server is asked for them, or a cache is filled directly.
type Warmer interface {
	// Warm makes variants warm, all of one source, and calls done once for each, in any order and from any goroutine,
	// before it returns. A Result without Err means that the variant is warm. When ctx ends, what is not warm by then
	// gets the error of ctx.
	Warm(ctx context.Context, variants []Variant, done func(Variant, Result))
	// Verify reports whether a variant is warm now, without Err if it is: another request would not make it anew. A
	// Failure with ReasonNotKept says that it is not, but that asking again may find it so.
	Verify(ctx context.Context, v Variant) Result
}

// State is where an answer came from.
type State string

// The states, as servers name them in X-Nextjs-Cache.
const (
	Made    State = "MISS"  // made for this request
	Kept    State = "HIT"   // there already
	Stale   State = "STALE" // there already, out of date, and being made anew
	Unknown State = ""      // the server does not tell
)

// Result is what became of one variant.
type Result struct {
	// Err is why it is not warm: a *Failure, or the error of the context that ended.
	Err error
	// State is where the answer came from.
	State State
	// Bytes is the size of the answer, Type its media type without parameters.
	Bytes int64
	Type  string
	// SourceBytes is the size of the source if the Warmer knows it, else 0.
	SourceBytes int64
	// Elapsed is the time of the last attempt; waiting for another one is not part of it.
	Elapsed time.Duration
	// Attempts is how often it was asked for.
	Attempts int
}
