package transform

import (
	"testing"

	"imgopt/failure"
)

func TestDecide(t *testing.T) {
	const (
		jpeg = "\xff\xd8\xff\xe0"
		webp = "RIFF\x00\x00\x00\x00WEBPVP8 "
		avif = "\x00\x00\x00\x10ftypavif\x00\x00\x00\x00"
		gif  = "GIF89a\x01\x00\x01\x00\x00\x00\x00"
		svg  = "<svg xmlns=\"http://www.w3.org/2000/svg\"/>"
	)
	for _, c := range []struct {
		name, src, format string
		allowSVG          bool
		want              Plan
		text              string
	}{
		{name: "negotiated", src: jpeg, format: WebP, want: Plan{Source: JPEG, Output: WebP}},
		{name: "nothing negotiated", src: jpeg, want: Plan{Source: JPEG, Output: JPEG}},
		{name: "webp for an old client", src: webp, want: Plan{Source: WebP, Output: JPEG}},
		{name: "avif for an old client", src: avif, want: Plan{Source: AVIF, Output: JPEG}},
		{name: "still gif", src: gif, want: Plan{Source: GIF, Output: GIF}},
		{name: "animated webp", src: webp + "ANIM", format: AVIF, want: Plan{Source: WebP, Output: WebP, Passthrough: true}},
		{name: "bmp", src: "BM", format: AVIF, want: Plan{Source: BMP, Output: BMP, Passthrough: true}},
		{name: "svg allowed", src: svg, format: AVIF, allowSVG: true, want: Plan{Source: SVG, Output: SVG, Passthrough: true}},
		{name: "svg", src: svg, text: `"url" parameter is valid but image type is not allowed`},
		{name: "pdf", src: "%PDF-1.7", text: "The requested resource isn't a valid image."},
		{name: "html", src: "<!doctype html>", text: "The requested resource isn't a valid image."},
		{name: "nothing", src: "", text: "The requested resource isn't a valid image."},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Decide([]byte(c.src), c.format, c.allowSVG)
			if c.text != "" {
				if f := failure.From(err); f == nil || f.Status != 400 || f.Text != c.text {
					t.Fatalf("got %v, want 400 %s", err, c.text)
				}
				return
			}
			if err != nil || got != c.want {
				t.Fatalf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func TestEncoderQuality(t *testing.T) {
	// JavaScript: Math.max(Math.round(quality * (50 / 80)), 1)
	for quality, want := range map[int]int{1: 1, 2: 1, 3: 2, 4: 3, 40: 25, 50: 31, 75: 47, 80: 50, 100: 63} {
		if got := (Spec{Output: AVIF, Quality: quality}).EncoderQuality(); got != want {
			t.Errorf("avif quality of %d is %d, want %d", quality, got, want)
		}
	}
	if got := (Spec{Output: WebP, Quality: 75}).EncoderQuality(); got != 75 {
		t.Errorf("webp quality of 75 is %d", got)
	}
}
