package handler

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Next runs every answer through its compression middleware (compression 1.7.4, `compress` in next.config.js, on
// by default). Of the types an image can have it touches SVG, BMP and ICO, from compressMin bytes on.
const compressMin = 1024

// Content codings, by their names in the headers.
const (
	codingNone    = ""
	codingGzip    = "gzip"
	codingDeflate = "deflate"
	identity      = "identity"
)

// acceptedCoding chooses the coding of a compressible answer from Accept-Encoding. Deflate is chosen only if gzip
// is not acceptable at all, whatever the quality values say.
func acceptedCoding(header string) string {
	accepted := parseAcceptEncoding(header)
	coding := preferredCoding(accepted, codingGzip, codingDeflate, identity)
	if coding == codingDeflate && preferredCoding(accepted, codingGzip) == codingGzip {
		coding = preferredCoding(accepted, codingGzip, identity)
	}
	if coding == identity {
		return codingNone
	}
	return coding
}

// codingRange is one element of Accept-Encoding.
type codingRange struct {
	name  string
	q     float64 // NaN where JavaScript has it
	order int
}

// parseAcceptEncoding is the function of that name in negotiator 0.6.3. Identity, when not named, is acceptable
// with the lowest quality there is.
func parseAcceptEncoding(header string) []codingRange {
	var out []codingRange
	elements := strings.Split(header, ",")
	lowest, hasIdentity := 1.0, false
	for i, element := range elements {
		r, ok := parseCoding(trimJS(element), i)
		if !ok {
			continue
		}
		out = append(out, r)
		hasIdentity = hasIdentity || r.name == "*" || strings.EqualFold(r.name, identity)
		if q := r.q; q != 0 && !math.IsNaN(q) {
			lowest = min(lowest, q)
		}
	}
	if !hasIdentity {
		out = append(out, codingRange{identity, lowest, len(elements)})
	}
	return out
}

func parseCoding(s string, order int) (codingRange, bool) {
	name, params, hasParams := strings.Cut(s, ";")
	name = trimJS(name)
	if name == "" || strings.IndexFunc(name, func(r rune) bool { return r < 0x100 && isJSSpace(byte(r)) }) >= 0 {
		return codingRange{}, false
	}
	r := codingRange{name, 1, order}
	if !hasParams || params == "" {
		return r, true
	}
	for param := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(trimJS(param), "=")
		if key == "q" {
			value, _, _ = strings.Cut(value, "=")
			r.q = parseFloatJS(value)
			break
		}
	}
	return r, true
}

// codingPriority is how well one offered coding is matched.
type codingPriority struct {
	coding      string
	q           float64
	specificity int
	order       int
}

// preferredCoding returns the best of the offered codings, or "" when none is acceptable.
func preferredCoding(accepted []codingRange, offered ...string) string {
	var best []codingPriority
	for _, coding := range offered {
		if p := priorityOf(coding, accepted); p.q > 0 {
			best = append(best, p)
		}
	}
	if len(best) == 0 {
		return codingNone
	}
	slices.SortStableFunc(best, func(a, b codingPriority) int {
		return cmp.Or(cmp.Compare(b.q, a.q), cmp.Compare(b.specificity, a.specificity), cmp.Compare(a.order, b.order))
	})
	return best[0].coding
}

// priorityOf finds the element that speaks for a coding: the more specific one, then the higher quality, then the
// later. A difference with NaN counts as none, as in JavaScript.
func priorityOf(coding string, accepted []codingRange) codingPriority {
	p := codingPriority{coding: coding, order: -1}
	for _, r := range accepted {
		specificity := 0
		if strings.EqualFold(r.name, coding) {
			specificity = 1
		} else if r.name != "*" {
			continue
		}
		less := p.order < r.order
		if d := p.q - r.q; d != 0 && !math.IsNaN(d) {
			less = d < 0
		}
		if p.specificity != specificity {
			less = p.specificity < specificity
		}
		if less {
			p.q, p.specificity, p.order = r.q, specificity, r.order
		}
	}
	return p
}

// trimJS is String.prototype.trim for a Latin-1 string held in bytes.
func trimJS(s string) string {
	for s != "" && isJSSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isJSSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// parseFloatJS is parseFloat: the longest prefix that is a decimal number, or NaN.
func parseFloatJS(s string) float64 {
	s = trimJS(s)
	i := 0
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	if strings.HasPrefix(s[i:], "Infinity") {
		f, _ := strconv.ParseFloat(s[:i+len("Infinity")], 64)
		return f
	}
	digits := func() int {
		n := 0
		for i < len(s) && '0' <= s[i] && s[i] <= '9' {
			i++
			n++
		}
		return n
	}
	n := digits()
	if i < len(s) && s[i] == '.' {
		i++
		n += digits()
	}
	if n == 0 {
		return math.NaN()
	}
	end := i
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if digits() > 0 {
			end = i
		}
	}
	// Only a range error is possible, and then f is the infinity JavaScript has, too.
	f, _ := strconv.ParseFloat(s[:end], 64)
	return f
}
