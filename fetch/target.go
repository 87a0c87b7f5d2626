package fetch

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	whatwg "github.com/nlnwa/whatwg-url/url"
)

var (
	errScheme   = errors.New("only http and https can be fetched")
	errUserInfo = errors.New("user or password is not percent-encoded UTF-8")
	errNoHost   = errors.New("no host")
)

// target is a url in the form net/http sends it.
type target struct {
	url           *url.URL
	authorization string // the Authorization header that Node makes of user and password, or ""
}

// parseTarget takes a WHATWG-serialised http or https href apart. It does not use net/url, which refuses and rewrites
// paths that Node sends as they are ("/a|b", "/100%").
func parseTarget(href string) (*target, error) {
	href, _, _ = strings.Cut(href, "#")
	scheme, rest, ok := strings.Cut(href, "://")
	if !ok || scheme != "http" && scheme != "https" {
		return nil, errScheme
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority, pathAndQuery := rest[:end], rest[end:]
	if path, query, _ := strings.Cut(pathAndQuery, "?"); path == "" || query == "" {
		// What a serialised url has as well: a path, and a query only if there is something in it.
		pathAndQuery = "/" + strings.TrimPrefix(path, "/")
		if query != "" {
			pathAndQuery += "?" + query
		}
	}
	host, auth := authority, ""
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		host = authority[at+1:]
		var err error
		if auth, err = basicAuth(authority[:at]); err != nil {
			return nil, err
		}
	}
	if host == "" {
		return nil, errNoHost
	}
	return &target{url: requestURL(scheme, host, pathAndQuery), authorization: auth}, nil
}

// requestURL returns a url whose request target on the wire is pathAndQuery.
func requestURL(scheme, host, pathAndQuery string) *url.URL {
	u := &url.URL{Scheme: scheme, Host: host, Opaque: pathAndQuery}
	if !strings.HasPrefix(pathAndQuery, "//") {
		return u
	}
	// net/url takes such an opaque part for a host. As a path it is kept, though maybe spelled differently; where it
	// cannot be a path, the absolute form of the request target says the same (RFC 9112, section 3.2.2).
	raw, query, _ := strings.Cut(pathAndQuery, "?")
	path, err := url.PathUnescape(raw)
	if err != nil {
		u.Opaque = "//" + host + pathAndQuery
		return u
	}
	u.Opaque, u.Path, u.RawPath, u.RawQuery = "", path, raw, query
	return u
}

// basicAuth makes of "user:password" what Node does: both are decoded, and without either there is no header.
func basicAuth(userinfo string) (string, error) {
	user, password, _ := strings.Cut(userinfo, ":")
	if user == "" && password == "" {
		return "", nil
	}
	user, ok := decodeURIComponent(user)
	if !ok {
		return "", errUserInfo
	}
	if password, ok = decodeURIComponent(password); !ok {
		return "", errUserInfo
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)), nil
}

// redact removes user and password from href, for logs.
func redact(href string) string {
	scheme, rest, ok := strings.Cut(href, "://")
	if !ok {
		return href
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	return scheme + "://" + rest[strings.LastIndexByte(rest[:end], '@')+1:]
}

// decodeURIComponent is JavaScript's: it refuses broken escapes and escapes that are not UTF-8.
func decodeURIComponent(s string) (string, bool) {
	d, err := url.PathUnescape(s)
	return d, err == nil && utf8.ValidString(d)
}

// maxLocation and maxLocationAts bound what is parsed of a Location header: its length in bytes, and how often "@" is
// in it. The parser's time grows with their product, and a header full of "@" would cost most of a second. Next.js, which
// takes 16 KiB, would follow such a redirect.
const (
	maxLocation    = 8 << 10
	maxLocationAts = 100
)

// resolveLocation resolves a Location header against the url that sent it, as new URL(location, href) does. It
// reports false where that throws, for one that is out of bounds, and for no Location at all.
func resolveLocation(href, location string) (string, bool) {
	if location == "" || len(location) > maxLocation || strings.Count(location, "@") > maxLocationAts {
		return "", false
	}
	u, err := whatwg.ParseRef(href, location)
	if err != nil {
		return "", false
	}
	return u.Href(false), true
}

// cleanPath returns path and query ("" or "?…") of a relative href as the WHATWG URL Standard writes them: dot
// segments resolved, which cannot climb above the root; what may not stand in a url encoded; the fragment dropped.
func cleanPath(href string) (path, query string, err error) {
	if !strings.HasPrefix(href, "/") {
		return "", "", errors.New("does not start with a slash")
	}
	u, err := whatwg.Parse("http://origin.invalid" + href)
	if err != nil {
		return "", "", fmt.Errorf("parse: %w", err)
	}
	return u.Pathname(), u.Search(), nil
}
