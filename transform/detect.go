package transform

import (
	"encoding/binary"
	"errors"
	"regexp"

	"github.com/h2non/filetype/matchers"
)

// ErrInvalidPNG is returned by Detect for bytes that carry a PNG signature behind a wrong first byte and then no
// header: Next.js' detector throws there, outside of any handling, and the request ends as 500.
var ErrInvalidPNG = errors.New("PNG signature without an IHDR chunk")

// sniffWindow is how many bytes the second detector looks at.
const sniffWindow = 1024

// first is the list of signatures that are tried first, in Next.js' order. filetype's matchers serve where they
// ask for the same bytes; where they ask for fewer (png, gif, webp) or for more (tiff, jp2), own ones do.
var first = []struct {
	media string
	match matchers.Matcher
}{
	{JPEG, matchers.Jpeg},
	{PNG, prefix("\x89PNG\r\n\x1a\n")},
	{GIF, prefix("GIF8")},
	{WebP, func(b []byte) bool { return prefix("RIFF")(b) && matchers.Webp(b) }},
	{SVG, prefix("<?xml")},
	{SVG, prefix("<svg")},
	{AVIF, ftyp("avif")},
	{ICO, matchers.Ico},
	{ICNS, prefix("icns")},
	{TIFF, prefix("II*\x00")},
	{BMP, matchers.Bmp},
	{JXL, prefix("\xff\x0a")},
	{JXL, prefix("\x00\x00\x00\x0cJXL \r\n\x87\n")},
	{HEIC, ftyp("heic")},
	{PDF, prefix("%PDF-")},
	{JP2, prefix("\x00\x00\x00\x0cjP  \r\n\x87\n")},
}

// Detect tells the media type from the bytes alone, or "" where they are no image that Next.js knows. The order
// and strictness are those of detect-content-type.js and of the image-size detector behind it. It fails only
// with ErrInvalidPNG.
func Detect(b []byte) (string, error) {
	if len(b) == 0 {
		return "", nil
	}
	for _, s := range first {
		if s.match(b) {
			return s.media, nil
		}
	}
	return sniff(b[:min(len(b), sniffWindow)])
}

func prefix(magic string) matchers.Matcher {
	return func(b []byte) bool { return len(b) >= len(magic) && string(b[:len(magic)]) == magic }
}

// ftyp matches an ISO base media file by its major brand. The size of the box is checked, so that a text that
// happens to hold the brand at the right place (an XML comment, say) is no image.
func ftyp(brand string) matchers.Matcher {
	return func(b []byte) bool {
		if len(b) < 12 || string(b[4:8]) != "ftyp" || string(b[8:12]) != brand {
			return false
		}
		size := uint64(binary.BigEndian.Uint32(b))
		return size >= 16 && size <= uint64(len(b))
	}
}

// sniffers are the second detector's, in its order: the first that matches decides, also when it stands for a
// type that Next.js does not take (media "").
var sniffers = []struct {
	media string
	match matchers.Matcher
}{
	{BMP, matchers.Bmp},
	{"", cursor(2)}, // cur
	{"", prefix("DDS ")},
	{GIF, func(b []byte) bool { return prefix("GIF87a")(b) || prefix("GIF89a")(b) }},
	{"", heif},
	{ICNS, prefix("icns")},
	{ICO, cursor(1)},
	{"", prefix("\xff\x4f\xff\x51")}, // a bare JPEG 2000 codestream
	{JP2, boxed("jP  ", "jp2 ")},
	{JPEG, prefix("\xff\xd8")},
	{JXL, boxed("JXL ", "jxl ")},
	{JXL, prefix("\xff\x0a")},
	{"", func(b []byte) bool { return at(b, 1, "KTX 11") || at(b, 1, "KTX 20") }},
	{PNG, nil}, // may fail: see sniff
	{"", pnm},
	{"", matchers.Psd},
	{SVG, svg},
	{"", func(b []byte) bool { return zero16(b, 0) && zero16(b, 4) }}, // tga
	{TIFF, func(b []byte) bool { return prefix("II*\x00")(b) || prefix("MM\x00*")(b) }},
	{WebP, func(b []byte) bool { return prefix("RIFF")(b) && at(b, 8, "WEBPVP8") }},
}

func sniff(b []byte) (string, error) {
	// A first byte that names a type is asked first. Of those types only four can still match here: the others
	// have a signature that Detect has tried already.
	switch {
	case b[0] == '8' && matchers.Psd(b), b[0] == 'D' && prefix("DDS ")(b):
		return "", nil
	case b[0] == 'M' && prefix("MM\x00*")(b):
		return TIFF, nil
	case b[0] == 0xff && prefix("\xff\xd8")(b):
		return JPEG, nil
	}
	for _, s := range sniffers {
		if s.match == nil {
			ok, err := bentPNG(b)
			if ok || err != nil {
				return s.media, err
			}
			continue
		}
		if s.match(b) {
			return s.media, nil
		}
	}
	return "", nil
}

// bentPNG matches a PNG whatever its first byte is, with the header first or behind Apple's CgBI chunk.
func bentPNG(b []byte) (bool, error) {
	if !at(b, 1, "PNG\r\n\x1a\n") {
		return false, nil
	}
	if at(b, 12, "IHDR") || (at(b, 12, "CgBI") && at(b, 28, "IHDR")) {
		return true, nil
	}
	return false, ErrInvalidPNG
}

func at(b []byte, offset int, s string) bool {
	return len(b) >= offset+len(s) && string(b[offset:offset+len(s)]) == s
}

func zero16(b []byte, offset int) bool {
	return len(b) >= offset+2 && b[offset] == 0 && b[offset+1] == 0
}

// cursor matches an icon directory of a kind (1 icon, 2 cursor) with at least one picture.
func cursor(kind byte) matchers.Matcher {
	return func(b []byte) bool {
		return zero16(b, 0) && len(b) >= 4 && b[2] == kind && b[3] == 0 && !zero16(b, 4)
	}
}

func pnm(b []byte) bool {
	return len(b) >= 2 && b[0] == 'P' && ((b[1] >= '1' && b[1] <= '7') || b[1] == 'F')
}

func heif(b []byte) bool {
	if !at(b, 4, "ftyp") {
		return false
	}
	switch box := findBox(b, "ftyp"); {
	case box < 0:
		return false
	default:
		for _, brand := range []string{"avif", "mif1", "msf1", "heic", "heix", "hevc", "hevx"} {
			if at(b, box+8, brand) {
				return true
			}
		}
		return false
	}
}

// boxed matches a file whose first box has a type and whose ftyp box has a major brand.
func boxed(signature, brand string) matchers.Matcher {
	return func(b []byte) bool {
		if !at(b, 4, signature) {
			return false
		}
		box := findBox(b, "ftyp")
		return box >= 0 && at(b, box+8, brand)
	}
}

// findBox returns the offset of the first box with that type, or -1. Boxes must lie wholly inside b.
func findBox(b []byte, name string) int {
	for offset := 0; offset+4 <= len(b); {
		size := int(binary.BigEndian.Uint32(b[offset:]))
		if len(b)-offset < size {
			return -1
		}
		if at(b, offset+4, name) {
			return offset
		}
		if size == 0 {
			size = 8
		}
		offset += size
	}
	return -1
}

// svgRoot finds an svg element's start tag; the class after "<svg" is what JavaScript's \s matches.
var svgRoot = regexp.MustCompile(`<svg[\t\n\v\f\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}]([^>"']|"[^"]*"|'[^']*')*>`)

func svg(b []byte) bool {
	return svgRoot.Match(b[:min(len(b), 1000)])
}
