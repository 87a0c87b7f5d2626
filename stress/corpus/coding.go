package corpus

import (
	"bytes"
	"hash/crc32"
	"strings"

	"github.com/andybalholm/brotli"
)

// gzipZeros is a gzip file of n zeros.
func gzipZeros(n int) []byte {
	stream := zeros(n)
	sum := crc32.NewIEEE()
	block := make([]byte, 1<<20)
	for left := n; left > 0; left -= len(block) {
		_, _ = sum.Write(block[:min(left, len(block))])
	}
	return join([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), stream[2:len(stream)-4], le32(int(sum.Sum32()), n))
}

func brotliOf(b []byte) []byte {
	var out bytes.Buffer
	w := brotli.NewWriterLevel(&out, 5)
	written(w, b)
	return out.Bytes()
}

// codings are pictures, and bombs in place of them, whose Content-Encoding would make them large, keeps a decoder busy, or is a lie.
func codings() []Case {
	g := &group{name: "coding"}
	picture := greyJPEG(64, 64)
	coded := func(name, coding string, build func() []byte) {
		g.cases = append(g.cases, Case{Name: "coding-" + name, Group: g.name, Coding: coding, Make: build, Plain: picture})
	}
	const gigabyte = 1 << 30
	coded("gzip-bomb", "gzip", func() []byte { return gzipZeros(gigabyte) })
	coded("deflate-bomb", "deflate", func() []byte { return zeros(gigabyte) })
	coded("raw-deflate-bomb", "deflate", func() []byte { return zeros(gigabyte)[2:] })
	coded("br-bomb", "br", func() []byte { return brotliOf(make([]byte, 100<<20)) })
	coded("gzip-twice-bomb", "gzip, gzip", func() []byte { return gzipped(gzipZeros(gigabyte)) })
	coded("gzip-4-times-bomb", "gzip, gzip, gzip, gzip", func() []byte { return gzipped(gzipped(gzipped(gzipZeros(gigabyte)))) })
	coded("br-in-gzip-bomb", "br, gzip", func() []byte { return gzipped(brotliOf(make([]byte, 100<<20))) })
	coded("gzip-6-times", strings.TrimSuffix(strings.Repeat("gzip, ", 6), ", "), func() []byte {
		b := picture
		for range 6 {
			b = gzipped(b)
		}
		return b
	})
	coded("gzip-1000-times-named", strings.TrimSuffix(strings.Repeat("gzip, ", 1000), ", "), func() []byte { return gzipped(picture) })
	coded("gzip-members", "gzip", func() []byte { return bytes.Repeat(gzipped(nil), 200_000) })
	coded("gzip-empty-blocks", "gzip", func() []byte { // stored blocks of length 0, and never the last one
		return join([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 1<<20))
	})
	coded("gzip-name-without-end", "gzip", func() []byte { return join([]byte("\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff"), fill('n', 4<<20)) })
	coded("gzip-extra", "gzip", func() []byte {
		return join([]byte("\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\xff\xff"), fill('x', 65535), []byte{3, 0})
	})
	coded("gzip-good", "gzip", func() []byte { return gzipped(picture) })
	coded("br-good", "br", func() []byte { return brotliOf(picture) })
	coded("gzip-truncated", "gzip", func() []byte { b := gzipped(picture); return b[:len(b)/2] })
	coded("gzip-wrong-sum", "gzip", func() []byte { b := gzipped(picture); b[len(b)-6] ^= 1; return b })
	coded("gzip-garbage-behind", "gzip", func() []byte { return append(gzipped(picture), "garbage"...) })
	coded("gzip-is-a-lie", "gzip", func() []byte { return picture })
	coded("br-is-a-lie", "br", func() []byte { return picture })
	coded("deflate-is-a-lie", "deflate", func() []byte { return picture })
	coded("br-garbage", "br", func() []byte { return Flip(brotliOf(fill('x', 1<<20)), "br", 1) })
	coded("unknown", "x-rot13", func() []byte { return picture })
	coded("zstd", "zstd", func() []byte { return join([]byte("\x28\xb5\x2f\xfd"), picture) })
	return g.cases
}
