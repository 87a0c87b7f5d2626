package tracing

import (
	"context"
	"encoding/hex"

	"go.opentelemetry.io/otel/trace"
)

// Link is where a span is, in the form in which that travels. The zero value is nowhere.
type Link struct {
	// Parent is a traceparent: 00-<trace id>-<span id>-<flags>, in lower-case hexadecimal.
	Parent string
	// State is the tracestate that belongs to it; often empty.
	State string
}

const (
	// parentLen is the length of a traceparent of version 00. Later ones may go on after a dash.
	parentLen = 2 + 1 + 32 + 1 + 16 + 1 + 2
	// maxState is the length in bytes of a tracestate that has to be passed on; longer ones may be dropped.
	maxState = 512
)

// LinkFrom returns the link that two texts from elsewhere say, or nowhere if they make no sense.
func LinkFrom(parent, state string) Link {
	if len(state) > maxState {
		state = ""
	}
	return linkTo(Link{parent, state}.context())
}

// LinkOf returns where the span in ctx is, if it is recorded.
func LinkOf(ctx context.Context) Link { return Of(ctx).Link() }

// TraceID returns the trace's id, 32 hexadecimal digits, or "".
func (l Link) TraceID() string {
	if len(l.Parent) < parentLen {
		return ""
	}
	return l.Parent[3:35]
}

func linkTo(sc trace.SpanContext) Link {
	if !sc.IsValid() {
		return Link{}
	}
	b := make([]byte, 0, parentLen)
	b = append(b, "00-"...)
	id, span := sc.TraceID(), sc.SpanID()
	b = hex.AppendEncode(b, id[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, span[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, []byte{byte(sc.TraceFlags())})
	l := Link{Parent: string(b)}
	if state := sc.TraceState().String(); len(state) <= maxState {
		l.State = state
	}
	return l
}

// context returns the span's context, which is not valid if there is none or it cannot be read.
func (l Link) context() trace.SpanContext {
	return parse([]byte(l.Parent), []byte(l.State))
}

// parse reads the two headers. Without a valid traceparent the result is not valid, without a valid tracestate it has
// none (W3C Trace Context, section 3.3). It allocates only for a tracestate of a sampled request.
func parse(parent, state []byte) trace.SpanContext {
	var c trace.SpanContextConfig
	var version, flags [1]byte
	fine := len(parent) >= parentLen && parent[2] == '-' && parent[35] == '-' && parent[52] == '-' &&
		unhex(version[:], parent[:2]) && unhex(c.TraceID[:], parent[3:35]) && unhex(c.SpanID[:], parent[36:52]) &&
		unhex(flags[:], parent[53:55])
	switch {
	case !fine, version[0] == 0xff:
		return trace.SpanContext{}
	case version[0] == 0 && len(parent) != parentLen, len(parent) > parentLen && parent[parentLen] != '-':
		return trace.SpanContext{}
	}
	c.TraceFlags = trace.TraceFlags(flags[0]) & (trace.FlagsSampled | flagRandom)
	c.Remote = true
	if len(state) > 0 && len(state) <= maxState && c.TraceFlags.IsSampled() {
		if s, err := trace.ParseTraceState(string(state)); err == nil {
			c.TraceState = s
		}
	}
	return trace.NewSpanContext(c)
}

// flagRandom says that the end of the trace's id is random (W3C Trace Context Level 2, section 2.2.5).
const flagRandom = trace.TraceFlags(2)

// unhex decodes lower-case hexadecimal digits; upper-case ones are not allowed in a traceparent.
func unhex(to, from []byte) bool {
	for _, c := range from {
		if c >= 'A' && c <= 'F' {
			return false
		}
	}
	n, err := hex.Decode(to, from)
	return err == nil && n == len(to)
}
