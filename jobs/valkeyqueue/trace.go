package valkeyqueue

import (
	"strings"

	"imgopt/tracing"
)

// A trace is kept beside the item, in a field of its own: processes that do not know of it leave it alone, and what they
// enqueue has none. It is the traceparent and, after a space, the tracestate.

// encodeTrace returns "" for no trace.
func encodeTrace(l tracing.Link) string {
	if l.State == "" {
		return l.Parent
	}
	return l.Parent + " " + l.State
}

// decodeTrace reads what encodeTrace wrote. Whatever it is, the worst that it can lead to is a job without a trace.
func decodeTrace(s string) tracing.Link {
	parent, state, _ := strings.Cut(s, " ")
	return tracing.LinkFrom(parent, state)
}
