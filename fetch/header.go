package fetch

import (
	"net/http"
	"strings"
)

// Node reads header bytes as Latin-1, keeps the first of repeated Content-Type, ETag, Last-Modified and Location
// headers, and joins other repeated ones.

// firstHeader returns the first header of that name as Node does.
func firstHeader(h http.Header, name string) string { return decodeLatin1(h.Get(name)) }

// joinedHeader returns all headers of that name as Node does.
func joinedHeader(h http.Header, name string) string {
	return decodeLatin1(strings.Join(h.Values(name), ", "))
}

// decodeLatin1 makes one character of each byte.
func decodeLatin1(s string) string {
	ascii := true
	for i := range len(s) {
		ascii = ascii && s[i] < 0x80
	}
	if ascii {
		return s
	}
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// encodeLatin1 is the opposite. It reports false for what cannot stand in a header.
func encodeLatin1(s string) (string, bool) {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff || r == 0x7f || r < ' ' && r != '\t' {
			return "", false
		}
		b = append(b, byte(r))
	}
	return string(b), true
}
