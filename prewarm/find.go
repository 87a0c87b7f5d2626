package prewarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	whatwg "github.com/nlnwa/whatwg-url/url"

	"imgopt/prewarm/page"
)

// Found is what there is to warm, before the rules and the filters.
type Found struct {
	// Pages is how many documents were read.
	Pages int
	// Unread are the pages and sitemaps that could not be read: what they ask for is not known.
	Unread []Unread
	// Notes are other things that people should know.
	Notes []string

	site       *Site
	progress   Progress
	began      time.Time
	requests   []request
	known      map[string]struct{} // the queries of requests
	sources    []source
	listed     map[string]int    // index in sources by url
	sizes      map[string]int64  // of sources, by url, in bytes
	elsewhere  int               // urls of the endpoint of other origins, which are another application's
	homes      map[string]string // by url of a relative source: the origin of the page that showed it
	deployment string            // the deploymentId of the build
	lists      bool              // lists of urls were read, so that finding nothing may be right
}

// Unread is a page that could not be read.
type Unread struct {
	URL string `json:"url"`
	*Failure
}

// request is a complete query of the endpoint.
type request struct {
	query, from string
}

// source is an image to expand.
type source struct {
	url, from string
	// fallback is expanded only if nothing asks for the source in particular: how it is used is not known.
	fallback bool
}

// Find reads everything that o names: the build, lists, sitemaps, pages; stdin is read for "-". When ctx ends it returns
// what was found so far with an error that wraps that of ctx; a plan of it, run with the same ctx, makes the report of
// an interrupted run. Other errors are misuse, OptionErrors or a *LineError of a list, or say that a list cannot be read.
func Find(ctx context.Context, site *Site, o Options, stdin io.Reader, p Progress) (*Found, error) {
	f := &Found{
		site: site, progress: orQuiet(p), began: time.Now(),
		known: map[string]struct{}{}, listed: map[string]int{}, sizes: map[string]int64{}, homes: map[string]string{},
	}
	f.progress.Begin(Looking, 0)
	if o.NextDir != "" {
		if err := f.build(ctx, o); err != nil {
			return f, err
		}
	}
	for _, name := range o.URLs {
		if err := f.listFile(name, stdin); err != nil {
			return f, err
		}
	}
	web := newWeb(o)
	defer web.close()
	c := &crawler{found: f, web: web, options: o}
	for _, url := range o.Sitemaps {
		c.sitemap(ctx, url)
	}
	for _, url := range o.Crawl {
		c.crawl(ctx, url)
	}
	if err := ctx.Err(); err != nil {
		return f, fmt.Errorf("looking for what to warm: %w", err)
	}
	if o.Measure {
		f.measure(ctx, web, o.Concurrency)
	}
	if f.elsewhere > 0 {
		f.note("%s of other origins left out: %s", plural(f.elsewhere, "image url"), "another server answers them")
	}
	if err := ctx.Err(); err != nil {
		return f, fmt.Errorf("measuring what to warm: %w", err)
	}
	return f, nil
}

func (f *Found) note(format string, args ...any) {
	text := oneLine(fmt.Sprintf(format, args...))
	f.Notes = append(f.Notes, text)
	f.progress.Note(text)
}

func (f *Found) unread(url string, failure *Failure) {
	f.Unread = append(f.Unread, Unread{URL: redacted(url), Failure: failure})
	f.progress.Note(oneLine(fmt.Sprintf("cannot read %s: %v", redacted(url), failure)))
}

// pageOf takes what a document asks for. address is where it was found, home its origin for relative sources.
func (f *Found) pageOf(p *page.Page, address, from string) {
	f.Pages++
	own, err := whatwg.Parse(address)
	if err != nil {
		return // Parse has resolved urls against it, so that it is one
	}
	for _, image := range p.Images {
		u, err := whatwg.Parse(image)
		if err != nil {
			continue
		}
		query, ok := f.site.query(u)
		switch {
		case !ok:
		case u.Scheme() != own.Scheme() || u.Host() != own.Host():
			f.elsewhere++
		default:
			f.request(query, from)
			f.home(query, own)
		}
	}
	f.progress.Step(f.tally())
}

// home remembers where a relative source can be asked for its size.
func (f *Found) home(query string, page *whatwg.Url) {
	if page.Hostname() == buildHost {
		return
	}
	if p, err := f.site.rules.Check(query, ""); err == nil && !p.Absolute {
		if _, ok := f.homes[p.URL]; !ok {
			f.homes[p.URL] = page.Scheme() + "://" + page.Host()
		}
	}
}

func (f *Found) request(query, from string) {
	if _, ok := f.known[query]; ok {
		return
	}
	f.known[query] = struct{}{}
	f.requests = append(f.requests, request{query: query, from: from})
}

func (f *Found) source(s source) {
	if i, ok := f.listed[s.url]; ok {
		if f.sources[i].fallback && !s.fallback {
			f.sources[i] = s // somebody wants it after all
		}
		return
	}
	f.listed[s.url] = len(f.sources)
	f.sources = append(f.sources, s)
}

func (f *Found) tally() Tally {
	return Tally{Done: f.Pages, Failed: len(f.Unread), Found: len(f.requests) + len(f.sources), Elapsed: time.Since(f.began)}
}

// listFile reads a list of urls.
func (f *Found) listFile(name string, stdin io.Reader) error {
	f.lists = true
	in := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return OptionErrors{{Flag: "urls", Value: quote(name), Problem: "cannot be read: " + reasonOf(err)}}
		}
		defer file.Close()
		in = file
	}
	err := readList(in, name, func(line int, url string) {
		from := fmt.Sprintf("%s:%d", name, line)
		if query, ok := f.complete(url); ok {
			f.request(query, from)
		} else {
			f.source(source{url: url, from: from})
		}
	})
	f.progress.Step(f.tally())
	return err
}

// complete returns the query of a url that leads to the endpoint, on whatever host: who lists it wants it.
func (f *Found) complete(url string) (string, bool) {
	u, err := whatwg.ParseRef("http://"+buildHost, url)
	if err != nil {
		return "", false
	}
	return f.site.query(u)
}

// reasonOf is the last part of a file system error, without the path that the message names already.
func reasonOf(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return oneLine(err.Error())
		}
		err = inner
	}
}

// asked are the urls of the sources that requests ask for in particular.
func (f *Found) asked() map[string]struct{} {
	out := map[string]struct{}{}
	for _, r := range f.requests {
		if p, err := f.site.rules.Check(r.query, ""); err == nil {
			out[p.URL] = struct{}{}
		}
	}
	return out
}

// unmeasured are the sources whose size is not known, sorted.
func (f *Found) unmeasured() []string {
	all := f.asked()
	for _, s := range f.sources {
		all[s.url] = struct{}{}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(url string) bool {
		_, known := f.sizes[url]
		return known || strings.HasPrefix(url, "/") && f.homes[url] == ""
	})
}
