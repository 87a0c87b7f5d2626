package validate

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"imgopt/failure"
)

// RemotePattern allows absolute urls: an entry of images.remotePatterns in next.config.js. What is nil is not
// compared; an empty string is compared (Port "" is the scheme's default port, Search "" no query).
//
// Hostname and Pathname are globs. A Next.js build writes them as regular expressions into images-manifest.json;
// such an entry sets HostnameRegexp and PathnameRegexp instead.
type RemotePattern struct {
	// Protocol is "http" or "https"; a trailing colon is ignored.
	Protocol *string `yaml:"protocol,omitempty" json:"protocol,omitempty"`
	// Hostname is a glob; "*" does not match a leading dot but does match across dots. Required.
	Hostname *string `yaml:"hostname,omitempty" json:"hostname,omitempty"`
	// Port is compared as text.
	Port *string `yaml:"port,omitempty" json:"port,omitempty"`
	// Pathname is a glob; nil means "**".
	Pathname *string `yaml:"pathname,omitempty" json:"pathname,omitempty"`
	// Search is compared with the url's query, which starts with "?" unless it is empty.
	Search *string `yaml:"search,omitempty" json:"search,omitempty"`

	// HostnameRegexp is the JavaScript source of an anchored regular expression, instead of Hostname.
	HostnameRegexp *string `yaml:"hostnameRegexp,omitempty" json:"hostnameRegexp,omitempty"`
	// PathnameRegexp is the same for Pathname.
	PathnameRegexp *string `yaml:"pathnameRegexp,omitempty" json:"pathnameRegexp,omitempty"`
}

// LocalPattern allows urls of the frontend itself: an entry of images.localPatterns. See RemotePattern.
type LocalPattern struct {
	Pathname       *string `yaml:"pathname,omitempty" json:"pathname,omitempty"`
	Search         *string `yaml:"search,omitempty" json:"search,omitempty"`
	PathnameRegexp *string `yaml:"pathnameRegexp,omitempty" json:"pathnameRegexp,omitempty"`
}

// OptionError says which option Compile does not accept.
type OptionError struct {
	// Key is the option as it is called in next.config.js below "images", for example "remotePatterns[1].hostname".
	Key string
	// Value is what was given, and Problem what is wrong with it or what is allowed.
	Value, Problem string
}

func (e *OptionError) Error() string { return fmt.Sprintf("%s %q %s", e.Key, e.Value, e.Problem) }

// localRule is a compiled LocalPattern.
type localRule struct {
	search   *string
	pathname matcher
}

// remoteRule is a compiled RemotePattern.
type remoteRule struct {
	scheme, port *string
	hostname     matcher
	localRule
}

// matches follows next/dist/shared/lib/match-local-pattern.js.
func (r *localRule) matches(pathname, search string) (bool, error) {
	if r.search != nil && *r.search != search {
		return false, nil
	}
	return r.pathname.match(pathname)
}

// matches follows next/dist/shared/lib/match-remote-pattern.js.
func (r *remoteRule) matches(u *parsedURL) (bool, error) {
	if r.scheme != nil && *r.scheme != u.scheme || r.port != nil && *r.port != u.port {
		return false, nil
	}
	if ok, err := r.hostname.match(u.hostname); !ok {
		return false, err
	}
	return r.localRule.matches(u.pathname, u.search)
}

func (c *compiler) remotePattern(key string, p RemotePattern) remoteRule {
	r := remoteRule{port: p.Port, localRule: localRule{search: p.Search}}
	if p.Protocol != nil {
		scheme := strings.TrimSuffix(*p.Protocol, ":")
		if scheme != "http" && scheme != "https" {
			c.fail(key+".protocol", *p.Protocol, `is not allowed; "http" or "https" is`)
		}
		r.scheme = &scheme
	}
	if p.Hostname == nil && p.HostnameRegexp == nil {
		c.fail(key+".hostname", "", `is missing; every remote pattern needs a hostname, "**" allows all`)
	}
	r.hostname = c.matcher(key+".hostname", p.Hostname, p.HostnameRegexp, false)
	r.pathname = c.matcher(key+".pathname", p.Pathname, p.PathnameRegexp, true)
	return r
}

func (c *compiler) localPattern(key string, p LocalPattern) localRule {
	return localRule{search: p.Search, pathname: c.matcher(key+".pathname", p.Pathname, p.PathnameRegexp, true)}
}

// compiler collects what is wrong with a set of options.
type compiler struct {
	err      error // the first error
	warnings []string
}

func (c *compiler) fail(key, value, problem string) {
	if c.err == nil {
		c.err = &OptionError{Key: key, Value: value, Problem: problem}
	}
}

// matcher compiles a glob or, if that is nil, a regular expression; with neither everything matches that "**" does.
func (c *compiler) matcher(key string, glob, regexp *string, dot bool) matcher {
	if regexp != nil {
		if glob != nil {
			c.fail(key, *glob, "is given together with a regular expression; only one is allowed")
		}
		m, err := newMatcher(*regexp)
		if err != nil {
			c.fail(key+"Regexp", *regexp, "is not allowed: "+err.Error())
		}
		return m
	}
	pattern := "**"
	if glob != nil {
		pattern = *glob
	}
	m, err := newGlobMatcher(pattern, dot)
	switch {
	case errors.Is(err, errNeverMatches):
		c.warnings = append(c.warnings, fmt.Sprintf("%s %q %v", key, pattern, err))
	case err != nil:
		c.fail(key, pattern, err.Error())
	}
	return m
}

// refuse makes the answer for a url that no pattern allows. cause is set if a pattern took too long to decide.
func refuse(cause error) *failure.Error {
	return failure.Wrap(http.StatusBadRequest, urlRefused.reason, urlRefused.text, cause)
}
