package transform

// profileTable has what the encoders are told by the profiles that do not give Next.js' bytes. The numbers come from a
// measurement, the part `quality` of bench: docs/profiles.md shows what each costs in processor time and in bytes, and
// how much its images look like those of ProfileNext. Options.Mozjpeg has no say here.
//
// What was tried and is not here: WebP's sharp YUV, deblocking search, presets and passes cost 1.5 to 9 times the time and
// save nothing at the same score; AVIF tuned for SSIM takes more bytes, and from effort 5 on ten times the time for one
// per cent; of mozjpeg's quantization tables none is better than Next.js' over all qualities.
//
// Whoever changes a number changes the bytes, and with them the fingerprint: caches are then filled anew.
var profileTable = map[Profile]map[string]row{
	ProfileFast: {
		JPEG: {encoding: Encoding{Subsample: true, QuantTable: 3}, quality: []anchor{{30, 28}, {50, 49}, {75, 74}, {90, 90}}},
		WebP: {encoding: Encoding{Effort: 1}, quality: []anchor{{30, 28}, {50, 48}, {75, 73}, {90, 91}}},
		AVIF: {encoding: Encoding{Effort: 1, Subsample: true}, quality: []anchor{{30, 22}, {50, 34}, {75, 50}, {90, 60}, {100, 67}}},
	},
	ProfileSmall: {
		JPEG: {encoding: Encoding{Subsample: true, Progressive: true, Trellis: true, Overshoot: true, OptimizeScans: true, QuantTable: 3}},
		WebP: {encoding: Encoding{Effort: 6}},
		// libvips/save.c takes effort 3 for what is larger than a megapixel.
		AVIF: {encoding: Encoding{Effort: 4, Subsample: true}, quality: []anchor{{30, 20}, {50, 32}, {75, 49}, {90, 58}, {100, 66}}},
	},
}
