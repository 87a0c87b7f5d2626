package config

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// yamlOfJSON rewrites what JSON allows and the YAML parser does not: tabs between values, and in strings the escapes \/
// and surrogate pairs. Lines stay where they are.
func yamlOfJSON(data []byte) []byte {
	out := make([]byte, 0, len(data))
	for i := 0; i < len(data); i++ {
		switch {
		case data[i] == '\t': // never in a string, where it has to be escaped
			out = append(out, ' ')
		case data[i] != '\\': // an escape is never outside of one
			out = append(out, data[i])
		case data[i+1] == '/':
			out = append(out, '/')
			i++
		case data[i+1] == 'u':
			r, n := unescape(data[i:])
			if n == 0 {
				out, n = append(out, data[i:i+6]...), 6
			} else {
				out = utf8.AppendRune(out, r)
			}
			i += n - 1
		default:
			out = append(out, data[i], data[i+1])
			i++
		}
	}
	return out
}

// unescape decodes the surrogate or pair of surrogates (\ud83d\ude00) that valid JSON begins with and returns the length of
// the escape; a surrogate alone becomes U+FFFD, as in encoding/json. The length is 0 for any other escape.
func unescape(data []byte) (r rune, n int) {
	unit := func(at int) rune {
		if len(data) < at+6 || data[at] != '\\' || data[at+1] != 'u' {
			return 0
		}
		u, _ := strconv.ParseUint(string(data[at+2:at+6]), 16, 16)
		return rune(u)
	}
	first := unit(0)
	if !utf16.IsSurrogate(first) {
		return 0, 0
	}
	if r = utf16.DecodeRune(first, unit(6)); r != utf8.RuneError {
		return r, 12
	}
	return utf8.RuneError, 6
}
