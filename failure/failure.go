// Package failure holds the one error type that every room of imgopt uses for a failure a client gets to see:
// its HTTP status, the public text, and whether trying again may help. The rooms decide what went wrong; only
// the handler writes it to a response.
package failure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Error is a failure with everything the edge needs to answer it.
type Error struct {
	// Status is the HTTP status of the answer, 400 to 599.
	Status int
	// Text is the body of the answer: public, and Next.js' exact wording where Next.js has one.
	Text string
	// Reason is a short stable label (snake_case) for logs and metrics, for example "url_not_allowed".
	Reason string
	// Retryable says that another attempt may succeed.
	Retryable bool
	// Timeout says that the failure is a time limit that ran out.
	Timeout bool
	// RetryAfter, when positive, is sent as Retry-After (rounded up to whole seconds).
	RetryAfter time.Duration
	// Cause is the private reason; it is logged, never sent.
	Cause error
}

// New returns a final (not retryable) failure.
func New(status int, reason, text string) *Error {
	return &Error{Status: status, Reason: reason, Text: text}
}

// Wrap returns a final failure with its cause.
func Wrap(status int, reason, text string, cause error) *Error {
	return &Error{Status: status, Reason: reason, Text: text, Cause: cause}
}

// Error describes the failure for a log: reason, status and cause.
func (e *Error) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("%s (%d): %s", e.Reason, e.Status, e.Text)
	}
	return fmt.Sprintf("%s (%d): %s: %v", e.Reason, e.Status, e.Text, e.Cause)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// From returns the *Error inside err. An error that carries none becomes 504 when a deadline ran out, 503 when
// the work was cancelled, and 500 otherwise, so that nothing private can leak into an answer. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Status: http.StatusGatewayTimeout, Reason: "timeout", Text: TextUpstreamTimeout, Timeout: true, Cause: err}
	case errors.Is(err, context.Canceled):
		return &Error{Status: http.StatusServiceUnavailable, Reason: "canceled", Text: "Service Unavailable", RetryAfter: time.Second, Cause: err}
	default:
		return &Error{Status: http.StatusInternalServerError, Reason: "internal", Text: "Internal Server Error", Cause: err}
	}
}

// Texts that more than one room sends, word for word those of next/dist/server/image-optimizer.js (16.4.6).
const (
	TextUpstreamInvalid = `"url" parameter is valid but upstream response is invalid`
	TextInternalInvalid = `"url" parameter is valid but internal response is invalid`
	TextUpstreamTimeout = `"url" parameter is valid but upstream response timed out`
	TextNotAllowed      = `"url" parameter is not allowed`
)
