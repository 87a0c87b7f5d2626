// Package validate decides whether a request for an optimised image is acceptable, and what it asks for. It gives
// the answers of Next.js (ImageOptimizerCache.validateParams in next/dist/server/image-optimizer.js, 16.4.6): the
// same checks in the same order with the same texts, the same reading of the query, of urls, of patterns and of the
// Accept header. It knows neither network nor images.
//
// Patterns that are more than text, "*", "**" and alternatives are matched by regexp2 with a time limit of a quarter
// of a second; a url for which that is not enough is refused as not allowed. While such patterns are used, regexp2
// keeps one goroutine for its clock, which ends by itself soon after the last match.
package validate

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"imgopt/deployment"
	"imgopt/failure"
)

// maxURLLength is Next.js' limit for the url parameter, in UTF-16 code units.
const maxURLLength = 3072

// DefaultFormat is what Next.js encodes to if no formats are configured.
const DefaultFormat = "image/webp"

// allowedFormats are the formats that Next.js' configuration may name.
var allowedFormats = []string{"image/avif", "image/webp"}

// Options is the part of a Next.js configuration that the checks need, below "images" except for BasePath.
type Options struct {
	// BasePath is the path under which the application lives, "" or "/docs".
	BasePath string
	// DeviceSizes and ImageSizes together are the widths that may be asked for, in pixels.
	DeviceSizes, ImageSizes []int
	// Qualities are the qualities that may be asked for, 1 to 100. Nil allows all of them, an empty list none.
	Qualities []int
	// Formats are the media types that may be chosen from the Accept header, the preferred one first. Nil means
	// DefaultFormat. With an empty list Next.js takes the client's first choice, whatever it is; see Params.Format.
	Formats []string
	// Domains are hostnames that are allowed with every scheme, port and path.
	Domains []string
	// RemotePatterns allow absolute urls. Without domains and patterns there are none.
	RemotePatterns []RemotePattern
	// LocalPatterns allow urls of the application. Nil allows all of them, an empty list none. The patterns that
	// Next.js adds when it resolves a configuration have to be added by the caller.
	LocalPatterns []LocalPattern
	// Deployments has Check look for the id of a deployment, in which Next.js has no interest.
	Deployments bool
}

// Rules are compiled options. They can be used by many goroutines.
type Rules struct {
	widths         []int
	qualities      []int // nil: all
	formats        []string
	domains        []string
	remote         []remoteRule
	local          []localRule
	allLocal       bool
	deployments    bool
	staticPrefixes [2]string
	warnings       []string
}

// Params is what an acceptable request asks for. It shares no memory with the request.
type Params struct {
	// URL is the url parameter, decoded.
	URL string
	// Href is the url as it is fetched and as it names the image in a cache: URL itself if it is relative, its
	// canonical form (punycode, resolved path, …) if it is absolute.
	Href string
	// Absolute says that Href starts with http:// or https://, not with "/".
	Absolute bool
	// Static says that the image belongs to the build and never changes.
	Static bool
	// Width is the wanted width in pixels, Quality the wanted quality, 1 to 100.
	Width, Quality int
	// Format is the media type to encode to, "" to keep that of the source. It is one of Options.Formats, but a
	// client that sends parameters with it gets them back ("image/webp;v=1"), and with an empty Options.Formats
	// it is what the client likes best. Next.js finds no encoder for such a type, encodes like the source and
	// labels the result with the type it has not made.
	Format string
	// Deployment is the id of the version of the application that asks, for a relative url and with
	// Options.Deployments; "" if the request names none, or none that deployment.Valid takes. It is not known to exist.
	Deployment string
}

// Compile checks options and prepares them. The error is an *OptionError.
func Compile(o Options) (*Rules, error) {
	var c compiler
	r := &Rules{
		widths:    slices.Concat(o.DeviceSizes, o.ImageSizes),
		qualities: slices.Clone(o.Qualities),
		formats:   slices.Clone(o.Formats),
		domains:   slices.Clone(o.Domains),
		allLocal:  o.LocalPatterns == nil,

		deployments: o.Deployments,
	}
	if o.BasePath != "" && (!strings.HasPrefix(o.BasePath, "/") || strings.HasSuffix(o.BasePath, "/")) {
		c.fail("basePath", o.BasePath, `is not allowed; it is empty or starts with "/" and does not end with one`)
	}
	for i, w := range r.widths {
		if w < 1 {
			key := "deviceSizes[" + strconv.Itoa(i) + "]"
			if n := len(o.DeviceSizes); i >= n {
				key = "imageSizes[" + strconv.Itoa(i-n) + "]"
			}
			c.fail(key, strconv.Itoa(w), "is not allowed; a width is at least 1")
		}
	}
	for i, q := range o.Qualities {
		if q < 1 || q > 100 {
			c.fail("qualities["+strconv.Itoa(i)+"]", strconv.Itoa(q), "is not allowed; a quality is 1 to 100")
		}
	}
	if r.formats == nil {
		r.formats = []string{DefaultFormat}
	}
	for i, f := range r.formats {
		if !slices.Contains(allowedFormats, f) {
			c.fail("formats["+strconv.Itoa(i)+"]", f, "is not allowed; "+strings.Join(allowedFormats, " and ")+" are")
		}
	}
	for i, p := range o.RemotePatterns {
		r.remote = append(r.remote, c.remotePattern("remotePatterns["+strconv.Itoa(i)+"]", p))
	}
	for i, p := range o.LocalPatterns {
		r.local = append(r.local, c.localPattern("localPatterns["+strconv.Itoa(i)+"]", p))
	}
	for i, dir := range []string{"/_next/static/media", "/_next/static/immutable/media"} {
		r.staticPrefixes[i] = o.BasePath + dir
	}
	r.warnings = c.warnings
	if c.err != nil {
		return nil, c.err
	}
	return r, nil
}

// Warnings names the patterns that Next.js accepts but that cannot match anything.
func (r *Rules) Warnings() []string { return slices.Clone(r.warnings) }

// Check looks at the query of a request, as it came over the wire and without "?", and at its Accept header, "" if
// there is none, with several headers joined by ", ". Neither is kept. The error is a *failure.Error: status 400
// with Next.js' text, or status 500 where Next.js fails itself.
func (r *Rules) Check(rawQuery, accept string) (Params, error) {
	query, ok := parseQuery(rawQuery)
	if !ok {
		return Params{}, requestLineInvalid.err()
	}
	var p Params
	if err := r.checkURL(query.url, &p); err != nil {
		return Params{}, err
	}
	if err := r.checkSize(query.w, query.q, &p); err != nil {
		return Params{}, err
	}
	if p.Format, ok = negotiate(accept, r.formats); !ok {
		return Params{}, unexpected(reasonAccept)
	}
	if r.deployments && !p.Absolute {
		p.Deployment = deploymentOf(query.dpl.raw, p.URL)
	}
	return p, nil
}

// deploymentOf returns the id of the deployment that a request names: beside the url, where the pages of Next.js 16 have
// it, or within, where a page that writes its urls itself may have it and Next.js' own pages look first
// (next/dist/shared/lib/image-loader.js).
func deploymentOf(param, url string) string {
	if id := decodeParam(param); deployment.Valid(id) {
		return strings.Clone(id) // nothing of the request is kept
	}
	url, _, _ = strings.Cut(url, "#")
	if _, search, ok := strings.Cut(url, "?"); ok {
		for pair := range strings.SplitSeq(search, "&") {
			if value, ok := strings.CutPrefix(pair, deployment.Param+"="); ok {
				if id := decodeParam(value); deployment.Valid(id) {
					return strings.Clone(id)
				}
				return ""
			}
		}
	}
	return ""
}

func (r *Rules) checkURL(param queryParam, p *Params) *failure.Error {
	switch {
	case param.count > 1:
		return urlRepeated.err()
	case param.raw == "":
		return urlMissing.err()
	}
	if p.URL = decodeParam(param.raw); len(p.URL) == len(param.raw) {
		p.URL = strings.Clone(p.URL) // nothing of the request is kept
	}
	switch {
	case len(p.URL) > maxURLLength && utf16Len(p.URL) > maxURLLength:
		return urlTooLong.err()
	case strings.HasPrefix(p.URL, "//"):
		return urlSchemless.err()
	case p.URL[0] == '/':
		return r.checkLocal(p)
	}
	return r.checkRemote(p)
}

func (r *Rules) checkLocal(p *Params) *failure.Error {
	p.Href = p.URL
	for _, prefix := range r.staticPrefixes {
		p.Static = p.Static || strings.HasPrefix(p.URL, prefix)
	}
	pathname, search, ok := parsePath(p.URL)
	if decoded := pathname; ok {
		if strings.IndexByte(pathname, '%') >= 0 {
			// PathUnescape and decodeURIComponent agree on what is an escape; the second insists on UTF-8 as well.
			var err error
			if decoded, err = url.PathUnescape(pathname); err != nil || !utf8.ValidString(decoded) {
				return unexpected(reasonURLEncoding)
			}
		}
		if isRecursive(decoded) {
			return urlRecursive.err()
		}
	}
	if r.allLocal {
		return nil
	}
	if !ok {
		return unexpected(reasonURLUnparsable)
	}
	var cause error
	for i := range r.local {
		ok, err := r.local[i].matches(pathname, search)
		if ok {
			return nil
		}
		if err != nil {
			cause = err
		}
	}
	return refuse(cause)
}

// isRecursive reports whether path contains "/_next/image" as the end or as a whole segment.
func isRecursive(path string) bool {
	const self = "/_next/image"
	for {
		i := strings.Index(path, self)
		if i < 0 {
			return false
		}
		path = path[i+len(self):]
		if path == "" || path[0] == '/' {
			return true
		}
	}
}

func (r *Rules) checkRemote(p *Params) *failure.Error {
	u, ok := parseAbsolute(p.URL)
	if !ok {
		return urlInvalid.err()
	}
	p.Href, p.Absolute = u.href, true
	if slices.Contains(r.domains, u.hostname) {
		return nil
	}
	var cause error
	for i := range r.remote {
		ok, err := r.remote[i].matches(&u)
		if ok {
			return nil
		}
		if err != nil {
			cause = err
		}
	}
	return refuse(cause)
}

// AllowsRemote reports whether the patterns and domains allow an absolute url, such as the target of a redirect.
func (r *Rules) AllowsRemote(url string) bool {
	p := Params{URL: url}
	return url != "" && r.checkRemote(&p) == nil
}

func (r *Rules) checkSize(w, q queryParam, p *Params) *failure.Error {
	switch {
	case w.count > 1:
		return widthRepeated.err()
	case w.raw == "":
		return widthMissing.err()
	}
	width, ok := parseDigits(decodeParam(w.raw))
	if !ok {
		return widthInvalid.err()
	}
	switch {
	case q.count > 1:
		return qualityRepeated.err()
	case q.raw == "":
		return qualityMissing.err()
	}
	rawQuality := decodeParam(q.raw)
	quality, ok := parseDigits(rawQuality)
	switch {
	case !ok:
		return qualityInvalid.err()
	case width == 0:
		return widthInvalid.err()
	}
	if p.Width = int(min(width, 1<<31)); !slices.Contains(r.widths, p.Width) {
		return widthRefused(width)
	}
	if quality < 1 || quality > 100 {
		return qualityInvalid.err()
	}
	if p.Quality = int(quality); r.qualities != nil && !slices.Contains(r.qualities, p.Quality) {
		return qualityRefused(rawQuality)
	}
	return nil
}

// parseDigits reads one or more digits as JavaScript's parseInt does: the nearest double.
func parseDigits(s string) (float64, bool) {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
	}
	if s == "" {
		return 0, false
	}
	f, _ := strconv.ParseFloat(s, 64) // out of range is +Inf, as in JavaScript
	return f, true
}
