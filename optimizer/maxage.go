package optimizer

import (
	"math"
	"strings"
	"unicode"
)

// parseMaxAge reads the freshness that an upstream Cache-Control header grants: s-maxage, else max-age, else 0.
// It reads as Next.js does (next/dist/server/image-optimizer/get-max-age.js): the last directive of a name counts,
// an empty s-maxage does not, quotes around the value are dropped, and digits are taken up to the first other
// character. The result is in seconds; what an int64 cannot hold is cut to its limit.
func parseMaxAge(header string) int64 {
	var shared, private string
	for directive := range strings.SplitSeq(header, ",") {
		name, rest, _ := strings.Cut(strings.TrimFunc(directive, isSpace), "=")
		value, _, _ := strings.Cut(rest, "=")
		switch strings.ToLower(name) {
		case "s-maxage":
			shared = value
		case "max-age":
			private = value
		}
	}
	value := shared
	if value == "" {
		value = private
	}
	if strings.HasPrefix(value, `"`) && strings.HasSuffix(value, `"`) {
		value = value[1:max(len(value)-1, 1)]
	}
	return seconds(value)
}

// seconds reads a decimal number the way JavaScript's parseInt does; what is none is 0.
func seconds(s string) int64 {
	s = strings.TrimLeftFunc(s, isSpace)
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	const limit = math.MaxInt64 / 10 // the next digit must not overflow
	var n int64
	for i := 0; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		n = min(n*10+int64(s[i]-'0'), limit)
		if n == limit {
			break
		}
	}
	if negative {
		n = -n
	}
	return n
}

// isSpace is what JavaScript trims.
func isSpace(r rune) bool { return unicode.IsSpace(r) && r != 0x85 || r == 0xfeff }
