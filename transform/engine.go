package transform

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// Spec is what one encoding is to make of a source.
type Spec struct {
	// Output is the media type. JPEG, PNG, WebP and AVIF are encoded with Quality; any other one asks for the
	// source's own format with the encoder's defaults, as Next.js does for gif and tiff.
	Output string
	// Width in pixels; a smaller source is not enlarged.
	Width int
	// Quality as the request names it, 1 to 100.
	Quality int
}

// EncoderQuality is the quality that Next.js has given to the encoder: AVIF's scale is moved to look like WebP's (the
// ratio of sharp's two defaults, 50 and 80), rounded, at least 1.
func (s Spec) EncoderQuality() int {
	if s.Output == AVIF {
		return max(int(math.Round(float64(s.Quality)*(50.0/80.0))), 1)
	}
	return s.Quality
}

// Engine decodes, orients, resizes and encodes one image at a time per caller; it may be called concurrently and
// bounds its own parallelism.
type Engine interface {
	// Encode returns the encoded bytes. A *CodecError means that this source cannot be encoded, and will not be
	// the next time either; any other error (a cancelled context, no free codec) says nothing about the source.
	Encode(ctx context.Context, src []byte, spec Spec) ([]byte, error)
}

// MultiEngine is an Engine that makes several results of one source at less cost than one after the other: it decodes the
// source as seldom as possible.
type MultiEngine interface {
	Engine
	// EncodeAll makes one result for each of specs, with the bytes that Encode gives. It calls done once for each, in any
	// order, one call after the other, before it returns; the errors are those of Encode, and that of one says nothing
	// about the others. Options.Timeout bounds each result.
	EncodeAll(ctx context.Context, src []byte, specs []Spec, done func(i int, encoded []byte, err error))
}

// Order returns the indices of specs in the order in which they take the least memory and the fewest decodings: by
// width, and for one width as they come.
func Order(specs []Spec) []int {
	order := make([]int, len(specs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(specs[a].Width, specs[b].Width) })
	return order
}

// MaxShared is how many bytes of decoded pixels are kept for other results of a source, 128 MiB: a colour photo of 44
// megapixels. Of what is larger each result decodes for itself.
const MaxShared = 128 << 20

// Options tune an engine; they are Next.js' experimental.imgOpt… settings where one exists.
type Options struct {
	// Workers is how many images are encoded at the same time.
	Workers int
	// Timeout bounds one encoding; zero means none. Next.js: 7 s.
	Timeout time.Duration
	// MaxInputPixels refuses larger sources (width × height); zero means no limit. Next.js: 268 402 689.
	MaxInputPixels uint64
	// Mozjpeg uses mozjpeg's settings for jpeg (smaller, slower). Next.js: true. It counts with ProfileNext only.
	Mozjpeg bool
	// Profile is what the encoders aim at; "" means ProfileNext.
	Profile Profile
}

// Fingerprint names everything in the options that changes the bytes; it is a part of a variant's key.
func (o Options) Fingerprint() string {
	fingerprint := fmt.Sprintf("mozjpeg=%t pixels=%d", o.Mozjpeg, o.MaxInputPixels)
	if profile := o.Profile.fingerprint(); profile != "" { // with ProfileNext it is that of imgopt before there were profiles
		fingerprint += " profile=" + profile
	}
	return fingerprint
}

// CodecError says that an image could not be decoded or encoded.
type CodecError struct {
	// Message is libvips' own, one line.
	Message string
	// TimedOut is set when Options.Timeout ended it.
	TimedOut bool
	// Crashed is set when it ended the process it was decoded in, twice.
	Crashed bool
	// Poisoned is set, beside Crashed, when it did so some minutes ago and was not tried this time.
	Poisoned bool
}

func (e *CodecError) Error() string {
	if e.TimedOut {
		return "codec: time limit reached: " + e.Message
	}
	return "codec: " + e.Message
}
