package prewarm

import (
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// filter keeps what the command line asks for.
type filter struct{ Options }

// source reports whether a source passes Include and Exclude.
func (f filter) source(href string) bool {
	matches := func(pattern string) bool { return Match(pattern, href) }
	return (len(f.Include) == 0 || slices.ContainsFunc(f.Include, matches)) && !slices.ContainsFunc(f.Exclude, matches)
}

// variant reports whether a variant passes Widths and Qualities. Formats are left out earlier.
func (f filter) variant(v *Variant) bool {
	return (len(f.Widths) == 0 || slices.Contains(f.Widths, v.Width)) &&
		(len(f.Qualities) == 0 || slices.Contains(f.Qualities, v.Quality))
}

// Match reports whether a source matches a glob of --include or --exclude. "*" and "?" stand for anything but a slash,
// "**" as a path segment for any number of segments, [a-z] and {a,b} as in a shell. The query of a source is not
// looked at. What a pattern is compared with depends on how it begins:
//
//	/products/**           the path of the source, on whatever host, with the basePath
//	https://cdn.example/** an absolute source from its scheme to the end of its path
//	*.jpg                  the last segment of the path
func Match(pattern, href string) bool {
	text, _, _ := strings.Cut(href, "?")
	switch {
	case strings.Contains(pattern, "://"):
	case strings.HasPrefix(pattern, "/"):
		text = pathOf(text)
	default:
		text = path.Base(pathOf(text))
	}
	ok, err := doublestar.Match(pattern, text)
	return err == nil && ok
}

// pathOf is the path of a relative or canonical absolute href without query.
func pathOf(href string) string {
	_, rest, absolute := strings.Cut(href, "://")
	if strings.HasPrefix(href, "/") || !absolute {
		return href
	}
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		return rest[slash:]
	}
	return "/"
}
