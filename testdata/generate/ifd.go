package main

import "encoding/binary"

// This file writes TIFF directories, which TIFF files and EXIF blocks share.

// TIFF field types.
const (
	typeByte     = 1
	typeASCII    = 2
	typeShort    = 3
	typeLong     = 4
	typeRational = 5
	typeUndef    = 7
)

// Tags used below.
const (
	tagOrientation = 0x0112
	tagMake        = 0x010f
	tagSoftware    = 0x0131
	tagExifIFD     = 0x8769
	tagMakerNote   = 0x927c
)

type field struct {
	tag, kind uint16
	count     uint32
	data      []byte
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

func shorts(o byteOrder, tag uint16, v ...uint16) field {
	f := field{tag: tag, kind: typeShort, count: uint32(len(v))}
	for _, x := range v {
		f.data = o.AppendUint16(f.data, x)
	}
	return f
}

func longs(o byteOrder, tag uint16, v ...uint32) field {
	f := field{tag: tag, kind: typeLong, count: uint32(len(v))}
	for _, x := range v {
		f.data = o.AppendUint32(f.data, x)
	}
	return f
}

func ascii(tag uint16, s string) field {
	return field{tag, typeASCII, uint32(len(s) + 1), append([]byte(s), 0)}
}

// directory writes one IFD that stands at offset at, fields in rising order of tag; long values
// follow it. next is the offset of the next directory.
func directory(o byteOrder, at uint32, fields []field, next uint32) []byte {
	out := o.AppendUint16(nil, uint16(len(fields)))
	var extra []byte
	valuesAt := at + 2 + 12*uint32(len(fields)) + 4
	for _, f := range fields {
		out = o.AppendUint16(out, f.tag)
		out = o.AppendUint16(out, f.kind)
		out = o.AppendUint32(out, f.count)
		if len(f.data) <= 4 {
			out = append(out, f.data...)
			out = append(out, make([]byte, 4-len(f.data))...)
			continue
		}
		out = o.AppendUint32(out, valuesAt+uint32(len(extra)))
		extra = append(extra, f.data...)
		if len(extra)%2 == 1 {
			extra = append(extra, 0)
		}
	}
	out = o.AppendUint32(out, next)
	return append(out, extra...)
}

func tiffHeader(o byteOrder) []byte {
	if o == byteOrder(binary.LittleEndian) {
		return []byte{'I', 'I', 42, 0, 8, 0, 0, 0}
	}
	return []byte{'M', 'M', 0, 42, 0, 0, 0, 8}
}

// exif makes an EXIF block (without the "Exif\0\0" that JPEG puts before it). note is the size of a
// maker's note to carry.
func exif(o byteOrder, orientation uint16, note int) []byte {
	fields := []field{
		ascii(tagMake, "imgopt test camera"),
		shorts(o, tagOrientation, orientation),
		ascii(tagSoftware, "imgopt testdata"),
	}
	if note == 0 {
		return append(tiffHeader(o), directory(o, 8, fields, 0)...)
	}
	fields = append(fields, longs(o, tagExifIFD, 0))
	at := uint32(8 + len(directory(o, 8, fields, 0)))
	fields[3] = longs(o, tagExifIFD, at)
	filler := make([]byte, note)
	for i := range filler {
		filler[i] = byte(hash(i, 1, 77) >> 24)
	}
	out := append(tiffHeader(o), directory(o, 8, fields, 0)...)
	return append(out, directory(o, at, []field{{tagMakerNote, typeUndef, uint32(note), filler}}, 0)...)
}

// exifWithTypedOrientation is an EXIF block whose orientation has another type than the standard's.
func exifWithTypedOrientation(o byteOrder, f field) []byte {
	return append(tiffHeader(o), directory(o, 8, []field{f}, 0)...)
}
