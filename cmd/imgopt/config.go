package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"imgopt/config"
)

func configCommand() *cobra.Command {
	var s settings
	var check, asJSON, reference bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the effective configuration with the origin of every value",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reference {
				_, err := fmt.Fprint(cmd.OutOrStdout(), config.Reference())
				return err
			}
			c, p, err := s.load()
			if err != nil {
				return err
			}
			switch {
			case check:
				if err := c.Validate(config.Serve); err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "the configuration is valid")
				return err
			case asJSON:
				return config.PrintJSON(cmd.OutOrStdout(), c, p)
			default:
				return config.Print(cmd.OutOrStdout(), c, p)
			}
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "only say whether the configuration is valid for serve; exit code 2 if not")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&reference, "reference", false, "print the reference of all keys (Markdown)")
	s.register(cmd)
	return cmd
}
