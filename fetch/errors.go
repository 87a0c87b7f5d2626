package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"imgopt/failure"
)

// textThrown is what Next.js sends for an error it did not foresee.
const textThrown = "Internal Server Error"

// wording is how failures of one of the two kinds of fetch are told.
type wording struct {
	prefix  string // of the reason label
	invalid string // an answer that is no use
	thrown  string // an answer that cannot be read
}

var (
	// absoluteWording is that of fetchExternalImage; what it throws unforeseen ends as a bare 500.
	absoluteWording = wording{prefix: "upstream", invalid: failure.TextUpstreamInvalid, thrown: textThrown}
	// relativeWording is that of fetchInternalImage, whose catch branch speaks of the upstream.
	relativeWording = wording{prefix: "origin", invalid: failure.TextInternalInvalid, thrown: failure.TextUpstreamInvalid}
)

// errHopTimeout is the cause of a context whose hop took longer than Options.Timeout. It is deliberately not
// context.DeadlineExceeded: that one means the caller's own deadline.
var errHopTimeout = errors.New("no complete answer within the time limit of one fetch")

// StatusError is the cause inside a *failure.Error for an answer with an error status.
type StatusError struct {
	// Code is the status the upstream sent.
	Code int
	// RetryAfter is how long the upstream asked to be left alone, 0 if it did not say, at most a day. It is meant
	// for whoever tries again, not for the client.
	RetryAfter time.Duration
}

// UpstreamRetryAfter is RetryAfter, in the form the job room asks errors for.
func (e *StatusError) UpstreamRetryAfter() time.Duration { return e.RetryAfter }

// Error names the status.
func (e *StatusError) Error() string {
	if e.RetryAfter > 0 {
		return fmt.Sprintf("status %d, retry after %v", e.Code, e.RetryAfter)
	}
	return fmt.Sprintf("status %d", e.Code)
}

// interrupted is the failure for work that its own caller ended: err is what ended it, cause (may be nil) why.
func interrupted(err, cause error) *failure.Error {
	if errors.Is(err, errClosed) {
		err = fmt.Errorf("%w: %w", errClosed, context.Canceled)
	}
	f := failure.From(err)
	if cause != nil && !errors.Is(cause, err) {
		f.Cause = fmt.Errorf("%w: %w", err, cause)
	}
	return f
}

// statusFailure judges an answer that is neither a success nor a redirect that is followed. The statuses that may
// pass by trying again end as 502, which is where this program differs from Next.js; others are relayed, below 400
// as 500 (ImageError in next/dist/server/image-optimizer/image-error.js).
func statusFailure(w wording, resp *http.Response) *failure.Error {
	f := failure.Wrap(resp.StatusCode, w.prefix+"_status", w.invalid, &StatusError{
		Code:       resp.StatusCode,
		RetryAfter: parseRetryAfter(resp.Header.Get("Retry-After"), time.Now()),
	})
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		f.Status, f.Retryable = http.StatusBadGateway, true
	}
	if f.Status < 400 {
		f.Status = http.StatusInternalServerError
	}
	return f
}

// maxRetryAfter keeps what an upstream asks for within reason and within the range of time.Duration.
const maxRetryAfter = 24 * time.Hour

// parseRetryAfter reads a Retry-After header: seconds or a date (RFC 9110, section 10.2.3). It returns 0 for none,
// for nonsense and for the past.
func parseRetryAfter(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	if v == "" {
		return 0
	}
	if strings.Trim(v, "0123456789") == "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(n) * time.Second
	}
	t, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(t.Sub(now), 0), maxRetryAfter)
}

// transportFailure judges an error of connecting, sending, or reading an answer. ctx is the caller's context, hop the
// one with the time limit.
//
// Next.js answers all of these but the timeout with a bare 500 and tries nothing again; here they end as 502. Final
// are a name that does not exist and a certificate that does not fit, because the next attempt would see the same.
// An answer that is not HTTP counts as a broken connection.
func transportFailure(ctx, hop context.Context, w wording, err error) *failure.Error {
	f := failure.Wrap(http.StatusBadGateway, w.prefix+"_connection", failure.TextUpstreamInvalid, err)
	var (
		blocked  *BlockedError
		dns      *net.DNSError
		cert     *tls.CertificateVerificationError
		netError net.Error
	)
	switch {
	case ctx.Err() != nil:
		return interrupted(ctx.Err(), context.Cause(ctx))
	case errors.Is(err, errClosed):
		return interrupted(errClosed, nil)
	case hop.Err() != nil, errors.Is(err, context.DeadlineExceeded): // the latter is the limit of a dial
		return timeoutFailure(w, errHopTimeout)
	case errors.As(err, &blocked):
		f.Status, f.Reason, f.Text = http.StatusBadRequest, w.prefix+"_address", failure.TextNotAllowed
	case errors.As(err, &dns) && dns.IsNotFound:
		f.Reason = w.prefix + "_host"
	case errors.As(err, &cert):
		f.Reason = w.prefix + "_certificate"
	case errors.As(err, &netError) && netError.Timeout():
		return timeoutFailure(w, err)
	default:
		f.Retryable = true
	}
	return f
}

func timeoutFailure(w wording, cause error) *failure.Error {
	f := failure.Wrap(http.StatusGatewayTimeout, w.prefix+"_timeout", failure.TextUpstreamTimeout, cause)
	f.Timeout, f.Retryable = true, true
	return f
}

// isHostFault reports whether err blames the host that was to be reached, or the way to it, and not this machine, which
// may be out of descriptors or ports.
func isHostFault(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return true
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return errors.Is(err, io.EOF) // in the middle of a TLS handshake
	}
	switch errno {
	case syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.EHOSTUNREACH, syscall.EHOSTDOWN, syscall.ENETUNREACH, syscall.ENETDOWN:
		return true
	}
	return false
}
