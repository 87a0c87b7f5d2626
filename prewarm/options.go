package prewarm

import (
	"fmt"
	"math"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/net/http/httpguts"
)

// The parts of a Next.js build, for Options.Parts.
const (
	PartPages  = "pages"  // the HTML that was prerendered
	PartMedia  = "media"  // statically imported images, below /_next/static/media
	PartPublic = "public" // images in the public folder
)

// Options are the command line of a pre-warming, without the configuration of the site. The tag of a field is its flag.
type Options struct {
	// NextDir is a Next.js build (its .next, or the project that holds it) whose Parts are read.
	NextDir string `flag:"next-dir"`
	// Parts of the build to read.
	Parts []string `flag:"parts"`
	// Sitemaps are urls of sitemaps or sitemap indexes, whose pages are read.
	Sitemaps []string `flag:"sitemap"`
	// Crawl are urls of pages to read, and to follow links from as far as Depth, within the origin of each.
	Crawl []string `flag:"crawl"`
	// Depth is how many links away from a page of Crawl a page may be.
	Depth int `flag:"depth"`
	// URLs are files with one url a line, "-" for standard input: sources, or complete urls of the endpoint.
	URLs []string `flag:"urls"`

	// MaxPages is how many pages are read at most by Sitemaps and by Crawl, together.
	MaxPages int `flag:"max-pages"`
	// PageRate is how many pages a second are asked for at most; 0 sets no limit.
	PageRate float64 `flag:"page-rate"`
	// Rebase asks the sitemap's own server for its pages, whatever origin it names for them.
	Rebase bool `flag:"rebase"`
	// IgnoreRobots crawls in spite of robots.txt and of nofollow.
	IgnoreRobots bool `flag:"ignore-robots"`
	// Measure asks for the size of every source that is not known otherwise, with one HEAD request each.
	Measure bool `flag:"measure"`

	// Formats, Widths and Qualities keep only such variants; empty keeps all.
	Formats   []string `flag:"formats"`
	Widths    []int    `flag:"widths"`
	Qualities []int    `flag:"qualities"`
	// Include keeps only sources that match one of the patterns, Exclude drops those that match one. See Match.
	Include []string `flag:"include"`
	Exclude []string `flag:"exclude"`
	// Limit is how many variants are warmed at most, those of the sources that were found first; 0 is all.
	Limit int `flag:"limit"`

	// Target is the server to warm, "http://host:port"; "" is the configured cache.
	Target string `flag:"target"`
	// Queue has the variants made by those who work on the configured queue.
	Queue bool `flag:"queue"`
	// Headers are sent to the target and with requests for pages, each "Name: value".
	Headers []string `flag:"header"`
	// Concurrency is how many variants are asked for at once; without Target how many sources.
	Concurrency int `flag:"concurrency"`
	// Rate is how many requests a second the target gets at most, repeated ones included; 0 sets no limit. With Queue it
	// counts jobs, without either sources.
	Rate float64 `flag:"rate"`
	// Attempts is how often a variant is asked for when there is hope, the first time included. Pages too.
	Attempts int `flag:"attempts"`
	// Timeout bounds one attempt.
	Timeout time.Duration `flag:"attempt-timeout"`
	// Verify asks for everything once more at the end, with HEAD: only what is a hit then is warm.
	Verify bool `flag:"verify"`
	// Resume is the file that keeps what is done, so that another run with it goes on where this one stopped.
	Resume string `flag:"resume"`
}

// Defaults are the values of flags that are not given.
func Defaults() Options {
	return Options{
		Parts:       []string{PartPages, PartMedia, PartPublic},
		Depth:       3,
		MaxPages:    10000,
		PageRate:    20,
		Concurrency: 4,
		Attempts:    4,
		Timeout:     time.Minute,
		Verify:      true,
	}
}

// OptionError is one mistake on the command line: misuse, exit code 2.
type OptionError struct {
	// Flag is the flag's name, without dashes.
	Flag string
	// Value is what was given, quoted; it may be empty.
	Value string
	// Problem says what is wrong and what is allowed.
	Problem string
}

// Error returns "--flag: value: problem" on one line.
func (e *OptionError) Error() string {
	if e.Value == "" {
		return "--" + e.Flag + ": " + e.Problem
	}
	return "--" + e.Flag + ": " + e.Value + ": " + e.Problem
}

// OptionErrors are all mistakes on a command line. It is never empty when returned as an error.
type OptionErrors []*OptionError

// Error returns one line for each mistake.
func (e OptionErrors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As the single mistakes.
func (e OptionErrors) Unwrap() []error {
	out := make([]error, len(e))
	for i, err := range e {
		out[i] = err
	}
	return out
}

// Limits of the options that say how much at once: enough for any service, too little to exhaust this machine.
const (
	maxConcurrency = 1024
	maxAttempts    = 100
	maxTimeout     = time.Hour
	maxLimit       = math.MaxInt32
)

// Validate checks what can be checked without the site. The error is an OptionErrors.
func (o *Options) Validate() error {
	var c optionCheck
	c.sources(o)
	c.integer("depth", o.Depth, 0, 100)
	c.integer("max-pages", o.MaxPages, 1, maxLimit)
	c.number("page-rate", o.PageRate)
	c.patterns("include", o.Include)
	c.patterns("exclude", o.Exclude)
	c.integer("limit", o.Limit, 0, maxLimit)
	if o.Target != "" {
		c.target(o.Target)
		if o.Queue {
			c.fail("queue", "", "goes without --target: either a server is asked, or a queue")
		}
	}
	for _, h := range o.Headers {
		if _, _, err := splitHeader(h); err != nil {
			name, _, _ := strings.Cut(h, ":")
			c.fail("header", quote(name), "%v", err) // the value may be a secret
		}
	}
	c.integer("concurrency", o.Concurrency, 1, maxConcurrency)
	c.number("rate", o.Rate)
	c.integer("attempts", o.Attempts, 1, maxAttempts)
	if o.Timeout < time.Millisecond || o.Timeout > maxTimeout {
		c.fail("attempt-timeout", o.Timeout.String(), "must be a duration from 1ms to 1h, such as 30s")
	}
	return c.err()
}

// ValidateFor checks the filters against what the site serves. The error is an OptionErrors.
func (o *Options) ValidateFor(s *Site) error {
	var c optionCheck
	for _, f := range o.Formats {
		if !slices.Contains(s.Formats(), f) {
			c.fail("formats", quote(f), "the site serves this to no browser; must be %s", oneOf(s.Formats()))
		}
	}
	for _, w := range o.Widths {
		if !slices.Contains(s.widths(), w) {
			c.fail("widths", strconv.Itoa(w), "in neither images.deviceSizes nor images.imageSizes; must be %s", oneOf(texts(s.widths())))
		}
	}
	for _, q := range o.Qualities {
		switch {
		case q < 1 || q > 100:
			c.fail("qualities", strconv.Itoa(q), "must be an integer from 1 to 100")
		case s.options.Qualities != nil && !slices.Contains(s.options.Qualities, q):
			c.fail("qualities", strconv.Itoa(q), "not in images.qualities; must be %s", oneOf(texts(s.options.Qualities)))
		}
	}
	return c.err()
}

// optionCheck collects mistakes.
type optionCheck struct{ errs OptionErrors }

func (c *optionCheck) fail(flag, value, format string, args ...any) {
	c.errs = append(c.errs, &OptionError{Flag: flag, Value: value, Problem: fmt.Sprintf(format, args...)})
}

func (c *optionCheck) err() error {
	if c.errs == nil {
		return nil
	}
	return c.errs
}

func (c *optionCheck) sources(o *Options) {
	if o.NextDir == "" && len(o.Sitemaps)+len(o.Crawl)+len(o.URLs) == 0 {
		c.fail("next-dir", "", "nothing says what to warm: give --next-dir, --sitemap, --crawl or --urls")
	}
	parts := []string{PartPages, PartMedia, PartPublic}
	for _, p := range o.Parts {
		if !slices.Contains(parts, p) {
			c.fail("parts", quote(p), "must be %s", oneOf(parts))
		}
	}
	if o.NextDir != "" && len(o.Parts) == 0 {
		c.fail("parts", "", "must be %s", oneOf(parts))
	}
	for _, u := range o.Sitemaps {
		c.absolute("sitemap", u)
	}
	for _, u := range o.Crawl {
		c.absolute("crawl", u)
	}
	stdin := 0
	for _, f := range o.URLs {
		if f == "" {
			c.fail("urls", quote(f), `must be the name of a file, or "-" for standard input`)
		}
		if f == "-" {
			stdin++
		}
	}
	if stdin > 1 {
		c.fail("urls", quote("-"), "standard input can be read only once")
	}
}

func (c *optionCheck) absolute(flag, value string) *url.URL {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		c.fail(flag, quote(redacted(value)), "must be a url with http:// or https://")
		return nil
	}
	return u
}

func (c *optionCheck) target(value string) {
	u := c.absolute("target", value)
	if u == nil {
		return
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		c.fail("target", quote(redacted(value)), "must be a scheme, host and port only, such as http://127.0.0.1:3000; the path is made of basePath")
	}
}

func (c *optionCheck) patterns(flag string, patterns []string) {
	for _, p := range patterns {
		if p == "" || !doublestar.ValidatePattern(p) {
			c.fail(flag, quote(p), "not a pattern; must be a glob such as '/products/**', '*.jpg' or 'https://cdn.example/**'")
		}
	}
}

func (c *optionCheck) integer(flag string, v, lowest, highest int) {
	if v < lowest || v > highest {
		c.fail(flag, strconv.Itoa(v), "must be an integer from %d to %d", lowest, highest)
	}
}

func (c *optionCheck) number(flag string, v float64) {
	if !(v >= 0) || math.IsInf(v, 0) {
		c.fail(flag, strconv.FormatFloat(v, 'g', -1, 64), "must be a number of requests a second, or 0 for no limit")
	}
}

// splitHeader reads "Name: value".
func splitHeader(h string) (name, value string, err error) {
	name, value, ok := strings.Cut(h, ":")
	value = strings.TrimSpace(value)
	if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return "", "", fmt.Errorf(`must be "Name: value"`)
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	switch name {
	case "Accept", "Accept-Encoding", "Content-Length", "Transfer-Encoding", "Connection", "Range", "If-None-Match", "If-Modified-Since":
		return "", "", fmt.Errorf("is decided by what is asked for, and cannot be set")
	}
	return name, value, nil
}

// header returns the headers of the options, without those that are wrong.
func (o *Options) header() http.Header {
	out := http.Header{}
	for _, h := range o.Headers {
		if name, value, err := splitHeader(h); err == nil {
			out.Add(name, value)
		}
	}
	return out
}

func texts(numbers []int) []string {
	var out []string
	for _, n := range numbers {
		out = append(out, strconv.Itoa(n))
	}
	return out
}

// oneOf lists what is allowed: "a, b or c".
func oneOf(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

// quote renders a value that was given for a line of text.
func quote(s string) string {
	if r := []rune(s); len(r) > 100 {
		s = string(r[:100]) + "…"
	}
	return strconv.Quote(s)
}

// redacted hides the user and password of what should be a url, whether or not it is one.
func redacted(s string) string {
	scheme := strings.Index(s, "://")
	at := strings.LastIndexByte(s, '@')
	if scheme < 0 || at < scheme {
		return s
	}
	return s[:scheme+len("://")] + "redacted@" + s[at+1:]
}
