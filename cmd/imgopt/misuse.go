package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"imgopt/config"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitMisuse = 2 // of the command line or the configuration
)

// misuse is a wrong command line.
type misuse struct{ error }

func (m misuse) Unwrap() error { return m.error }

// report says what went wrong, one line for each mistake in the configuration and one line for anything else, and
// returns the exit code.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	var warmed prewarmExit
	if errors.As(err, &warmed) {
		return warmed.code // the report has said it all
	}
	var mistakes config.Errors
	if errors.As(err, &mistakes) {
		for _, m := range mistakes {
			fmt.Fprintln(stderr, "imgopt:", m)
		}
		return exitMisuse
	}
	// Joined errors come on several lines, and what was misused may hold line breaks of its own.
	fmt.Fprintln(stderr, "imgopt:", strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; "))
	if errors.As(err, new(misuse)) {
		return exitMisuse
	}
	return exitFailed
}

// knownCommand refuses what is no command as misuse. Commands themselves have been looked up before.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf("%q lists all", cmd.CommandPath()+" --help")
	cmd.SuggestionsMinimumDistance = 2 // Levenshtein's, as cobra's own message has it
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return misuse{fmt.Errorf("unknown command %q; %s", args[0], hint)}
}

// noArguments refuses positional arguments as misuse. The usual reason is a switch whose value was not joined to it.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if args[0] == "true" || args[0] == "false" {
		hint = "; true and false follow an equals sign: --log.access=false"
	}
	return misuse{fmt.Errorf("unexpected argument %q: %q takes none%s", args[0], cmd.CommandPath(), hint)}
}
