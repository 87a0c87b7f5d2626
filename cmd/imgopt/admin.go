package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"imgopt/adminclient"
)

// adminFlags say which process is asked: the one that the configuration describes, or another.
type adminFlags struct {
	settings
	address string
	within  time.Duration
}

// register adds the flags to a command.
func (a *adminFlags) register(cmd *cobra.Command) {
	a.settings.register(cmd)
	cmd.Flags().StringVar(&a.address, "admin", "", "url of the admin listener of a running process; by default that of adminListen on this machine")
	cmd.Flags().DurationVar(&a.within, "within", 10*time.Second, "how long an answer may take")
}

// errNoListener says that there is nobody to ask.
var errNoListener = errors.New("adminListen is empty, and --admin was not given: the admin listener is asked")

// ask calls do with a client of the admin listener.
func (a *adminFlags) ask(cmd *cobra.Command, do func(context.Context, *adminclient.Client) error) error {
	address := a.address
	if address == "" {
		c, _, err := a.load()
		if err != nil {
			return err
		}
		if c.AdminListen == "" {
			return misuse{errNoListener}
		}
		address = "http://" + reachable(c.AdminListen)
	}
	client, err := adminclient.New(address, adminclient.Options{})
	if err != nil {
		return misuse{err}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.within)
	defer cancel()
	return do(ctx, client)
}
