package prewarm

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"

	"imgopt/failure"
	"imgopt/validate"
)

// SiteOptions are what a Next.js configuration says that decides which urls pages ask for and what is served for them.
type SiteOptions struct {
	// Options are the rules of the endpoint, `images` and `basePath` of next.config.js.
	validate.Options
	// AssetPrefix is where /_next/static is loaded from: "", a path (Next.js sets it to the basePath) or a url.
	AssetPrefix string
	// TrailingSlash says that pages ask for {basePath}/_next/image/ instead of {basePath}/_next/image.
	TrailingSlash bool
	// AllowSVG is images.dangerouslyAllowSVG: without it next/image does not ask the optimizer for a .svg.
	AllowSVG bool
	// Off says that images.unoptimized is set or images.loader is not "default": there is no endpoint then.
	Off bool
	// DeploymentID is the deploymentId of next.config.js, which pages add as &dpl= to requests for relative urls; "" is
	// that of the build that Find reads.
	DeploymentID string
}

// Site knows what a browser asks the endpoint for and what it would get. It can be used by many goroutines.
type Site struct {
	options SiteOptions
	rules   *validate.Rules
	clients []client // those that get different things, the most modern first
}

// endpoint is the path below the basePath.
const endpoint = "/_next/image"

// client is a kind of browser, told apart by what it accepts when it loads an image.
type client struct {
	// accept is the Accept header as sent.
	accept string
	// format is the media type that is chosen for it, "" if it gets the source's.
	format string
}

// accepts are the headers that browsers send for img elements (MDN, "List of default Accept values"). With the formats
// that images.formats may name, those that know AVIF get the same; see client.
var accepts = []string{
	"image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",                                                             // Chrome, Edge
	"image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",                                                        // Firefox
	"image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", // Safari
	"image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5",                                                     // Safari 14 to 16.3
	"image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5",                                                                // Safari before 14
}

// Original names the format of what is served in the source's own type (webp and avif sources become jpeg).
const Original = "original"

// ErrOff is the error of a site without endpoint: misuse, exit code 2.
var ErrOff = errors.New("the application does not optimize images: images.unoptimized is set, or images.loader is not default")

// NewSite compiles the rules. The error is ErrOff or wraps a *validate.OptionError.
func NewSite(o SiteOptions) (*Site, error) {
	if o.Off {
		return nil, ErrOff
	}
	rules, err := validate.Compile(o.Options)
	if err != nil {
		return nil, fmt.Errorf("compiling the rules of images: %w", err)
	}
	s := &Site{options: o, rules: rules}
	// Which type a client gets, the rules themselves say, asked for something that is surely allowed.
	open := o.Options
	open.DeviceSizes, open.Qualities, open.LocalPatterns = []int{1}, nil, nil
	probe, err := validate.Compile(open)
	if err != nil {
		return nil, fmt.Errorf("compiling the rules of images: %w", err)
	}
	for _, accept := range accepts {
		p, err := probe.Check("url=/a&w=1&q=1", accept)
		if err != nil {
			return nil, fmt.Errorf("choosing a format for Accept: %s: %w", accept, err)
		}
		if !slices.ContainsFunc(s.clients, func(known client) bool { return known.format == p.Format }) {
			s.clients = append(s.clients, client{accept: accept, format: p.Format})
		}
	}
	return s, nil
}

// Formats names what the site serves to browsers, the most modern first: for images.formats [avif, webp] that is avif,
// webp and original.
func (s *Site) Formats() []string {
	var names []string
	for _, c := range s.clients {
		names = append(names, formatName(c.format))
	}
	return names
}

// formatName is a format as people call it: "avif" for image/avif, Original for "".
func formatName(media string) string {
	if media == "" {
		return Original
	}
	return strings.TrimPrefix(media, "image/")
}

// Endpoint is the path that pages ask for: {basePath}/_next/image, with a slash if TrailingSlash.
func (s *Site) Endpoint() string {
	if s.options.TrailingSlash {
		return s.options.BasePath + endpoint + "/"
	}
	return s.options.BasePath + endpoint
}

// query returns the query of a url that leads to the endpoint, in either form.
func (s *Site) query(u *whatwg.Url) (string, bool) {
	path := strings.TrimSuffix(u.Pathname(), "/")
	if path != s.options.BasePath+endpoint {
		return "", false
	}
	return u.Query(), true
}

// widths are all widths that next/image chooses from, ascending.
func (s *Site) widths() []int {
	all := slices.Concat(s.options.DeviceSizes, s.options.ImageSizes)
	slices.Sort(all)
	return slices.Compact(all)
}

// defaultQuality is what next/image asks for when it is told nothing (next/dist/shared/lib/find-closest-quality.js).
const defaultQuality = 75

// qualities are the qualities that may be asked for; where any may, it is the one that next/image asks for by itself.
func (s *Site) qualities() []int {
	if s.options.Qualities == nil {
		return []int{defaultQuality}
	}
	return s.options.Qualities
}

// expand returns the queries for one source as next/image's loader writes them (next/dist/shared/lib/image-loader.js):
// every width and quality. Which of the widths an Image element really asks for depends on its width, sizes and fill.
func (s *Site) expand(source, deployment string, widths, qualities []int) []string {
	suffix := ""
	if id := cmp.Or(s.options.DeploymentID, deployment); id != "" && strings.HasPrefix(source, "/") && !strings.Contains(source, "/_next/static/immutable") {
		suffix = "&dpl=" + url.QueryEscape(id)
	}
	var out []string
	for _, q := range qualities {
		for _, w := range widths {
			out = append(out, "url="+encodeURIComponent(source)+"&w="+strconv.Itoa(w)+"&q="+strconv.Itoa(q)+suffix)
		}
	}
	return out
}

// encodeURIComponent is JavaScript's function. Go's QueryEscape differs in "+" for a space and in !'()*.
func encodeURIComponent(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.!~*'()", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// variants are what the clients that want one of the formats get for a query, each once. An error is what every client
// gets instead: a *failure.Error.
func (s *Site) variants(query string, formats []string) ([]Variant, error) {
	var out []Variant
	for _, c := range s.clients {
		if len(formats) > 0 && !slices.Contains(formats, formatName(c.format)) {
			continue
		}
		p, err := s.rules.Check(query, c.accept)
		if err != nil {
			return nil, failure.From(err)
		}
		out = append(out, Variant{
			Params: p,
			Query:  query,
			Accept: c.accept,
			Format: formatName(p.Format),
			Origin: originOf(p),
			key:    keyOf(p, deployment(query)),
		})
	}
	return out, nil
}

// originOf is the scheme, host and port a source is fetched from; "" is the application itself.
func originOf(p validate.Params) string {
	if !p.Absolute {
		return ""
	}
	u, err := url.Parse(p.Href)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// deployment is the dpl parameter: where two versions of an application run side by side, it may lead to another origin.
func deployment(query string) string {
	if !strings.Contains(query, "dpl=") {
		return ""
	}
	values, _ := url.ParseQuery(query)
	return values.Get("dpl")
}
