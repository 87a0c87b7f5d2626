package prewarm

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
	"github.com/temoto/robotstxt"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"imgopt/prewarm/page"
	"imgopt/prewarm/sitemap"
)

const (
	// maxPagesAtOnce is how many pages of a site are asked for at once: as many as a browser opens connections.
	maxPagesAtOnce = 6
	// maxSitemaps bounds the files that a sitemap index leads to, and maxNesting how deep: the protocol knows one level.
	maxSitemaps = 1000
	maxNesting  = 3
	// maxRobots is what RFC 9309 asks a crawler to read at least.
	maxRobots = 512 << 10
	// slowestCrawl bounds what a robots.txt can ask for with Crawl-delay, in pages a second.
	slowestCrawl = 0.1
)

const (
	acceptPage    = "text/html,application/xhtml+xml"
	acceptSitemap = "application/xml,text/xml,text/plain;q=0.9,*/*;q=0.5"
)

// crawler reads the pages of running applications into what was found.
type crawler struct {
	found   *Found
	web     *web
	options Options
	read    map[string]bool // the addresses of pages that were asked for
	full    bool            // MaxPages was reached, and said
}

// visit is a page that is to be read.
type visit struct {
	address string
	page    *page.Page
	doc     *document
	failure *Failure
}

// canonical is the one form of an address by which pages are told apart: that of links, without fragment.
func canonical(address string) string {
	u, err := whatwg.Parse(address)
	if err != nil {
		return address // asking for it tells what is wrong
	}
	return u.Href(true)
}

// take reports whether a page is still to be read, and notes that it is.
func (c *crawler) take(address string) bool {
	if c.read == nil {
		c.read = map[string]bool{}
	}
	if c.read[address] {
		return false
	}
	if len(c.read) >= c.options.MaxPages {
		if !c.full {
			c.full = true
			c.found.note("--max-pages %d is reached; further pages are not read", c.options.MaxPages)
		}
		return false
	}
	c.read[address] = true
	return true
}

// visitAll reads pages, a few at once, and hands them on in their order: the result does not depend on which server is
// quick. within is the origin they have to be of.
func (c *crawler) visitAll(ctx context.Context, addresses []string, within string, each func(*visit)) {
	for len(addresses) > 0 && ctx.Err() == nil {
		some := addresses[:min(len(addresses), 4*maxPagesAtOnce)]
		addresses = addresses[len(some):]
		visits := make([]*visit, len(some))
		var g errgroup.Group
		g.SetLimit(maxPagesAtOnce)
		for i, address := range some {
			visits[i] = &visit{address: address}
			g.Go(func() error {
				c.visit(ctx, visits[i], within)
				return nil
			})
		}
		_ = g.Wait() // failures are in the visits
		for _, v := range visits {
			if ctx.Err() == nil {
				each(v)
			}
		}
	}
}

func (c *crawler) visit(ctx context.Context, v *visit, within string) {
	v.doc, v.failure = c.web.get(ctx, asking{url: v.address, within: within, accept: acceptPage, limit: maxPage, wanted: isPage})
	if v.failure != nil || !isPage(v.doc.mediaType) {
		return
	}
	var err error
	v.page, err = page.Parse(bytes.NewReader(v.doc.body), page.Options{
		URL: v.doc.url.String(), Contains: endpoint, FollowAll: c.options.IgnoreRobots,
	})
	if err != nil {
		v.failure = &Failure{Reason: ReasonPage, Detail: oneLine(err.Error())}
	}
	v.doc.body = nil
}

func isPage(mediaType string) bool {
	return mediaType == "text/html" || mediaType == "application/xhtml+xml"
}

// crawl reads the page at start and those it links to, as far away as allowed, level by level.
func (c *crawler) crawl(ctx context.Context, start string) {
	start = canonical(start)
	if ctx.Err() != nil || !c.take(start) {
		return
	}
	first, rules := c.first(ctx, start)
	if first == nil || ctx.Err() != nil {
		return
	}
	site := siteOf(first.doc.url)
	level := c.next(first.page, site, rules)
	for depth := 1; depth <= c.options.Depth && len(level) > 0; depth++ {
		var following []string
		c.visitAll(ctx, level, site, func(v *visit) {
			switch {
			case v.failure != nil && isDeadLink(v.failure):
				c.found.note("a link leads to %s, which cannot be read: %v", redacted(v.address), v.failure)
			case v.failure != nil:
				c.found.unread(v.address, v.failure)
			case v.page != nil:
				c.found.pageOf(v.page, v.doc.url.String(), v.address)
				if depth < c.options.Depth {
					following = append(following, c.next(v.page, site, rules)...)
				}
			}
		})
		level = following
	}
}

// first reads the page that a crawl begins with and the rules of its site. It may lead to another origin
// ("example.com" to "www.example.com"), which then is the site. Without a page it returns nil, and has said why.
func (c *crawler) first(ctx context.Context, start string) (*visit, *robotstxt.Group) {
	u, err := url.Parse(start)
	if err != nil {
		c.found.unread(start, &Failure{Reason: ReasonPage, Detail: "not a url: " + reasonOf(err)})
		return nil, nil
	}
	rules, ok := c.robots(ctx, u)
	if !ok {
		return nil, nil
	}
	v := &visit{address: start}
	switch c.visit(ctx, v, ""); {
	case v.failure != nil:
		c.found.unread(start, v.failure)
		return nil, nil
	case v.page == nil:
		c.found.unread(start, &Failure{Reason: ReasonPage, Detail: "not an HTML page: " + quote(v.doc.mediaType)})
		return nil, nil
	}
	if siteOf(v.doc.url) != siteOf(u) {
		if rules, ok = c.robots(ctx, v.doc.url); !ok {
			return nil, nil
		}
	}
	c.read[canonical(v.doc.url.String())] = true
	c.found.pageOf(v.page, v.doc.url.String(), start)
	return v, rules
}

// isDeadLink tells links that lead nowhere, or away, or to what needs a login, from pages that exist but failed: the
// former hide no image from anybody.
func isDeadLink(f *Failure) bool {
	return f.Reason == ReasonRedirect || f.Reason == ReasonStatus && f.Status >= 400 && f.Status < 500 && f.Status != http.StatusTooManyRequests
}

// next are the links of a page that are to be read.
func (c *crawler) next(p *page.Page, site string, rules *robotstxt.Group) []string {
	var out []string
	for _, link := range p.Links {
		u, err := url.Parse(link)
		if err != nil || siteOf(u) != site || strings.HasPrefix(u.Path, c.found.site.options.BasePath+"/_next/") || !allows(rules, u) {
			continue
		}
		if c.take(link) {
			out = append(out, link)
		}
	}
	return out
}

// robots reads the robots.txt for a page that a crawl begins with, and slows down if it asks for that. It reports false,
// and has said why, if the page must not be read. As RFC 9309 has it, a missing robots.txt allows everything, and one
// that cannot be had nothing.
func (c *crawler) robots(ctx context.Context, start *url.URL) (*robotstxt.Group, bool) {
	if c.options.IgnoreRobots {
		return nil, true
	}
	address := siteOf(start) + "/robots.txt"
	doc, failure := c.web.get(ctx, asking{url: address, accept: "text/plain", limit: maxRobots})
	if failure != nil && failure.Reason == ReasonStatus && isDeadLink(failure) {
		return nil, true
	}
	if failure != nil {
		c.found.unread(address, failure)
		return nil, false
	}
	data, err := robotstxt.FromBytes(doc.body)
	if err != nil {
		c.found.unread(address, &Failure{Reason: ReasonPage, Detail: oneLine(err.Error())})
		return nil, false
	}
	group := data.FindGroup(userAgent)
	if group.CrawlDelay > 0 {
		asked := rate.Limit(max(slowestCrawl, 1/group.CrawlDelay.Seconds()))
		if asked < c.web.limiter.Limit() {
			c.web.limiter.SetLimit(asked)
			c.found.note("%s asks for at most %.3g pages a second", address, float64(asked))
		}
	}
	if !allows(group, start) {
		c.found.unread(start.String(), &Failure{Reason: ReasonPage, Detail: "robots.txt disallows it; --ignore-robots reads it anyway"})
		return nil, false
	}
	return group, true
}

func allows(rules *robotstxt.Group, u *url.URL) bool {
	return rules == nil || rules.Test(u.RequestURI())
}

// sitemap reads the pages of a sitemap, or of the sitemaps of an index. What its owner lists is meant to be read:
// robots.txt is not asked.
func (c *crawler) sitemap(ctx context.Context, start string) {
	seen := map[string]bool{start: true}
	level := []string{start}
	site, foreign := "", 0
	var pages []string
	for nesting := 0; len(level) > 0 && ctx.Err() == nil; nesting++ {
		var following []string
		for _, address := range level {
			doc, failure := c.web.get(ctx, asking{url: address, within: site, accept: acceptSitemap, limit: sitemap.MaxBytes + 1})
			if failure != nil {
				c.found.unread(address, failure)
				continue
			}
			if site == "" {
				site = siteOf(doc.url)
			}
			s, err := sitemap.Read(bytes.NewReader(doc.body))
			if err != nil {
				c.found.unread(address, &Failure{Reason: ReasonPage, Detail: oneLine(err.Error())})
			}
			for _, loc := range s.Pages {
				if own, ok := c.own(loc, site); !ok {
					foreign++
				} else if c.take(own) {
					pages = append(pages, own)
				}
			}
			for _, loc := range s.Sitemaps {
				own, ok := c.own(loc, site)
				switch {
				case !ok:
					foreign++
				case nesting < maxNesting && len(seen) < maxSitemaps && !seen[own]:
					seen[own] = true
					following = append(following, own)
				case !seen[own]:
					c.found.unread(own, &Failure{Reason: ReasonPage, Detail: "too many sitemaps, or too deeply nested"})
				}
			}
		}
		level = following
	}
	if foreign > 0 {
		c.found.note("%s of %s of other origins left out; --rebase asks %s for them", plural(foreign, "url"), redacted(start), site)
	}
	c.visitAll(ctx, pages, site, func(v *visit) {
		switch {
		case v.failure != nil:
			c.found.unread(v.address, v.failure)
		case v.page != nil:
			c.found.pageOf(v.page, v.doc.url.String(), v.address)
		}
	})
}

// own returns a url of a sitemap if it is of the sitemap's own origin, or made to be by --rebase.
func (c *crawler) own(loc, site string) (string, bool) {
	u, err := url.Parse(loc)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return "", false
	}
	if siteOf(u) == site {
		return canonical(loc), true
	}
	if !c.options.Rebase {
		return "", false
	}
	home, err := url.Parse(site)
	if err != nil {
		return "", false
	}
	u.Scheme, u.Host, u.User = home.Scheme, home.Host, nil
	return canonical(u.String()), true
}
