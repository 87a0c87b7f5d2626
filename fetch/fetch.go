// Package fetch gets the source of an image: from its host for an absolute url, from the configured origins (the
// frontend, or a directory) for a relative one. It knows limits, retryable from final failures, and which addresses
// must not be reached; it knows nothing about images.
//
// The rules are those of fetchExternalImage and fetchInternalImage in next/dist/server/image-optimizer.js (16.4.6).
// Where this package differs from them on purpose, the comment next to the rule says so and why.
package fetch

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"imgopt/tracing"
)

// Options configures a Client. Timeout and MaxBody have no default here: configuration owns them (Next.js: 7 s and
// 50 000 000 bytes).
type Options struct {
	// Origins are where relative hrefs are looked for, in this order. Each is the url of a server
	// ("http://frontend:3000", a path is kept as a prefix, user:password is sent as Basic authentication) or of a
	// directory ("file:///srv/app"). A directory that holds ".next" is read as a Next.js project: /_next/static/… from
	// .next/static, everything else from public. An origin that lacks the file (a directory without it, a server that
	// answers 404) passes the question on; the last one decides. Origins are trusted: the address guard does not
	// apply to them. Empty: no relative href is ever found.
	Origins []string
	// Deployments are other versions of the application, and trusted like Origins.
	Deployments DeploymentOptions
	// BasePath is the basePath of the Next.js application ("" or "/docs"). Directories hold their files without it;
	// servers are asked with the href as it is.
	BasePath string
	// Timeout bounds one hop: connecting, waiting for the answer and reading the body. Every redirect starts a new
	// one, as in Next.js; the caller's context bounds the whole.
	Timeout time.Duration
	// MaxBody is the largest body in bytes, counted after decoding its Content-Encoding.
	MaxBody int64
	// MaxRedirects is how many redirects of an absolute href are followed; 0 follows none.
	MaxRedirects int
	// AllowLocalIP lets absolute hrefs reach private, loopback and other special addresses
	// (images.dangerouslyAllowLocalIP): all of them.
	AllowLocalIP bool
	// AllowCIDRs are addresses that absolute hrefs may reach without it, although they are not public. A host with
	// several addresses needs each of them to be public or listed. The addresses where clouds hand out credentials
	// (169.254.169.254 and its like) need an entry of their own, of full length; a NAT64 or 6to4 address needs the
	// address it stands for to be allowed too.
	AllowCIDRs []netip.Prefix
	// AllowRedirect is asked about each redirect of an absolute href that would be followed, with the target in the
	// form the WHATWG URL Standard serialises it to. If it says no, the fetch fails like that of a url which is not
	// allowed. Nil allows all, as Next.js does. The address guard holds either way.
	AllowRedirect func(href string) bool
	// Headers are sent to certain origins only.
	Headers []OriginHeaders
	// Breaker leaves alone for a while what does not answer. The zero value never does.
	Breaker BreakerOptions
	// PropagateTrace sends traceparent to the servers in Origins with what is recorded. Other hosts never get it.
	PropagateTrace bool

	// MaxConnsPerHost bounds the connections open at once to one host; further requests wait for one. 0 means no limit.
	MaxConnsPerHost int
	// MaxIdleConns and MaxIdleConnsPerHost bound the connections kept open without a request, over all hosts and
	// for each; 0 means 256 and 32. How many requests run at once is the caller's business.
	MaxIdleConns, MaxIdleConnsPerHost int
	// IdleTimeout closes a connection that waited this long for its next request; 0 means one minute.
	IdleTimeout time.Duration

	// Resolver looks up the hosts of absolute hrefs while the address guard is on, and of deployments; nil means
	// net.DefaultResolver.
	Resolver Resolver
}

// Resolver is the part of *net.Resolver that the address guard needs.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Request says what to fetch.
type Request struct {
	// Href is the url itself if it is relative, else in the form the WHATWG URL Standard serialises it to.
	Href string
	// Absolute tells the two apart.
	Absolute bool
	// Deployment is the name of the version that a relative Href belongs to, as FindDeployment returns it.
	Deployment string
	// ETag and LastModified are the validators of an earlier Source, sent as If-None-Match and If-Modified-Since
	// when not empty. With either of them the answer may be NotModified.
	ETag, LastModified string
	// Memory is asked for the bytes of the source; nil means that there is no limit to them. After a success it was
	// last told the length of Source.Body. After an error the caller gives back what is left. The time that Resize
	// waits does not count against Options.Timeout.
	Memory Memory
}

// Source is what an upstream answered. Header values are as Node presents them to Next.js: bytes above 0x7f are
// read as Latin-1, so that an entity tag derived from them is the same.
type Source struct {
	// Body is never empty, except when NotModified.
	Body []byte
	// ContentType is what the upstream calls the body; the type of an image is read from its bytes instead.
	ContentType string
	// CacheControl, ETag and LastModified are the raw headers, "" when absent.
	CacheControl, ETag, LastModified string
	// NotModified says that the copy which the validators of the Request belong to is still current. The headers are
	// those of this answer; one that is absent is unchanged.
	NotModified bool
}

// Client fetches sources. It is safe for concurrent use; Close it when done.
type Client struct {
	timeout      time.Duration
	maxBody      int64
	maxRedirects int
	origins      []origin
	deployments  *deployments           // nil: none
	headers      map[string]http.Header // by origin
	mayRedirect  func(href string) bool // nil: always
	breaker      *breaker
	propagate    bool
	upstream     *http.Transport // absolute hrefs, behind the address guard unless AllowLocalIP
	frontend     *http.Transport // relative hrefs; its own pool, so that no connection made without the guard is shared
	life         *lifetime
}

// New checks the options and returns a Client. It opens no connection.
func New(o Options) (*Client, error) {
	switch {
	case o.Timeout <= 0:
		return nil, fmt.Errorf("fetch timeout %v: must be positive", o.Timeout)
	case o.MaxBody < 1:
		return nil, fmt.Errorf("fetch maximum body of %d bytes: must be at least 1", o.MaxBody)
	case o.MaxRedirects < 0:
		return nil, fmt.Errorf("fetch maximum of %d redirects: must be 0 or more", o.MaxRedirects)
	case o.MaxConnsPerHost < 0:
		return nil, fmt.Errorf("fetch maximum of %d connections per host: must be 0 or more", o.MaxConnsPerHost)
	case o.MaxIdleConns < 0, o.MaxIdleConnsPerHost < 0, o.IdleTimeout < 0:
		return nil, fmt.Errorf("fetch idle connections (%d, %d per host, %v): must not be negative", o.MaxIdleConns, o.MaxIdleConnsPerHost, o.IdleTimeout)
	case o.BasePath != "" && (!strings.HasPrefix(o.BasePath, "/") || strings.HasSuffix(o.BasePath, "/")):
		return nil, fmt.Errorf("base path %q: must be empty or start with a slash and not end with one", o.BasePath)
	}
	rules, err := newAddressRules(o.AllowCIDRs)
	if err != nil {
		return nil, err
	}
	headers, err := compileHeaders(o.Headers)
	if err != nil {
		return nil, err
	}
	breaker, err := newBreaker(o.Breaker)
	if err != nil {
		return nil, err
	}
	c := &Client{
		timeout: o.Timeout, maxBody: o.MaxBody, maxRedirects: o.MaxRedirects,
		headers: headers, mayRedirect: o.AllowRedirect, breaker: breaker, propagate: o.PropagateTrace, life: newLifetime(),
	}
	dial := plainDial
	if !o.AllowLocalIP {
		dial = newGuard(rules, o.Resolver).DialContext
	}
	c.upstream = c.newTransport(o, dial)
	c.frontend = c.newTransport(o, plainDial)
	for _, s := range o.Origins {
		origin, err := c.newOrigin(s, o.BasePath)
		if err != nil {
			return nil, err
		}
		c.origins = append(c.origins, origin)
	}
	if c.deployments, err = c.newDeployments(o.Deployments, o.BasePath, o.Resolver); err != nil {
		return nil, err
	}
	return c, nil
}

// Fetch gets one source. Every error is a *failure.Error. Its status and text are what the client is to see if
// nobody tries again: for retryable failures that is 502, or 504 after a timeout. What an upstream answered in
// detail is in a *StatusError inside. When ctx ends first, the error is not retryable and wraps ctx.Err().
func (c *Client) Fetch(ctx context.Context, r Request) (*Source, error) {
	ctx, span := tracing.Start(ctx, "fetch")
	src, err := c.fetch(ctx, r)
	endFetch(span, r, src, err)
	return src, err
}

func (c *Client) fetch(ctx context.Context, r Request) (*Source, error) {
	ctx, leave, err := c.life.enter(ctx)
	if err != nil {
		return nil, interrupted(err, nil)
	}
	defer leave()
	if r.Absolute {
		return c.fetchAbsolute(ctx, r)
	}
	return c.fetchRelative(ctx, r)
}

// Stats is the state of a Client at one moment.
type Stats struct {
	// OpenCircuits is the number of origins that are left alone because they did not answer.
	OpenCircuits int
}

// Stats returns the state of the Client.
func (c *Client) Stats() Stats { return Stats{OpenCircuits: c.breaker.openCircuits()} }

// Close cancels the fetches that are under way, waits for them and closes all connections. A Fetch after Close
// fails.
func (c *Client) Close() {
	c.life.close()
	// Nothing is in use any more: these also end TLS handshakes that nobody waits for.
	c.upstream.CloseIdleConnections()
	c.frontend.CloseIdleConnections()
}
