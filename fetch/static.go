package fetch

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
	"golang.org/x/net/http/httpguts"
)

// OriginHeaders are headers for one origin, for example the credentials of a private bucket.
type OriginHeaders struct {
	// Origin is a url of scheme, host and, unless it is the scheme's own, port: "https://bucket.example.com".
	Origin string
	// Header is sent with every request to exactly that origin, for absolute and for relative hrefs, and in place of
	// what this package, or the user information of a url, would have sent under the same name. Its values appear in
	// no error and no log.
	Header http.Header
}

// fixedNames are the headers that belong to the connection, or decide what the answer means.
var fixedNames = []string{
	"Connection", "Content-Length", "Expect", "Host", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
	"If-Unmodified-Since", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Range", "Te",
	"Trailer", "Transfer-Encoding", "Upgrade",
}

// compileHeaders returns the headers by origin, as originOf names them.
func compileHeaders(list []OriginHeaders) (map[string]http.Header, error) {
	compiled := map[string]http.Header{}
	for _, o := range list {
		origin, err := parseOrigin(o.Origin)
		if err != nil {
			return nil, fmt.Errorf("headers for %q: %w: want https://host or https://host:port", redact(o.Origin), err)
		}
		if compiled[origin] != nil {
			return nil, fmt.Errorf("headers for %q: the origin is listed twice", o.Origin)
		}
		if compiled[origin], err = checkHeader(o.Header); err != nil {
			return nil, fmt.Errorf("headers for %q: %w", o.Origin, err)
		}
	}
	return compiled, nil
}

// parseOrigin reads the url of an origin and returns its name. The host is written in any way the URL Standard knows,
// as in the hrefs it is compared with.
func parseOrigin(s string) (string, error) {
	u, err := whatwg.Parse(s)
	switch {
	case err != nil:
		// The parser's error repeats the url, and with it a password.
		return "", errors.New("not a url")
	case u.Scheme() != "http" && u.Scheme() != "https":
		return "", errScheme
	case u.Username() != "" || u.Password() != "":
		return "", errors.New("has a user or a password")
	case u.Pathname() != "/" || u.Search() != "" || u.Hash() != "":
		return "", errors.New("has a path, a query or a fragment")
	case strings.Contains(u.Host(), "*"):
		return "", errors.New("is a pattern, but headers go to one host")
	}
	return originOf(u.Scheme(), u.Host()), nil
}

// checkHeader returns a copy of h under the canonical names.
func checkHeader(h http.Header) (http.Header, error) {
	if len(h) == 0 {
		return nil, errors.New("no header is given")
	}
	checked := http.Header{}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return nil, fmt.Errorf("%q is not the name of a header", name)
		case slices.Contains(fixedNames, canonical):
			return nil, fmt.Errorf("header %q cannot be set: it belongs to the connection, or changes what an answer means", name)
		case checked[canonical] != nil:
			return nil, fmt.Errorf("header %q is given twice", canonical)
		case len(h[name]) == 0:
			return nil, fmt.Errorf("header %q has no value", name)
		}
		for _, value := range h[name] {
			if !httpguts.ValidHeaderFieldValue(value) || strings.ContainsFunc(value, isControl) {
				return nil, fmt.Errorf("the value of header %q has a control character", name)
			}
		}
		checked[canonical] = slices.Clone(h[name])
	}
	return checked, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
