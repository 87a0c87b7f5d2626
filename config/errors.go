package config

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"unicode"
)

// Error is one thing wrong with the configuration. Its text is a single line.
type Error struct {
	// Origin is where it was said; for an Error about a default there is nothing to name.
	Origin Origin
	// Key is the key, possibly with the element of a list: images.remotePatterns[1].hostname. It is empty for an error
	// about a file as a whole.
	Key string
	// Value is the value as it was given, quoted if it is text, with secrets removed. It may be empty.
	Value string
	// Problem says what is wrong and what is allowed.
	Problem string
}

// Error returns "origin: key: value: problem", without the parts that are empty.
func (e *Error) Error() string {
	var parts []string
	if e.Origin.Kind != FromDefault {
		parts = append(parts, e.Origin.String())
	}
	for _, p := range []string{e.Key, e.Value, e.Problem} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return oneLine(strings.Join(parts, ": "))
}

// Errors is everything wrong with a configuration, in the order of the layers. It is never empty when returned as an error.
type Errors []*Error

// Error returns one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As the single errors.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, err := range e {
		out[i] = err
	}
	return out
}

// oneLine makes line breaks and other invisible characters harmless, which may come in with a name or a value.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// redacted stands for the userinfo of a url wherever a configuration is shown.
const redacted = "redacted"

var (
	userinfo = regexp.MustCompile(`(://)[^\s"']*@`)
	password = regexp.MustCompile(`(?i)([?&][a-z]*password=)[^\s"'&]*`)
)

// redact hides the userinfo of every url in s, and passwords in their queries. The last @ counts, because an unescaped
// password may hold slashes.
func redact(s string) string {
	return password.ReplaceAllString(userinfo.ReplaceAllString(s, "${1}"+redacted+"@"), "${1}"+redacted)
}

// quote renders a text value for an error: without secrets and not longer than a line can bear.
func quote(s string) string {
	s = redact(s)
	if r := []rune(s); len(r) > 100 {
		s = string(r[:100]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// nearest returns the up to n names closest to name, best first, leaving out those too different to be meant.
func nearest(name string, names []string, n int) []string {
	type scored struct {
		name string
		cost int
	}
	var all []scored
	for _, candidate := range names {
		if candidate == "" {
			continue
		}
		cost := distance(strings.ToLower(name), strings.ToLower(candidate))
		// The same last part in another section is a misplaced key rather than a typo.
		if last(name) == last(candidate) {
			cost = min(cost, 1)
		}
		if cost <= max(2, len(name)/4) {
			all = append(all, scored{candidate, cost})
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].cost < all[j].cost })
	var out []string
	for _, s := range all[:min(n, len(all))] {
		out = append(out, s.name)
	}
	return out
}

func last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// distance is the number of single-character edits between a and b, neighbours swapped counting as one.
func distance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
