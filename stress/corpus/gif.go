package corpus

import (
	"bytes"
	"compress/lzw"
)

// gifScreen is the beginning of a GIF with a palette of two colours.
func gifScreen(w, h int) []byte {
	return join([]byte("GIF89a"), le16(w, h), []byte{0x80, 0, 0}, []byte{0, 0, 0, 255, 255, 255})
}

// gifFrame is the descriptor of a picture; its LZW data follow.
func gifFrame(w, h, flags int) []byte {
	return join([]byte{0x2c}, le16(0, 0, w, h), []byte{byte(flags)})
}

// gifData is LZW data in blocks, with the size of the smallest code before them and the terminator behind.
func gifData(codeSize byte, data []byte) []byte {
	out := []byte{codeSize}
	for len(data) > 0 {
		n := min(len(data), 255)
		out = append(append(out, byte(n)), data[:n]...)
		data = data[n:]
	}
	return append(out, 0)
}

// lzwZeros is n pixels of the first colour.
func lzwZeros(n int) []byte {
	var b bytes.Buffer
	w := lzw.NewWriter(&b, lzw.LSB, 2)
	written(w, make([]byte, n))
	return b.Bytes()
}

func gifs() []Case {
	g := &group{name: "gif"}
	dot := gifData(2, lzwZeros(16))
	end := []byte{0x3b}
	g.raw("gif-claims-canvas", gifScreen(65535, 65535), gifFrame(4, 4, 0), dot, end)
	g.raw("gif-claims-frame", gifScreen(65535, 65535), gifFrame(65535, 65535, 0), dot, end)
	g.raw("gif-claims-frame-at-limit", gifScreen(16383, 16383), gifFrame(16383, 16383, 0x40), dot, end)
	g.raw("gif-claims-zero", gifScreen(0, 0), gifFrame(0, 0, 0), dot, end)
	g.raw("gif-frame-outside", gifScreen(4, 4), []byte{0x2c}, le16(65535, 65535, 65535, 65535), []byte{0}, dot, end)
	g.raw("gif-code-size-0", gifScreen(1000, 1000), gifFrame(1000, 1000, 0), gifData(0, fill(0x55, 1000)), end)
	g.raw("gif-code-size-11", gifScreen(1000, 1000), gifFrame(1000, 1000, 0), gifData(11, fill(0xff, 1000)), end)
	g.raw("gif-code-size-255", gifScreen(1000, 1000), gifFrame(1000, 1000, 0), gifData(255, fill(0xff, 1000)), end)
	g.raw("gif-palette-is-missing", []byte("GIF89a"), le16(1000, 1000), []byte{0xf7, 0, 0}, gifFrame(1000, 1000, 0x87), dot, end)
	g.add("gif-zeros", func() []byte {
		return join(gifScreen(8000, 8000), gifFrame(8000, 8000, 0), gifData(2, lzwZeros(64_000_000)), end)
	})
	g.add("gif-zeros-interlaced", func() []byte {
		return join(gifScreen(5000, 5000), gifFrame(5000, 5000, 0x40), gifData(2, lzwZeros(25_000_000)), end)
	})
	g.add("gif-data-goes-on", func() []byte { // a small picture with 64 million pixels in its data
		return join(gifScreen(64, 64), gifFrame(64, 64, 0), gifData(2, lzwZeros(64_000_000)), end)
	})
	g.add("gif-clear-codes", func() []byte { // three bits each, and no pixel
		return join(gifScreen(2000, 2000), gifFrame(2000, 2000, 0), gifData(2, bytes.Repeat([]byte{0x24, 0x49, 0x92}, 1<<20)), end)
	})
	g.add("gif-frames", func() []byte {
		return join(gifScreen(64, 64), bytes.Repeat(join(gifFrame(4, 4, 0), dot), 20_000), end)
	})
	g.add("gif-frames-huge-canvas", func() []byte {
		return join(gifScreen(65535, 65535), bytes.Repeat(join(gifFrame(65535, 65535, 0), dot), 5000), end)
	})
	comment := join([]byte{0x21, 0xfe, 255}, fill('x', 255), []byte{0})
	g.add("gif-comments", func() []byte {
		return join(gifScreen(4, 4), bytes.Repeat(comment, 20_000), gifFrame(4, 4, 0), dot, end)
	})
	g.add("gif-comment-goes-on", func() []byte {
		return join(gifScreen(4, 4), []byte{0x21, 0xfe}, bytes.Repeat(join([]byte{255}, fill('x', 255)), 20_000))
	})
	g.add("gif-empty-blocks", func() []byte {
		return join(gifScreen(4, 4), bytes.Repeat([]byte{0x21, 0xf9, 0}, 1<<20), gifFrame(4, 4, 0), dot, end)
	})
	g.add("gif-no-data", func() []byte { return join(gifScreen(4, 4), bytes.Repeat(join(gifFrame(4, 4, 0), []byte{2, 0}), 1)) })
	return g.cases
}
