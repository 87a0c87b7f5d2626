package fetch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"code.dny.dev/ssrf"
)

// BlockedError is the cause inside a *failure.Error for a host that may not be reached because of its address.
type BlockedError struct {
	// Host is the name or address in the url, "" where only the address is known.
	Host string
	// Addr is the address that is not public.
	Addr netip.Addr
	// Cause names the range it lies in.
	Cause error
}

// Error names host and address.
func (e *BlockedError) Error() string {
	if e.Host == "" || e.Host == e.Addr.String() {
		return fmt.Sprintf("address %v is not public: %v", e.Addr, e.Cause)
	}
	return fmt.Sprintf("host %q has the address %v, which is not public: %v", e.Host, e.Addr, e.Cause)
}

// Unwrap returns the range.
func (e *BlockedError) Unwrap() error { return e.Cause }

// publicOnly refuses every address outside the public internet. Its tables come from the IANA registries and hold all
// that isPrivateIp (next/dist/server/is-private-ip.js, by ipaddr.js) refuses, which TestGuardTable proves, and for
// IPv6 more: everything outside 2000::/3, where ipaddr.js lets site-local and IPv4-compatible addresses pass.
var publicOnly = ssrf.New(ssrf.WithAnyPort())

// metadata are the addresses under which clouds hand out credentials to whoever asks from inside a machine. All but
// Azure's lie in ranges that are refused anyway; that one is taken from the public ones (and Next.js lets it pass),
// but there is nothing behind it for anyone else. A wide entry of an allow-list does not open them.
var metadata = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), // AWS, Google, Azure, DigitalOcean, Oracle, OpenStack, Hetzner and others
	netip.MustParseAddr("169.254.170.2"),   // AWS, tasks of ECS
	netip.MustParseAddr("169.254.170.23"),  // AWS, pods of EKS
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd00:ec2::23"),    // AWS, pods of EKS
	netip.MustParseAddr("fd20:ce::254"),    // Google
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("192.0.0.192"),     // Oracle, before 169.254.169.254
	netip.MustParseAddr("168.63.129.16"),   // Azure, the host
}

var errMetadata = errors.New("it hands out the credentials of this machine; only an entry for this very address allows it")

// addressRules say which addresses absolute hrefs may reach: public ones, and the prefixes listed.
type addressRules []netip.Prefix

// newAddressRules checks Options.AllowCIDRs.
func newAddressRules(list []netip.Prefix) (addressRules, error) {
	var rules addressRules
	for _, p := range list {
		if !p.IsValid() {
			return nil, errors.New("allowed addresses: an invalid prefix")
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("allowed addresses: %v is not a prefix: want %v, or %v/%d for the one address", p, p.Masked(), p.Addr(), p.Addr().BitLen())
		}
		if p.Addr().Is4In6() {
			// The address behind an IPv4-mapped one is what is compared, see check. Masked leaves no mapped prefix
			// shorter than 96 bits.
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		rules = append(rules, p)
	}
	return rules, nil
}

// check returns a *BlockedError unless addr may be reached. An IPv4-mapped IPv6 address counts as the IPv4 address
// that would be connected to.
func (r addressRules) check(host string, addr netip.Addr) error {
	addr = addr.Unmap()
	if err := r.refusal(addr); err != nil {
		return &BlockedError{Host: host, Addr: addr, Cause: err}
	}
	return nil
}

func (r addressRules) refusal(addr netip.Addr) error {
	if slices.Contains(metadata, addr) {
		if slices.Contains(r, netip.PrefixFrom(addr, addr.BitLen())) {
			return nil
		}
		return errMetadata
	}
	err := publicOnly.SafeAddr(addr)
	if err == nil || !slices.ContainsFunc(r, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return err
	}
	// Listing the prefix of a translator does not list what is behind it.
	if behind, ok := translated(addr); ok {
		if err := r.refusal(behind); err != nil {
			return fmt.Errorf("it stands for %v: %w", behind, err)
		}
	}
	return nil
}

var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixToFour = netip.MustParsePrefix("2002::/16")    // RFC 3056
)

// translated returns the IPv4 address that a translator or a tunnel turns addr into. Of 64:ff9b:1::/48 (RFC 8215), each
// network uses a part of its own, in a form of its own.
func translated(addr netip.Addr) (netip.Addr, bool) {
	b := addr.As16()
	switch {
	case nat64.Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:])), true
	}
	return netip.Addr{}, false
}

// checkSocket is a net.Dialer.Control: address is the one about to be connected to.
func (r addressRules) checkSocket(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("check the address to connect to: %w", err)
	}
	return r.check("", ap.Addr())
}
