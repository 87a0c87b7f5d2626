package fetch

import (
	"context"
	"fmt"
	"net/http"

	"imgopt/failure"
)

// The headers of an absolute fetch are those that Next.js sends, whatever the client asked with. Accept-Encoding
// depends on the scheme, as native fetch has it.
var (
	httpHeader  = upstreamHeader("gzip, deflate")
	httpsHeader = upstreamHeader("br, gzip, deflate")
)

func upstreamHeader(acceptEncoding string) http.Header {
	return http.Header{
		"Accept":          {"*/*"},
		"Accept-Encoding": {acceptEncoding},
		"Accept-Language": {"*"},
		"Connection":      {"keep-alive"},
		"Sec-Fetch-Mode":  {"cors"},
		"User-Agent":      {"node"},
	}
}

// fetchAbsolute follows redirects until something else is answered.
func (c *Client) fetchAbsolute(ctx context.Context, r Request) (*Source, error) {
	href := r.Href
	for left := c.maxRedirects; ; left-- {
		src, location, err := c.fetchHop(ctx, href, r)
		if location == "" {
			return src, err
		}
		if left == 0 {
			return nil, failure.Wrap(http.StatusLoopDetected, "upstream_redirects", failure.TextUpstreamInvalid,
				fmt.Errorf("more than %d redirects, the next to %s", c.maxRedirects, redact(location)))
		}
		if c.mayRedirect != nil && !c.mayRedirect(location) {
			return nil, failure.Wrap(http.StatusBadRequest, "upstream_redirect", failure.TextNotAllowed,
				fmt.Errorf("a redirect to %s is not allowed", redact(location)))
		}
		href = location
	}
}

// fetchHop asks for href once. It returns a source, an error, or where to go on.
func (c *Client) fetchHop(ctx context.Context, href string, r Request) (src *Source, location string, err error) {
	t, err := parseTarget(href)
	if err != nil {
		// A redirect to another scheme, or user information that Node cannot decode: Next.js throws.
		return nil, "", failure.Wrap(http.StatusInternalServerError, "upstream_url", textThrown, fmt.Errorf("url %q: %w", redact(href), err))
	}
	h := c.newHop(ctx, absoluteWording)
	defer h.end()
	header := httpHeader
	if t.url.Scheme == "https" {
		header = httpsHeader
	}
	resp, conditional, err := h.get(c.upstream, t, header, r)
	if err != nil {
		return nil, "", err
	}
	// A body that is not read to its end is not drained either: closing it closes the connection.
	defer resp.Body.Close()
	if isRedirect(resp.StatusCode) {
		if location, ok := resolveLocation(href, firstHeader(resp.Header, "Location")); ok {
			return nil, location, nil
		}
	}
	src, err = h.receive(resp, r, conditional)
	return src, "", err
}

// isRedirect reports whether Next.js follows status. Without a usable Location it is an error like any other.
func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}
