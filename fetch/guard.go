package fetch

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// plainDial connects without looking at the address.
func plainDial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// guard dials hosts of which every address may be reached. It looks names up itself and connects to those very
// addresses, so an answer that changes between looking and connecting changes nothing; the address is checked once
// more on the socket that connects.
type guard struct {
	rules    addressRules
	resolver Resolver
	connect  dialFunc // to a literal address
}

func newGuard(rules addressRules, r Resolver) *guard {
	if r == nil {
		r = net.DefaultResolver
	}
	d := &net.Dialer{Control: rules.checkSocket}
	return &guard{rules: rules, resolver: r, connect: d.DialContext}
}

// maxTargets is how many addresses of one name are tried: a name server that lists thousands must not make this
// program knock at all of them.
const maxTargets = 16

// DialContext connects to address ("host:port"). Like Next.js it refuses a name with even one address that may not be
// reached, whichever would be used.
func (g *guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("split the address to connect to: %w", err)
	}
	addrs, err := g.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	targets := make([]string, len(addrs))
	for i, addr := range addrs {
		if err := g.rules.check(host, addr); err != nil {
			return nil, err
		}
		targets[i] = net.JoinHostPort(addr.Unmap().String(), port)
	}
	return g.race(ctx, network, targets[:min(len(targets), maxTargets)])
}

// lookup returns at least one address for host. A literal address is its own.
func (g *guard) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	addrs, err := g.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up the host of the url: %w", err)
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	return addrs, nil
}

// headStart is how long an attempt to connect runs alone before the next address is tried beside it: the Connection
// Attempt Delay of RFC 8305, and Node's autoSelectFamilyAttemptTimeout.
const headStart = 250 * time.Millisecond

// race connects to the first target that answers. The next one starts when the one before failed or had its head
// start. It returns after all its attempts have ended.
func (g *guard) race(ctx context.Context, network string, targets []string) (net.Conn, error) {
	if len(targets) == 1 {
		return g.connect(ctx, network, targets[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(targets))
	running := 0
	start := func() {
		target := targets[0]
		targets = targets[1:]
		running++
		go func() {
			conn, err := g.connect(ctx, network, target)
			results <- result{conn, err}
		}()
	}
	var winner net.Conn
	var firstErr error
	start()
	next := time.NewTicker(headStart)
	defer next.Stop()
	for running > 0 {
		select {
		case <-next.C:
			if winner == nil && len(targets) > 0 {
				start()
			}
		case r := <-results:
			running--
			switch {
			case r.err == nil && winner == nil:
				winner = r.conn
				cancel() // ends the other attempts; an established connection is not affected
			case r.err == nil:
				r.conn.Close()
			default:
				if firstErr == nil {
					firstErr = r.err
				}
				if winner == nil && len(targets) > 0 {
					start()
					next.Reset(headStart)
				}
			}
		}
	}
	if winner != nil {
		return winner, nil
	}
	return nil, firstErr
}
