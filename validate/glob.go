package validate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// Glob syntax, as picomatch (the copy inside next/dist/compiled) understands it. Next.js asks it for one thing only:
// makeRe(glob, {}) for a hostname and makeRe(glob, {dot: true}) for a pathname. translate answers the same question
// with the same regular expression, character for character, so that a raw pattern and the compiled one in
// images-manifest.json cannot disagree. Windows separators, "bash" mode, captures and the other options of picomatch
// are never switched on by Next.js and do not exist here.

// The building blocks of the generated expressions.
const (
	reDot     = `\.`
	rePlus    = `\+`
	reSlash   = `\/`
	reOneChar = `(?=.)`  // at least one character follows
	reAnyChar = `[^/]`   // "?"
	reStar    = `[^/]*?` // "*"

	reEnd   = `(?:\/|$)`                     // end of a path segment
	reStart = `(?:^|\/)`                     // start of a path segment
	reDots  = `\.{1,2}` + reEnd              // a "." or ".." segment
	reNoDot = `(?!\.)`                       // hidden names are refused
	reNone  = `(?!` + reStart + reDots + `)` // no dot segment at any start
	reNot0  = `(?!\.{0,1}` + reEnd + `)`     // neither "" nor "." as the rest of a segment
	reNotD  = `(?!` + reDots + `)`           // no dot segment here
	reAnyND = `[^.\/]`                       // "?" where a dot is refused
)

// maxGlobLength is picomatch's limit for one pattern, in UTF-16 code units.
const maxGlobLength = 64 * 1024

var errGlobEmpty = errors.New("is empty; a glob of at least one character is needed")

// translate returns the JavaScript regular expression that picomatch makes of glob. dot says whether "*" matches a
// leading dot (Next.js: true for pathnames, false for hostnames). The expression may be invalid JavaScript, for
// example for "[z-a]"; picomatch then matches nothing.
func translate(glob string, dot bool) (string, error) {
	if glob == "" {
		return "", errGlobEmpty
	}
	if n := utf16Len(glob); n > maxGlobLength {
		return "", fmt.Errorf("has %d characters; at most %d are allowed", n, maxGlobLength)
	}
	if glob[0] == '.' || glob[0] == '*' {
		if body := wellKnown(glob, dot); body != "" {
			return anchored(body), nil
		}
	}
	body, negated := newGlobParser(glob, dot).run(true)
	if negated {
		return `^(?!` + anchored(body) + `).*$`, nil
	}
	return anchored(body), nil
}

func anchored(body string) string { return `^(?:` + body + `)$` }

// simplify replaces the spellings that mean less than they say.
func simplify(glob string) string {
	switch glob {
	case "***":
		return "*"
	case "**/**", "**/**/**":
		return "**"
	}
	return glob
}

// wellKnown translates the shapes picomatch answers without parsing: "*", "**/*.*" and the like, each optionally
// followed by plain extensions ("*.example.com"). It returns "" for every other glob.
func wellKnown(glob string, dot bool) string {
	body := wellKnownBody(strings.TrimPrefix(simplify(glob), "./"), dot)
	if body == "" {
		return ""
	}
	return body + reSlash + `?`
}

func wellKnownBody(glob string, dot bool) string {
	first, next := reNoDot, reNoDot // what may not stand at the start of the path, and of a later segment
	if dot {
		first, next = reNone, reNotD
	}
	deep := globstar(dot)
	anyDirs := `(?:` + first + deep + reSlash + `)?`
	switch glob {
	case "*":
		return first + reOneChar + reStar
	case ".*":
		return reDot + reOneChar + reStar
	case "*.*":
		return first + reStar + reDot + reOneChar + reStar
	case "*/*":
		return first + reStar + reSlash + reOneChar + next + reStar
	case "**":
		return first + deep
	case "**/*":
		return anyDirs + next + reOneChar + reStar
	case "**/*.*":
		return anyDirs + next + reStar + reDot + reOneChar + reStar
	case "**/.*":
		return anyDirs + reDot + reOneChar + reStar
	}
	cut := strings.LastIndexByte(glob, '.')
	if cut < 0 || strings.ContainsAny(glob[:cut], "\n\r\u2028\u2029") || !isWord(glob[cut+1:]) {
		return ""
	}
	stem := wellKnownBody(glob[:cut], dot)
	if stem == "" {
		return ""
	}
	return stem + reDot + glob[cut+1:]
}

// globstar is "**": any number of segments, none of them hidden (or, with dot, none of them "." or "..").
func globstar(dot bool) string {
	if dot {
		return `(?:(?:(?!` + reStart + reDots + `).)*?)`
	}
	return `(?:(?:(?!` + reStart + reDot + `).)*?)`
}

// charRange makes the class for "{a..z}". What would not be a valid class becomes the escaped text instead.
func charRange(bounds []string) string {
	slices.SortFunc(bounds, compareUTF16)
	class := `[` + strings.Join(bounds, `-`) + `]`
	if _, err := compileJS(class); err == nil {
		return class
	}
	for i, b := range bounds {
		bounds[i] = escapeRegex(b)
	}
	return strings.Join(bounds, `..`)
}

// regexSpecials are the characters picomatch escapes in literal text and looks for in a bracket expression.
const regexSpecials = `-*+?.^${}(|)[]`

func escapeRegex(s string) string {
	if !strings.ContainsAny(s, regexSpecials) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(regexSpecials, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// escapeLast puts a backslash before the last open that has none yet: the repair for a group that is never closed.
func escapeLast(s string, open byte) string {
	for end := len(s); ; {
		i := strings.LastIndexByte(s[:end], open)
		if i < 0 {
			return s
		}
		if i == 0 || s[i-1] != '\\' {
			return s[:i] + `\` + s[i:]
		}
		end = i
	}
}

// isWord reports whether s is one or more of JavaScript's \w.
func isWord(s string) bool {
	for i := range len(s) {
		if !isWordByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isWordByte(c byte) bool {
	return c == '_' || c-'0' <= 9 || (c|0x20)-'a' <= 25
}

// utf16Len is JavaScript's s.length.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// compareUTF16 orders strings as JavaScript's < does, by UTF-16 code units.
func compareUTF16(a, b string) int {
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}
