//go:build !race

// The race detector's own memory counts against the limit.

package codec

import (
	"errors"
	"testing"

	"imgopt/transform"
)

// An image that needs more memory than a process may have fails alone.
func TestMemoryLimit(t *testing.T) {
	s := settings(t)
	s.Options.Workers, s.MaxData = 1, 320<<20
	p := pool(t, s)
	// Interlaced: all 12,000² pixels have to be held before the first row is complete.
	spec := transform.Spec{Output: transform.WebP, Width: 64, Quality: 75}
	var codec *transform.CodecError
	if _, err := p.Encode(t.Context(), interlacedPNG(t, 12000), spec); !errors.As(err, &codec) {
		t.Errorf("%v, want a codec error", err)
	}
	if _, err := p.Encode(t.Context(), jpegOf(t, picture(300, 200)), spec); err != nil {
		t.Errorf("a good source after it: %v", err)
	}
}
