package transform

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// ErrChunkTail is returned by Animated for a PNG that ends one to three bytes into a chunk's length: the check
// Next.js uses throws there, outside of any handling, and the request ends as 500.
var ErrChunkTail = errors.New("PNG ends inside a chunk's length")

// Animated reports whether GIF, PNG or WebP bytes hold more than one picture, by the same reading as the
// is-animated package that Next.js bundles (which looks for the bytes "ANIM" anywhere in a WebP).
func Animated(b []byte) (bool, error) {
	switch {
	case prefix("GIF")(b):
		return animatedGIF(b), nil
	case prefix("\x89PNG\r\n\x1a\n")(b):
		return animatedPNG(b)
	case at(b, 8, "WEBP"):
		return bytes.Contains(b, []byte("ANIM")), nil
	default:
		return false, nil
	}
}

// animatedGIF counts image descriptors up to the second. Bytes past the end count as zero.
func animatedGIF(b []byte) bool {
	get := func(i int) int {
		if i < len(b) {
			return int(b[i])
		}
		return 0
	}
	colourTable := func(flags int) int {
		if flags&0x80 == 0 {
			return 0
		}
		return 3 << (flags&7 + 1)
	}
	skipBlocks := func(i int) int {
		for get(i) != 0 {
			i += get(i) + 1
		}
		return i + 1
	}
	pictures := 0
	for i := 13 + colourTable(get(10)); pictures < 2 && i < len(b); {
		switch b[i] {
		case 0x2c: // image descriptor, colour table, LZW code size, data blocks
			pictures++
			i = skipBlocks(i + 10 + colourTable(get(i+9)) + 1)
		case 0x21: // extension
			i = skipBlocks(i + 2)
		default: // trailer, or nothing that is understood
			i = len(b)
		}
	}
	return pictures > 1
}

// animatedPNG wants an animation control before the first picture, which is frame one, and a later frame.
func animatedPNG(b []byte) (bool, error) {
	var control, picture, frame bool
	previous := ""
	for i := 8; i < len(b); {
		if len(b)-i < 4 {
			return false, ErrChunkTail
		}
		length := int(binary.BigEndian.Uint32(b[i:]))
		chunk := string(b[min(i+4, len(b)):min(i+8, len(b))])
		switch chunk {
		case "acTL":
			control = true
		case "IDAT":
			if !control || (previous != "fcTL" && previous != "IDAT") {
				return false, nil
			}
			picture = true
		case "fdAT":
			if !picture || (previous != "fcTL" && previous != "fdAT") {
				return false, nil
			}
			frame = true
		}
		previous = chunk
		i += 12 + length
	}
	return control && picture && frame, nil
}
