package valkeyqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"imgopt/failure"
	"imgopt/jobs"
)

// format is the version of everything that is stored. It is part of a queue's name: a process that writes another format
// has another queue.
const format = "1"

// Limits of what is stored, in bytes. What is read is held to them too.
const (
	maxHref   = 8 << 10
	maxFormat = 128
	maxName   = 128
	maxRef    = 1 << 10
	maxReason = 64
	maxText   = 1 << 10
	maxCause  = 2 << 10
	maxNumber = 1 << 30
)

var (
	errTorn    = errors.New("it ends too early")
	errTrailer = errors.New("something follows")
)

// Flags of an item. One without a deployment reads as it did before there were any.
const (
	flagAbsolute = 1 << iota
	flagDeployment
	flagItemMax
)

// appendItem encodes what of an item never changes while it is queued.
func appendItem(b []byte, s jobs.Spec) ([]byte, error) {
	switch {
	case len(s.Href) > maxHref:
		return nil, fmt.Errorf("an href of %d bytes, the queue takes %d", len(s.Href), maxHref)
	case len(s.Format) > maxFormat:
		return nil, fmt.Errorf("a format of %d bytes, the queue takes %d", len(s.Format), maxFormat)
	case len(s.Deployment) > maxName:
		return nil, fmt.Errorf("the name of a deployment of %d bytes, the queue takes %d", len(s.Deployment), maxName)
	case s.Width < 0 || s.Width > maxNumber || s.Quality < 0 || s.Quality > maxNumber:
		return nil, fmt.Errorf("a width of %d and a quality of %d", s.Width, s.Quality)
	}
	flags := byte(0)
	if s.Absolute {
		flags |= flagAbsolute
	}
	if s.Deployment != "" {
		flags |= flagDeployment
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(s.Width))
	b = binary.AppendUvarint(b, uint64(s.Quality))
	b = appendString(b, s.Format)
	b = appendString(b, s.Href)
	if s.Deployment != "" {
		b = appendString(b, s.Deployment)
	}
	return b, nil
}

func decodeItem(b []byte) (s jobs.Spec, err error) {
	r := reader{b: b}
	flags := r.byte()
	if flags >= flagItemMax {
		r.fail(errors.New("unknown flags"))
	}
	s.Absolute = flags&flagAbsolute != 0
	s.Width, s.Quality = int(r.number(maxNumber)), int(r.number(maxNumber))
	s.Format, s.Href = r.string(maxFormat), r.string(maxHref)
	if flags&flagDeployment != 0 {
		if s.Deployment = r.string(maxName); s.Deployment == "" {
			r.fail(errors.New("a deployment without a name"))
		}
	}
	return s, r.end("a job")
}

// The first byte of an outcome tells what it is, to scripts as well: a kept outcome that begins with d or s is joined by
// those who ask anew.
const (
	outcomeDone   = 'd'
	outcomeClient = 'f' // failed with a status below 500: who asks again may ask for something else
	outcomeServer = 's' // failed with a status from 500
	outcomeLost   = 'l' // the record could not be read
)

// messageJoined comes in the place of an outcome, and tells the worker of a background job that somebody waits for it now.
const messageJoined = "p"

// Flags of a failure.
const (
	flagRetryable = 1 << iota
	flagTimeout
	flagMax
)

func appendOutcome(b []byte, f *failure.Error, ref []byte) []byte {
	if f == nil {
		return append(append(b, outcomeDone), ref...)
	}
	kind := byte(outcomeClient)
	if f.Status >= http.StatusInternalServerError {
		kind = outcomeServer
	}
	var flags uint64
	if f.Retryable {
		flags |= flagRetryable
	}
	if f.Timeout {
		flags |= flagTimeout
	}
	b = binary.AppendUvarint(append(b, kind), uint64(max(0, f.Status)))
	b = binary.AppendUvarint(b, flags)
	b = binary.AppendUvarint(b, uint64(min(max(0, f.RetryAfter.Milliseconds()), maxNumber)))
	b = appendString(b, cut(f.Reason, maxReason))
	b = appendString(b, cut(f.Text, maxText))
	cause := ""
	if f.Cause != nil {
		cause = f.Cause.Error()
	}
	return appendString(b, cut(cause, maxCause))
}

// cut shortens a text, between two characters if it is one.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for n := most; n > most-utf8.UTFMax; n-- {
		if utf8.RuneStart(s[n]) {
			return s[:n]
		}
	}
	return s[:most]
}

func decodeOutcome(b []byte) (jobs.Ending, error) {
	r := reader{b: b}
	kind := r.byte()
	switch kind {
	case outcomeDone:
		if len(r.b) > maxRef {
			return jobs.Ending{}, fmt.Errorf("decoding an outcome: a reference of %d bytes", len(r.b))
		}
		end := jobs.Ending{}
		if len(r.b) > 0 {
			end.Ref = append([]byte(nil), r.b...)
		}
		return end, r.err
	case outcomeLost:
		return jobs.Ending{Lost: true}, r.end("an outcome")
	case outcomeClient, outcomeServer:
	default:
		r.fail(fmt.Errorf("of an unknown kind %q", kind))
	}
	f := &failure.Error{Status: int(r.number(999))}
	if r.err == nil && (f.Status < 400 || f.Status > 599 || (f.Status >= 500) != (kind == outcomeServer)) {
		r.fail(fmt.Errorf("a failure with status %d", f.Status))
	}
	flags := r.number(flagMax - 1)
	f.Retryable, f.Timeout = flags&flagRetryable != 0, flags&flagTimeout != 0
	f.RetryAfter = time.Duration(r.number(maxNumber)) * time.Millisecond
	f.Reason, f.Text = r.string(maxReason), r.string(maxText)
	if cause := r.string(maxCause); cause != "" {
		f.Cause = errors.New(cause)
	}
	if err := r.end("an outcome"); err != nil {
		return jobs.Ending{}, err
	}
	return jobs.Ending{Failure: f}, nil
}

// decodeMessage reads what is published when a job ends: its key and its outcome.
// decodeJoined takes apart a message that is no outcome's.
func decodeJoined(m string) (key jobs.Key, ok bool) {
	if len(m) != len(key)+len(messageJoined) || m[len(key):] != messageJoined {
		return key, false
	}
	copy(key[:], m)
	return key, true
}

func decodeMessage(m string) (jobs.Key, jobs.Ending, error) {
	var key jobs.Key
	if len(m) < len(key) {
		return key, jobs.Ending{}, fmt.Errorf("decoding a message: %w", errTorn)
	}
	copy(key[:], m)
	end, err := decodeOutcome([]byte(m[len(key):]))
	return key, end, err
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// reader takes apart what an append function made. After a failure it returns zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errTorn)
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	switch {
	case n <= 0:
		r.fail(errTorn)
		return 0
	case v > most:
		r.fail(fmt.Errorf("%d where at most %d can be", v, most))
		return 0
	case n > 1 && r.b[n-1] == 0:
		r.fail(errors.New("a number with a zero in front"))
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) string(most uint64) string {
	n := r.number(most)
	if uint64(len(r.b)) < n {
		r.fail(errTorn)
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) end(what string) error {
	if r.err == nil && len(r.b) > 0 {
		r.err = errTrailer
	}
	if r.err != nil {
		return fmt.Errorf("decoding %s: %w", what, r.err)
	}
	return nil
}
