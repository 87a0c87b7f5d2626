package handler

import (
	"strings"
	"unicode/utf8"
)

// contentDisposition formats the header for a file name as the module content-disposition 0.5.3 does (RFC 6266):
// a quoted ISO-8859-1 file name and, when that loses or could be mistaken for something, the exact one in the
// encoding of RFC 8187. kind is attachment or inline. The result is in ISO-8859-1, as Node writes headers.
func contentDisposition(kind, name string) []byte {
	fallback, plain, exact := latin1(name)
	out := make([]byte, 0, len(kind)+2*len(name)+32)
	out = append(out, strings.ToLower(kind)...)
	out = append(out, `; filename="`...)
	for _, c := range fallback {
		if c == '\\' || c == '"' {
			out = append(out, '\\')
		}
		out = append(out, c)
	}
	out = append(out, '"')
	if !exact || !plain || hasPercentEscape(name) {
		out = append(out, "; filename*=UTF-8''"...)
		out = appendExtValue(out, name)
	}
	return out
}

// latin1 returns name in ISO-8859-1 with a question mark for everything else, a pair of them for what UTF-16 needs
// a surrogate pair for. plain says that name is not empty and holds no controls below 0x80 and nothing above 0xff;
// exact, that nothing was replaced.
func latin1(name string) (fallback []byte, plain, exact bool) {
	fallback = make([]byte, 0, len(name))
	plain, exact = name != "", true
	for _, r := range name {
		switch {
		case ' ' <= r && r <= '~', 0xa0 <= r && r <= 0xff:
			fallback = append(fallback, byte(r))
			continue
		case r > 0xffff:
			fallback = append(fallback, '?')
		}
		fallback = append(fallback, '?')
		exact = false
		if r < 0x80 || r > 0xff {
			plain = false
		}
	}
	return fallback, plain, exact
}

// hasPercentEscape reports whether name holds something a lenient client could decode.
func hasPercentEscape(name string) bool {
	for i := 0; i+2 < len(name); i++ {
		if name[i] == '%' && isHex(name[i+1]) && isHex(name[i+2]) {
			return true
		}
	}
	return false
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

const upperHex = "0123456789ABCDEF"

// appendExtValue appends name percent-encoded, as encodeURIComponent does and then some: only letters, digits and
// -_.!~ stay.
func appendExtValue(dst []byte, name string) []byte {
	if !utf8.ValidString(name) {
		name = strings.ToValidUTF8(name, "\ufffd")
	}
	for i := range len(name) {
		c := name[i]
		if isAlphanumeric(c) || strings.IndexByte("-_.!~", c) >= 0 {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
	}
	return dst
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
