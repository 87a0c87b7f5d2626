package handler

import (
	"bytes"
)

// isFresh reports whether the client's copy is current, so that the answer is a 304.
//
// It is the module fresh 0.5.2 as Next calls it in next/dist/server/send-payload.js: with an entity tag and no
// last-modified. That is not quite RFC 9110: an If-Modified-Since, which is never satisfied, wins over
// If-None-Match, and "Cache-Control: no-cache" in the request asks for the whole answer.
func isFresh(ifNoneMatch, ifModifiedSince, cacheControl []byte, etag string) bool {
	if len(ifNoneMatch) == 0 || len(ifModifiedSince) > 0 || hasNoCache(cacheControl) {
		return false
	}
	if string(ifNoneMatch) == "*" {
		return true
	}
	return etag != "" && listHasTag(ifNoneMatch, etag)
}

// listHasTag looks for etag in a comma-separated list by weak comparison. Only spaces around an element are
// trimmed, as the module does; the tags need not be quoted, and Next's are not.
func listHasTag(list []byte, etag string) bool {
	for {
		element := list
		i := bytes.IndexByte(list, ',')
		if i >= 0 {
			element, list = list[:i], list[i+1:]
		}
		if sameTag(bytes.Trim(element, " "), etag) {
			return true
		}
		if i < 0 {
			return false
		}
	}
}

// sameTag compares tags weakly: either side may carry one W/ more than the other.
func sameTag(got []byte, etag string) bool {
	if string(got) == etag {
		return true
	}
	if len(got) > 2 && got[0] == 'W' && got[1] == '/' && string(got[2:]) == etag {
		return true
	}
	return len(etag) >= 2 && etag[0] == 'W' && etag[1] == '/' && string(got) == etag[2:]
}

var noCache = []byte("no-cache")

// hasNoCache reports whether no-cache, in lower case and alone, is an element of the header. It does what the
// expression (?:^|,)\s*?no-cache\s*?(?:,|$) does in JavaScript.
func hasNoCache(header []byte) bool {
	for from := 0; from < len(header); {
		i := bytes.Index(header[from:], noCache)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(noCache)
		before, after := start, end
		for before > 0 && isJSSpace(header[before-1]) {
			before--
		}
		for after < len(header) && isJSSpace(header[after]) {
			after++
		}
		if (before == 0 || header[before-1] == ',') && (after == len(header) || header[after] == ',') {
			return true
		}
		from = end
	}
	return false
}

// isJSSpace is \s of a JavaScript regular expression for the Latin-1 string Node makes of a header.
func isJSSpace(c byte) bool {
	switch c {
	case ' ', '\t', '\n', '\v', '\f', '\r', 0xa0:
		return true
	default:
		return false
	}
}
