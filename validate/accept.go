package validate

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Accept negotiation as @hapi/accept does it (mediaType in the copy inside next/dist/compiled), together with the
// rule Next.js adds: what was chosen must also stand literally in the header. The header is looked at byte by byte;
// Node presents it as Latin-1, which is the same thing.

// mediaRange is one element of the header.
type mediaRange struct {
	name        string // lower case, with type and subtype
	typ         string
	subtype     string
	params      string // everything after the first ";"
	quality     float64
	specificity int // number of parameters before the quality
}

// negotiate returns the format to encode to, "" for none. With no formats at all every type of the header counts,
// as it does in Next.js. A parameter of the chosen element stays attached ("image/webp;v=1"); Next.js then finds no
// encoder for it and labels the response all the same. ok is false for a header that @hapi/accept refuses.
func negotiate(accept string, formats []string) (format string, ok bool) {
	if accept == "" {
		return "", true
	}
	var buf [16]mediaRange // more than any browser sends
	header, quoted := normalizeAccept(accept)
	ranges := buf[:0]
	for rest, more := header, true; more; {
		var element string
		element, rest, more = strings.Cut(rest, ",")
		name, params, hasParams := strings.Cut(element, ";")
		if !isMediaRange(name) {
			continue
		}
		r := mediaRange{name: lowerLatin1(name), params: params, quality: 1}
		r.typ, r.subtype, _ = strings.Cut(r.name, "/")
		r.subtype, _, _ = strings.Cut(r.subtype, "/")
		if hasParams && !r.parseParams() {
			return "", false
		}
		ranges = append(ranges, r)
	}
	slices.SortStableFunc(ranges, compareRanges)
	chosen, with := "", ""
	for _, r := range ranges {
		if r.quality == 0 {
			break // the rest is refused
		}
		if chosen = preferred(&r, ranges, formats); chosen != "" {
			if r.subtype != "*" && r.typ != "*" || len(formats) == 0 {
				with = r.suffix(quoted)
			}
			break
		}
	}
	if with != "" {
		chosen += with
	}
	if !strings.Contains(accept, chosen) {
		return "", true
	}
	if len(formats) == 0 {
		chosen = strings.Clone(chosen)
	}
	return chosen, true
}

// preferred returns the format that r selects, or "".
func preferred(r *mediaRange, all []mediaRange, formats []string) string {
	if len(formats) == 0 {
		return r.name
	}
	for _, f := range formats {
		switch {
		case r.name == f && r.subtype != "*":
			return f
		case r.typ == "*", r.subtype == "*" && strings.HasPrefix(f, r.typ) && strings.HasPrefix(f[len(r.typ):], "/"):
			// A wildcard stands for what the header does not name, be it to refuse it.
			if !slices.ContainsFunc(all, func(o mediaRange) bool { return o.name == f }) {
				return f
			}
		}
	}
	return ""
}

// compareRanges puts the best first: by quality, then by name with wildcards last, then by the number of parameters.
func compareRanges(a, b mediaRange) int {
	switch {
	case a.quality != b.quality:
		if a.quality > b.quality {
			return -1
		}
		return 1
	case a.typ != b.typ:
		return compareNames(a.typ, b.typ)
	case a.subtype != b.subtype:
		return compareNames(a.subtype, b.subtype)
	}
	return b.specificity - a.specificity
}

func compareNames(a, b string) int {
	switch {
	case a == "*":
		return 1
	case b == "*":
		return -1
	}
	return strings.Compare(a, b)
}

// normalizeAccept takes quoted strings out of the header, leaving their number behind the quotation mark, and removes
// blanks.
func normalizeAccept(s string) (header string, quoted []string) {
	if strings.IndexByte(s, '"') >= 0 {
		var b strings.Builder
		for {
			i := strings.Index(s, `="`)
			if i < 0 {
				break
			}
			end := strings.IndexByte(s[i+2:], '"')
			if end < 0 {
				break
			}
			quoted = append(quoted, s[i+2:i+2+end])
			b.WriteString(s[:i+2])
			b.WriteString(strconv.Itoa(len(quoted)))
			s = s[i+2+end+1:]
		}
		b.WriteString(s)
		s = b.String()
	}
	return without(s, " \t"), quoted
}

// isMediaRange reports whether s contains "type/*" or ends in "type/subtype". The expression of @hapi/accept is
// meant to be anchored at both ends but is not.
func isMediaRange(s string) bool {
	for i := 1; i < len(s); i++ {
		if s[i] != '/' || !isTokenByte(s[i-1]) || i+1 == len(s) {
			continue
		}
		if s[i+1] == '*' {
			return true
		}
		j := i + 1
		for j < len(s) && isTokenByte(s[j]) {
			j++
		}
		if j == len(s) {
			return true
		}
	}
	return false
}

func isTokenByte(c byte) bool {
	return isWordByte(c) || strings.IndexByte("!#$%&'*+-.^`|~", c) >= 0
}

// parseParams reads the quality and counts the parameters before it. It reports false for a malformed one.
func (r *mediaRange) parseParams() bool {
	var names []string
	extension := false
	for param := range strings.SplitSeq(r.params, ";") {
		name, value, ok := cutParam(param)
		if !ok {
			return false
		}
		if name == "q" || name == "Q" {
			extension = true
			r.quality = parseQuality(value)
			continue
		}
		// A JavaScript object holds the parameters: a repeated name counts once, __proto__ never.
		if !extension && name != "__proto__" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	r.specificity = len(names)
	return true
}

// cutParam splits "name=value"; there must be exactly one "=" and a value.
func cutParam(s string) (name, value string, ok bool) {
	name, value, _ = strings.Cut(s, "=")
	return name, value, value != "" && strings.IndexByte(value, '=') < 0
}

// suffix writes the parameters of r the way @hapi/accept puts them back together.
func (r *mediaRange) suffix(quoted []string) string {
	if r.specificity == 0 {
		return ""
	}
	type pair struct{ name, value string }
	var pairs []pair
	for param := range strings.SplitSeq(r.params, ";") {
		name, value, _ := cutParam(param)
		if name == "q" || name == "Q" {
			break
		}
		if name == "__proto__" {
			continue
		}
		if value[0] == '"' {
			value = `"` + unquote(value[1:], quoted) + `"`
		}
		if i := slices.IndexFunc(pairs, func(p pair) bool { return p.name == name }); i >= 0 {
			pairs[i].value = value
		} else {
			pairs = append(pairs, pair{name, value})
		}
	}
	// The keys of a JavaScript object come with array indexes first, in ascending order.
	slices.SortStableFunc(pairs, func(a, b pair) int {
		i, j := arrayIndex(a.name), arrayIndex(b.name)
		switch {
		case i == j:
			return 0
		case i < j:
			return -1
		}
		return 1
	})
	var b strings.Builder
	for _, p := range pairs {
		b.WriteString(";" + p.name + "=" + p.value)
	}
	return b.String()
}

// unquote looks up the quoted string that normalizeAccept numbered.
func unquote(number string, quoted []string) string {
	if n, err := strconv.Atoi(number); err == nil && n >= 1 && n <= len(quoted) && strconv.Itoa(n) == number {
		return quoted[n-1]
	}
	return "undefined"
}

// arrayIndex returns the number that s is as a JavaScript array index, and 2³²-1, which is none, for all else.
func arrayIndex(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return math.MaxUint32
	}
	return n
}

// parseQuality reads a quality value: 0 or 0.001 to 1; everything else counts as 1.
func parseQuality(s string) float64 {
	for s != "" && isLatin1Space(s[0]) {
		s = s[1:]
	}
	q, err := strconv.ParseFloat(s[:floatLen(s)], 64)
	if err != nil || q > 1 || q < .001 && q != 0 {
		return 1
	}
	return q
}

// isLatin1Space reports whether JavaScript's parseFloat passes over c; "\xa0" is the no-break space. Blank and tab are
// gone already.
func isLatin1Space(c byte) bool { return c >= '\n' && c <= '\r' || c == 0xa0 }

// floatLen returns the length of the decimal number at the start of s; 0 if there is none.
func floatLen(s string) int {
	i := 0
	digits := func() int {
		n := i
		for i < len(s) && isDigit(s[i]) {
			i++
		}
		return i - n
	}
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	n := digits()
	if i < len(s) && s[i] == '.' {
		i++
		if m := digits(); n+m == 0 {
			return 0
		}
	} else if n == 0 {
		return 0
	}
	end := i
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if digits() > 0 {
			end = i
		}
	}
	return end
}

// lowerLatin1 is toLowerCase for a string of Latin-1 bytes.
func lowerLatin1(s string) string {
	for i := range len(s) {
		if isUpperLatin1(s[i]) {
			b := []byte(s)
			for i, c := range b {
				if isUpperLatin1(c) {
					b[i] = c + 0x20
				}
			}
			return string(b)
		}
	}
	return s
}

func isUpperLatin1(c byte) bool { return c-'A' <= 25 || c >= 0xc0 && c <= 0xde && c != 0xd7 }
