package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// errNoAdmin says that there is nobody to ask.
var errNoAdmin = errors.New("adminListen is empty: health is asked on the admin listener")

// healthCommand is for containers, which have no other program to ask with.
func healthCommand() *cobra.Command {
	var s settings
	var ready bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the admin listener of a running service whether it is healthy: exit code 0 or 1",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := s.load()
			if err != nil {
				return err
			}
			if c.AdminListen == "" {
				return errNoAdmin
			}
			path := "/healthz"
			if ready {
				path = "/readyz"
			}
			return askHealth(cmd.OutOrStdout(), "http://"+reachable(c.AdminListen)+path, timeout)
		},
	}
	s.register(cmd)
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it wants requests (/readyz), not only whether it lives (/healthz)")
	cmd.Flags().DurationVar(&timeout, "within", 3*time.Second, "how long an answer may take")
	return cmd
}

func askHealth(out io.Writer, url string, timeout time.Duration) error {
	client := http.Client{Timeout: timeout, Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}
	text := strings.TrimSpace(string(body))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, resp.Status, text)
	}
	fmt.Fprintln(out, text)
	return nil
}

// reachable is a listen address as a client on this machine uses it.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
