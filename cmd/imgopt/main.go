// Command imgopt answers /_next/image exactly as Next.js does, in a service of its own. One file per subcommand;
// this package wires the rooms together and holds no logic.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"imgopt/config"
)

// version is set by the linker (see Makefile).
var version = "unknown"

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitMisuse = 2 // of the command line or the configuration
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "imgopt",
		Short:         "The image optimizer for self-hosted Next.js, outside of Next.js",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetArgs(args)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misuse{err} })
	root.AddCommand(serveCommand(), configCommand(), versionCommand(), codecCommand())
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "imgopt:", err)
	var configuration config.Errors
	if errors.As(err, new(misuse)) || errors.As(err, &configuration) {
		return exitMisuse
	}
	return exitFailed
}

// misuse is a wrong command line.
type misuse struct{ error }

func (m misuse) Unwrap() error { return m.error }
