package corpus

// ifdEntry is a field of a TIFF directory: its value lies at an offset, or is the offset itself.
type ifdEntry struct{ tag, kind, count, value int }

// Kinds of TIFF fields.
const (
	short = 3
	long  = 4
)

// directory is a TIFF directory, little-endian, that names the offset of the next one.
func directory(next int, entries ...ifdEntry) []byte {
	b := le16(len(entries))
	for _, e := range entries {
		b = append(b, le16(e.tag, e.kind)...)
		b = append(b, le32(e.count, e.value)...)
	}
	return append(b, le32(next)...)
}

const (
	tagOrientation = 0x112
	tagExif        = 0x8769
	tagGPS         = 0x8825
	tagInterop     = 0xa005
)

// exifLoop is a directory that is its own successor, its own Exif, GPS and interoperability directory.
func exifLoop() []byte {
	return join([]byte("II*\x00"), le32(8), directory(8,
		ifdEntry{tagOrientation, short, 1, 6},
		ifdEntry{tagExif, long, 1, 8},
		ifdEntry{tagGPS, long, 1, 8},
		ifdEntry{tagInterop, long, 1, 8}))
}

// exifCount claims values of four billion elements, and an orientation that is none.
func exifCount() []byte {
	return join([]byte("II*\x00"), le32(8), directory(0,
		ifdEntry{tagOrientation, short, 1, 65535},
		ifdEntry{0x10e, 2, 1<<32 - 1, 8},
		ifdEntry{0x10f, 12, 1<<32 - 1, 1<<32 - 1},
		ifdEntry{0x927c, 7, 1<<31 - 1, 0}))
}

// exifChain is as many directories as fit into one segment of a JPEG, each with the next one as its Exif directory.
func exifChain() []byte {
	b := join([]byte("II*\x00"), le32(8))
	const size = 2 + 12 + 4
	for i := range 3500 {
		next := 8 + (i+1)*size
		b = append(b, directory(next, ifdEntry{tagExif, long, 1, next})...)
	}
	return b
}

// largeProfile is an ICC profile of n bytes whose header and table of tags are right: what it holds is zeros.
func largeProfile(n int) []byte {
	const at = 128 + 4 + 12
	head := join(be32(n), []byte("lcms"), be32(0x02400000), []byte("mntrRGB XYZ "), make([]byte, 12), []byte("acsp"), make([]byte, 28),
		be32(0xf6d6, 0x10000, 0xd32d), make([]byte, 48), be32(1), []byte("desc"), be32(at, n-at))
	return append(head, make([]byte, n-len(head))...)
}

// profiles are ICC profiles (version 2, RGB to Lab) of which something is absurd.
func profiles() [][]byte {
	profile := func(size int, tags int, table []byte) []byte {
		head := join(be32(size), []byte("lcms"), be32(0x02400000), []byte("mntrRGB Lab "), make([]byte, 12), []byte("acsp"), make([]byte, 28),
			be32(0xf6d6, 0x10000, 0xd32d), make([]byte, 48))
		return join(head, be32(tags), table)
	}
	entry := func(tag string, offset, size int) []byte { return join([]byte(tag), be32(offset, size)) }
	// A table of 255^3 points of which only the first are there.
	lut := join([]byte("mft2"), be32(0), []byte{3, 3, 255, 0}, be32(65536, 0, 0, 0, 65536, 0, 0, 0, 65536), be16(4096, 4096), make([]byte, 4096))
	// A sequence of curves that claims four billion points.
	curve := join([]byte("curv"), be32(0, 1<<32-1), make([]byte, 64))
	many := make([]byte, 0, 100*12)
	for range 100 {
		many = append(many, entry("A2B0", 132, 1<<31-1)...)
	}
	at := 128 + 4 + 12
	return [][]byte{
		profile(1<<32-1, 1<<32-1, nil),
		profile(at+len(lut), 1, join(entry("A2B0", at, len(lut)), lut)),
		profile(at+len(lut), 1, join(entry("A2B0", at, 255*255*255*6), lut)),
		profile(at+len(curve), 1, join(entry("rTRC", at, len(curve)), curve)),
		profile(132+len(many), 100, many),
		profile(at, 1, entry("desc", 128, 1<<32-1)), // a tag that is the table of tags
	}
}
