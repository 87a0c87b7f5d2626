package main

import (
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"imgopt/transform/codec"
)

// codecCommand is what the service starts for each codec process; nobody calls it by hand.
func codecCommand() *cobra.Command {
	return &cobra.Command{
		Use:    codecSubcommand,
		Short:  "One codec process (started by serve)",
		Hidden: true,
		Args:   noArguments,
		RunE: func(*cobra.Command, []string) error {
			signal.Ignore(syscall.SIGHUP) // a terminal or a service manager means the service, which reloads; the others main takes
			_ = setSlices(0)              // what the service has is not for codecs; where it cannot be changed, they share more evenly
			return codec.Serve()
		},
	}
}

const codecSubcommand = "codec"
