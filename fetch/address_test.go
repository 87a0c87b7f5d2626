package fetch

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func rulesOf(t *testing.T, list ...string) addressRules {
	t.Helper()
	var prefixes []netip.Prefix
	for _, s := range list {
		prefixes = append(prefixes, netip.MustParsePrefix(s))
	}
	rules, err := newAddressRules(prefixes)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestAddressRules(t *testing.T) {
	for _, tt := range []struct {
		rules        string
		allowed, not string
	}{
		{"", "8.8.8.8 2606:4700::1111 ::ffff:8.8.8.8", "10.0.0.1 127.0.0.1 ::1 ::ffff:10.0.0.1 169.254.169.254 168.63.129.16 0.0.0.0 :: fc00::1 fd00::1 fe80::1%eth0 64:ff9b::8.8.8.8 64:ff9b:1::8.8.8.8 2002:808:808::1 2001::1 ::8.8.8.8 255.255.255.255 224.0.0.1 100.64.0.1 198.18.0.1 192.0.0.192 5f00::1 ff02::1"},
		{"10.0.0.0/8", "10.0.0.0 10.255.255.255 ::ffff:10.1.2.3 8.8.8.8", "192.168.0.1 127.0.0.1 ::10.0.0.1 64:ff9b::10.0.0.1 2002:a00:1::1"},
		{"::ffff:10.0.0.0/104", "10.0.0.1 ::ffff:10.0.0.1", "192.168.0.1 ::10.0.0.1"},
		{"10.1.2.3/32 fd00:1::/32", "10.1.2.3 fd00:1::5", "10.1.2.4 fd00:2::5 fd00:1::5%eth0"},
		{"127.0.0.0/8", "127.0.0.1 127.1.2.3 ::ffff:127.0.0.1", "::1 0.0.0.0 ::127.0.0.1"},
		{"::1/128", "::1", "127.0.0.1 ::2 ::"},
		// Wide entries open everything but the addresses that have to be named, also behind a translator.
		{"0.0.0.0/0", "10.0.0.1 127.0.0.1 0.0.0.0 169.254.1.1", "169.254.169.254 ::ffff:169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 ::1 64:ff9b::10.0.0.1"},
		{"::/0", "::1 fd00::1 fe80::1 2002:808:808::1 64:ff9b::8.8.8.8", "fd00:ec2::254 fd20:ce::254 10.0.0.1 ::ffff:10.0.0.1 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 2002:7f00:1::1 fe80::1%eth0"},
		{"169.254.0.0/16", "169.254.1.1", "169.254.169.254"},
		{"169.254.169.254/32", "169.254.169.254 ::ffff:169.254.169.254", "169.254.169.253 169.254.170.2"},
		{"fd00:ec2::254/128", "fd00:ec2::254", "169.254.169.254 fd00:ec2::253"},
		{"168.63.129.16/32", "168.63.129.16", "169.254.169.254"},
		{"64:ff9b::/96", "64:ff9b::8.8.8.8 64:ff9b::808:808", "64:ff9b::10.0.0.1 64:ff9b::127.0.0.1 64:ff9b::169.254.169.254 64:ff9b::0.0.0.0 64:ff9b:0:0:0:1:808:808 64:ff9b:1::8.8.8.8"},
		{"64:ff9b::/96 10.0.0.0/8", "64:ff9b::10.0.0.1 64:ff9b::8.8.8.8", "64:ff9b::127.0.0.1"},
		{"2002::/16", "2002:808:808::1", "2002:7f00:1::1 2002:a00:1::1 2002:a9fe:a9fe::1"},
	} {
		rules := rulesOf(t, strings.Fields(tt.rules)...)
		for _, s := range strings.Fields(tt.allowed) {
			if err := rules.check("", netip.MustParseAddr(s)); err != nil {
				t.Errorf("%q: %s: %v", tt.rules, s, err)
			}
			if err := rules.checkSocket("tcp", netip.AddrPortFrom(netip.MustParseAddr(s), 80).String(), nil); err != nil {
				t.Errorf("%q: socket to %s: %v", tt.rules, s, err)
			}
		}
		for _, s := range strings.Fields(tt.not) {
			addr := netip.MustParseAddr(s)
			var blocked *BlockedError
			if err := rules.check("host.test", addr); !errors.As(err, &blocked) || !strings.Contains(err.Error(), "not public") || blocked.Cause == nil {
				t.Errorf("%q: %s is allowed (%v)", tt.rules, s, err)
			}
			if err := rules.checkSocket("tcp", netip.AddrPortFrom(addr, 80).String(), nil); !errors.As(err, &blocked) {
				t.Errorf("%q: a socket to %s is allowed (%v)", tt.rules, s, err)
			}
		}
	}
}

func TestAddressRulesInvalid(t *testing.T) {
	for prefix, named := range map[netip.Prefix]string{
		{}:                                  "invalid",
		netip.MustParsePrefix("10.1.2.3/8"): "10.0.0.0/8, or 10.1.2.3/32",
		netip.MustParsePrefix("fd00::1/8"):  "fd00::/8, or fd00::1/128",
		netip.MustParsePrefix("::ffff:0:0/95").Masked(): "", // not a mapped one: ::fffe:0:0/95
		netip.MustParsePrefix("::ffff:0:0/90"):          "is not a prefix",
	} {
		_, err := New(Options{Timeout: time.Second, MaxBody: 1, AllowCIDRs: []netip.Prefix{prefix}})
		if named == "" && err != nil || named != "" && (err == nil || !strings.Contains(err.Error(), named)) {
			t.Errorf("%v: %v", prefix, err)
		}
	}
}
