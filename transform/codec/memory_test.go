//go:build !race

// The race detector's own memory counts against the limit.

package codec

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"imgopt/transform"
)

// textBomb is a small PNG with compressed text that takes gigabytes: libpng inflates it, libvips copies it.
func textBomb(t testing.TB, chunks, size int) []byte {
	t.Helper()
	packed := bytes.NewBufferString("zTXtBomb\x00\x00")
	z := zlib.NewWriter(packed)
	if _, err := z.Write(bytes.Repeat([]byte("A"), size)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	chunk := binary.BigEndian.AppendUint32(nil, uint32(packed.Len()-4))
	chunk = append(chunk, packed.Bytes()...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(packed.Bytes()))
	small := pngOf(t, picture(64, 48))
	const header = 33 // signature and IHDR
	return append(append(bytes.Clone(small[:header]), bytes.Repeat(chunk, chunks)...), small[header:]...)
}

// An image that needs more memory than a process may have fails alone, whether its decoder fails with grace or not.
func TestMemoryLimit(t *testing.T) {
	s := patient(t)
	s.MaxData = 320 << 20
	p := pool(t, s)
	spec := transform.Spec{Output: transform.WebP, Width: 64, Quality: 75}
	for name, src := range map[string][]byte{
		// All 12,000² pixels have to be held before the first row is complete.
		"interlaced": interlacedPNG(t, 12000),
		"text":       textBomb(t, 10, 20_000_000),
	} {
		var codec *transform.CodecError
		if _, err := p.Encode(t.Context(), src, spec); !errors.As(err, &codec) {
			t.Errorf("%s: %v, want a codec error", name, err)
		} else {
			t.Logf("%s: crashed %t: %v", name, codec.Crashed, err)
		}
		if estimate := transform.Estimate(src, transform.PNG, spec); estimate.Bytes < int64(s.MaxData) {
			t.Errorf("%s: estimated at %d MB", name, estimate.Bytes>>20)
		}
		if _, err := p.Encode(t.Context(), jpegOf(t, picture(300, 200)), spec); err != nil {
			t.Errorf("a good source after it: %v", err)
		}
	}
}
