package validate

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
)

// parseHost is the WHATWG host parser for http and https: an IPv6 address in brackets, an IPv4 address in any of its
// old spellings ("127.1", "0x7f000001"), or a domain, which may be percent-encoded and international.
func parseHost(s string) (string, bool) {
	if s[0] == '[' {
		if len(s) < 2 || s[len(s)-1] != ']' {
			return "", false
		}
		return parseIPv6(s[1 : len(s)-1])
	}
	domain := s
	if strings.IndexByte(s, '%') >= 0 {
		domain = string(appendPercentDecoded(nil, s, false))
	}
	domain, ok := domainToASCII(domain)
	if !ok || domain == "" {
		return "", false
	}
	for i := range len(domain) {
		if c := domain[i]; c <= ' ' || c == 0x7f || strings.IndexByte("#%/:<>?@[\\]^|", c) >= 0 {
			return "", false
		}
	}
	if endsInNumber(domain) {
		return parseIPv4(domain)
	}
	return domain, true
}

// profile is UTS #46 with the settings of the URL Standard, except for the bidi rule: Node checks it label by label
// (see validBidi), the package for the whole domain.
var profile = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.CheckHyphens(false),
	idna.CheckJoiners(true), idna.StrictDomainName(false), idna.VerifyDNSLength(false))

// domainToASCII agrees with Node 20.20 except for some malformed or rare names. It refuses, and Node accepts: an
// encoded label with nothing international in it ("xn--a-"), one that decodes to 1,024 characters or more, and some
// labels with joiners or with right-to-left characters that Node's tables do not know as such. For a few labels of
// the last two kinds it is the other way round ("\u06b8\u200c\u06f9.com").
func domainToASCII(s string) (string, bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	if isASCII(s) {
		s = strings.ToLower(s)
		if !hasACELabel(s) {
			return s, true
		}
	}
	if hasBrokenACELabel(s) {
		return "", false
	}
	ascii, err := profile.ToASCII(s)
	if err != nil {
		return "", false
	}
	unicode, err := profile.ToUnicode(s)
	if err != nil {
		return "", false
	}
	for label := range strings.SplitSeq(unicode, ".") {
		if !validBidi(label) {
			return "", false
		}
	}
	return ascii, true
}

// hasACELabel reports whether a label of s starts with "xn--".
func hasACELabel(s string) bool {
	return strings.HasPrefix(s, "xn--") || strings.Contains(s, ".xn--")
}

// hasBrokenACELabel reports whether a label of s is "xn--" with nothing or with something international after it,
// which the package lets pass.
func hasBrokenACELabel(s string) bool {
	for label := range strings.FieldsFuncSeq(strings.ToLower(norm.NFKC.String(s)), isLabelSeparator) {
		if rest, ok := strings.CutPrefix(label, "xn--"); ok && (rest == "" || !isASCII(rest)) {
			return true
		}
	}
	return false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isLabelSeparator(r rune) bool { return r == '.' || r == '\u3002' }

// validBidi is the bidi rule of RFC 5893, section 2, for one label, as Node has it: a label without right-to-left
// characters passes, and the last character of a left-to-right label is not looked at.
func validBidi(label string) bool {
	const (
		rtl     = 1<<bidi.R | 1<<bidi.AL | 1<<bidi.AN
		ltr     = 1 << bidi.L
		neutral = 1<<bidi.EN | 1<<bidi.ES | 1<<bidi.CS | 1<<bidi.ET | 1<<bidi.ON | 1<<bidi.BN | 1<<bidi.NSM
	)
	var first, last, seen, before uint64 // sets of classes; before is seen without last
	for i, r := range label {
		p, _ := bidi.LookupRune(r)
		class := uint64(1) << p.Class()
		if i == 0 {
			first = class
		}
		if class != 1<<bidi.NSM {
			last, before = class, seen
		}
		seen |= class
	}
	switch {
	case seen&rtl == 0:
		return true
	case first == ltr:
		return before&^(ltr|neutral) == 0
	case seen&^(rtl|neutral) != 0 || seen&(1<<bidi.EN) != 0 && seen&(1<<bidi.AN) != 0:
		return false
	}
	return last&(rtl|1<<bidi.EN) != 0
}

// endsInNumber reports whether the last label is a number, which makes the whole domain an IPv4 address or an error.
func endsInNumber(s string) bool {
	last := strings.TrimSuffix(s, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	if last == "" {
		return false
	}
	for i := range len(last) {
		if !isDigit(last[i]) {
			_, ok := ipv4Number(last)
			return ok
		}
	}
	return true
}

// ipv4Number parses a decimal, octal ("0…") or hexadecimal ("0x…") number. Everything above 32 bits is one value.
func ipv4Number(s string) (uint64, bool) {
	if s == "" {
		return 0, false
	}
	base := uint64(10)
	switch {
	case len(s) >= 2 && s[0] == '0' && s[1]|0x20 == 'x':
		s, base = s[2:], 16
	case len(s) >= 2 && s[0] == '0':
		s, base = s[1:], 8
	}
	var n uint64
	for i := range len(s) {
		d, ok := isHex(s[i])
		if !ok || uint64(d) >= base {
			return 0, false
		}
		n = min(n*base+uint64(d), 1<<32)
	}
	return n, true
}

func parseIPv4(s string) (string, bool) {
	parts := strings.Split(strings.TrimSuffix(s, "."), ".")
	if len(parts) > 4 {
		return "", false
	}
	var addr uint64
	for i, part := range parts {
		n, ok := ipv4Number(part)
		if !ok {
			return "", false
		}
		if i < len(parts)-1 {
			if n > 255 {
				return "", false
			}
			addr |= n << (24 - 8*i)
			continue
		}
		if n >= 1<<(8*(5-len(parts))) {
			return "", false
		}
		addr |= n
	}
	return netip.AddrFrom4([4]byte{byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)}).String(), true
}

// parseIPv6 returns the address in brackets. netip reads the same grammar (zones excepted) but writes addresses that
// embed an IPv4 address in another way.
func parseIPv6(s string) (string, bool) {
	ip, err := netip.ParseAddr(s)
	if err != nil || !ip.Is6() || ip.Zone() != "" {
		return "", false
	}
	raw := ip.As16()
	var pieces [8]uint16
	for i := range pieces {
		pieces[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	// The first of the longest runs of two or more zeros is left out.
	from, length := -1, 1
	for i := 0; i < 8; i++ {
		j := i
		for j < 8 && pieces[j] == 0 {
			j++
		}
		if j-i > length {
			from, length = i, j-i
		}
		i = max(i, j-1)
	}
	out := []byte{'['}
	for i := 0; i < 8; i++ {
		if i == from {
			out = append(out, "::"...)
			i += length - 1
			continue
		}
		if n := len(out); out[n-1] != ':' && out[n-1] != '[' {
			out = append(out, ':')
		}
		out = strconv.AppendUint(out, uint64(pieces[i]), 16)
	}
	return string(append(out, ']')), true
}
