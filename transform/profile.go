package transform

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"sync"
)

// Profile says what the encoders aim at.
type Profile string

const (
	// ProfileNext gives the bytes of Next.js. The empty Profile means the same.
	ProfileNext Profile = "next"
	// ProfileFast gives images that look like those of ProfileNext, in less processor time.
	ProfileFast Profile = "fast"
	// ProfileSmall gives images that look like those of ProfileNext, in fewer bytes.
	ProfileSmall Profile = "small"
)

// Profiles returns all of them.
func Profiles() []Profile { return []Profile{ProfileNext, ProfileFast, ProfileSmall} }

// Encoding is everything that an encoder is told beside the pixels. A field that is not meant for a format has no effect
// on it: PNG takes the quality alone, and what is encoded in its source's own format takes nothing (see Spec.Output).
type Encoding struct {
	// Quality as the encoder takes it, 1 to 100.
	Quality int
	// Effort trades time for bytes: 0 to 6 for WebP (with alpha 6 means 5: see libvips/save.c), 0 to 9 for AVIF, as libvips
	// counts.
	Effort int
	// Subsample stores colour at half the resolution (4:2:0), for JPEG and AVIF. WebP always does.
	Subsample bool
	// SharpYUV searches the colours that look sharpest once they are stored at half the resolution. WebP only.
	SharpYUV bool
	// SmartDeblock lets WebP's encoder search the strength of the deblocking filter. libvips before 8.16 ignores it.
	SmartDeblock bool
	// Passes of WebP's encoder, 1 to 10; 0 is 1. libvips before 8.16 ignores it.
	Passes int
	// Preset of WebP's encoder: default, picture, photo, drawing, icon or text; "" is default.
	Preset string
	// Tune is what AVIF's encoder optimizes: auto, ssim, psnr or iq; "" is auto. libvips before 8.18 ignores it.
	Tune string
	// Progressive, Trellis, Overshoot and OptimizeScans are JPEG's: scans of growing detail; quantization that weighs
	// bits against errors; less ringing around white; the choice of the scans. All but the first need mozjpeg, and so
	// does any QuantTable (0 to 8) but 0.
	Progressive, Trellis, Overshoot, OptimizeScans bool
	QuantTable                                     int
}

// Encoding is what the encoder of spec.Output is told. A Profile that is none means ProfileNext.
func (o Options) Encoding(spec Spec) Encoding {
	r, ok := profileTable[o.Profile][spec.Output]
	if !ok { // no table says anything about PNG
		return o.nextEncoding(spec)
	}
	encoding := r.encoding
	encoding.Quality = interpolate(r.quality, spec.Quality)
	return encoding
}

// nextEncoding is what sharp is told by Next.js, and its defaults.
func (o Options) nextEncoding(spec Spec) Encoding {
	encoding := Encoding{Quality: spec.EncoderQuality()}
	switch spec.Output {
	case JPEG:
		encoding.Subsample = true
		encoding.Progressive, encoding.Trellis, encoding.Overshoot, encoding.OptimizeScans = o.Mozjpeg, o.Mozjpeg, o.Mozjpeg, o.Mozjpeg
		if o.Mozjpeg {
			encoding.QuantTable = 3
		}
	case WebP:
		encoding.Effort = 4
	case AVIF:
		encoding.Effort = 3
	}
	return encoding
}

// row is what a profile does with a format: encoding with another quality.
type row struct {
	encoding Encoding
	quality  []anchor
}

// anchor says which quality the encoder is given for one that was asked for.
type anchor struct{ asked, given int }

// interpolate follows a straight line from anchor to anchor. The ends of both scales are anchors of their own, so that
// all of 1 to 100 stays within 1 to 100.
func interpolate(anchors []anchor, asked int) int {
	from, to := anchor{1, 1}, anchor{100, 100}
	for _, a := range anchors {
		if a.asked >= asked {
			to = a
			break
		}
		from = a
	}
	if to.asked <= from.asked {
		return to.given
	}
	part := float64(asked-from.asked) / float64(to.asked-from.asked)
	given := float64(from.given) + part*float64(to.given-from.given)
	return min(max(int(math.Round(given)), 1), 100)
}

// fingerprint names a profile and its numbers, so that images made with others are not taken for its own: "fast/1f2e3d4c".
// It is "" where the bytes are those of Next.js.
func (p Profile) fingerprint() string { return fingerprints()[p] }

var fingerprints = sync.OnceValue(func() map[Profile]string {
	names := map[Profile]string{}
	for profile, rows := range profileTable {
		names[profile] = fmt.Sprintf("%s/%s", profile, digest(rows))
	}
	return names
})

func digest(rows map[string]row) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v", rows)) // a map is printed in the order of its keys
	return hex.EncodeToString(sum[:4])
}
