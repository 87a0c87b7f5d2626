// Command imgopt answers /_next/image exactly as Next.js does, in a service of its own. One file per subcommand;
// this package wires the rooms together and holds no logic.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker (see Makefile).
var version = "unknown"

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
		// Without these two an unknown command is no misuse, and said on several lines.
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetArgs(args)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misuse{err} })
	root.AddCommand(serveCommand(), prewarmCommand(), optimizeCommand(), configCommand(), purgeCommand(), queueCommand(), reloadCommand(), healthCommand(), versionCommand(), codecCommand())
	return report(stderr, root.ExecuteContext(ctx))
}
