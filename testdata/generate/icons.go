package main

import (
	"encoding/binary"
	"image"
)

// This file writes the small formats: BMP, ICO, CUR, ICNS.

// bmpRows are 24- or 32-bit rows from the bottom up, each padded to four bytes.
func bmpRows(img *image.NRGBA, bytesPerPixel int) (out []byte) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	for y := h - 1; y >= 0; y-- {
		for x := range w {
			p := img.Pix[img.PixOffset(x, y):]
			out = append(out, p[2], p[1], p[0])
			if bytesPerPixel == 4 {
				out = append(out, p[3])
			}
		}
		for len(out)%4 != 0 {
			out = append(out, 0)
		}
	}
	return out
}

// bitmapHeader is BITMAPINFOHEADER.
func bitmapHeader(w, h, bytesPerPixel, size int) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 40)
	b = le.AppendUint32(b, uint32(int32(w)))
	b = le.AppendUint32(b, uint32(int32(h)))
	b = le.AppendUint16(b, 1)
	b = le.AppendUint16(b, uint16(8*bytesPerPixel))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, uint32(size))
	return append(b, make([]byte, 16)...)
}

func bmp(img *image.NRGBA, bytesPerPixel int) []byte {
	le := binary.LittleEndian
	rows := bmpRows(img, bytesPerPixel)
	b := []byte("BM")
	b = le.AppendUint32(b, uint32(54+len(rows)))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, 54)
	b = append(b, bitmapHeader(img.Rect.Dx(), img.Rect.Dy(), bytesPerPixel, len(rows))...)
	return append(b, rows...)
}

// icon is one entry of an ICO or CUR file.
type icon struct {
	w, h int
	data []byte
}

// icoBitmap is a 32-bit picture as icons hold it: twice the height, with an empty mask behind it.
func icoBitmap(img *image.NRGBA) icon {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	mask := make([]byte, ceilDiv(w, 32)*4*h)
	rows := bmpRows(img, 4)
	return icon{w, h, append(append(bitmapHeader(w, 2*h, 4, len(rows)), rows...), mask...)}
}

// iconFile writes an ICO (kind 1) or CUR (kind 2).
func iconFile(kind uint16, icons ...icon) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(nil, 0)
	b = le.AppendUint16(b, kind)
	b = le.AppendUint16(b, uint16(len(icons)))
	at := 6 + 16*len(icons)
	for _, ic := range icons {
		b = append(b, byte(ic.w), byte(ic.h), 0, 0, 1, 0, 32, 0)
		b = le.AppendUint32(b, uint32(len(ic.data)))
		b = le.AppendUint32(b, uint32(at))
		at += len(ic.data)
	}
	for _, ic := range icons {
		b = append(b, ic.data...)
	}
	return b
}

// icnsFile writes Apple's icon file of one PNG; kind names its size, such as ic07 for 128 pixels.
func icnsFile(kind string, png []byte) []byte {
	be := binary.BigEndian
	entry := be.AppendUint32([]byte(kind), uint32(8+len(png)))
	entry = append(entry, png...)
	return append(be.AppendUint32([]byte("icns"), uint32(8+len(entry))), entry...)
}
