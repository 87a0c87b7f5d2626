package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"imgopt/adminclient"
	"imgopt/handler"
)

func queueCommand() *cobra.Command {
	cmd := showCommand("queue", "Show and change the job queue that replicas share", writeQueue)
	cmd.Long = "Show the job queue that replicas share (storage.type: valkey): what waits, who works, what failed for good."
	cmd.Args = knownCommand
	cmd.AddCommand(
		showCommand("dead", "List jobs that failed for good, the last first, with the reason", writeDead),
		lettersCommand("retry", "Do jobs again that failed for good", "enqueued again", (*adminclient.Client).Retry),
		lettersCommand("drop", "Forget jobs that failed for good", "dropped", (*adminclient.Client).Drop),
		cancelCommand(),
	)
	return cmd
}

// showCommand shows what write makes of the queue.
func showCommand(use, short string, write func(io.Writer, handler.QueueReport)) *cobra.Command {
	var a adminFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *adminclient.Client) error {
				return showQueue(ctx, cmd.OutOrStdout(), c, asJSON, write)
			})
		},
	}
	a.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// lettersCommand changes dead letters.
func lettersCommand(use, short, done string, change func(c *adminclient.Client, ctx context.Context, id string, all bool) (int, error)) *cobra.Command {
	var a adminFlags
	var all bool
	cmd := &cobra.Command{
		Use:   use + " [ID]",
		Short: short + ": one, or all with --all",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || (len(args) == 1) == all {
				return misuse{fmt.Errorf(`one id is needed, or --all; "imgopt queue dead" lists them`)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *adminclient.Client) error {
				n, err := change(c, ctx, strings.Join(args, ""), all)
				if err != nil {
					return fmt.Errorf("changing the queue: %w", err)
				}
				fmt.Fprintln(cmd.OutOrStdout(), n, done)
				if n == 0 && !all {
					return errors.New("there is no such job")
				}
				return nil
			})
		},
	}
	a.register(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all of them")
	return cmd
}

// cancelCommand takes a job out of the queue.
func cancelCommand() *cobra.Command {
	var a adminFlags
	cmd := &cobra.Command{
		Use:   "cancel KEY",
		Short: "Take a job out of the queue; those who wait for it get 503",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misuse{errors.New("the key of one job is needed, as logs name it")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *adminclient.Client) error {
				cancelled, err := c.Cancel(ctx, args[0])
				switch {
				case err != nil:
					return fmt.Errorf("cancelling a job: %w", err)
				case !cancelled:
					return errors.New("no such job is queued: it may be running, or done")
				}
				fmt.Fprintln(cmd.OutOrStdout(), "cancelled")
				return nil
			})
		},
	}
	a.register(cmd)
	return cmd
}

func showQueue(ctx context.Context, out io.Writer, c *adminclient.Client, asJSON bool, write func(io.Writer, handler.QueueReport)) error {
	r, err := c.Queue(ctx)
	if err != nil {
		return fmt.Errorf("asking for the queue: %w", err)
	}
	if !asJSON {
		write(out, r)
		return nil
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// writeQueue is the queue for a person.
func writeQueue(out io.Writer, r handler.QueueReport) {
	fmt.Fprintf(out, "%s queue of version %s: %d being worked on, %d failed for good\n\n", r.Type, r.Version, r.Leased, r.DeadTotal)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PRIORITY\tQUEUED\tOF THEM DELAYED\tOLDEST")
	for _, c := range []struct {
		name string
		handler.ClassReport
	}{{"interactive", r.Interactive}, {"background", r.Background}} {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", c.name, c.Queued, c.Delayed, seconds(c.OldestSeconds))
	}
	fmt.Fprintln(w, "\nWORKER\tVERSION\tLAST HEARD OF\t")
	for _, p := range r.Workers {
		fmt.Fprintf(w, "%s\t%s\t%s ago\t\n", p.ID, p.Version, seconds(p.SeenSeconds))
	}
	_ = w.Flush()
	if len(r.Workers) == 0 {
		fmt.Fprintln(out, "nobody works")
	}
}

// writeDead is the list of dead letters for a person.
func writeDead(out io.Writer, r handler.QueueReport) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tFAILED\tATTEMPTS\tSTATUS\tREASON\tVARIANT\tCAUSE")
	for _, d := range r.Dead {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s w=%d q=%d %s\t%s\n", d.ID, d.At.UTC().Format(time.RFC3339), d.Attempts, d.Status, d.Reason,
			oneLine(d.Href), d.Width, d.Quality, d.Format, oneLine(d.Cause))
	}
	_ = w.Flush()
	if more := r.DeadTotal - len(r.Dead); more > 0 {
		fmt.Fprintf(out, "and %d more\n", more)
	}
}

// oneLine keeps what others wrote from writing to a terminal, or over the next line.
func oneLine(s string) string {
	if q := fmt.Sprintf("%q", s); q[1:len(q)-1] != s {
		return q
	}
	return s
}

func seconds(s float64) string {
	return (time.Duration(s * float64(time.Second))).Round(100 * time.Millisecond).String()
}
