package validate

import (
	"strconv"
	"strings"
)

// Next.js hands urls to Node's URL class, which implements the WHATWG URL Standard (https://url.spec.whatwg.org/).
// Only special urls without a base ("https://host/…") and paths resolved against "http://n" occur here, so this is
// that part of the standard and nothing else. Node writes the address in one canonical form and compares patterns
// with that form; being different here would mean to fetch something other than what was allowed.
//
// Almost every url is canonical already. parseAbsolute and parsePath notice that with one look at each byte and
// return the input itself; only the others take the long way.

// parsedURL is an absolute http or https url as Node's URL class presents it.
type parsedURL struct {
	href     string
	scheme   string // "http" or "https"
	hostname string
	port     string // "" for the scheme's default port
	pathname string
	search   string // with its "?", or ""
}

// parseAbsolute parses s. It reports false for what Node refuses and for other schemes, which Next.js answers alike.
func parseAbsolute(s string) (parsedURL, bool) {
	if u, ok := parseCanonical(s); ok {
		return u, true
	}
	return parseAnyAbsolute(s)
}

func parseAnyAbsolute(s string) (parsedURL, bool) {
	s = stripURL(s)
	colon := strings.IndexByte(s, ':')
	if colon < 0 {
		return parsedURL{}, false
	}
	var u parsedURL
	switch {
	case strings.EqualFold(s[:colon], "http"):
		u.scheme = "http"
	case strings.EqualFold(s[:colon], "https"):
		u.scheme = "https"
	default:
		return parsedURL{}, false
	}
	// Any number of slashes of either kind may follow, even none.
	return parseAuthority(u, strings.TrimLeft(s[colon+1:], `/\`))
}

// parseCanonical recognises urls that serialise to themselves. It may say no to some that do.
func parseCanonical(s string) (parsedURL, bool) {
	var u parsedURL
	rest, ok := strings.CutPrefix(s, "https://")
	if ok {
		u.scheme = "https"
	} else if rest, ok = strings.CutPrefix(s, "http://"); ok {
		u.scheme = "http"
	} else {
		return u, false
	}
	n := plainLen(rest, plainHost)
	u.hostname, rest = rest[:n], rest[n:]
	if !plainHostname(u.hostname) {
		return u, false
	}
	if strings.HasPrefix(rest, ":") {
		n = 1
		for n < len(rest) && isDigit(rest[n]) {
			n++
		}
		u.port, rest = rest[1:n], rest[n:]
		if canonical, ok := canonicalPort(u.scheme, u.port); !ok || canonical != u.port || u.port == "" {
			return u, false
		}
	}
	if rest == "" || rest[0] != '/' {
		return u, false
	}
	if u.pathname, u.search, ok = cutPlainPath(rest); !ok || len(u.pathname)+len(u.search) != len(rest) || u.search == "?" {
		return u, false
	}
	u.href = s
	return u, true
}

// plainHostname reports whether host, made of plainHost bytes, is its own canonical form: it is neither an IPv4
// address in disguise nor an encoded international name.
func plainHostname(host string) bool {
	if host == "" || strings.Contains(host, "xn--") {
		return false
	}
	last := strings.TrimSuffix(host, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	return last != "" && !isDigit(last[0])
}

// cutPlainPath splits "/path?search" (a fragment is dropped) if every byte of it may stay and no segment is "." or
// "..", in any spelling. search is "?" for an empty query.
func cutPlainPath(s string) (pathname, search string, ok bool) {
	n := plainLen(s, plainPath)
	pathname, rest := s[:n], s[n:]
	for at := 0; ; {
		i := strings.IndexByte(pathname[at:], '/')
		if i < 0 {
			break
		}
		at += i + 1
		// A segment that starts with a dot or with an escape that may be one is looked at closely elsewhere.
		if at < len(pathname) && (pathname[at] == '.' || strings.HasPrefix(pathname[at:], "%2")) {
			return "", "", false
		}
	}
	if strings.HasPrefix(rest, "?") {
		n = 1 + plainLen(rest[1:], plainQuery)
		search, rest = rest[:n], rest[n:]
	}
	return pathname, search, rest == "" || rest[0] == '#' && plainLen(rest, plainFragment) == len(rest)
}

// parsePath resolves s, which starts with "/", against "http://n" and returns what Node calls pathname and search.
// It reports false where Node throws: "/\" makes the rest a host, which may be invalid.
func parsePath(s string) (pathname, search string, ok bool) {
	if !strings.HasPrefix(s, "//") {
		if pathname, search, ok = cutPlainPath(s); ok {
			if search == "?" {
				search = ""
			}
			return pathname, search, true
		}
	}
	return parseAnyPath(s)
}

func parseAnyPath(s string) (pathname, search string, ok bool) {
	s = stripURL(s)
	if len(s) > 1 && (s[1] == '/' || s[1] == '\\') {
		u, ok := parseAuthority(parsedURL{scheme: "http"}, strings.TrimLeft(s, `/\`))
		return u.pathname, u.search, ok
	}
	var u parsedURL
	u.parseTail(s)
	return u.pathname, u.search, true
}

// stripURL removes control characters and spaces from both ends, and tabs and line ends everywhere.
func stripURL(s string) string {
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	return without(s, "\t\n\r")
}

// without removes all bytes that occur in drop, which is ASCII.
func without(s, drop string) string {
	if !strings.ContainsAny(s, drop) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		if strings.IndexByte(drop, s[i]) < 0 {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// parseAuthority parses everything after "scheme://".
func parseAuthority(u parsedURL, s string) (parsedURL, bool) {
	end := strings.IndexAny(s, `/\?#`)
	if end < 0 {
		end = len(s)
	}
	authority, tail := s[:end], s[end:]
	var user string
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		name, password, _ := strings.Cut(authority[:at], ":")
		user = percentEncode(name, plainUser)
		if password != "" {
			user += ":" + percentEncode(password, plainUser)
		}
		if user != "" {
			user += "@"
		}
		authority = authority[at+1:]
	}
	host, port, ok := cutPort(authority)
	if !ok {
		return u, false
	}
	if u.hostname, ok = parseHost(host); !ok {
		return u, false
	}
	if u.port, ok = canonicalPort(u.scheme, port); !ok {
		return u, false
	}
	tail = u.parseTail(tail)
	u.href = u.scheme + "://" + user + u.hostname
	if u.port != "" {
		u.href += ":" + u.port
	}
	u.href += u.pathname + tail
	return u, true
}

// cutPort splits at the colon that is outside brackets.
func cutPort(s string) (host, port string, ok bool) {
	inside := false
	for i := range len(s) {
		switch s[i] {
		case '[':
			inside = true
		case ']':
			inside = false
		case ':':
			if !inside {
				return s[:i], s[i+1:], i > 0
			}
		}
	}
	return s, "", s != ""
}

// canonicalPort checks digits and returns the port as it is written in a url, "" for the scheme's default.
func canonicalPort(scheme, digits string) (string, bool) {
	if digits == "" {
		return "", true
	}
	for i := range len(digits) {
		if !isDigit(digits[i]) {
			return "", false
		}
	}
	digits = strings.TrimLeft(digits, "0")
	if digits == "" {
		return "0", true
	}
	if n, err := strconv.Atoi(digits); err != nil || n > 65535 {
		return "", false
	}
	if scheme == "http" && digits == "80" || scheme == "https" && digits == "443" {
		return "", true
	}
	return digits, true
}

// parseTail sets pathname and search and returns query and fragment as they stand in the href.
func (u *parsedURL) parseTail(s string) string {
	path := s
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		path = s[:i]
	}
	rest := s[len(path):]
	u.pathname = normalizePath(path)
	query, fragment, hasFragment := strings.Cut(rest, "#")
	if query != "" {
		query = "?" + percentEncode(query[1:], plainQuery)
	}
	if query != "?" {
		u.search = query
	}
	if hasFragment {
		return query + "#" + percentEncode(fragment, plainFragment)
	}
	return query
}

// normalizePath resolves dot segments, turns backslashes into slashes and percent-encodes. The result starts with
// a slash.
func normalizePath(s string) string {
	if s != "" && (s[0] == '/' || s[0] == '\\') {
		s = s[1:]
	}
	out := make([]byte, 0, len(s)+1)
	for more := true; more; {
		segment := s
		i := strings.IndexAny(s, `/\`)
		if more = i >= 0; more {
			segment, s = s[:i], s[i+1:]
		}
		switch dots(segment) {
		case 2:
			for n := len(out) - 1; n >= 0; n-- {
				if out[n] == '/' {
					out = out[:n]
					break
				}
			}
			fallthrough
		case 1:
			if !more {
				out = append(out, '/')
			}
		default:
			out = append(out, '/')
			out = appendPercentEncoded(out, segment, plainPath)
		}
	}
	return string(out)
}

// dots returns 1 for ".", 2 for "..", also where dots are written "%2e", and 0 for everything else.
func dots(segment string) int {
	n := 0
	for segment != "" {
		switch {
		case segment[0] == '.':
			segment = segment[1:]
		case len(segment) >= 3 && strings.EqualFold(segment[:3], "%2e"):
			segment = segment[3:]
		default:
			return 0
		}
		if n++; n > 2 {
			return 0
		}
	}
	return n
}
