package main

import (
	"encoding/binary"
	"math"
)

// This file writes ICC profiles (ICC.1:2001-04 and ICC.1:2022), so that none need be taken from elsewhere.

type chromaticity [2]float64

var (
	whiteD65 = chromaticity{0.3127, 0.3290}
	whiteD50 = [3]float64{0.9642, 1.0, 0.8249} // the profile connection space's white, XYZ
)

// primaries are red, green and blue of an RGB space.
type primaries [3]chromaticity

var (
	primariesSRGB     = primaries{{0.640, 0.330}, {0.300, 0.600}, {0.150, 0.060}}
	primariesP3       = primaries{{0.680, 0.320}, {0.265, 0.690}, {0.150, 0.060}}
	primariesAdobeRGB = primaries{{0.640, 0.330}, {0.210, 0.710}, {0.150, 0.060}}
	primariesWide     = primaries{{0.7347, 0.2653}, {0.1596, 0.8404}, {0.0366, 0.0001}} // as in ProPhoto RGB
)

type iccTag struct {
	sig  string
	data []byte
}

// iccProfile joins header and tags. class is "mntr" or "prtr", space "RGB ", "GRAY" or "CMYK".
func iccProfile(major byte, class, space, pcs string, tags []iccTag) []byte {
	be := binary.BigEndian
	h := make([]byte, 128)
	h[8] = major
	if major == 2 {
		h[9] = 0x40
	}
	copy(h[12:], class)
	copy(h[16:], space)
	copy(h[20:], pcs)
	for i, v := range []uint16{2026, 11, 21, 0, 0, 0} {
		be.PutUint16(h[24+2*i:], v)
	}
	copy(h[36:], "acsp")
	for i, v := range whiteD50 {
		be.PutUint32(h[68+4*i:], fixed16(v))
	}
	table := be.AppendUint32(nil, uint32(len(tags)))
	var body []byte
	start := 128 + 4 + 12*len(tags)
	for _, t := range tags {
		table = append(table, t.sig...)
		table = be.AppendUint32(table, uint32(start+len(body)))
		table = be.AppendUint32(table, uint32(len(t.data)))
		body = append(body, t.data...)
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
	}
	out := append(append(h, table...), body...)
	be.PutUint32(out, uint32(len(out)))
	return out
}

func fixed16(v float64) uint32 { return uint32(int32(math.Round(v * 65536))) }

// describe makes the tags every profile must have.
func describe(major byte, name string) []iccTag {
	be := binary.BigEndian
	var desc, text []byte
	if major == 2 {
		desc = append([]byte("desc\x00\x00\x00\x00"), be.AppendUint32(nil, uint32(len(name)+1))...)
		desc = append(append(desc, name...), 0)
		desc = append(desc, make([]byte, 4+4+2+1+67)...) // no Unicode, no ScriptCode version
		text = []byte("text\x00\x00\x00\x00Public domain\x00")
	} else {
		desc, text = multiText(name), multiText("Public domain")
	}
	white := []byte("XYZ \x00\x00\x00\x00")
	for _, v := range whiteD50 {
		white = be.AppendUint32(white, fixed16(v))
	}
	return []iccTag{{"desc", desc}, {"cprt", text}, {"wtpt", white}}
}

func multiText(s string) []byte {
	be := binary.BigEndian
	b := []byte("mluc\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x0cenUS")
	b = be.AppendUint32(b, uint32(2*len(s)))
	b = be.AppendUint32(b, 28)
	for _, r := range s {
		b = be.AppendUint16(b, uint16(r))
	}
	return b
}

// Tone curves.
func curveGamma(g float64) []byte {
	b := []byte("curv\x00\x00\x00\x00\x00\x00\x00\x01")
	return binary.BigEndian.AppendUint16(b, uint16(math.Round(g*256)))
}

func curveLinear() []byte { return []byte("curv\x00\x00\x00\x00\x00\x00\x00\x00") }

// curveSRGB is sRGB's curve as a table (profile version 2 knows no formula).
func curveSRGB() []byte {
	const n = 1024
	b := binary.BigEndian.AppendUint32([]byte("curv\x00\x00\x00\x00"), n)
	for i := range n {
		b = binary.BigEndian.AppendUint16(b, uint16(math.Round(65535*linear(float64(i)/(n-1)))))
	}
	return b
}

// curveFormula is sRGB's curve as version 4 writes it.
func curveFormula() []byte {
	b := []byte("para\x00\x00\x00\x00\x00\x03\x00\x00")
	for _, v := range []float64{2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045} {
		b = binary.BigEndian.AppendUint32(b, fixed16(v))
	}
	return b
}

// linear takes sRGB's gamma encoding off v (IEC 61966-2-1).
func linear(v float64) float64 {
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

// profileRGB is a matrix profile. order says which primary is written as the red, green and blue
// tag; anything but 0, 1, 2 makes a profile that swaps channels.
func profileRGB(major byte, name string, p primaries, order [3]int, curve []byte) []byte {
	tags := describe(major, name)
	m := toD50(p)
	for i, c := range "rgb" {
		col := []byte("XYZ \x00\x00\x00\x00")
		for row := range 3 {
			col = binary.BigEndian.AppendUint32(col, fixed16(m[row][order[i]]))
		}
		tags = append(tags, iccTag{string(c) + "XYZ", col}, iccTag{string(c) + "TRC", curve})
	}
	return iccProfile(major, "mntr", "RGB ", "XYZ ", tags)
}

// profileGrey is a grey profile of the given curve.
func profileGrey(name string, curve []byte) []byte {
	return iccProfile(2, "mntr", "GRAY", "XYZ ", append(describe(2, name), iccTag{"kTRC", curve}))
}

type matrix [3][3]float64

func (a matrix) mul(b matrix) (c matrix) {
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				c[i][j] += a[i][k] * b[k][j]
			}
		}
	}
	return c
}

func (a matrix) vec(v [3]float64) (out [3]float64) {
	for i := range 3 {
		out[i] = a[i][0]*v[0] + a[i][1]*v[1] + a[i][2]*v[2]
	}
	return out
}

func (a matrix) inverse() (inv matrix) {
	det := 0.0
	for i := range 3 {
		det += a[0][i] * (a[1][(i+1)%3]*a[2][(i+2)%3] - a[1][(i+2)%3]*a[2][(i+1)%3])
	}
	for i := range 3 {
		for j := range 3 {
			inv[i][j] = (a[(j+1)%3][(i+1)%3]*a[(j+2)%3][(i+2)%3] - a[(j+1)%3][(i+2)%3]*a[(j+2)%3][(i+1)%3]) / det
		}
	}
	return inv
}

func xyz(c chromaticity) [3]float64 { return [3]float64{c[0] / c[1], 1, (1 - c[0] - c[1]) / c[1]} }

// toD50 is the matrix from linear RGB of D65 white to XYZ under D50, by Bradford's adaptation.
func toD50(p primaries) matrix {
	var m matrix
	for i := range 3 {
		v := xyz(p[i])
		for row := range 3 {
			m[row][i] = v[row]
		}
	}
	white := xyz(whiteD65)
	s := m.inverse().vec(white)
	for row := range 3 {
		for i := range 3 {
			m[row][i] *= s[i]
		}
	}
	bradford := matrix{{0.8951, 0.2664, -0.1614}, {-0.7502, 1.7135, 0.0367}, {0.0389, -0.0685, 1.0296}}
	from, to := bradford.vec(white), bradford.vec(whiteD50)
	var scale matrix
	for i := range 3 {
		scale[i][i] = to[i] / from[i]
	}
	return bradford.inverse().mul(scale).mul(bradford).mul(m)
}

// labOf is CIE Lab (D50) of linear sRGB.
func labOf(lin [3]float64) [3]float64 {
	v := toD50(primariesSRGB).vec(lin)
	var f [3]float64
	for i := range 3 {
		t := math.Max(0, v[i]/whiteD50[i])
		if t > 216.0/24389 {
			f[i] = math.Cbrt(t)
		} else {
			f[i] = (24389.0/27*t + 16) / 116
		}
	}
	return [3]float64{116*f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])}
}

// profileCMYK is a press-like profile: a table (lut16Type) from ink amounts to Lab. The inks are
// imperfect, as real ones are, so a program that ignores the profile gets visibly other colours.
func profileCMYK() []byte {
	const grid = 6
	be := binary.BigEndian
	b := []byte{'m', 'f', 't', '2', 0, 0, 0, 0, 4, 3, grid, 0}
	for i := range 9 {
		b = be.AppendUint32(b, fixed16(map[bool]float64{true: 1}[i%4 == 0]))
	}
	b = be.AppendUint16(b, 2)
	b = be.AppendUint16(b, 2)
	for range 4 {
		b = append(b, 0, 0, 0xff, 0xff)
	}
	for i := range grid * grid * grid * grid {
		at := func(div int) float64 { return float64(i/div%grid) / (grid - 1) }
		lab := labOf(printed(at(grid*grid*grid), at(grid*grid), at(grid), at(1)))
		b = be.AppendUint16(b, uint16(math.Round(math.Min(65280, math.Max(0, lab[0]*652.8)))))
		b = be.AppendUint16(b, uint16(math.Round((lab[1]+128)*256)))
		b = be.AppendUint16(b, uint16(math.Round((lab[2]+128)*256)))
	}
	for range 3 {
		b = append(b, 0, 0, 0xff, 0xff)
	}
	tags := append(describe(2, "imgopt test press"), iccTag{"A2B0", b})
	return iccProfile(2, "prtr", "CMYK", "Lab ", tags)
}

// printed is the linear light that paper under the given inks gives back.
func printed(c, m, y, k float64) [3]float64 {
	absorb := [4][3]float64{{0.97, 0.42, 0.12}, {0.20, 0.95, 0.38}, {0.03, 0.13, 0.93}, {0.975, 0.975, 0.97}}
	paper := [3]float64{0.90, 0.89, 0.85}
	for i := range 3 {
		for ink, amount := range []float64{c, m, y, k} {
			paper[i] *= 1 - absorb[ink][i]*math.Pow(amount, 0.8)
		}
	}
	return paper
}
