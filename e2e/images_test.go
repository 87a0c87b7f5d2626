//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// imageGroups send every file of testdata/images through every kind of output.
func imageGroups() []group {
	const all = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
	return []group{
		{name: "images own type", variant: "default", run: matrix{widths: []int{32, 48, 750}, qualities: []int{75}, each: 1}.run},
		{name: "images webp", variant: "default", run: matrix{widths: []int{96, 384, 1200}, qualities: []int{75}, accept: "image/webp", each: 1}.run},
		{name: "images own type", variant: "formats", run: matrix{widths: []int{16, 64, 256, 640, 1080}, qualities: []int{30, 75, 90}, accept: "image/png,*/*", each: 3}.run},
		{name: "images webp", variant: "formats", run: matrix{widths: []int{16, 64, 256, 640}, qualities: []int{30, 75, 90}, accept: "image/webp,*/*", each: 3}.run},
		{name: "images avif", variant: "formats", run: matrix{widths: []int{16, 64, 256}, qualities: []int{30, 75, 90}, accept: all, each: 2}.run},
		{name: "images own type", variant: "svg", run: matrix{widths: []int{32, 384, 828, 3840}, qualities: []int{1, 50, 100}, each: 2}.run},
		{name: "images webp", variant: "svg", run: matrix{widths: []int{128, 3840}, qualities: []int{1, 100}, accept: "image/webp", each: 1}.run},
		{name: "images avif", variant: "svg", run: matrix{widths: []int{32, 96}, qualities: []int{1, 100}, accept: "image/avif", each: 1}.run},
		{name: "images tuned own type", variant: "tuned", run: matrix{widths: []int{24, 128, 320, 640}, qualities: []int{60, 75}, each: 1}.run},
		{name: "images tuned webp", variant: "tuned", run: matrix{widths: []int{24, 128, 320, 640}, qualities: []int{60, 75}, accept: "image/webp", each: 1}.run},
		{name: "images limits", variant: "tiny", run: matrix{widths: []int{64}, qualities: []int{75}, each: 1, upTo: 20000}.run},
		{name: "images absolute", variant: "remote", run: absoluteImages},
		{name: "images lies", variant: "remote", run: lies},
		{name: "images heavy", variant: "default", alone: true, run: heavyImages},
	}
}

// full asks for the whole cross product of every matrix, which takes much longer.
var full = os.Getenv("E2E_FULL") != ""

// matrix asks for each image in combinations of width and quality. Each image gets some of them, the next image the
// next ones, so that all combinations meet all kinds of images without the run taking hours.
type matrix struct {
	widths, qualities []int
	accept            string
	each              int   // combinations per image
	upTo              int64 // leaves out larger files; 0: none
}

func (m matrix) run(s *session) {
	var header []string
	if m.accept != "" {
		header = []string{"Accept: " + m.accept}
	}
	all := len(m.widths) * len(m.qualities)
	each := m.each
	if full {
		each = all
	}
	for i, img := range s.assets.images {
		if img.heavy || m.upTo > 0 && img.size > m.upTo {
			continue
		}
		for n := range each {
			k := (i*each + n) % all
			w, q := m.widths[k%len(m.widths)], m.qualities[k/len(m.widths)]
			s.get(fmt.Sprintf("%s w=%d q=%d", img.file, w, q), s.image(s.base+"/images/"+escapePath(img.file), w, q), header...)
		}
	}
}

// heavyImages are those that take seconds or a gigabyte to decode: one at a time, with nothing else going on.
func heavyImages(s *session) {
	for _, img := range s.assets.images {
		if img.heavy {
			s.get(img.file, s.image(s.base+"/images/"+escapePath(img.file), 64, 75), "Accept: image/webp")
		}
	}
}

// absoluteImages fetches each image by an absolute url, with an upstream ETag and without, twice.
func absoluteImages(s *session) {
	for _, img := range s.assets.images {
		if img.heavy {
			continue
		}
		file := img.file
		body, err := os.ReadFile(filepath.Join("next", "public", "images", file))
		if err != nil {
			s.fail(file, "%v", err)
			continue
		}
		name := escapePath(filepath.Base(file))
		plain := s.serve(name, always(Reply{Body: body}))
		tagged := s.serve(name, always(Reply{Body: body, Header: [][2]string{{"ETag", `"of-` + name + `"`}, {"Content-Type", "application/octet-stream"}}}))
		for _, u := range []string{plain, tagged} {
			s.get(file+" "+u, s.image(u, 256, 75), "Accept: image/webp")
			s.get(file+" again "+u, s.image(u, 256, 75), "Accept: image/webp")
		}
	}
}

// lies serves bytes under a wrong type and name, and bytes that only begin like an image.
func lies(s *session) {
	bodies := map[string][]byte{
		"png": s.assets.small, "jpeg": s.assets.photo, "gif": s.assets.gif, "webp": s.assets.webp, "svg": s.assets.svg,
		"text": []byte("hello"), "html": []byte("<!doctype html><p>"), "json": []byte("{}"), "one byte": {0}, "two bytes": {0xff, 0xd8}, "space": []byte(" "), "zeros": make([]byte, 2000),
	}
	types := []string{"", "image/png", "image/jpeg", "image/svg+xml", "text/html", "application/pdf", "image/png, image/gif", "IMAGE/PNG; charset=x", "nonsense"}
	for kind, body := range bodies {
		for _, ct := range types {
			r := Reply{Body: body}
			if ct != "" {
				r.Header = [][2]string{{"Content-Type", ct}}
			}
			s.get(kind+" as "+ct, s.image(s.serve("file.png", always(r)), 64, 75))
		}
	}
	// Beginnings of every known type, complete and cut short, alone and followed by padding.
	magics := map[string]string{
		"jpeg": "\xff\xd8\xff", "png": "\x89PNG\r\n\x1a\n", "gif": "GIF8", "gif87a": "GIF87a", "gif89a": "GIF89a", "gif80": "GIF80", "webp": "RIFF\x10\x00\x00\x00WEBP", "webp no size": "RIFF\x00\x00\x00\x00WEBP", "wave": "RIFF\x10\x00\x00\x00WAVE", "webp vp8": "RIFF\x24\x00\x00\x00WEBPVP8 ", "webp vp8l": "RIFF\x24\x00\x00\x00WEBPVP8L", "webp vp8x": "RIFF\x24\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00",
		"xml": "<?xml", "xml svg": "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"/>", "svg": "<svg", "svg upper": "<SVG", "svg space": " <svg width=\"1\" height=\"1\"></svg>", "svg newline": "\n<svg xmlns=\"http://www.w3.org/2000/svg\">", "svg bom": "\xef\xbb\xbf<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>", "svg comment": "<!-- x --><svg viewBox=\"0 0 1 1\"></svg>", "svg doctype": "<!DOCTYPE svg><svg xmlns=\"x\"></svg>", "html with svg": "<html><svg viewBox=\"0 0 1 1\"></svg></html>", "svg late": strings.Repeat(" ", 1100) + "<svg xmlns=\"x\">", "svg ftyp comment": "<!--ftypavif--><svg></svg>",
		"avif": "\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf", "avif size 16": "\x00\x00\x00\x10ftypavif\x00\x00\x00\x00", "avif size 15": "\x00\x00\x00\x0fftypavif\x00\x00\x00\x00", "avif size 0": "\x00\x00\x00\x00ftypavif\x00\x00\x00\x00", "avif too large": "\x00\x00\xff\x1cftypavif\x00\x00\x00\x00", "avif negative": "\xff\xff\xff\xffftypavif\x00\x00\x00\x00", "avis": "\x00\x00\x00\x1cftypavis\x00\x00\x00\x00avifmif1miaf", "mif1": "\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00avifmif1miaf", "heic": "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "heix": "\x00\x00\x00\x18ftypheix\x00\x00\x00\x00mif1heic", "hevc": "\x00\x00\x00\x18ftyphevc\x00\x00\x00\x00mif1heic", "msf1": "\x00\x00\x00\x18ftypmsf1\x00\x00\x00\x00", "mp4": "\x00\x00\x00\x18ftypisom\x00\x00\x00\x00",
		"ico": "\x00\x00\x01\x00\x01\x00", "cur": "\x00\x00\x02\x00\x01\x00", "icns": "icns\x00\x00\x00\x08", "tiff le": "II*\x00\x08\x00\x00\x00", "tiff be": "MM\x00*\x00\x00\x00\x08", "bigtiff": "II+\x00\x08\x00\x00\x00", "bmp": "BM", "bmp header": "BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00", "jxl": "\xff\x0a", "jxl box": "\x00\x00\x00\x0cJXL \r\n\x87\n", "jp2": "\x00\x00\x00\x0cjP  \r\n\x87\n", "jp2 box": "\x00\x00\x00\x0cjP  \r\n\x87\n\x00\x00\x00\x14ftypjp2 ", "j2c": "\xff\x4f\xff\x51", "pdf": "%PDF-1.7", "pdf short": "%PDF", "ps": "%!PS", "psd": "8BPS\x00\x01", "ktx": "\xabKTX 11\xbb\r\n\x1a\n", "dds": "DDS \x7c\x00\x00\x00", "pnm": "P6\n1 1\n255\n\x00\x00\x00", "pgm": "P5 1 1 255 \x00", "tga": "\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x18\x00", "exr": "\x76\x2f\x31\x01", "hdr": "#?RADIANCE\n", "qoi": "qoif\x00\x00\x00\x01", "flif": "FLIF", "emf": "\x01\x00\x00\x00", "gzip": "\x1f\x8b\x08", "zip": "PK\x03\x04", "mng": "\x8aMNG\r\n\x1a\n", "apng half": "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR", "cgbi": "\x89PNG\r\n\x1a\n\x00\x00\x00\x04CgBI",
	}
	names := make([]string, 0, len(magics))
	for name := range magics {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		whole := []byte(magics[name])
		padded := append(slices.Clone(whole), make([]byte, 600)...)
		for label, body := range map[string][]byte{"": whole, " cut": whole[:len(whole)-1], " padded": padded} {
			s.get("magic "+name+label, s.image(s.serve("x", always(Reply{Body: body})), 64, 75))
		}
	}
	// Real images with something before, after or missing.
	for kind, body := range map[string][]byte{"png": s.assets.small, "jpeg": s.assets.photo, "webp": s.assets.webp, "gif": s.assets.gif} {
		for label, changed := range map[string][]byte{
			"one byte missing": body[:len(body)-1], "half": body[:len(body)/2], "a tenth": body[:len(body)/10], "the first 100 bytes": body[:100], "one byte more": append(slices.Clone(body), 0), "padding": append(slices.Clone(body), make([]byte, 5000)...),
			"a byte before": append([]byte{' '}, body...), "twice": append(slices.Clone(body), body...), "one byte changed": flip(body, len(body)/2), "a late byte changed": flip(body, len(body)-20), "an early byte changed": flip(body, 30),
		} {
			s.get(kind+" with "+label, s.image(s.serve("broken."+kind, always(Reply{Body: changed})), 64, 75), "Accept: image/webp")
			s.get(kind+" with "+label+", own type", s.image(s.serve("broken."+kind, always(Reply{Body: changed})), 640, 75))
		}
	}
}

// flip returns b with one byte inverted.
func flip(b []byte, at int) []byte {
	c := slices.Clone(b)
	c[at] ^= 0xff
	return c
}
