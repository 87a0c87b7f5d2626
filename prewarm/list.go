package prewarm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLine is far beyond the 3,072 characters that the endpoint accepts for a url, in bytes.
const maxLine = 64 << 10

// LineError is a line of a list that is not understood: misuse, exit code 2.
type LineError struct {
	// File is the list's name, "-" for standard input, and Line counts from 1.
	File string
	Line int
	// Value is the line, quoted, or "" if it cannot be shown.
	Value string
	// Problem says what is wrong or what is allowed.
	Problem string
}

// Error returns "--urls: file:line: value: problem".
func (e *LineError) Error() string {
	s := fmt.Sprintf("--urls: %s:%d: ", e.File, e.Line)
	if e.Value != "" {
		s += e.Value + ": "
	}
	return s + e.Problem
}

// readList calls each for every url of a list: one a line, UTF-8. Empty lines and lines that begin with "#" say
// nothing. A url is what next/image would get as its src ("/photo.jpg" with the basePath, "https://…"), or a complete
// url of the endpoint. The error is a *LineError, or one of r.
func readList(r io.Reader, name string, each func(line int, url string)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() {
		n++
		text := lines.Text()
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		text = strings.TrimSpace(text)
		if text == "" || text[0] == '#' {
			continue
		}
		if problem := listed(text); problem != "" {
			return &LineError{File: name, Line: n, Value: quote(redacted(text)), Problem: problem}
		}
		each(n, text)
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return &LineError{File: name, Line: n + 1, Problem: fmt.Sprintf("longer than %d bytes", maxLine)}
	} else if err != nil {
		return fmt.Errorf("reading --urls %s: %w", name, err)
	}
	return nil
}

// listed says what is wrong with a line.
func listed(text string) string {
	switch {
	case !utf8.ValidString(text):
		return "not UTF-8"
	case strings.IndexFunc(text, unicode.IsControl) >= 0:
		return "holds control characters"
	case strings.HasPrefix(text, "//"):
		return "has no scheme; must be a path that starts with one slash, or a url with http:// or https://"
	case !strings.HasPrefix(text, "/") && !hasHTTP(text):
		return "must be a path that starts with a slash, or a url with http:// or https://"
	}
	return ""
}

// hasHTTP reports whether s begins with a scheme that can be asked, in whatever case.
func hasHTTP(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}
