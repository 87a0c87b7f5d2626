package fetch

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"imgopt/failure"
)

// origin is one place where relative hrefs are looked for.
type origin interface {
	// get fetches q. lacks says that the file is not here and another origin may have it; err is then what the client
	// sees if there is no other.
	get(ctx context.Context, q relative) (src *Source, lacks bool, err error)
}

// relative is a relative href, taken apart.
type relative struct {
	Request
	path  string // normalised and still percent-encoded, starts with "/"
	query string // "" or "?…"
}

// newOrigin makes an origin of an entry of Options.Origins.
func (c *Client) newOrigin(s, basePath string) (origin, error) {
	u, err := originURL(s)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "file" {
		return c.newDirectory(u.Path, basePath)
	}
	return newServer(c, u), nil
}

// originURL reads the url of an origin.
func originURL(s string) (*url.URL, error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("origin %q: %s: want http://host, https://host or file:///directory", redact(s), fmt.Sprintf(format, args...))
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		// The text of a *url.Error repeats the url, password included.
		return nil, bad("not a url")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, bad("has a query or a fragment")
	case u.Scheme == "file":
		if u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") {
			return nil, bad("not the absolute path of a directory on this machine")
		}
	case u.Scheme == "http" || u.Scheme == "https":
		if u.Hostname() == "" || u.Opaque != "" {
			return nil, bad("no host")
		}
	default:
		return nil, bad("unknown scheme %q", u.Scheme)
	}
	return u, nil
}

// fetchRelative asks the origins in order.
func (c *Client) fetchRelative(ctx context.Context, r Request) (*Source, error) {
	q, err := parseRelative(r)
	if err != nil {
		return nil, err
	}
	origins := c.origins
	if r.Deployment != "" {
		if origins, err = c.originsOf(ctx, r.Deployment); err != nil {
			return nil, err
		}
	}
	lacking := relativeFailure(http.StatusNotFound, "missing", nil)
	for _, o := range origins {
		if err := ctx.Err(); err != nil {
			return nil, interrupted(err, context.Cause(ctx))
		}
		src, lacks, err := o.get(ctx, q)
		if !lacks {
			return src, err
		}
		lacking = failure.From(err)
	}
	return nil, lacking
}

// parseRelative checks what holds for every origin.
func parseRelative(r Request) (relative, error) {
	path, _, _ := strings.Cut(r.Href, "?")
	if strings.Contains(path, `\`) {
		// Next.js redirects to the same path with slashes instead, and a redirect is an error here
		// (next/dist/server/lib/router-utils/resolve-routes.js).
		return relative{}, relativeFailure(http.StatusInternalServerError, "path", fmt.Errorf("path %q has a backslash", path))
	}
	q := relative{Request: r}
	var err error
	if q.path, q.query, err = cleanPath(r.Href); err != nil {
		return relative{}, relativeFailure(http.StatusNotFound, "path", fmt.Errorf("href %q: %w", r.Href, err))
	}
	if strings.Contains(path, "//") && !strings.Contains(q.path, "//") {
		// The same redirect is for repeated slashes. It looks at what stands before the first "?", before dot segments
		// are resolved and with a fragment; slashes that are left are the origin's to judge.
		return relative{}, relativeFailure(http.StatusInternalServerError, "path", fmt.Errorf("path %q has repeated slashes", path))
	}
	// Encoded slashes may hide dot segments from cleanPath, but not from a server that decodes before it resolves:
	// they could lead out of the path of the origin.
	if decoded, err := url.PathUnescape(q.path); err == nil && slices.Contains(strings.FieldsFunc(decoded, isSlash), "..") {
		return relative{}, relativeFailure(http.StatusNotFound, "path", fmt.Errorf("path %q climbs", q.path))
	}
	return q, nil
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

// relativeFailure is a final failure with the text for relative hrefs.
func relativeFailure(status int, reason string, cause error) *failure.Error {
	return failure.Wrap(status, relativeWording.prefix+"_"+reason, relativeWording.invalid, cause)
}
