package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"imgopt/adminclient"
	"imgopt/handler"
)

func purgeCommand() *cobra.Command {
	var a adminFlags
	var what handler.Purge
	cmd := &cobra.Command{
		Use:   "purge",
		Short: "Have images made anew: those of one source, of all whose url begins so, or all",
		Long: "Have images made anew, in memory, on disk and in Valkey, of every replica that shares one. A source is named as\n" +
			"the endpoint's url parameter names it: /hero.jpg, https://cdn.example/hero.jpg. A running process is asked.",
		Example: "  imgopt purge --url /hero.jpg\n  imgopt purge --prefix https://cdn.example/products/ --admin http://10.0.0.7:9090\n  imgopt purge --all",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			given := 0
			for _, name := range []string{"url", "prefix", "all"} {
				if cmd.Flags().Changed(name) {
					given++
				}
			}
			if given != 1 || what == (handler.Purge{}) {
				return misuse{errors.New("exactly one is needed of --url URL, --prefix BEGINNING and --all")}
			}
			return a.ask(cmd, func(ctx context.Context, c *adminclient.Client) error {
				r, err := c.Purge(ctx, what)
				if err != nil {
					return fmt.Errorf("purging: %w", err)
				}
				switch {
				case r.Pending:
					fmt.Fprintln(cmd.OutOrStdout(), "purged in this replica; the others learn it when Valkey is back")
				case r.Heard > 0:
					fmt.Fprintf(cmd.OutOrStdout(), "purged; replicas that have heard of it: %d; others will when they are back\n", r.Heard)
				default:
					fmt.Fprintln(cmd.OutOrStdout(), "purged")
				}
				return nil
			})
		},
	}
	a.register(cmd)
	cmd.Flags().StringVar(&what.URL, "url", "", "the url of the source, exactly")
	cmd.Flags().StringVar(&what.Prefix, "prefix", "", "what the urls of the sources begin with")
	cmd.Flags().BoolVar(&what.All, "all", false, "every image")
	return cmd
}
