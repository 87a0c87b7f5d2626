package corpus

import (
	"bytes"
	"strconv"
)

// Tags of TIFF.
const (
	tagWidth        = 256
	tagHeight       = 257
	tagBits         = 258
	tagCompression  = 259
	tagPhotometric  = 262
	tagStripOffsets = 273
	tagSamples      = 277
	tagRowsPerStrip = 278
	tagStripBytes   = 279
	tagPlanar       = 284
	tagTileWidth    = 322
	tagTileHeight   = 323
	tagTileOffsets  = 324
	tagTileBytes    = 325
	tagSubIFDs      = 330
	tagSampleFormat = 339
	tagSubsampling  = 530
	tagICC          = 34675
)

// Compressions of TIFF.
const (
	tiffNone     = 1
	tiffFax4     = 4
	tiffLZW      = 5
	tiffJPEG     = 7
	tiffDeflate  = 8
	tiffPackBits = 32773
	tiffZstd     = 50000
)

// tiffOf is a file of one directory, with data behind it. at gives the entries their offset.
func tiffOf(next int, data []byte, entries func(at int) []ifdEntry) []byte {
	at := 8 + 2 + 12*len(entries(0)) + 4
	return join([]byte("II*\x00"), le32(8), directory(next, entries(at)...), data)
}

// strip are the entries of a picture in one strip of grey bytes; more of them, ascending by tag, come behind.
func strip(w, h, compression, at, size int, more ...ifdEntry) []ifdEntry {
	return append([]ifdEntry{
		{tagWidth, long, 1, w}, {tagHeight, long, 1, h}, {tagBits, short, 1, 8}, {tagCompression, short, 1, compression},
		{tagPhotometric, short, 1, 1}, {tagStripOffsets, long, 1, at}, {tagSamples, short, 1, 1}, {tagRowsPerStrip, long, 1, h},
		{tagStripBytes, long, 1, size},
	}, more...)
}

// changed is strip with some fields replaced.
func changed(entries []ifdEntry, changes ...ifdEntry) []ifdEntry {
	for _, c := range changes {
		for i := range entries {
			if entries[i].tag == c.tag {
				entries[i] = c
			}
		}
	}
	return entries
}

func tiffs() []Case {
	g := &group{name: "tiff"}
	pixels := make([]byte, 64*64)
	one := func(name string, changes ...ifdEntry) {
		g.raw("tiff-"+name, tiffOf(0, pixels, func(at int) []ifdEntry { return changed(strip(64, 64, tiffNone, at, len(pixels)), changes...) }))
	}
	one("claims-at-limit", ifdEntry{tagWidth, long, 1, 16383}, ifdEntry{tagHeight, long, 1, 16383})
	one("claims-32-bits", ifdEntry{tagWidth, long, 1, 1<<32 - 1}, ifdEntry{tagHeight, long, 1, 1<<32 - 1})
	one("claims-a-line", ifdEntry{tagWidth, long, 1, 268402689}, ifdEntry{tagHeight, long, 1, 1})
	one("claims-a-column", ifdEntry{tagWidth, long, 1, 1}, ifdEntry{tagHeight, long, 1, 268402689}, ifdEntry{tagRowsPerStrip, long, 1, 1})
	one("claims-zero", ifdEntry{tagWidth, long, 1, 0})
	one("bits-0", ifdEntry{tagBits, short, 1, 0})
	one("bits-64", ifdEntry{tagBits, short, 1, 64})
	one("bits-65535", ifdEntry{tagBits, short, 1, 65535})
	one("samples-0", ifdEntry{tagSamples, short, 1, 0})
	one("samples-65535", ifdEntry{tagSamples, short, 1, 65535})
	one("rows-0", ifdEntry{tagRowsPerStrip, long, 1, 0})
	one("rows-32-bits", ifdEntry{tagRowsPerStrip, long, 1, 1<<32 - 1})
	one("strips-32-bits", ifdEntry{tagStripOffsets, long, 1<<32 - 1, 8}, ifdEntry{tagStripBytes, long, 1<<32 - 1, 8})
	one("strip-offset-outside", ifdEntry{tagStripOffsets, long, 1, 1<<32 - 1})
	one("strip-of-4-gigabytes", ifdEntry{tagStripBytes, long, 1, 1<<32 - 1})
	one("strip-is-the-directory", ifdEntry{tagStripOffsets, long, 1, 8})
	one("compression-unknown", ifdEntry{tagCompression, short, 1, 65535})
	one("photometric-unknown", ifdEntry{tagPhotometric, short, 1, 65535})
	one("palette-is-missing", ifdEntry{tagPhotometric, short, 1, 3})
	for _, c := range []int{tiffFax4, tiffLZW, tiffJPEG, tiffDeflate, tiffPackBits, tiffZstd} {
		one("garbage-in-compression-"+strconv.Itoa(c), ifdEntry{tagCompression, short, 1, c}, ifdEntry{tagWidth, long, 1, 16000}, ifdEntry{tagHeight, long, 1, 16000},
			ifdEntry{tagRowsPerStrip, long, 1, 16000})
	}

	whole := func(name string, w, h, compression int, data func() []byte, more ...ifdEntry) {
		g.add("tiff-"+name, func() []byte {
			d := data()
			return tiffOf(0, d, func(at int) []ifdEntry { return changed(strip(w, h, compression, at, len(d), more...), more...) })
		})
	}
	bit := ifdEntry{tagBits, short, 1, 1}
	whole("deflate-at-limit", 16383, 16383, tiffDeflate, func() []byte { return zeros(16383 * 16383) })
	whole("deflate-goes-on", 64, 64, tiffDeflate, func() []byte { return zeros(512 << 20) })
	whole("fax-at-limit", 16383, 16383, tiffFax4, func() []byte { return fill(0xff, 16383/8+1) }, bit)
	whole("packbits-at-limit", 16383, 16383, tiffPackBits, func() []byte { return bytes.Repeat([]byte{0x81, 0}, 16383*16383/8/128+1) }, bit)
	whole("floats", 4000, 4000, tiffDeflate, func() []byte { return zeros(4000 * 4000 * 8) }, ifdEntry{tagBits, short, 1, 64}, ifdEntry{tagSampleFormat, short, 1, 3})
	whole("bands-5", 4000, 4000, tiffDeflate, func() []byte { return zeros(4000 * 4000 * 5) }, ifdEntry{tagSamples, short, 1, 5})
	whole("bands-200", 1000, 1000, tiffDeflate, func() []byte { return zeros(1000 * 1000 * 200) }, ifdEntry{tagSamples, short, 1, 200})
	whole("bands-65535", 100, 100, tiffDeflate, func() []byte { return zeros(100 * 100 * 65535) }, ifdEntry{tagSamples, short, 1, 65535})
	whole("planes-200", 1000, 1000, tiffDeflate, func() []byte { return zeros(1000 * 1000) }, ifdEntry{tagSamples, short, 1, 200}, ifdEntry{tagPlanar, short, 1, 2})
	whole("subsampling-0", 1000, 1000, tiffNone, func() []byte { return make([]byte, 3_000_000) }, ifdEntry{tagSamples, short, 1, 3},
		ifdEntry{tagPhotometric, short, 1, 6}, ifdEntry{tagSubsampling, short, 2, 0})
	whole("jpeg-is-larger", 64, 64, tiffJPEG, func() []byte { return greyJPEG(16383, 16383) })
	whole("jpeg-scans", 4096, 4096, tiffJPEG, func() []byte { return progressiveJPEG(4096, 4096, 2000) })

	tiles := func(name string, side int, w, h int) {
		g.raw("tiff-"+name, tiffOf(0, pixels, func(at int) []ifdEntry {
			return []ifdEntry{{tagWidth, long, 1, side}, {tagHeight, long, 1, side}, {tagBits, short, 1, 8}, {tagCompression, short, 1, tiffNone},
				{tagPhotometric, short, 1, 1}, {tagSamples, short, 1, 1}, {tagTileWidth, long, 1, w}, {tagTileHeight, long, 1, h},
				{tagTileOffsets, long, 1, at}, {tagTileBytes, long, 1, len(pixels)}}
		}))
	}
	tiles("tile-31-bits", 64, 1<<31-16, 1<<31-16)
	tiles("tile-0", 64, 0, 0)
	tiles("tiles-of-16", 16383, 16, 16)

	g.raw("tiff-directory-loops", tiffOf(8, pixels, func(at int) []ifdEntry { return strip(64, 64, tiffNone, at, len(pixels)) }))
	g.raw("tiff-subdirectory-loops", tiffOf(0, pixels, func(at int) []ifdEntry {
		return strip(64, 64, tiffNone, at, len(pixels), ifdEntry{tagSubIFDs, long, 1, 8}, ifdEntry{tagExif, long, 1, 8})
	}))
	g.raw("tiff-subdirectories-32-bits", tiffOf(0, pixels, func(at int) []ifdEntry {
		return strip(64, 64, tiffNone, at, len(pixels), ifdEntry{tagSubIFDs, long, 1<<32 - 1, 8})
	}))
	g.add("tiff-directories", func() []byte { // 20,000 pages, all with the same pixels
		entries := strip(64, 64, tiffNone, 8, len(pixels))
		length := 2 + 12*len(entries) + 4
		b := join([]byte("II*\x00"), le32(8+len(pixels)), pixels)
		for range 20_000 {
			b = append(b, directory(len(b)+length, entries...)...)
		}
		return append(b, directory(0, entries...)...)
	})
	g.raw("tiff-directories-two-in-a-ring", join([]byte("II*\x00"), le32(8), directory(8+2+12*9+4, strip(64, 64, tiffNone, 8, 4096)...),
		directory(8, strip(64, 64, tiffNone, 8, 4096)...), pixels))
	g.add("tiff-directory-of-65535", func() []byte {
		entries := make([]ifdEntry, 65535)
		for i := range entries {
			entries[i] = ifdEntry{i, 7, 1<<32 - 1, 8}
		}
		return join([]byte("II*\x00"), le32(8), directory(0, entries...))
	})
	for i, profile := range profiles() {
		g.raw("tiff-icc-bomb-"+strconv.Itoa(i), tiffOf(0, join(pixels, profile), func(at int) []ifdEntry {
			return strip(64, 64, tiffNone, at, len(pixels), ifdEntry{tagICC, 7, len(profile), at + len(pixels)})
		}))
	}
	g.raw("tiff-icc-32-bits", tiffOf(0, pixels, func(at int) []ifdEntry {
		return strip(64, 64, tiffNone, at, len(pixels), ifdEntry{tagICC, 7, 1<<32 - 1, at})
	}))
	g.raw("tiff-big-offset-63-bits", []byte("II+\x00"), le16(8, 0), le32(1<<32-1, 1<<31-1))
	return g.cases
}
