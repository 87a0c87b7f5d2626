package prewarm

import (
	"errors"

	"imgopt/validate"
)

// Exit codes of the command.
const (
	exitWarm   = 0 // everything that was asked for is warm
	exitFailed = 1 // something is not, or is not known to be
	exitMisuse = 2 // of the command line, of a list, or of the configuration
)

// exitCode decides. What a page or a list asks for and the rules refuse counts as failed, and so does a page that could
// not be read: what it asks for is not known. Only a list may ask for nothing at all; a build or a site in which nothing
// is found is more likely a wrong path.
func (r *Report) exitCode(f *Found) int {
	switch {
	case r.Interrupted, r.GivenUp, r.Left > 0, r.Failed > 0, len(r.Refused) > 0, len(r.Unread) > 0:
		return exitFailed
	case r.Asked == 0 && r.Counts.Limited+r.Counts.Filtered == 0 && !f.lists:
		return exitFailed
	}
	return exitWarm
}

// ExitCode is the exit code of a pre-warming that ended with an error, or, with a nil error, with a report. A dry run
// has neither; it exits with 0.
func ExitCode(r *Report, err error) int {
	switch {
	case errors.As(err, new(OptionErrors)), errors.As(err, new(*OptionError)), errors.As(err, new(*LineError)),
		errors.As(err, new(*validate.OptionError)), errors.Is(err, ErrOff):
		return exitMisuse
	case err != nil:
		return exitFailed
	case r != nil:
		return r.ExitCode
	}
	return exitWarm
}
