//go:build e2e

package stress

import (
	"bytes"
	"image"
	"image/jpeg"
	"maps"
	"net/http"
	"strconv"
	"testing"

	"imgopt/transform"
)

// The checks of the horror test find what is wrong with an answer.
func TestVerify(t *testing.T) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 64, 64)), nil); err != nil {
		t.Fatal(err)
	}
	made := b.Bytes()
	source := testImage(t, "photo-640.jpg")
	gif := testImage(t, "gif-animated.gif")
	header := func(media, name string, n int) http.Header {
		return http.Header{"Content-Type": {media}, "Content-Security-Policy": {policy}, "X-Nextjs-Cache": {"MISS"}, "Content-Length": {strconv.Itoa(n)},
			"Content-Disposition": {`attachment; filename="` + name + `"`}}
	}
	ok := func(media, name string, body []byte) *answer {
		return &answer{200, header(media, name, len(body)), body}
	}
	with := func(a *answer, name string, value ...string) *answer {
		h := maps.Clone(a.header)
		h[name] = value
		return &answer{a.status, h, a.body}
	}
	photo := &asked{name: "a.jpg", source: source, width: 64}
	webp := &asked{name: "a.jpg", source: source, width: 64, accept: acceptWebP}
	moving := &asked{name: "a.gif", source: gif, width: 64}
	page := &asked{name: "a.html", source: []byte("<html>"), width: 64}
	torn := &asked{name: "a.png", source: []byte("\x89PNG\r\n\x1a\n\x00"), width: 64}
	good := ok(transform.JPEG, "a.jpeg", made)
	for name, c := range map[string]struct {
		q    *asked
		a    *answer
		want kind
	}{
		"made":                   {photo, good, encoded},
		"fallback":               {photo, ok(transform.JPEG, "a.jpeg", source), fallback},
		"passed on":              {moving, ok(transform.GIF, "a.gif", gif), passed},
		"refused":                {page, &answer{400, http.Header{}, nil}, refused},
		"thrown":                 {torn, &answer{500, http.Header{}, nil}, throws},
		"busy":                   {photo, &answer{503, http.Header{"Retry-After": {"1"}}, nil}, busy},
		"impolite":               {photo, &answer{503, http.Header{}, nil}, wrong},
		"late":                   {photo, &answer{504, http.Header{}, nil}, wrong},
		"upstream":               {photo, &answer{502, http.Header{}, nil}, wrong},
		"broken":                 {photo, &answer{500, http.Header{}, nil}, wrong},
		"refused without reason": {photo, &answer{400, http.Header{}, nil}, wrong},
		"a page as an image":     {page, ok(transform.JPEG, "a.jpeg", made), wrong},
		"another status":         {photo, &answer{206, good.header, made}, wrong},
		"no policy":              {photo, with(good, "Content-Security-Policy"), wrong},
		"another policy":         {photo, with(good, "Content-Security-Policy", "default-src *"), wrong},
		"inline":                 {photo, with(good, "Content-Disposition", `inline; filename="a.jpeg"`), wrong},
		"another name":           {photo, with(good, "Content-Disposition", `attachment; filename="a.html"`), wrong},
		"html":                   {photo, with(good, "Content-Type", "text/html"), wrong},
		"an error as html":       {page, &answer{400, http.Header{"Content-Type": {"text/html"}}, nil}, wrong},
		"another type":           {photo, ok(transform.PNG, "a.png", made), wrong},
		"not what was asked for": {webp, good, wrong},
		"cut":                    {photo, ok(transform.JPEG, "a.jpeg", made[:len(made)-20]), wrong},
		"too wide":               {&asked{name: "a.jpg", source: source, width: 32}, good, wrong},
		"changed":                {moving, ok(transform.GIF, "a.gif", gif[:len(gif)-1]), wrong},
		"part of the source":     {photo, ok(transform.JPEG, "a.jpeg", source[:len(source)/2]), wrong},
	} {
		got, err := c.q.verify(c.a)
		if got != c.want || (err != nil) != (c.want == wrong) {
			t.Errorf("%s: taken for %q (%v), want %q", name, got, err, c.want)
		}
	}
}
