package jobs

import "strings"

// Origin returns where the source is fetched: "scheme://host[:port]" of an absolute Href, as it is written there but
// without user information; "" for a relative one, and for one without a host. Two ways to write one origin are two
// origins: a serialised URL has but one. It allocates only if there is user information.
func (s Spec) Origin() string {
	if !s.Absolute {
		return ""
	}
	scheme, rest, ok := strings.Cut(s.Href, "://")
	if !ok {
		return ""
	}
	host := rest
	// A browser also ends the host of an http URL at a backslash.
	if end := strings.IndexAny(rest, `/?#\`); end >= 0 {
		host = rest[:end]
	}
	if host == "" {
		return ""
	}
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		return scheme + "://" + host[at+1:]
	}
	return s.Href[:len(scheme)+len("://")+len(host)]
}
