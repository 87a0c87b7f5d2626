package main

import (
	"bytes"
	"encoding/binary"
)

// This file writes WebP containers (RFC 9649): extended files, animations, and a lossless image of
// one colour of any size, which takes a few bytes.

type riffChunk struct {
	kind string
	data []byte
}

// VP8X feature bits.
const (
	webpAnimation = 0x02
	webpXMP       = 0x04
	webpEXIF      = 0x08
	webpAlpha     = 0x10
	webpICC       = 0x20
)

func (c riffChunk) bytes() []byte {
	b := append([]byte(c.kind), binary.LittleEndian.AppendUint32(nil, uint32(len(c.data)))...)
	b = append(b, c.data...)
	if len(c.data)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

func webpFile(chunks ...riffChunk) []byte {
	body := []byte("WEBP")
	for _, c := range chunks {
		body = append(body, c.bytes()...)
	}
	return riffChunk{"RIFF", body}.bytes()
}

// webpChunks takes a WebP file apart.
func webpChunks(file []byte) (out []riffChunk) {
	for i := 12; i+8 <= len(file); {
		n := int(binary.LittleEndian.Uint32(file[i+4:]))
		out = append(out, riffChunk{string(file[i : i+4]), file[i+8 : i+8+n]})
		i += 8 + n + n%2
	}
	return out
}

// webpImage are a still file's image chunks alone: ALPH, VP8 or VP8L.
func webpImage(file []byte) (out []riffChunk) {
	for _, c := range webpChunks(file) {
		if c.kind == "ALPH" || c.kind == "VP8 " || c.kind == "VP8L" {
			out = append(out, c)
		}
	}
	return out
}

func vp8x(flags byte, w, h int) riffChunk {
	b := []byte{flags, 0, 0, 0}
	return riffChunk{"VP8X", append(append(b, uint24(w-1)...), uint24(h-1)...)}
}

func uint24(v int) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16)} }

// webpExtended is a still file with metadata chunks: those named ICCP go before the image.
func webpExtended(still []byte, flags byte, w, h int, meta ...riffChunk) []byte {
	chunks := []riffChunk{vp8x(flags, w, h)}
	for _, m := range meta {
		if m.kind == "ICCP" {
			chunks = append(chunks, m)
		}
	}
	chunks = append(chunks, webpImage(still)...)
	for _, m := range meta {
		if m.kind != "ICCP" {
			chunks = append(chunks, m)
		}
	}
	return webpFile(chunks...)
}

// webpAnimated makes an animation of still files, all of the given size.
func webpAnimated(w, h int, flags byte, stills ...[]byte) []byte {
	chunks := []riffChunk{vp8x(flags|webpAnimation, w, h), {"ANIM", make([]byte, 6)}}
	for _, s := range stills {
		frame := bytes.Join([][]byte{uint24(0), uint24(0), uint24(w - 1), uint24(h - 1), uint24(200), {0}}, nil)
		for _, c := range webpImage(s) {
			frame = append(frame, c.bytes()...)
		}
		chunks = append(chunks, riffChunk{"ANMF", frame})
	}
	return webpFile(chunks...)
}

// webpFlat is a lossless WebP of one colour: every prefix code has a single symbol, so the pixels
// take no bits at all, whatever the size (at most 16384 by 16384).
func webpFlat(w, h int, r, g, b uint8) []byte {
	var bits []byte
	n := 0
	put := func(v, count int) {
		for i := range count {
			if n%8 == 0 {
				bits = append(bits, 0)
			}
			bits[n/8] |= byte(v>>i&1) << (n % 8)
			n++
		}
	}
	put(0x2f, 8)
	put(w-1, 14)
	put(h-1, 14)
	put(0, 1+3) // no alpha, version 0
	put(0, 1)   // no transform
	put(0, 1)   // no colour cache
	put(0, 1)   // no meta prefix image
	for _, symbol := range []int{int(g), int(r), int(b), 255, 0} {
		put(1, 1) // a simple code
		put(0, 1) // of one symbol
		put(1, 1) // which takes eight bits
		put(symbol, 8)
	}
	return webpFile(riffChunk{"VP8L", bits})
}
