package corpus

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

func box(kind string, data ...[]byte) []byte {
	body := join(data...)
	return join(be32(len(body)+8), []byte(kind), body)
}

func fullBox(kind string, version byte, flags int, data ...[]byte) []byte {
	return box(kind, append([][]byte{{version}, be32(flags)[1:]}, data...)...)
}

// item is a picture, or part of one, in a HEIF file.
type item struct {
	id      int
	kind    string
	data    []byte
	extents int   // how often its data are named as a part of it; 0 means once
	props   []int // indices of its properties, from 1
}

// reference leads from one item to others.
type reference struct {
	kind string
	from int
	to   []int
}

// heif writes a file. The first item is the picture.
func heif(properties [][]byte, items []item, references ...reference) []byte {
	file := func(data int) []byte {
		var places, infos, associations, links, media []byte
		for _, it := range items {
			extent := be32(data+len(media), len(it.data))
			n := max(it.extents, 1)
			places = append(places, be16(it.id, 0, n)...)
			places = append(places, bytes.Repeat(extent, n)...)
			infos = append(infos, fullBox("infe", 2, 0, be16(it.id, 0), []byte(it.kind), []byte{0})...)
			associations = append(associations, be16(it.id)...)
			associations = append(associations, byte(len(it.props)))
			for _, p := range it.props {
				associations = append(associations, 0x80|byte(p))
			}
			media = append(media, it.data...)
		}
		for _, r := range references {
			to := be16(r.to...)
			links = append(links, box(r.kind, be16(r.from, len(r.to)), to)...)
		}
		if links != nil {
			links = fullBox("iref", 0, 0, links)
		}
		meta := fullBox("meta", 0, 0,
			fullBox("hdlr", 0, 0, be32(0), []byte("pict"), make([]byte, 13)),
			fullBox("pitm", 0, 0, be16(items[0].id)),
			fullBox("iloc", 0, 0, []byte{0x44, 0}, be16(len(items)), places),
			fullBox("iinf", 0, 0, be16(len(items)), infos),
			box("iprp", box("ipco", properties...), fullBox("ipma", 0, 0, be32(len(items)), associations)),
			links)
		return join(brand, meta, box("mdat", media))
	}
	empty := file(0)
	media := 8
	for _, it := range items {
		media += len(it.data)
	}
	return file(len(empty) - media + 8)
}

var brand = box("ftyp", []byte("avif"), be32(0), []byte("avifmif1miaf"))

// av1 takes a good file apart: the decoder's configuration, the picture's size and its data. Each is the first of its
// kind in a file that holds one picture.
func av1(good []byte) (config, dimensions, data []byte) {
	find := func(kind string) []byte {
		at := bytes.Index(good, []byte(kind))
		if at < 4 {
			return nil
		}
		return good[at-4 : min(at-4+int(binary.BigEndian.Uint32(good[at-4:])), len(good))]
	}
	return find("av1C"), find("ispe"), find("mdat")[8:]
}

func size(w, h int) []byte { return fullBox("ispe", 0, 0, be32(w, h)) }

// grid describes a picture of rows by columns tiles.
func grid(rows, columns, w, h int) []byte {
	return join([]byte{0, 1, byte(rows - 1), byte(columns - 1)}, be32(w, h))
}

// same is n times one item.
func same(id, n int) []int {
	to := make([]int, n)
	for i := range to {
		to[i] = id
	}
	return to
}

// avifs takes apart a good file.
func avifs(good []byte) []Case {
	g := &group{name: "avif"}
	config, real, data := av1(good)
	depth := fullBox("pixi", 0, 0, []byte{3, 8, 8, 8})
	tile := func(id int) item { return item{id: id, kind: "av01", data: data, props: []int{1, 2, 3}} }
	one := func(properties ...[]byte) [][]byte { return append([][]byte{config, depth}, properties...) }

	for _, c := range []struct {
		name string
		w, h int
	}{
		{"at-limit", 16383, 16383}, {"over-limit", 16384, 16384}, {"31-bits", 1<<31 - 1, 1<<31 - 1},
		{"32-bits", 1<<32 - 1, 1<<32 - 1}, {"zero", 0, 0}, {"a-line", 268402689, 1},
	} {
		g.raw("avif-claims-"+c.name, heif(one(size(c.w, c.h)), []item{tile(1)}))
	}
	w, h := int(binary.BigEndian.Uint32(real[12:])), int(binary.BigEndian.Uint32(real[16:]))
	gridOf := func(name string, rows, columns, width, height, links int) {
		g.raw("avif-"+name, heif(one(real, size(width, height)),
			[]item{{id: 1, kind: "grid", data: grid(rows, columns, width, height), props: []int{4}}, tile(2)},
			reference{"dimg", 1, same(2, links)}))
	}
	gridOf("grid-16", 16, 16, 16*w, 16*h, 256)
	gridOf("grid-256", 256, 256, 256*w, 256*h, 65535)
	gridOf("grid-claims-31-bits", 256, 256, 1<<31-1, 1<<31-1, 65535)
	gridOf("grid-claims-more-than-tiles", 2, 2, 16383, 16383, 4)
	gridOf("grid-without-tiles", 16, 16, 16*w, 16*h, 0)
	g.raw("avif-grid-of-itself", heif(one(real), []item{{id: 1, kind: "grid", data: grid(2, 2, 2*w, 2*h), props: []int{3}}},
		reference{"dimg", 1, same(1, 4)}))
	g.raw("avif-grids-of-each-other", heif(one(real),
		[]item{{id: 1, kind: "grid", data: grid(16, 16, 16*w, 16*h), props: []int{3}}, {id: 2, kind: "grid", data: grid(16, 16, 16*w, 16*h), props: []int{3}}},
		reference{"dimg", 1, same(2, 256)}, reference{"dimg", 2, same(1, 256)}))
	g.add("avif-grids-of-grids", func() []byte { // 16 tiles to the power of eight
		var items []item
		var links []reference
		for id := 1; id <= 8; id++ {
			items = append(items, item{id: id, kind: "grid", data: grid(4, 4, 4*w, 4*h), props: []int{3}})
			links = append(links, reference{"dimg", id, same(id+1, 16)})
		}
		return heif(one(real), append(items, tile(9)), links...)
	})
	g.raw("avif-identity-of-itself", heif(one(real), []item{{id: 1, kind: "iden", props: []int{3}}}, reference{"dimg", 1, []int{1}}))
	g.raw("avif-overlay-claims", heif(one(size(1<<31-1, 1<<31-1)),
		[]item{{id: 1, kind: "iovl", data: join([]byte{0, 1}, be16(0, 0, 0, 0), be32(1<<31-1, 1<<31-1), make([]byte, 8*256)), props: []int{3}}, tile(2)},
		reference{"dimg", 1, same(2, 256)}))
	alpha := fullBox("auxC", 0, 0, []byte("urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\x00"))
	layer := tile(2)
	layer.props = append(layer.props, 4)
	for _, kind := range []string{"auxl", "thmb", "prem", "cdsc"} {
		g.raw("avif-"+kind+"-loops", heif(one(real, alpha), []item{tile(1), layer}, reference{kind, 1, []int{2, 1}}, reference{kind, 2, []int{1, 2}}))
		g.raw("avif-"+kind+"-of-itself", heif(one(real, alpha), []item{tile(1), layer}, reference{kind, 2, []int{2, 1}}))
	}
	many := tile(1)
	many.extents = 65535
	g.raw("avif-extents-65535", heif(one(real), []item{many}))
	for _, n := range []int{32, 65535} {
		large := item{id: 1, kind: "av01", data: fill(0x12, 2<<20), extents: n, props: []int{1, 2, 3}}
		g.add("avif-extents-of-2-megabytes-"+strconv.Itoa(n), func() []byte { return heif(one(real), []item{large}) })
	}
	g.add("avif-items", func() []byte {
		var items []item
		for id := 1; id <= 65535; id++ {
			items = append(items, item{id: id, kind: "av01", props: []int{1, 2, 3}})
		}
		return heif(one(real), items)
	})
	var turns [][]byte
	turned := tile(1)
	for i := range 90 {
		turns = append(turns, box([]string{"irot", "imir"}[i%2], []byte{1}))
		turned.props = append(turned.props, 4+i)
	}
	g.raw("avif-turned-90-times", heif(one(append([][]byte{real}, turns...)...), []item{turned}))
	cropped := tile(1)
	cropped.props = append(cropped.props, 4)
	g.raw("avif-crop-by-zero", heif(one(real, box("clap", make([]byte, 32))), []item{cropped}))
	g.raw("avif-crop-overflows", heif(one(real, box("clap", fill(0xff, 32))), []item{cropped}))
	for i, profile := range profiles() {
		g.raw("avif-icc-bomb-"+strconv.Itoa(i), heif(one(real, box("colr", []byte("prof"), profile)), []item{cropped}))
	}
	exif := item{id: 2, kind: "Exif", data: join(be32(0), exifLoop())}
	g.raw("avif-exif-loops", heif(one(real), []item{tile(1), exif}, reference{"cdsc", 2, []int{1}}))
	g.raw("avif-entries-32-bits", brand, fullBox("meta", 0, 0, fullBox("iinf", 1, 0, be32(1<<32-1)), fullBox("iloc", 2, 0, []byte{0x88, 0x88}, be32(1<<32-1)),
		box("iprp", box("ipco"), fullBox("ipma", 1, 1, be32(1<<32-1)))))
	g.raw("avif-box-size-64-bits", brand, be32(1), []byte("meta"), be32(1<<31-1, 1<<32-1), fill(0, 64))
	g.raw("avif-box-without-end", brand, be32(0), []byte("meta"), fill(0, 64))
	g.add("avif-boxes-in-boxes", func() []byte { return join(brand, nested(20_000)) })
	g.add("avif-empty-boxes", func() []byte { return join(brand, bytes.Repeat(box("free"), 500_000)) })
	g.raw("avif-track-claims", brand, box("moov", fullBox("mvhd", 0, 0, make([]byte, 96)), box("trak", fullBox("tkhd", 0, 3, make([]byte, 80)),
		box("mdia", box("minf", box("stbl", fullBox("stts", 0, 0, be32(1<<32-1, 1<<32-1, 1)), fullBox("stsz", 0, 0, be32(1<<31-1, 1<<32-1)),
			fullBox("stco", 0, 0, be32(1<<32-1))))))))
	return g.cases
}

// nested is meta boxes within each other.
func nested(depth int) []byte {
	var b []byte
	for i := depth; i > 0; i-- {
		b = append(b, join(be32(12*i), []byte("meta"), be32(0))...)
	}
	return b
}
