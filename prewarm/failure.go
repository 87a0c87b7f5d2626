package prewarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Reasons of a Failure: stable labels for machines.
const (
	ReasonStatus      = "status"       // the answer's status is not 200
	ReasonRedirect    = "redirect"     // the endpoint answered with a redirect: trailingSlash differs
	ReasonTimeout     = "timeout"      // no complete answer within the time limit
	ReasonUnreachable = "unreachable"  // no connection
	ReasonBroken      = "broken"       // the connection ended within the answer
	ReasonNotAnImage  = "not_an_image" // status 200, but the Content-Type is not that of an image
	ReasonEmpty       = "empty"        // status 200, but no body
	ReasonNotKept     = "not_kept"     // answered, but missing again when everything was verified
	ReasonPage        = "page"         // a page that cannot be read
)

// Failure says why something is not warm, or why a page could not be read.
type Failure struct {
	// Reason is one of the constants, or what another Warmer calls it.
	Reason string `json:"reason"`
	// Status is the HTTP status, 0 if there was none.
	Status int `json:"status,omitempty"`
	// Detail is for people: one line.
	Detail string `json:"detail,omitempty"`
	// Attempts is how often it was tried.
	Attempts int `json:"attempts,omitempty"`

	// retryable says that another attempt may help, not before after has passed.
	retryable bool
	after     time.Duration
}

// Error returns reason, status and detail.
func (f *Failure) Error() string {
	s := f.Reason
	if f.Status != 0 {
		s += " " + strconv.Itoa(f.Status)
	}
	if f.Detail != "" {
		s += ": " + f.Detail
	}
	return s
}

// statusFailure is the failure of an answer that is not the wanted one.
func statusFailure(resp *http.Response, detail string, now time.Time) *Failure {
	f := &Failure{Reason: ReasonStatus, Status: resp.StatusCode, Detail: detail}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		f.retryable, f.after = true, retryAfter(resp.Header.Get("Retry-After"), now)
	}
	return f
}

// retryAfter reads the header: seconds, or a date (RFC 9110, section 10.2.3).
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

// connectionFailure is the failure of a request without a complete answer.
func connectionFailure(err error, reason string) *Failure {
	f := &Failure{Reason: reason, Detail: reasonOfRequest(err), retryable: true}
	var dial *net.OpError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		f.Reason = ReasonTimeout
	case errors.As(err, &dial) && dial.Op == "dial":
		f.Reason = ReasonUnreachable
	case errors.Is(err, io.ErrUnexpectedEOF):
		f.Reason = ReasonBroken
	}
	return f
}

// Pauses between attempts grow from firstPause to longestPause. A server that asks for more patience than maxRetryAfter
// is not waited for.
const (
	firstPause    = 500 * time.Millisecond
	longestPause  = 30 * time.Second
	maxRetryAfter = 5 * time.Minute
)

// attempts calls once until it succeeds, fails for good, or has been called n times. waiting is told of every pause. It
// returns the last failure, nil after success, with the attempts made. When ctx ends in a pause, the last failure stands.
func attempts(ctx context.Context, n int, waiting func(time.Duration, *Failure), once func(context.Context) *Failure) (made int, last *Failure) {
	pauses := backoff.ExponentialBackOff{
		InitialInterval:     firstPause,
		MaxInterval:         longestPause,
		Multiplier:          2,
		RandomizationFactor: 0.5,
	}
	for made = 1; ; made++ {
		if last = once(ctx); last == nil {
			return made, nil
		}
		last.Attempts = made
		if !last.retryable || made >= n || ctx.Err() != nil {
			return made, last
		}
		pause := max(pauses.NextBackOff(), last.after)
		if last.after > maxRetryAfter {
			last.Detail = fmt.Sprintf("asks to wait for %v; %s", last.after, last.Detail)
			return made, last
		}
		if waiting != nil {
			waiting(pause, last)
		}
		select {
		case <-ctx.Done():
			return made, last
		case <-time.After(pause):
		}
	}
}
