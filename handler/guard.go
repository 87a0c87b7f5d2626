package handler

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// guard keeps what is not for the web from the browsers of those who can reach the admin listener: a page on any site
// can have them send requests to it.
type guard struct {
	// hosts are names, beside private ones, by which the listener is asked.
	hosts []string
}

// ownPage refuses what a browser sends on behalf of another site: no page on the web may read what is shown here.
//
// Sec-Fetch-Site tells where browsers send it, which is to addresses they trust: https, localhost and 127.0.0.1. And a
// site may have its own name resolve to this listener (DNS rebinding), so that to the browser it is one site: hence the
// pages are only there by address, or by a name that no site can have.
func (g guard) ownPage(c *fiber.Ctx) error {
	if text := g.refuses(c); text != "" {
		return c.Status(http.StatusForbidden).SendString("Forbidden: " + text)
	}
	return c.Next()
}

// refuses says why a request is not one of the listener's own users; "" if it is.
func (g guard) refuses(c *fiber.Ctx) string {
	host := string(c.Request().Header.Host())
	switch site := c.Get("Sec-Fetch-Site"); site {
	case "", "same-origin", "none":
	default:
		return "asked for by another site"
	}
	if origin := c.Get(fiber.HeaderOrigin); origin != "" && c.Get("Sec-Fetch-Site") == "" && !isOriginOf(origin, host) {
		return "asked for by another site"
	}
	if c.Get(HeaderProgram) == "" && !g.isOurs(host) {
		return "open this page by the listener's address, or have the proxy in front send Host: localhost; programs send " + HeaderProgram + ": 1"
	}
	return ""
}

// HeaderProgram is sent by programs, with any value, so that they may ask the admin application by any name. No page can
// have a browser send a header whose name begins so (forbidden request-headers of the Fetch standard).
const HeaderProgram = "Sec-Imgopt-Client"

// isFromPage reports whether a request says that a page of this listener made it. Every browser of these years does,
// with what it posts; other clients do not.
func isFromPage(c *fiber.Ctx) bool {
	return c.Get("Sec-Fetch-Site") == "same-origin" || isOriginOf(c.Get(fiber.HeaderOrigin), string(c.Request().Header.Host()))
}

// isOriginOf reports whether an Origin header is that of a page at host. Its scheme is not compared: a proxy in front
// may speak https.
func isOriginOf(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

func (g guard) isOurs(host string) bool {
	if isPrivateHost(host) {
		return true
	}
	return slices.ContainsFunc(g.hosts, func(name string) bool { return strings.EqualFold(name, hostName(host)) })
}

// privateSuffixes are domains below which nobody on the web can have a name: RFC 6761 for the first, ICANN's
// resolution 2024.07.29.06 for the second, and the one of services in Kubernetes, below .local of RFC 6762.
var privateSuffixes = []string{".localhost", ".internal", ".cluster.local"}

// isPrivateHost reports whether a Host is one that nobody on the web can have: an address, a name without a dot, or one
// in a private domain.
func isPrivateHost(host string) bool {
	name := hostName(host)
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	if !strings.ContainsAny(name, ".:") {
		return true
	}
	name = strings.ToLower(name)
	return slices.ContainsFunc(privateSuffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// hostName returns a Host without port and brackets.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}
