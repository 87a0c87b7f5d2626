package corpus

import (
	"bytes"
	"strconv"
)

func riff(chunks ...[]byte) []byte {
	body := join(append([][]byte{[]byte("WEBP")}, chunks...)...)
	return join([]byte("RIFF"), le32(len(body)), body)
}

func riffChunk(kind string, data []byte) []byte {
	b := join([]byte(kind), le32(len(data)), data)
	if len(data)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

// Flags of an extended WebP.
const (
	webpAnimation  = 0x02
	webpAlpha      = 0x10
	webpICC        = 0x20
	webpEverything = 0x3e
)

func extended(flags byte, w, h int) []byte {
	return riffChunk("VP8X", join([]byte{flags, 0, 0, 0}, le32(w - 1)[:3], le32(h - 1)[:3]))
}

// lossyHeader is a VP8 key frame that claims a size and has next to nothing in its partitions.
func lossyHeader(w, h int) []byte {
	return riffChunk("VP8 ", join([]byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a}, le16(w, h), fill(0, 64)))
}

// losslessHeader is a VP8L picture that claims a size; what follows the header decides the rest.
func losslessHeader(w, h int, data []byte) []byte {
	return riffChunk("VP8L", join([]byte{0x2f}, le32((w-1)|(h-1)<<14), data))
}

// webps takes apart a good file with a plain ("VP8 ") picture.
func webps(good []byte) []Case {
	g := &group{name: "webp"}
	picture := good[12:]
	for _, c := range []struct {
		name string
		body []byte
	}{
		{"claims-lossy", riff(lossyHeader(16383, 16383))},
		{"claims-lossless", riff(losslessHeader(16384, 16384, fill(0, 64)))},
		{"claims-lossless-noise", riff(losslessHeader(16384, 16384, Flip(fill(0x5a, 4096), "noise", 1)))},
		{"claims-canvas", riff(extended(0, 1<<24, 1<<24), picture)},
		{"claims-canvas-everything", riff(extended(webpEverything, 1<<24, 1<<24), picture)},
		{"alpha-is-garbage", riff(extended(webpAlpha, 150, 100), riffChunk("ALPH", fill(0x01, 4096)), picture)},
		{"alpha-lossless-claims", riff(extended(webpAlpha, 150, 100), riffChunk("ALPH", join([]byte{0x01}, fill(0xff, 64))), picture)},
		{"length-32-bits", join([]byte("RIFF\xff\xff\xff\xffWEBP"), picture)},
		{"length-0", join([]byte("RIFF\x00\x00\x00\x00WEBP"), picture)},
		{"chunk-length-32-bits", join([]byte("RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff"), picture)},
		{"animation-is-a-word", riff(picture, riffChunk("XMP ", []byte("ANIM")))},
		{"animation-without-frames", riff(extended(webpAnimation, 150, 100), riffChunk("ANIM", make([]byte, 6)))},
	} {
		g.raw("webp-"+c.name, c.body)
	}
	g.add("webp-chunks", func() []byte {
		return riff(extended(0, 150, 100), bytes.Repeat(riffChunk("XXXX", nil), 200_000), picture)
	})
	g.add("webp-icc-large", func() []byte {
		return riff(extended(webpICC, 150, 100), riffChunk("ICCP", fill(0, 6<<20)), picture)
	})
	for i, profile := range profiles() {
		g.raw("webp-icc-bomb-"+strconv.Itoa(i), riff(extended(webpICC, 150, 100), riffChunk("ICCP", profile), picture))
	}
	g.raw("webp-exif-loops", riff(extended(0x08, 150, 100), picture, riffChunk("EXIF", exifLoop())))
	g.add("webp-frames", func() []byte {
		frame := riffChunk("ANMF", join(make([]byte, 6), le32(149)[:3], le32(99)[:3], le32(10)[:3], []byte{0}, picture))
		return riff(extended(webpAnimation, 150, 100), riffChunk("ANIM", make([]byte, 6)), bytes.Repeat(frame, 500))
	})
	return g.cases
}
