package main

import (
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
		RunE:   func(*cobra.Command, []string) error { return codec.Serve() },
	}
}

const codecSubcommand = "codec"
