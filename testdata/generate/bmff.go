package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// This file writes AVIF containers (ISO/IEC 14496-12, 23008-12, AV1 Image File Format) around AV1
// data that libvips encoded: properties and items its own writer does not offer.

func box(kind string, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(append(b, kind...), body...)
}

// fullBox has a version and 24 bits of flags.
func fullBox(kind string, version byte, flags uint32, parts ...[]byte) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(version)<<24|flags)
	return box(kind, append([][]byte{head}, parts...)...)
}

func u16(v ...int) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint16(b, uint16(x))
	}
	return b
}

func u32(v ...int) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint32(b, uint32(x))
	}
	return b
}

// property is an item property; a reader must understand an essential one.
type property struct {
	box       []byte
	essential bool
}

// reference says that its item refers to others: "auxl", "cdsc", "dimg", "prem", "thmb".
type reference struct {
	kind string
	to   []int
}

type heifItem struct {
	id     int
	kind   string // "av01", "hvc1", "grid", "Exif"
	hidden bool
	data   []byte
	props  []property
	refs   []reference
}

// heifFile writes items, the first of which is the primary one.
func heifFile(major string, compatible []string, items []heifItem) []byte {
	ftyp := []byte(major + "\x00\x00\x00\x00")
	for _, c := range compatible {
		ftyp = append(ftyp, c...)
	}
	head := box("ftyp", ftyp)
	// The items' offsets depend on the size of meta, which does not depend on the offsets.
	meta := heifMeta(items, 0)
	meta = heifMeta(items, len(head)+len(meta)+8)
	var data []byte
	for _, it := range items {
		data = append(data, it.data...)
	}
	return bytes.Join([][]byte{head, meta, box("mdat", data)}, nil)
}

func heifMeta(items []heifItem, dataAt int) []byte {
	iloc := append([]byte{0x44, 0x00}, u16(len(items))...)
	iinf, ipma, iref := u16(len(items)), u32(len(items)), []byte{}
	var ipco [][]byte
	for _, it := range items {
		iloc = append(iloc, u16(it.id, 0, 1)...)
		iloc = append(iloc, u32(dataAt, len(it.data))...)
		dataAt += len(it.data)
		flags := uint32(0)
		if it.hidden {
			flags = 1
		}
		iinf = append(iinf, fullBox("infe", 2, flags, u16(it.id, 0), []byte(it.kind), []byte{0})...)
		ipma = append(append(ipma, u16(it.id)...), byte(len(it.props)))
		for _, p := range it.props {
			ipco = append(ipco, p.box)
			index := byte(len(ipco))
			if p.essential {
				index |= 0x80
			}
			ipma = append(ipma, index)
		}
		for _, r := range it.refs {
			iref = append(iref, box(r.kind, u16(it.id, len(r.to)), u16(r.to...))...)
		}
	}
	parts := [][]byte{
		fullBox("hdlr", 0, 0, u32(0), []byte("pict"), make([]byte, 13)),
		fullBox("pitm", 0, 0, u16(items[0].id)),
		fullBox("iloc", 0, 0, iloc),
		fullBox("iinf", 0, 0, iinf),
	}
	if len(iref) > 0 {
		parts = append(parts, fullBox("iref", 0, 0, iref))
	}
	parts = append(parts, box("iprp", box("ipco", ipco...), fullBox("ipma", 0, 0, ipma)))
	return fullBox("meta", 0, 0, parts...)
}

// av1 is one coded picture: its AV1 data and the configuration record that goes with it.
type av1 struct {
	w, h   int
	data   []byte
	config []byte // the whole av1C box
}

// av1Of encodes p with libvips and takes the coded picture out of the container.
func av1Of(p pixels, suffix string) av1 {
	file := must(p.encode(suffix))
	top := boxes(file)
	meta := boxes(top["meta"][4:])
	props := boxes(boxes(meta["iprp"])["ipco"])
	config := box("av1C", props["av1C"])
	return av1{p.w, p.h, top["mdat"], config}
}

// boxes maps each box's kind to its body; of several of a kind, the first.
func boxes(b []byte) map[string][]byte {
	out := map[string][]byte{}
	for len(b) >= 8 {
		n := int(binary.BigEndian.Uint32(b))
		if n < 8 || n > len(b) {
			panic(fmt.Errorf("box %q has size %d of %d", b[4:8], n, len(b)))
		}
		if kind := string(b[4:8]); out[kind] == nil {
			out[kind] = b[8:n]
		}
		b = b[n:]
	}
	return out
}

// item is a's picture as an item, with the properties every picture has and more.
func (a av1) item(id int, more ...property) heifItem {
	props := []property{{fullBox("ispe", 0, 0, u32(a.w, a.h)), false}, {a.config, true}}
	return heifItem{id: id, kind: "av01", data: a.data, props: append(props, more...)}
}

// Properties.
func rotation(quarterTurnsLeft byte) property {
	return property{box("irot", []byte{quarterTurnsLeft}), true}
}
func mirror(axis byte) property { return property{box("imir", []byte{axis}), true} }

// nclx names the colour space by the numbers of ITU-T H.273.
func nclx(primaries, transfer, matrix int, fullRange bool) property {
	b := append([]byte("nclx"), u16(primaries, transfer, matrix)...)
	if fullRange {
		return property{box("colr", append(b, 0x80)), false}
	}
	return property{box("colr", append(b, 0)), false}
}

func colourProfile(icc []byte) property { return property{box("colr", []byte("prof"), icc), false} }

func alphaOf(id int) (property, []reference) {
	return property{fullBox("auxC", 0, 0, []byte("urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\x00")), true}, []reference{{"auxl", []int{id}}}
}

var avifBrands = []string{"avif", "mif1", "miaf", "MA1A"}

// avifWith is a still AVIF of one picture with more properties.
func avifWith(a av1, more ...property) []byte {
	return heifFile("avif", avifBrands, []heifItem{a.item(1, more...)})
}

// avifSequence is an image sequence: a still item and a track of all pictures. Readers that know
// only stills show the item.
func avifSequence(major string, compatible []string, pictures []av1) []byte {
	ftyp := []byte(major + "\x00\x00\x00\x00")
	for _, c := range compatible {
		ftyp = append(ftyp, c...)
	}
	head := box("ftyp", ftyp)
	items := []heifItem{pictures[0].item(1)}
	var data []byte
	for _, p := range pictures {
		data = append(data, p.data...)
	}
	size := len(head) + len(heifMeta(items, 0)) + len(movie(pictures, 0)) + 8
	return bytes.Join([][]byte{head, heifMeta(items, size), movie(pictures, size), box("mdat", data)}, nil)
}

// movie is the moov box of a track of pictures, a fifth of a second each.
func movie(pictures []av1, dataAt int) []byte {
	n, w, h := len(pictures), pictures[0].w, pictures[0].h
	unity := u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
	duration := n * 200
	sizes := u32(0, n)
	for _, p := range pictures {
		sizes = append(sizes, u32(len(p.data))...)
	}
	entry := bytes.Join([][]byte{make([]byte, 6), u16(1), make([]byte, 16), u16(w, h), u32(0x480000, 0x480000, 0),
		u16(1), make([]byte, 32), u16(24, 0xffff), pictures[0].config, fullBox("ccst", 0, 0, u32(0x7c000000))}, nil)
	table := box("stbl",
		fullBox("stsd", 0, 0, u32(1), box("av01", entry)),
		fullBox("stts", 0, 0, u32(1, n, 200)),
		fullBox("stsc", 0, 0, u32(1, 1, n, 1)),
		fullBox("stsz", 0, 0, sizes),
		fullBox("stco", 0, 0, u32(1, dataAt)))
	media := box("mdia",
		fullBox("mdhd", 0, 0, u32(0, 0, 1000, duration), u16(0x55c4, 0)),
		fullBox("hdlr", 0, 0, u32(0), []byte("pict"), make([]byte, 13)),
		box("minf",
			fullBox("vmhd", 0, 1, u16(0, 0, 0, 0)),
			box("dinf", fullBox("dref", 0, 0, u32(1), fullBox("url ", 0, 1))),
			table))
	return box("moov",
		fullBox("mvhd", 0, 0, u32(0, 0, 1000, duration, 0x10000), u16(0x100, 0), u32(0, 0), unity, make([]byte, 24), u32(2)),
		box("trak",
			fullBox("tkhd", 0, 3, u32(0, 0, 1, 0, duration, 0, 0), u16(0, 0, 0, 0), unity, u32(w<<16, h<<16)),
			media))
}
