package page

import (
	"fmt"
	"io"
	"slices"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Options say how a document is read.
type Options struct {
	// URL is the document's address, absolute: relative urls are resolved against it, or against its base element.
	URL string
	// Contains is a text that every wanted image's url contains as it is written, so that the others need not be
	// resolved; "" wants all.
	Contains string
	// FollowAll returns links in spite of rel=nofollow and of a robots meta element.
	FollowAll bool
}

// Page is what was found. All urls are absolute http or https urls as the URL Standard serialises them, without
// fragment, each once.
type Page struct {
	// Images are in the order of the document, those of React's payload last and sorted.
	Images []string
	// Links are the targets of a and area elements, in their order.
	Links []string
}

// Parse reads a document. An error is one of r, or says that the document is nested deeper than 512 elements.
func Parse(r io.Reader, o Options) (*Page, error) {
	base, err := whatwg.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("parse the address of the page %q: %w", o.URL, err)
	}
	// Without scripting, the content of noscript is elements. That is where next/legacy/image keeps what its script
	// will load, and what a browser without scripts loads.
	root, err := html.ParseWithOptions(r, html.ParseOptionEnableScripting(false))
	if err != nil {
		return nil, fmt.Errorf("parse HTML: %w", err)
	}
	d := &document{Options: o, base: base, images: set{}, links: set{}}
	d.findBase(root)
	d.walk(root)
	d.payload()
	if d.nofollow && !o.FollowAll {
		d.links = set{}
	}
	return &Page{Images: d.images.list(), Links: d.links.list()}, nil
}

// document is a page being read.
type document struct {
	Options
	base          *whatwg.Url
	images, links set
	nofollow      bool
	flight        strings.Builder
	data          string
}

// set keeps strings in the order in which they came.
type set map[string]int

func (s set) add(v string) {
	if _, ok := s[v]; !ok {
		s[v] = len(s)
	}
}

func (s set) list() []string {
	out := make([]string, len(s))
	for v, i := range s {
		out[i] = v
	}
	return out
}

// findBase takes the first base element with an href, wherever it is: it holds for what comes before it too.
func (d *document) findBase(root *html.Node) {
	for n := range root.Descendants() {
		if n.Type != html.ElementNode || n.DataAtom != atom.Base {
			continue
		}
		if href, ok := attribute(n, "href"); ok {
			if u, err := whatwg.ParseRef(d.base.Href(false), strings.Trim(href, asciiSpace)); err == nil && isHTTP(u) {
				d.base = u
			}
			return
		}
	}
}

// walk looks at n and what it contains. Its depth is bounded by the parser.
func (d *document) walk(n *html.Node) {
	if n.Type == html.ElementNode {
		if inert := d.element(n); inert {
			return
		}
	}
	for child := range n.ChildNodes() {
		d.walk(child)
	}
}

// element looks at one element and reports whether a browser ignores what it contains.
func (d *document) element(n *html.Node) (inert bool) {
	if style, ok := attribute(n, "style"); ok && strings.Contains(style, d.Contains) {
		cssURLs(style, d.image)
	}
	switch n.DataAtom {
	case atom.Img:
		d.attributeImage(n, "src")
		d.attributeSrcset(n, "srcset")
	case atom.Source:
		// Of audio and video it has a src, which is no image.
		d.attributeSrcset(n, "srcset")
	case atom.Video:
		d.attributeImage(n, "poster")
	case atom.Input:
		if kind, _ := attribute(n, "type"); strings.EqualFold(kind, "image") {
			d.attributeImage(n, "src")
		}
	case atom.Link:
		d.preload(n)
	case atom.Style:
		cssURLs(text(n), d.image)
	case atom.Script:
		d.script(n)
	case atom.A, atom.Area:
		d.link(n)
	case atom.Meta:
		d.robots(n)
	case atom.Template:
		_, shadow := attribute(n, "shadowrootmode")
		return !shadow
	}
	if n.Namespace == "svg" && n.Data == "image" {
		d.attributeImage(n, "href")
	}
	return false
}

func (d *document) attributeImage(n *html.Node, name string) {
	if v, ok := attribute(n, name); ok {
		d.image(v)
	}
}

func (d *document) attributeSrcset(n *html.Node, name string) {
	if v, ok := attribute(n, name); ok && strings.Contains(v, d.Contains) {
		for _, url := range Srcset(v) {
			d.image(url)
		}
	}
}

func (d *document) preload(n *html.Node) {
	rel, _ := attribute(n, "rel")
	as, _ := attribute(n, "as")
	if !hasToken(rel, "preload") || !strings.EqualFold(as, "image") {
		return
	}
	d.attributeImage(n, "href")
	d.attributeSrcset(n, "imagesrcset")
}

func (d *document) script(n *html.Node) {
	if id, _ := attribute(n, "id"); id == nextDataID {
		d.data = text(n)
		return
	}
	d.flight.WriteString(flightPiece(text(n)))
}

// payload looks through what the scripts hand to React. Texts of all kinds are in it, so that only what begins like a
// url counts, and what does not lead to an image is for the caller to see.
func (d *document) payload() {
	waiting := set{}
	found := func(s string) {
		if !strings.Contains(s, d.Contains) || !strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "http") {
			return
		}
		for _, url := range Srcset(s) {
			waiting.add(url)
		}
	}
	flightStrings(d.flight.String(), found)
	jsonStrings(d.data, found)
	// The members of a JSON object come in no order; the result should have one.
	for _, url := range slices.Sorted(slices.Values(waiting.list())) {
		d.image(url)
	}
}

// image adds the url of an image if it is wanted.
func (d *document) image(ref string) {
	if !strings.Contains(ref, d.Contains) {
		return
	}
	if u, ok := d.resolve(ref); ok {
		d.images.add(u)
	}
}

func (d *document) link(n *html.Node) {
	href, ok := attribute(n, "href")
	if _, download := attribute(n, "download"); !ok || download {
		return
	}
	if rel, _ := attribute(n, "rel"); hasToken(rel, "nofollow") && !d.FollowAll {
		return
	}
	if u, ok := d.resolve(href); ok {
		d.links.add(u)
	}
}

func (d *document) robots(n *html.Node) {
	if name, _ := attribute(n, "name"); !strings.EqualFold(name, "robots") {
		return
	}
	content, _ := attribute(n, "content")
	for part := range strings.SplitSeq(content, ",") {
		part = strings.Trim(part, asciiSpace)
		d.nofollow = d.nofollow || strings.EqualFold(part, "nofollow") || strings.EqualFold(part, "none")
	}
}

func (d *document) resolve(ref string) (string, bool) {
	u, err := whatwg.ParseRef(d.base.Href(false), strings.Trim(ref, asciiSpace))
	if err != nil || !isHTTP(u) {
		return "", false
	}
	return u.Href(true), true
}

func isHTTP(u *whatwg.Url) bool { return u.Scheme() == "http" || u.Scheme() == "https" }

// hasToken reports whether a list separated by white space has the token, in whatever case.
func hasToken(list, token string) bool {
	return slices.ContainsFunc(strings.Fields(list), func(t string) bool { return strings.EqualFold(t, token) })
}

func attribute(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name && (a.Namespace == "" || a.Namespace == "xlink") {
			return a.Val, true
		}
	}
	return "", false
}

// text is the text directly in n.
func text(n *html.Node) string {
	var b strings.Builder
	for child := range n.ChildNodes() {
		if child.Type == html.TextNode {
			b.WriteString(child.Data)
		}
	}
	return b.String()
}
