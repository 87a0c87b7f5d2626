// Package sitemap reads sitemaps and sitemap indexes (https://www.sitemaps.org/protocol.html): XML or one url a line,
// plain or compressed with gzip, as a stream. It knows no network.
package sitemap

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

// The protocol's limits for one file.
const (
	MaxBytes   = 50 << 20 // uncompressed
	MaxEntries = 50000
)

// maxURL is the protocol's bound for one url, 2,048, and some: longer ones are not worth an error.
const maxURL = 8192

// Errors that Read wraps.
var (
	ErrTooLarge = errors.New("larger than the protocol allows (50 MiB, 50,000 entries)")
	ErrFormat   = errors.New("no sitemap")
)

// Sitemap is what one file says.
type Sitemap struct {
	// Pages are the urls of a sitemap, Sitemaps those of a sitemap index, as they are written.
	Pages, Sitemaps []string

	maxEntries int
}

// Read reads one file. With an error it returns what came before. The error wraps ErrTooLarge, ErrFormat, or is one of
// r or of the compression.
func Read(r io.Reader) (*Sitemap, error) { return read(r, MaxBytes, MaxEntries) }

func read(r io.Reader, maxBytes int64, maxEntries int) (*Sitemap, error) {
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			return &Sitemap{}, fmt.Errorf("decompress: %w", err)
		}
		in = bufio.NewReader(unzipped)
	}
	in = bufio.NewReader(&limited{r: in, left: maxBytes})
	s := &Sitemap{maxEntries: maxEntries}
	if !looksLikeXML(in) {
		return s, s.readLines(in)
	}
	return s, s.readXML(in)
}

// limited fails when there is more than allowed, instead of pretending that it ended there.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left == 0 {
		var one [1]byte
		if n, err := l.r.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, ErrTooLarge
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// looksLikeXML reports whether the first character that is neither white space nor a byte order mark is "<", also in
// UTF-16.
func looksLikeXML(in *bufio.Reader) bool {
	head, _ := in.Peek(512)
	return bytes.HasPrefix(bytes.TrimLeft(head, "\ufeff\xfe\xff\x00 \t\r\n"), []byte("<"))
}

// readXML takes every loc that is directly in url (of urlset) or in sitemap (of sitemapindex), in any namespace but
// those of extensions: image:loc names a source, not a page.
func (s *Sitemap) readXML(in io.Reader) error {
	d := xml.NewDecoder(in)
	d.CharsetReader = charset.NewReaderLabel
	var path []xml.Name
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && len(path) == 0 && (s.Pages != nil || s.Sitemaps != nil) {
			return nil
		}
		var syntax *xml.SyntaxError
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: it has neither a urlset nor a sitemapindex", ErrFormat)
		case errors.As(err, &syntax):
			return fmt.Errorf("%w: %w", ErrFormat, err)
		case err != nil:
			return fmt.Errorf("read XML: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if path = append(path, t.Name); len(path) > maxDepth {
				return fmt.Errorf("%w: nested deeper than %d elements", ErrFormat, maxDepth)
			}
			if err := s.start(d, &path); err != nil {
				return err
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
}

// maxDepth is more than any extension needs.
const maxDepth = 32

func (s *Sitemap) start(d *xml.Decoder, path *[]xml.Name) error {
	p := *path
	if len(p) == 1 {
		switch p[0].Local {
		case "urlset":
			s.Pages = []string{}
		case "sitemapindex":
			s.Sitemaps = []string{}
		default:
			return fmt.Errorf("%w: it begins with %q", ErrFormat, p[0].Local)
		}
		return nil
	}
	if len(p) != 3 || p[2].Local != "loc" || p[2].Space != p[0].Space {
		return nil
	}
	var list *[]string
	switch {
	case p[1].Local == "url" && s.Pages != nil:
		list = &s.Pages
	case p[1].Local == "sitemap" && s.Sitemaps != nil:
		list = &s.Sitemaps
	default:
		return nil
	}
	*path = p[:2]
	loc, err := characters(d)
	if err != nil {
		return err
	}
	return s.add(list, loc)
}

// characters reads the text up to the end of the element that has just begun.
func characters(d *xml.Decoder) (string, error) {
	var b strings.Builder
	for depth := 1; depth > 0; {
		token, err := d.Token()
		if err != nil {
			return "", fmt.Errorf("%w: read loc: %w", ErrFormat, err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 1 && b.Len() <= maxURL {
				b.Write(t)
			}
		}
	}
	return b.String(), nil
}

// readLines reads the simple form: one url a line.
func (s *Sitemap) readLines(in io.Reader) error {
	s.Pages = []string{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxURL)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" {
			continue
		}
		if !utf8.ValidString(line) || !strings.HasPrefix(line, "http://") && !strings.HasPrefix(line, "https://") {
			return fmt.Errorf("%w: line %d is not a url", ErrFormat, n)
		}
		if err := s.add(&s.Pages, line); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%w: a line is longer than %d bytes", ErrFormat, maxURL)
	} else if err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	return nil
}

func (s *Sitemap) add(list *[]string, url string) error {
	if url = strings.TrimSpace(url); url == "" || len(url) > maxURL {
		return nil
	}
	if len(*list) == s.maxEntries {
		return ErrTooLarge
	}
	*list = append(*list, url)
	return nil
}
