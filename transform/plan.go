package transform

import (
	"net/http"
	"strings"

	"imgopt/failure"
)

// Plan says what is to be done with a source.
type Plan struct {
	// Source is the media type its bytes show.
	Source string
	// Output is the media type of the answer; the same as Source where Passthrough is set.
	Output string
	// Passthrough means that the source is served unchanged.
	Passthrough bool
}

// Decide reads the source's type and makes the plan. format is the negotiated media type ("image/avif",
// "image/webp") or "" for none. The errors are *failure.Error with Next.js' texts: 400 for what is no image or a
// refused svg, 500 where Next.js' own detectors throw.
func Decide(src []byte, format string, allowSVG bool) (Plan, error) {
	media, err := Detect(src)
	if err != nil {
		return Plan{}, failure.Wrap(http.StatusInternalServerError, "detect_failed", "Internal Server Error", err)
	}
	if !strings.HasPrefix(media, "image/") {
		return Plan{}, failure.New(http.StatusBadRequest, "not_an_image", "The requested resource isn't a valid image.")
	}
	if media == SVG && !allowSVG {
		return Plan{}, failure.New(http.StatusBadRequest, "svg_not_allowed", `"url" parameter is valid but image type is not allowed`)
	}
	if media == WebP || media == PNG || media == GIF {
		animated, err := Animated(src)
		if err != nil {
			return Plan{}, failure.Wrap(http.StatusInternalServerError, "detect_failed", "Internal Server Error", err)
		}
		if animated {
			return Plan{Source: media, Output: media, Passthrough: true}, nil
		}
	}
	switch media {
	case SVG, ICO, ICNS, BMP, JXL, HEIC:
		return Plan{Source: media, Output: media, Passthrough: true}, nil
	}
	switch {
	case format != "":
		return Plan{Source: media, Output: format}, nil
	case media == WebP || media == AVIF: // a client that did not say it can show these
		return Plan{Source: media, Output: JPEG}, nil
	default:
		return Plan{Source: media, Output: media}, nil
	}
}
