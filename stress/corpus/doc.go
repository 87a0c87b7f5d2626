// Package corpus makes hostile sources: damaged copies of real images, files that would grow without bound if a
// decoder believed them, and files that are an image to one program and something else to the next. Everything is
// made by a fixed seed, so that a case has the same bytes on every machine and is named by what it was made from.
package corpus

import "bytes"

// Case is one hostile source, as an origin would send it.
type Case struct {
	// Name is unique within the corpus and may be a segment of a url's path.
	Name string
	// Group is the family it belongs to: "png", "jpeg", … for bombs, "polyglot", "coding".
	Group string
	// Coding is the Content-Encoding that the origin names, "" for none.
	Coding string
	// Plain is the picture that Coding is said to hold, of which an answer may be the beginning; nil without a coding.
	Plain []byte
	// Make returns the bytes that the origin sends.
	Make func() []byte
}

// All returns every bomb and polyglot. The images are good ones of the formats that are easier taken apart than
// written: "avif" and "webp" files.
func All(avif, webp []byte) []Case {
	var all []Case
	for _, cases := range [][]Case{pngs(), jpegs(), gifs(), webps(webp), avifs(avif), tiffs(), bitmaps(), svgs(), polyglots(avif), codings()} {
		all = append(all, cases...)
	}
	return all
}

// group is a list of cases of one family under construction.
type group struct {
	name  string
	cases []Case
}

func (g *group) add(name string, build func() []byte) {
	g.cases = append(g.cases, Case{Name: name, Group: g.name, Make: build})
}

// raw adds a case that is made at once because it is small.
func (g *group) raw(name string, parts ...[]byte) {
	b := bytes.Join(parts, nil)
	g.add(name, func() []byte { return b })
}
