package transform

import (
	"math"
	"slices"
)

// Cost is what encoding a source will take, as far as its header tells.
type Cost struct {
	// Width and Height in pixels, as the container says them; 0 where it does not.
	Width, Height int
	// Bands is the number of channels that are decoded: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha or CMYK.
	Bands int
	// Bytes is the memory that a codec process will take at its peak, beyond what it takes when it is idle.
	Bytes int64
	// Known says that the header was understood. Where it was not, Bytes is a guess on the high side.
	Known bool
}

// Under returns the bytes where sources of more than maxPixels (0: no limit) are refused: a codec reads the header of
// such a one and nothing else.
func (c Cost) Under(maxPixels uint64) int64 {
	if c.Known && maxPixels > 0 && uint64(c.Width)*uint64(c.Height) > maxPixels {
		return min(c.Bytes, refusedBytes)
	}
	return c.Bytes
}

// The memory of an encoding is a sum of seven parts. The factors were measured with the pinned libvips 8.18.7 on x86-64
// (the growth of the resident memory of a fresh codec process, which codec/estimate_test.go measures again and
// compares) on photographs and on noise, the worst case of every encoder; they are those of the noise, so that a
// photograph's estimate is two to four times what it takes. It is further off where a small picture is mostly base,
// where a strip may be turned, where PNG text is compressed and no bomb, and where the codec fails early.
//
//	source       its bytes, which lie in shared memory
//	base         4 MiB: tables, stacks, what an allocator keeps
//	decoder      what it holds for the whole picture, in bytes per pixel of the source:
//	             JPEG, one scan               0 (it gives rows and forgets them)
//	             JPEG, progressive or scans   2 for each coefficient: 4:2:0 3, 4:4:4 6, CMYK 8
//	             PNG                          0
//	             PNG, interlaced              bands × bytes of a sample
//	             GIF                          4
//	             TIFF                         the largest strip, or one row of tiles
//	             WebP, lossy                  10 for each pixel of the target: it scales while it decodes
//	             WebP, lossy with alpha       the same and 5.5
//	             WebP, lossless               the same and 4.5
//	             AVIF, 8 bits                 19 for 4:2:0 and grey, 26 for 4:4:4
//	             AVIF, 10 and 12 bits         24 and 34
//	             AVIF with alpha              the same and 5
//	metadata     3 × what a JPEG has in APP segments, a WebP, AVIF or TIFF in blocks for profiles, EXIF and XMP; of
//	             a PNG 5 × its EXIF and text, and compressed text may be a bomb: 5 × 1,032 × what it takes in the file,
//	             at most 5 × 50 MB a piece, where libpng stops; at most 4 × 8 MB for a profile
//	rows         the caches between the steps: 2.5 × all rows of what is decoded (a JPEG is decoded at 1/2, 1/4 or 1/8
//	             where that is still larger than the target), but at most 2,048 rows; with alpha twice that, because
//	             colours are premultiplied; 4 MiB for tables where CMYK is converted
//	turned       the target once, where EXIF asks for a quarter turn or a half one; with a quarter turn the dearer of
//	             both ways counts, because readers disagree about odd EXIF
//	encoder      in bytes per pixel of the target: JPEG 11, WebP 21 (with alpha 42), AVIF 36 and up to 16 MiB (with
//	             alpha 46 and 32 MiB), PNG 58 up to 4.2 megapixels (its quantizer then takes a thriftier way: 26),
//	             GIF 30 and 20, TIFF 5; and what a profile's encoding adds to that (see extra)
//
// AVIF frees its decoder before the encoder begins, so that the larger of the two counts.
const (
	baseBytes    = 4 << 20
	refusedBytes = 16 << 20
	// unknownBytes is for what has no header that is understood. libvips refuses nearly all of it at once.
	unknownBytes = 64 << 20
	cachedRows   = 2048
	rowCaches    = 2.5
	tableBytes   = 4 << 20
	// highMemoryPixels is where the quantizer of PNG and GIF stops keeping a copy of the picture in floating point.
	highMemoryPixels = 1 << 22
)

// encoderBytes are per pixel of the target, with and without alpha.
var encoderBytes = map[string]struct{ opaque, alpha float64 }{
	JPEG: {11, 14},
	PNG:  {58, 60},
	WebP: {21, 42},
	AVIF: {36, 46},
	GIF:  {30, 32},
	TIFF: {5, 6},
}

// Estimate is that of ProfileNext.
func Estimate(src []byte, media string, spec Spec) Cost {
	return ProfileNext.Estimate(src, media, spec)
}

// EstimateAll is that of ProfileNext.
func EstimateAll(src []byte, media string, specs []Spec) Cost {
	return ProfileNext.EstimateAll(src, media, specs)
}

// Estimate reads the header of a source whose type is media and says what encoding it for spec will cost. It never
// fails, reads a bounded part of the source, and allocates next to nothing.
func (p Profile) Estimate(src []byte, media string, spec Spec) Cost {
	return p.estimate(src, media, func(pic picture) float64 { return pic.cost(media, spec) })
}

// EstimateAll is Estimate for several results that share what they have in common (see MultiEngine): the dearest of them,
// and what is kept meanwhile for others, a decoded picture and a resized one of at most MaxShared bytes each. The decoded
// one is counted even where it is gone by then.
func (p Profile) EstimateAll(src []byte, media string, specs []Spec) Cost {
	return p.estimate(src, media, func(pic picture) float64 { return pic.costAll(media, specs) })
}

func (p Profile) estimate(src []byte, media string, cost func(picture) float64) Cost {
	pic, ok := readPicture(src, media)
	if !ok || pic.width <= 0 || pic.height <= 0 {
		return Cost{Bytes: int64(len(src)) + unknownBytes}
	}
	pic.profile = p
	bytes := cost(pic)
	if pic.turn != turnNone {
		bytes = max(bytes, cost(pic.turned()))
	}
	return Cost{
		Width: pic.width, Height: pic.height, Bands: pic.bands, Known: true,
		Bytes: int64(len(src)) + int64(min(bytes, math.MaxInt64/2)),
	}
}

// turn says whether a picture is to be turned, as far as its header tells.
type turn uint8

const (
	turnNone turn = iota
	turnHalf
	turnQuarter // or one that may be asked for: the dearer of both is taken
)

// picture is what a header says about a source.
type picture struct {
	width, height int // as the container says
	bands, sample int // channels, and bytes of one, as they are decoded
	alpha         bool
	turn          turn
	// decoder is what the decoder holds for the whole picture, in bytes, whatever the target.
	decoder float64
	// metadata is what is kept of what is no pixel, in bytes.
	metadata float64
	// perTarget is what the decoder holds for a pixel of the target.
	perTarget float64
	// scaled says that the decoder scales, by 2, 4 or 8 (JPEG) or by anything (WebP).
	scaled bool
	// early says that the decoder's memory is free when the encoder begins.
	early bool
	// profile is what the encoder aims at; no header says it.
	profile Profile
}

// turned is the picture as it looks after a quarter turn: only the target's size depends on it.
func (p picture) turned() picture {
	if p.turn == turnQuarter {
		p.width, p.height = p.height, p.width
	}
	return p
}

// cost is in bytes, without the source. Numbers are floating point so that no header makes them overflow.
func (p picture) cost(media string, spec Spec) float64 {
	width, height := float64(p.width), float64(p.height)
	target, by := p.target(media, spec)
	channels := float64(p.bands * p.sample)
	rows := (width / by) * channels * min(rowCaches*height/by, cachedRows)
	switch {
	case p.alpha:
		rows *= 2
	case p.bands >= 4:
		rows += tableBytes
	}
	copied := 0.0
	if p.turn != turnNone {
		copied = target * channels
	}
	decoder, rest := p.decoder+p.perTarget*target, rows+copied+p.encoder(media, spec, target)
	if p.early {
		return baseBytes + p.metadata + max(decoder, rest+target*channels)
	}
	return baseBytes + p.metadata + decoder + rest
}

// costAll is in bytes, without the source.
func (p picture) costAll(media string, specs []Spec) float64 {
	dearest := 0.0
	for _, spec := range specs {
		cost := p.cost(media, spec)
		if len(specs) > 1 {
			target, by := p.target(media, spec)
			if pixels := target * resizedBands; pixels <= MaxShared {
				cost += pixels
			}
			decoded := float64(p.width) / by * float64(p.height) / by * float64(max(p.bands, 3)*p.sample)
			if media != WebP && decoded <= MaxShared && p.shared(media, spec, by, specs) {
				cost += decoded
			}
		}
		dearest = max(dearest, cost)
	}
	return dearest
}

// resizedBands are those of a picture that encoders get: 8-bit colour and alpha.
const resizedBands = 4

// shared tells whether another width is made from the same decoded picture.
func (p picture) shared(media string, spec Spec, by float64, specs []Spec) bool {
	return slices.ContainsFunc(specs, func(other Spec) bool {
		_, same := p.target(media, other)
		return other.Width != spec.Width && same == by
	})
}

// target is how many pixels a result has, and what the decoder shrinks each axis by.
func (p picture) target(media string, spec Spec) (pixels, by float64) {
	width, height := float64(p.width), float64(p.height)
	shrink := 1.0
	if spec.Width > 0 {
		shrink = max(1, width/float64(spec.Width))
	}
	by = 1.0
	if p.scaled {
		by = min(shrink, height)
		if media == JPEG {
			by = jpegShrink(by)
		}
	}
	return max(1, width/min(shrink, width)) * max(1, height/min(shrink, height)), by
}

func (p picture) encoder(media string, spec Spec, target float64) float64 {
	output := spec.Output
	switch output {
	case JPEG, PNG, WebP, AVIF:
	default:
		output = media // see Spec
	}
	factor := encoderBytes[output].opaque
	if p.alpha {
		factor = encoderBytes[output].alpha
	}
	switch {
	case output == AVIF:
		fixed := min(256*target, 16<<20)
		if p.alpha { // two pictures are encoded
			fixed *= 2
		}
		return factor*target + fixed
	case output == PNG && target > highMemoryPixels:
		return max(factor*highMemoryPixels, 26*target)
	case output == GIF && target > highMemoryPixels:
		return max(factor*highMemoryPixels, 20*target)
	}
	return factor*target + p.extra(spec, target)
}

// extra is what an encoder takes for an encoding beyond that of ProfileNext, in bytes. Measured like the rest: WebP's
// search for sharp colours 5 to 7 for each pixel, and its larger efforts 10 MB where there is alpha, which is stored
// without loss; AVIF 6 for each pixel and step of effort; a JPEG whose colours are not halved 8.
func (p picture) extra(spec Spec, target float64) (bytes float64) {
	e := Options{Profile: p.profile, Mozjpeg: true}.Encoding(spec)
	switch spec.Output {
	case WebP:
		if e.SharpYUV {
			bytes += 7 * target
		}
		if p.alpha && e.Effort > 4 {
			bytes += min(28*target, 16<<20)
		}
	case AVIF:
		free := 3 // efforts that take what ProfileNext's takes
		if e.Subsample {
			free = 6
		}
		bytes += float64(6*max(e.Effort-free, 0)) * target
	case JPEG:
		if !e.Subsample {
			bytes += 8 * target
		}
	}
	return bytes
}

// jpegShrink is what libvips' JPEG decoder is asked to shrink by.
func jpegShrink(shrink float64) float64 {
	for _, factor := range []float64{8, 4, 2} {
		if shrink >= factor+1 { // an exact factor is halved (libvips/pipeline.c)
			return factor
		}
	}
	return 1
}
