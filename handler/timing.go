package handler

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"imgopt/cache"
)

// Timing is where the time of a request went that was not answered from memory. A part that was not needed is 0.
type Timing struct {
	// Wait is the time until work began: for a slot, for a worker, or for the end of work that another request has
	// begun. Fetch, Encode and Store are the work's.
	Wait, Fetch, Encode, Store time.Duration
}

// ServerTiming says who is told where the time of a request went, by the header Server-Timing (W3C), which browsers
// show beside a request:
//
//	Server-Timing: cache;desc="MISS", wait;dur=3.1, fetch;dur=48.2, encode;dur=112.4, store;dur=0.9
//
// It has the cache's state, and the durations of Result.Timing in milliseconds as far as they are not 0. Images alone
// have it, with 200 and 304.
type ServerTiming int

const (
	// TimingNever tells nobody: the headers are Next's and nothing else.
	TimingNever ServerTiming = iota
	// TimingAlways tells everybody.
	TimingAlways
	// TimingOnRequest tells those who know Options.ServerTimingToken: they send it as X-Imgopt-Timing. A cache in front
	// that keeps such an answer shows the header to others, too.
	TimingOnRequest
)

const headerTiming = "X-Imgopt-Timing"

// minTimingToken is the least length of a token, in bytes.
const minTimingToken = 8

var nameServerTiming = []byte("Server-Timing")

// The header's first part.
var (
	timingHit   = []byte(`cache;desc="HIT"`)
	timingStale = []byte(`cache;desc="STALE"`)
	timingMiss  = []byte(`cache;desc="MISS"`)
)

func checkTiming(t ServerTiming, token string) error {
	switch {
	case t < TimingNever || t > TimingOnRequest:
		return fmt.Errorf("handler: ServerTiming %d: want TimingNever, TimingAlways or TimingOnRequest", t)
	case t == TimingOnRequest && len(token) < minTimingToken:
		return fmt.Errorf("handler: ServerTimingToken has %d bytes: want %d at least", len(token), minTimingToken)
	case t != TimingOnRequest && token != "":
		return errors.New("handler: ServerTimingToken is for TimingOnRequest only")
	}
	return nil
}

// tellsTiming reports whether a request's answer is to have the header.
func (h *public) tellsTiming(header *fasthttp.RequestHeader) bool {
	switch h.timing {
	case TimingNever:
		return false
	case TimingAlways:
		return true
	default:
		return subtle.ConstantTimeCompare(trimOWS(header.Peek(headerTiming)), h.timingToken) == 1
	}
}

// setTiming adds the header. For a hit nothing is allocated.
func setTiming(header *fasthttp.ResponseHeader, s cache.State, t *Timing) {
	state := timingMiss
	switch s {
	case cache.Hit:
		state = timingHit
	case cache.Stale:
		state = timingStale
	}
	if t == nil {
		header.SetCanonical(nameServerTiming, state)
		return
	}
	value := append(make([]byte, 0, 128), state...)
	for _, part := range [...]struct {
		name string
		d    time.Duration
	}{
		{"wait", t.Wait}, {"fetch", t.Fetch}, {"encode", t.Encode}, {"store", t.Store},
	} {
		if part.d <= 0 {
			continue
		}
		value = append(append(append(value, ", "...), part.name...), ";dur="...)
		value = strconv.AppendFloat(value, float64(part.d.Microseconds())/1000, 'f', -1, 64)
	}
	header.SetCanonical(nameServerTiming, value)
}
