package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"imgopt/adminclient"
)

func reloadCommand() *cobra.Command {
	var a adminFlags
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have a running process read its configuration again",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *adminclient.Client) error {
				r, err := c.Reload(ctx)
				if err != nil {
					return fmt.Errorf("reloading: %w", err)
				}
				if len(r.Changed) == 0 && len(r.NeedRestart) == 0 {
					fmt.Fprintln(cmd.OutOrStdout(), "nothing has changed")
				}
				if len(r.Changed) > 0 {
					fmt.Fprintln(cmd.OutOrStdout(), "in force:", strings.Join(r.Changed, ", "))
				}
				if len(r.NeedRestart) > 0 {
					fmt.Fprintln(cmd.OutOrStdout(), "after a restart:", strings.Join(r.NeedRestart, ", "))
				}
				return nil
			})
		},
	}
	a.register(cmd)
	return cmd
}
