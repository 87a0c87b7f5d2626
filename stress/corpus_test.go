//go:build e2e

package stress

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"imgopt/stress/corpus"
)

// images are the files of testdata/images.
const images = "../testdata/images"

// testImage reads one of them.
func testImage(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(images, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// testImages lists the images, in the order of their names.
func testImages(t testing.TB) []string {
	t.Helper()
	entries, err := os.ReadDir(images)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		switch e.Name() {
		case "cases.json", "README.md", "MANIFEST":
		default:
			names = append(names, e.Name())
		}
	}
	return names
}

// source is an entry of the corpus before it is made.
type source struct {
	group, name, coding string
	plain               []byte // see corpus.Case
	make                func() []byte
}

// Of every image there are that many copies; with STRESS_FULL unset a share of the list is asked for.
const (
	cutsPerImage    = 40
	flipsPerImage   = 2000
	splicesPerImage = 20
)

// mutants gives every damaged copy of every image, in the same order each time.
func mutants(t testing.TB, yield func(source)) {
	t.Helper()
	names := testImages(t)
	read := map[string][]byte{}
	for _, name := range names {
		read[name] = testImage(t, name)
	}
	for _, name := range names {
		b := read[name]
		for _, at := range corpus.Cuts(len(b), cutsPerImage) {
			yield(source{group: "truncated", name: name + "-cut-" + strconv.Itoa(at), make: func() []byte { return b[:at] }})
		}
	}
	for i := range flipsPerImage {
		for _, name := range names {
			yield(source{group: "flipped", name: name + "-flip-" + strconv.Itoa(i), make: func() []byte { return corpus.Flip(read[name], name, i) }})
		}
	}
	for i := range splicesPerImage {
		for at, name := range names {
			other := names[(at*7+i*31+1)%len(names)]
			yield(source{group: "spliced", name: name + "-splice-" + strconv.Itoa(i), make: func() []byte {
				return corpus.Splice(read[name], read[other], name+other, i)
			}})
		}
	}
}

// hostile gives the bombs and polyglots.
func hostile(t testing.TB, yield func(source)) {
	t.Helper()
	for _, c := range corpus.All(testImage(t, "avif-plain.avif"), testImage(t, "webp-lossy.webp")) {
		yield(source{group: c.Group, name: c.Name, coding: c.Coding, plain: c.Plain, make: c.Make})
	}
}

// widths and accepts of the requests. No test image but a few is wider than 640 pixels, and nothing is enlarged.
var (
	widths  = []int{32, 64, 256, 640, 1920}
	accepts = []string{"", "image/webp,*/*", "image/avif,image/webp,*/*"}
)

// draw picks the width and the Accept header of a source's request; what is picked depends on nothing but the number.
func draw(number int) (width int, accept string) {
	r := rand.New(rand.NewPCG(uint64(number), 1))
	accept = accepts[r.IntN(2)]
	if r.IntN(8) == 0 {
		accept = accepts[2] // the slowest encoder
	}
	return widths[r.IntN(len(widths))], accept
}

// kept reports whether a source is asked for when only one of each n is.
func kept(number, n int) bool {
	return n <= 1 || rand.New(rand.NewPCG(uint64(number), 2)).IntN(n) == 0
}

// chosen reports whether a source is of the group that STRESS_GROUP names, or is wanted because there is no such name.
func chosen(s source) bool {
	group := os.Getenv("STRESS_GROUP")
	return group == "" || group == s.group || group == "hostile" && !slices.Contains([]string{"truncated", "flipped", "spliced"}, s.group)
}

func (s source) String() string { return fmt.Sprintf("%s/%s", s.group, s.name) }
