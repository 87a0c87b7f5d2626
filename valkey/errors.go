package valkey

import (
	"context"
	"errors"
	"fmt"
	"strings"

	vk "github.com/valkey-io/valkey-go"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrDown says that the server cannot be used now: it is not connected, did not answer in time, or refuses to
	// serve (loading, fail-over under way, a slot without a node). It will be used again by itself.
	ErrDown = errors.New("valkey: not available")
	// ErrFull says that the server refuses to store anything, mostly because its memory is full. It serves everything
	// else.
	ErrFull = errors.New("valkey: refuses to store")
	// ErrBusy says that as many commands as Options.MaxInFlight are under way.
	ErrBusy = errors.New("valkey: too many commands under way")
	// ErrClosed says that the Client was closed.
	ErrClosed = errors.New("valkey: closed")
	// ErrNil is the answer that there is nothing, for example of a GET without a value. It is no failure.
	ErrNil = error(vk.Nil)
)

// Error is a command that failed.
type Error struct {
	// Kind is ErrDown, ErrFull or ErrBusy, or nil if the server refused the command itself.
	Kind error
	// Reason is a short stable label: of ErrDown "not_connected", "timeout", "network", "loading", "failover",
	// "cluster_down" or "auth"; of ErrFull "out_of_memory", "disk" or "replicas"; "busy"; "refused".
	Reason string
	// Err is the cause, nil if there is no more to tell.
	Err error
}

// Error describes what happened.
func (e *Error) Error() string {
	text := "valkey"
	if e.Kind != nil {
		text = e.Kind.Error()
	}
	if e.Err == nil {
		return fmt.Sprintf("%s (%s)", text, e.Reason)
	}
	return fmt.Sprintf("%s (%s): %v", text, e.Reason, e.Err)
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	switch {
	case e.Kind == nil:
		return []error{e.Err}
	case e.Err == nil:
		return []error{e.Kind}
	default:
		return []error{e.Kind, e.Err}
	}
}

var (
	errNotConnected = &Error{Kind: ErrDown, Reason: "not_connected"}
	errBusy         = &Error{Kind: ErrBusy, Reason: "busy"}
)

// unavailable maps the first word of a server's error to the label of why it does not serve. All others are about
// the command, and the server that says them is well.
var unavailable = map[string]string{
	"LOADING":     "loading",
	"MASTERDOWN":  "failover",
	"READONLY":    "failover", // a primary that has been replaced
	"UNBLOCKED":   "failover", // sent to those who wait when a primary becomes a replica
	"CLUSTERDOWN": "cluster_down",
	"TRYAGAIN":    "cluster_down",
	"MOVED":       "cluster_down", // followed as often as is sensible
	"ASK":         "cluster_down",
	"BUSY":        "timeout", // a script of somebody's runs and runs
	"NOAUTH":      "auth",
	"WRONGPASS":   "auth",
}

// storesNothing maps the first word of a server's error to the label of why it does not store.
var storesNothing = map[string]string{
	"OOM":        "out_of_memory",
	"MISCONF":    "disk", // it cannot save what it has, and takes no more
	"NOREPLICAS": "replicas",
}

// classify makes an *Error of what valkey-go returned. nil and ErrNil stay what they are.
func classify(err error) error {
	if err == nil || vk.IsValkeyNil(err) {
		return err
	}
	var reply *vk.ValkeyError
	switch {
	case errors.As(err, &reply):
		word, _, _ := strings.Cut(reply.Error(), " ")
		if reason, ok := unavailable[word]; ok {
			return &Error{Kind: ErrDown, Reason: reason, Err: err}
		}
		if reason, ok := storesNothing[word]; ok {
			return &Error{Kind: ErrFull, Reason: reason, Err: err}
		}
		return &Error{Reason: "refused", Err: err}
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return &Error{Kind: ErrDown, Reason: "timeout", Err: err}
	default:
		return &Error{Kind: ErrDown, Reason: "network", Err: err}
	}
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}
