package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"path/filepath"
	"slices"
	"strings"

	"github.com/disintegration/imaging"
)

// What Next does with a file (the answer field of a case).
const (
	answerOptimized   = "optimized"   // decoded, resized, encoded
	answerPassthrough = "passthrough" // sent on unchanged, on purpose: animated, or a type it leaves alone
	answerFallback    = "fallback"    // sent on unchanged, because decoding or encoding failed
	answerError       = "error"       // refused with a status and a text
)

// The texts of next/dist/server/image-optimizer/transform.js, and what Next's server says when
// something was thrown that it did not expect.
const (
	textNotImage   = "The requested resource isn't a valid image."
	textNotAllowed = `"url" parameter is valid but image type is not allowed`
	textCrash      = "Internal Server Error"
)

// testCase is one file of the corpus. The exported fields are an entry of cases.json.
type testCase struct {
	Name     string          `json:"name"`
	File     string          `json:"file"`
	Group    string          `json:"group"`
	Shows    string          `json:"shows"`
	Type     string          `json:"type"`             // what Next detects; "" if nothing
	Animated bool            `json:"animated"`         // what Next's is-animated says
	Answer   string          `json:"answer"`           // for width 64, quality 75, webp accepted
	Status   int             `json:"status,omitempty"` // of an error
	Text     string          `json:"text,omitempty"`   // of an error
	Heavy    bool            `json:"heavy,omitempty"`  // takes seconds or hundreds of megabytes to decode
	Tool     string          `json:"tool,omitempty"`   // the program besides libvips that made it
	Bytes    int             `json:"bytes"`
	SHA256   string          `json:"sha256"`
	Next     json.RawMessage `json:"next,omitempty"`

	make func() []byte
	body []byte
}

// corpus collects the cases; photo and the rest are the pictures they share.
type corpus struct {
	cases  []*testCase
	groups []string // in the order of the README
	group  string
	kind   string // detected type of the group's files

	photo  *image.NRGBA // 1600 by 1067
	medium *image.NRGBA // 360 by 240
	small  *image.NRGBA // 150 by 100
	face   *image.NRGBA // the face alone, 300 by 360
}

func newCorpus() *corpus {
	c := &corpus{photo: photo(1600, 2)}
	c.medium = imaging.Resize(c.photo, 360, 240, imaging.Lanczos)
	c.small = imaging.Resize(c.photo, 150, 100, imaging.Lanczos)
	c.face = imaging.Resize(imaging.Crop(c.photo, image.Rect(1050, 280, 1450, 760)), 300, 360, imaging.Lanczos)
	c.photos()
	c.jpegs()
	c.jpegMetadata()
	c.colours()
	c.orientations()
	c.pngs()
	c.pngChunks()
	c.alphas()
	c.gifs()
	c.apngs()
	c.webps()
	c.avifs()
	c.tiffs()
	c.otherTypes()
	c.vectors()
	c.sizes()
	c.truncated()
	c.corrupt()
	c.mislabelled()
	c.bombs()
	return c
}

// in starts a group: its name, and the type Next detects in its files unless a case says otherwise.
func (c *corpus) in(group, kind string) {
	c.group, c.kind = group, kind
	if !slices.Contains(c.groups, group) {
		c.groups = append(c.groups, group)
	}
}

// add registers a file, expected to be optimised; the methods of testCase change the expectation.
func (c *corpus) add(file, shows string, build func() []byte) *testCase {
	t := &testCase{
		Name: strings.TrimSuffix(file, filepath.Ext(file)), File: file, Group: c.group, Shows: shows,
		Type: c.kind, Answer: answerOptimized, make: build,
	}
	c.cases = append(c.cases, t)
	return t
}

// raw registers a file whose bytes are at hand.
func (c *corpus) raw(file, shows string, b []byte) *testCase {
	return c.add(file, shows, func() []byte { return b })
}

// vips registers a file that libvips writes with the options of suffix.
func (c *corpus) vips(file, shows string, p pixels, suffix string) *testCase {
	return c.add(file, shows, func() []byte { return must(p.encode(suffix)) })
}

func (t *testCase) as(kind string) *testCase { t.Type = kind; return t }
func (t *testCase) named(n string) *testCase { t.Name = n; return t }
func (t *testCase) passthrough() *testCase   { t.Answer = answerPassthrough; return t }
func (t *testCase) moving() *testCase        { t.Animated = true; return t.passthrough() }
func (t *testCase) fallback() *testCase      { t.Answer = answerFallback; return t }
func (t *testCase) heavy() *testCase         { t.Heavy = true; return t }
func (t *testCase) by(tool string) *testCase { t.Tool = tool; return t }

// refused expects an error; notImage one because nothing was detected.
func (t *testCase) refused(status int, text string) *testCase {
	t.Answer, t.Status, t.Text = answerError, status, text
	return t
}

func (t *testCase) notImage() *testCase { t.Type = ""; return t.refused(400, textNotImage) }

// build makes every file. Those of a program that is not installed are taken from committed; their
// names are returned.
func (c *corpus) build(committed func(file string) ([]byte, error)) (kept []string, err error) {
	seen := map[string]bool{}
	for _, t := range c.cases {
		if seen[t.Name] || seen[t.File] {
			return nil, fmt.Errorf("case %s: name or file used twice", t.Name)
		}
		seen[t.Name], seen[t.File] = true, true
		switch err := t.run(); {
		case errors.Is(err, errNoTool):
			if t.body, err = committed(t.File); err != nil {
				return nil, fmt.Errorf("case %s: %s is not installed (see tools) and no file is committed: %w", t.Name, t.Tool, err)
			}
			kept = append(kept, t.File)
		case err != nil:
			return nil, fmt.Errorf("case %s: %w", t.Name, err)
		}
		t.Bytes, t.SHA256 = len(t.body), sum(t.body)
	}
	slices.SortFunc(c.cases, func(a, b *testCase) int { return strings.Compare(a.File, b.File) })
	return kept, nil
}

// run calls the case's function and turns must's panic into an error.
func (t *testCase) run() (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case failed:
			err = v.error
		default:
			panic(v)
		}
	}()
	t.body = t.make()
	return nil
}

// failed is what must panics with, to tell it from a fault of the program.
type failed struct{ error }

// must gives v, or ends the case at hand with err: the recipes of two hundred files would drown in
// error checks otherwise.
func must[T any](v T, err error) T {
	if err != nil {
		panic(failed{err})
	}
	return v
}
