package valkey

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// State says how much of a deployment can be used.
type State int

// The states, worst first.
const (
	Down   State = iota
	Partly       // some nodes of a cluster
	Up
)

// String returns "down", "partly" or "up".
func (s State) String() string {
	return map[State]string{Down: "down", Partly: "partly", Up: "up"}[s]
}

// Health describes a deployment as this process sees it.
type Health struct {
	State State
	// Since is when State began.
	Since time.Time
	// Reason is why it is not Up, a label as in Error.
	Reason string
	// Detail is the error behind Reason.
	Detail string
	// Mode is "standalone", "sentinel" or "cluster"; "" before the first connection.
	Mode string
}

// String describes the health for logs and readiness checks.
func (h Health) String() string {
	if h.State == Up {
		return "up"
	}
	return fmt.Sprintf("%s (%s) since %s", h.State, h.Reason, h.Since.UTC().Format(time.RFC3339))
}

// Health returns the present state.
func (c *Client) Health() Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.health
}

// Changed returns a channel that is closed when the health changes. Ask for it before Health.
func (c *Client) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// WaitUp waits until the deployment is Up. It returns why it is not when ctx ends.
func (c *Client) WaitUp(ctx context.Context) error {
	for {
		if c.closing.Load() {
			return ErrClosed
		}
		changed := c.Changed()
		h := c.Health()
		if h.State == Up {
			return nil
		}
		select {
		case <-changed:
		case <-c.base.Done():
			return ErrClosed
		case <-ctx.Done():
			return &Error{Kind: ErrDown, Reason: h.Reason, Err: errors.Join(context.Cause(ctx), detail(h.Detail))}
		}
	}
}

func detail(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

// setHealth notes a change of state, with one line in the log. why is the error behind it, nil for Up. mu is held.
func (c *Client) setHealth(s State, why *Error) {
	was := c.health
	if was.State == s {
		if why != nil && was.Detail == "" { // the first attempt to connect failed
			c.health.Reason, c.health.Detail = why.Reason, why.Error()
			c.o.Log.Warn("valkey is not available", "address", c.o.Address.String(), "reason", why.Reason, "error", why)
		}
		return
	}
	now := time.Now()
	c.health = Health{State: s, Since: now, Mode: c.mode()}
	after := now.Sub(was.Since).Round(time.Millisecond)
	switch {
	case s == Up:
		c.o.Log.Info("valkey is available", "address", c.o.Address.String(), "mode", c.health.Mode, "after", after)
	default:
		c.health.Reason, c.health.Detail = why.Reason, why.Error()
		text := "valkey is not available"
		if s == Partly {
			text = "valkey is available in part"
		}
		c.o.Log.Warn(text, "address", c.o.Address.String(), "mode", c.health.Mode, "reason", why.Reason, "error", why)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Client) mode() string {
	if inner := c.inner.Load(); inner != nil {
		return string((*inner).Mode())
	}
	return ""
}
