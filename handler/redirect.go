package handler

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A request target is an endpoint, or one of its other spellings which Next redirects, or nothing.
type route int

const (
	routeNone route = iota
	routeEndpoint
	routeSlash    // the endpoint with a trailing slash too many or too few
	routeRepeated // the endpoint with repeated slashes or backslashes
)

// splitTarget cuts a request target (origin-form, or absolute-form as a proxy may send it) into the parts that
// matter. Path and query are as sent; so is the fragment, which no client should send.
func splitTarget(target []byte) (path, query, fragment []byte) {
	if len(target) > 0 && target[0] != '/' {
		if i := bytes.Index(target, []byte("://")); i > 0 {
			rest := target[i+3:]
			if j := bytes.IndexAny(rest, "/?#"); j >= 0 {
				target = rest[j:]
			} else {
				target = nil
			}
		}
	}
	if i := bytes.IndexByte(target, '#'); i >= 0 {
		target, fragment = target[:i], target[i+1:]
	}
	path = target
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		path, query = target[:i], target[i+1:]
	}
	return path, query, fragment
}

// classify tells what a path is that is not literally the endpoint. See resolveRoutes in
// next/dist/server/lib/router-utils/resolve-routes.js and the trailing slash redirects in
// next/dist/lib/load-custom-routes.js.
func (s *settings) classify(path string) route {
	repeated := strings.Contains(path, "//") || strings.IndexByte(path, '\\') >= 0
	if repeated {
		path = collapseSlashes(path)
	}
	path = removeDotSegments(path)
	plain := strings.TrimSuffix(path, "/")
	switch {
	case plain != s.plain:
		return routeNone
	case repeated:
		return routeRepeated
	case path == s.endpoint || s.bothForms:
		return routeEndpoint
	default:
		return routeSlash
	}
}

// location returns where a target with another spelling of the endpoint is redirected to.
func (s *settings) location(kind route, path, query, fragment string) string {
	if kind == routeSlash {
		if q := normalizeQuery(query); q != "" {
			return s.endpoint + "?" + q
		}
		return s.endpoint
	}
	// Here Next formats the URL as the WHATWG parser leaves it, fragment and all.
	out := removeDotSegments(collapseSlashes(path))
	if strings.HasPrefix(query, "?") {
		return out // it loses everything after a doubled question mark
	}
	if query != "" {
		out += "?" + escapeBytes(query, `"<>'`)
	}
	if fragment != "" {
		out += "#" + escapeBytes(fragment, "\"<>`")
	}
	return out
}

// collapseSlashes is normalizeRepeatedSlashes of next/dist/shared/lib/utils.js for a path.
func collapseSlashes(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		if c == '\\' {
			c = '/'
		}
		if c == '/' && b.Len() > 0 && i > 0 && (path[i-1] == '/' || path[i-1] == '\\') {
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// removeDotSegments resolves "." and ".." as the WHATWG URL parser does, also when their dots are escaped.
func removeDotSegments(path string) string {
	if !strings.Contains(path, "/.") && !strings.Contains(path, "/%2") {
		return path
	}
	var out []string
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".":
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, segment)
			last = false
		}
		if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}

// normalizeQuery is what stringifyQuery of next/dist/server/server-route-utils.js makes of a query: decoded as
// URLSearchParams does, grouped by name in the order of a JavaScript object's keys, and encoded again. (Of names
// that every object inherits, such as toString, Next makes an extra empty value. That is not imitated.)
func normalizeQuery(query string) string {
	type group struct {
		name   string
		values []string
	}
	var groups []*group
	byName := map[string]*group{}
	integers := 0
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = decodeForm(name), decodeForm(value)
		g := byName[name]
		if g == nil {
			g = &group{name: name}
			byName[name] = g
			at := len(groups)
			if n, ok := arrayIndex(name); ok {
				at = integers
				for at > 0 {
					if m, _ := arrayIndex(groups[at-1].name); m < n {
						break
					}
					at--
				}
				integers++
			}
			groups = append(groups, nil)
			copy(groups[at+1:], groups[at:])
			groups[at] = g
		}
		g.values = append(g.values, value)
	}
	var b strings.Builder
	for _, g := range groups {
		for _, value := range g.values {
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			b.WriteString(encodeComponent(g.name))
			b.WriteByte('=')
			b.WriteString(encodeComponent(value))
		}
	}
	return b.String()
}

// arrayIndex reports whether a key is one that JavaScript objects list first, in numeric order.
func arrayIndex(key string) (uint64, bool) {
	if key == "" || len(key) > 10 || key[0] == '0' && key != "0" {
		return 0, false
	}
	n, err := strconv.ParseUint(key, 10, 64)
	return n, err == nil && n <= 1<<32-2
}

// decodeForm decodes a name or value of application/x-www-form-urlencoded leniently: a percent sign that starts no
// escape stays, and what is not UTF-8 becomes U+FFFD.
func decodeForm(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b.WriteByte(' ')
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
		default:
			b.WriteByte(c)
		}
	}
	return decodeUTF8(b.String())
}

// decodeUTF8 replaces what is not UTF-8 as the WHATWG decoder does: one U+FFFD for each longest part that begins
// like a character, where Go has one for each byte.
func decodeUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			// Go calls a string a full rune unless more bytes could complete a character.
			for n < len(s) && !utf8.FullRuneInString(s[:n+1]) {
				n++
			}
		}
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String()
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}

// encodeComponent is encodeURIComponent.
func encodeComponent(s string) string {
	return replaceUnreserved.Replace(url.QueryEscape(s))
}

// url.QueryEscape differs from encodeURIComponent in these.
var replaceUnreserved = strings.NewReplacer("+", "%20", "%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*")

// escapeBytes percent-encodes the bytes of s that are in set.
func escapeBytes(s, set string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; strings.IndexByte(set, c) >= 0 {
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
