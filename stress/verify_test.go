//go:build e2e

package stress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/image/webp"

	"imgopt/failure"
	"imgopt/transform"
	"imgopt/transform/libvips"
)

// The headers that keep a browser from taking an image for a page: Next's defaults, which the tests leave alone.
const (
	policy      = "script-src 'none'; frame-src 'none'; sandbox;"
	disposition = "attachment"
)

// asked is one request of the corpus.
type asked struct {
	name   string // the path's last segment
	source []byte // what the service decodes; nil where a coding decides that
	plain  []byte // with source nil: what comes out of the coding, or ends early
	width  int
	accept string
	// allowSVG is how the service is configured.
	allowSVG bool
	// upstreamFault says that the origin itself breaks the rules of HTTP: then 502 is right.
	upstreamFault bool
}

// kind is what became of a request.
type kind string

const (
	encoded  kind = "encoded"      // a new image
	passed   kind = "passed on"    // the source's own bytes, as planned
	fallback kind = "fallback"     // the source's own bytes, because no image could be made of them
	refused  kind = "4xx"          // a client error
	throws   kind = "500 as Next"  // where Next's own detectors throw
	busy     kind = "503"          // with Retry-After
	upstream kind = "502"          // a body that breaks HTTP
	wrong    kind = "wrong answer" // anything else
)

// kinds in the order of the table.
var kinds = []kind{encoded, passed, fallback, refused, throws, upstream, busy, wrong}

// formats negotiates as the tests' service does: images.formats is AVIF, then WebP.
func formats(accept string) string {
	for _, media := range []string{transform.AVIF, transform.WebP} {
		if strings.Contains(accept, media) {
			return media
		}
	}
	return ""
}

// verify says what an answer is, and what is wrong with it.
func (q *asked) verify(a *answer) (kind, error) {
	if media := a.header.Get("Content-Type"); strings.Contains(media, "html") || strings.Contains(media, "script") {
		return wrong, fmt.Errorf("content type %q", media)
	}
	switch {
	case a.status == http.StatusOK:
		return q.verifyImage(a)
	case a.status == http.StatusServiceUnavailable:
		if s, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || s < 1 {
			return wrong, fmt.Errorf("503 with Retry-After %q", a.header.Get("Retry-After"))
		}
		return busy, nil
	case a.status == http.StatusBadGateway && q.upstreamFault:
		return upstream, nil
	case a.status == http.StatusInternalServerError && q.upstreamFault:
		return throws, nil // Next lets the error of a body that cannot be decoded through
	case a.status == http.StatusInternalServerError:
		if _, err := q.plan(); statusOf(err) != http.StatusInternalServerError {
			return wrong, errors.New("500 where Next would not fail")
		}
		return throws, nil
	case a.status >= 400 && a.status < 500:
		if len(a.body) > 200 {
			return wrong, fmt.Errorf("%d with %d bytes", a.status, len(a.body))
		}
		if _, err := q.plan(); len(q.source) > 0 && statusOf(err) != a.status {
			return wrong, fmt.Errorf("%d where %v was to be expected", a.status, err)
		}
		return refused, nil
	}
	return wrong, fmt.Errorf("status %d", a.status)
}

func (q *asked) plan() (transform.Plan, error) {
	return transform.Decide(q.source, formats(q.accept), q.allowSVG)
}

func statusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	return failure.From(err).Status
}

// extensions are those of the types that an answer can have.
var extensions = map[string]string{
	transform.JPEG: "jpeg", transform.PNG: "png", transform.WebP: "webp", transform.AVIF: "avif", transform.GIF: "gif", transform.SVG: "svg",
	transform.TIFF: "tiff", transform.BMP: "bmp", transform.ICO: "ico", transform.ICNS: "icns", transform.HEIC: "heic", transform.JXL: "jxl", transform.JP2: "jp2",
}

// verifyImage looks at an answer with status 200.
func (q *asked) verifyImage(a *answer) (kind, error) {
	media := a.header.Get("Content-Type")
	name, _, _ := strings.Cut(q.name, ".")
	for header, want := range map[string]string{
		"Content-Security-Policy": policy,
		"Content-Disposition":     fmt.Sprintf("%s; filename=%q", disposition, name+"."+extensions[media]),
		"X-Nextjs-Cache":          "MISS",
		"Content-Length":          strconv.Itoa(len(a.body)),
	} {
		if got := a.header.Get(header); got != want {
			return wrong, fmt.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	if shown, err := transform.Detect(a.body); err != nil || shown != media {
		return wrong, fmt.Errorf("content type %s, the bytes show %q (%v)", media, shown, err)
	}
	if q.source == nil {
		// Like Next's, a coding that ends early gives what came until then.
		if bytes.HasPrefix(q.plain, a.body) {
			return fallback, nil
		}
		return encoded, decode(media, a.body, q.width)
	}
	plan, err := q.plan()
	own := bytes.Equal(a.body, q.source)
	switch {
	case err != nil:
		return wrong, fmt.Errorf("an image where %v was to be expected", err)
	case own && media == plan.Source && plan.Passthrough:
		return passed, nil
	case own && media == plan.Source:
		return fallback, nil
	case plan.Passthrough:
		return wrong, errors.New("not the source's bytes, which were to be passed on")
	case media != plan.Output:
		return wrong, fmt.Errorf("encoded as %s instead of %s", media, plan.Output)
	}
	if err := decode(media, a.body, q.width); err != nil {
		return wrong, err
	}
	return encoded, nil
}

// decode reads an encoded image to its last pixel. Go's own decoders do it where there is one, so that libvips does
// not vouch for itself.
func decode(media string, b []byte, width int) error {
	decoders := map[string]func([]byte) (image.Image, error){
		transform.JPEG: func(b []byte) (image.Image, error) { return jpeg.Decode(bytes.NewReader(b)) },
		transform.PNG:  func(b []byte) (image.Image, error) { return png.Decode(bytes.NewReader(b)) },
		transform.GIF:  func(b []byte) (image.Image, error) { return gif.Decode(bytes.NewReader(b)) },
		transform.WebP: func(b []byte) (image.Image, error) { return webp.Decode(bytes.NewReader(b)) },
		transform.AVIF: viaPNG,
		transform.TIFF: viaPNG,
	}
	read, ok := decoders[media]
	if !ok {
		return fmt.Errorf("nothing is encoded as %s", media)
	}
	picture, err := read(b)
	if err != nil {
		return fmt.Errorf("what was encoded as %s cannot be decoded: %w", media, err)
	}
	if size := picture.Bounds().Size(); size.X < 1 || size.Y < 1 || size.X > width {
		return fmt.Errorf("%v pixels, asked for a width of %d", size, width)
	}
	return nil
}

// viaPNG decodes what Go cannot.
func viaPNG(b []byte) (image.Image, error) {
	if err := libvips.Start(); err != nil {
		return nil, err
	}
	var picture image.Image
	err := libvips.Run(context.Background(), b, transform.Spec{Output: transform.PNG, Width: 10_000, Quality: 75}, transform.Options{}, func(out []byte) (err error) {
		picture, err = png.Decode(bytes.NewReader(out))
		return err
	})
	return picture, err
}
