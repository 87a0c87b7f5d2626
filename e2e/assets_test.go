//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// assets are the images the requests are about.
type assets struct {
	tile, small, webp, gif, svg []byte
	photo                       []byte
	images                      []testImage
	odd                         []string // names in /odd that are hard to handle
}

// testImage is a file of testdata/images, as it lies in the public folder.
type testImage struct {
	file  string
	size  int64
	heavy bool // cases.json says that it takes seconds or a gigabyte to decode
}

func loadAssets(t *testing.T) assets {
	read := func(path string) []byte {
		b, err := os.ReadFile(filepath.Join("next", path))
		if err != nil {
			t.Fatalf("run e2e/setup first: %v", err)
		}
		return b
	}
	a := assets{
		tile:  read("public/assets/tile.png"),
		small: read("public/assets/small.png"),
		webp:  read("public/assets/still.webp"),
		gif:   read("public/assets/moving.gif"),
		svg:   read("public/assets/drawing.svg"),
		photo: read("public/assets/photo.jpg"),
	}
	if err := json.Unmarshal(read(".assets/odd.json"), &a.odd); err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		File  string
		Heavy bool
	}
	if err := json.Unmarshal(read("public/images/cases.json"), &cases); err != nil {
		t.Fatal(err)
	}
	heavy := map[string]bool{} // of the cases; other files there are about them
	for _, c := range cases {
		heavy[c.File] = c.Heavy
	}
	entries, err := os.ReadDir(filepath.Join("next", "public", "images"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries { // sorted by name
		if _, isCase := heavy[e.Name()]; !isCase {
			continue
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		a.images = append(a.images, testImage{file: e.Name(), size: info.Size(), heavy: heavy[e.Name()]})
	}
	if len(a.images) == 0 {
		t.Fatal("no images: run e2e/setup first")
	}
	return a
}

// loopbacks are the addresses the origin listens on: those that the patterns of the variants tell apart.
func loopbacks() []string {
	addrs := []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.2.1", "127.0.2.2", "127.0.3.1", "127.3.2.1", "::1"}
	for n := range pathnameGlobs {
		addrs = append(addrs, fmt.Sprintf("127.0.1.%d", n))
	}
	return addrs
}

// pathnameGlobs and hostnameGlobs are how many patterns next/variants.mjs lists.
const (
	pathnameGlobs = 30
	hostnameGlobs = 20
)

// startOrigin starts the upstream of absolute urls: any path is the small image.
func startOrigin(t *testing.T, a assets) *Origin {
	small := func(*http.Request) Reply {
		return Reply{Header: [][2]string{{"Content-Type", "image/png"}}, Body: a.small}
	}
	o, err := NewOrigin(small, loopbacks()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

// serial numbers the paths of the origin, so that no two cases share a cache entry.
var serial atomic.Int64

// serve lets the origin answer a fresh path, which ends in name, with h, and returns its url.
func (s *suite) serve(name string, h Handler) string {
	return s.origin.URL(s.servePath(name, h))
}

// servePath is serve for callers that need the path.
func (s *suite) servePath(name string, h Handler) string {
	path := fmt.Sprintf("/case/%d/%s", serial.Add(1), name)
	s.origin.Handle(path, h)
	return path
}

// always returns a handler that gives every request the same reply.
func always(r Reply) Handler { return func(*http.Request) Reply { return r } }

// program is what the application's /gen route answers: the upstream of relative urls.
type program struct {
	Status  int               `json:"status,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	File    string            `json:"file,omitempty"` // a file of public/assets
	Body    []byte            `json:"body,omitempty"`
	Chunks  int               `json:"chunks,omitempty"`
	Pad     int               `json:"pad,omitempty"`   // zero bytes after the body
	Delay   int               `json:"delay,omitempty"` // milliseconds
}

// gen returns the relative url of a program, ending in name.
func (s *session) gen(name string, p program) string {
	b, err := json.Marshal(p)
	if err != nil {
		s.t.Error(err)
	}
	return fmt.Sprintf("%s/gen/%s/%d/%s", s.base, base64.RawURLEncoding.EncodeToString(b), serial.Add(1), name)
}

// escapePath percent-encodes each segment of a path as encodeURIComponent would.
func escapePath(path string) string {
	segments := strings.Split(path, "/")
	for i, seg := range segments {
		segments[i] = strings.ReplaceAll(url.QueryEscape(seg), "+", "%20")
	}
	return strings.Join(segments, "/")
}
