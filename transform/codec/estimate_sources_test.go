//go:build !race

package codec

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/davidbyttow/govips/v2/vips"
	"golang.org/x/image/tiff"

	"imgopt/transform/libvips"
)

// photo draws smooth shapes under a little noise: like a photograph, it neither compresses away nor is all entropy.
func photo(width, height int) *image.NRGBA {
	r := rand.New(rand.NewPCG(5, 6))
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			u, v := float64(x)/float64(width), float64(y)/float64(height)
			n := r.IntN(17) - 8
			level := func(f float64) uint8 { return uint8(min(max(int(128+100*f)+n, 0), 255)) }
			m.SetNRGBA(x, y, color.NRGBA{level(math.Sin(9*u + 4*v)), level(math.Sin(7 * u * v * 5)), level(math.Cos(11*v - 3*u)), 255})
		}
	}
	return m
}

// noise is the worst case of every encoder: nothing can be predicted.
func noise(width, height int) *image.NRGBA {
	r := rand.New(rand.NewPCG(7, 8))
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range m.Pix {
		m.Pix[i] = uint8(r.Uint32())
		if i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	return m
}

// seeThrough is noise with a noise of alpha.
func seeThrough(width, height int) *image.NRGBA {
	m := noise(width, height)
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] = m.Pix[i-1] ^ m.Pix[i-2]
	}
	return m
}

// variantOf is one way to store a picture; quick ones are measured each time.
type variantOf struct {
	name  string
	quick bool
	make  func(t testing.TB, m *image.NRGBA) []byte
}

// inVips gives a picture to libvips, which writes what Go's encoders cannot.
func inVips(t testing.TB, m *image.NRGBA, save func(*vips.ImageRef) ([]byte, *vips.ImageMetadata, error)) []byte {
	t.Helper()
	if err := libvips.Start(); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&buf, m); err != nil {
		t.Fatal(err)
	}
	ref, err := vips.NewImageFromBuffer(buf.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	defer ref.Close()
	b, _, err := save(ref)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func viaJPEG(p vips.JpegExportParams) func(testing.TB, *image.NRGBA) []byte {
	p.Quality = 85
	return func(t testing.TB, m *image.NRGBA) []byte {
		return inVips(t, m, func(r *vips.ImageRef) ([]byte, *vips.ImageMetadata, error) { return r.ExportJpeg(&p) })
	}
}

func cmyk(interlace bool) func(testing.TB, *image.NRGBA) []byte {
	return func(t testing.TB, m *image.NRGBA) []byte {
		return inVips(t, m, func(r *vips.ImageRef) ([]byte, *vips.ImageMetadata, error) {
			if err := r.ToColorSpace(vips.InterpretationCMYK); err != nil {
				return nil, nil, err
			}
			return r.ExportJpeg(&vips.JpegExportParams{Quality: 85, Interlace: interlace})
		})
	}
}

func viaPNG(p vips.PngExportParams) func(testing.TB, *image.NRGBA) []byte {
	p.Compression = 1
	return func(t testing.TB, m *image.NRGBA) []byte {
		return inVips(t, m, func(r *vips.ImageRef) ([]byte, *vips.ImageMetadata, error) {
			p := p
			if p.Bitdepth == 16 {
				if err := r.Cast(vips.BandFormatUshort); err != nil {
					return nil, nil, err
				}
				if err := r.Linear1(257, 0); err != nil {
					return nil, nil, err
				}
				if err := r.Cast(vips.BandFormatUshort); err != nil {
					return nil, nil, err
				}
				if err := r.ToColorSpace(vips.InterpretationRGB16); err != nil {
					return nil, nil, err
				}
			}
			return r.ExportPng(&p)
		})
	}
}

func viaWebP(p vips.WebpExportParams) func(testing.TB, *image.NRGBA) []byte {
	p.Quality, p.ReductionEffort = 80, 1
	return func(t testing.TB, m *image.NRGBA) []byte {
		return inVips(t, m, func(r *vips.ImageRef) ([]byte, *vips.ImageMetadata, error) { return r.ExportWebp(&p) })
	}
}

func viaAVIF(p vips.AvifExportParams) func(testing.TB, *image.NRGBA) []byte {
	p.Effort = 1
	return func(t testing.TB, m *image.NRGBA) []byte {
		return inVips(t, m, func(r *vips.ImageRef) ([]byte, *vips.ImageMetadata, error) { return r.ExportAvif(&p) })
	}
}

func viaTIFF(p vips.TiffExportParams) func(testing.TB, *image.NRGBA) []byte {
	return func(t testing.TB, m *image.NRGBA) []byte {
		return inVips(t, m, func(r *vips.ImageRef) ([]byte, *vips.ImageMetadata, error) { return r.ExportTiff(&p) })
	}
}

// turned puts an EXIF orientation of 6 into a JPEG.
func turned(make func(testing.TB, *image.NRGBA) []byte) func(testing.TB, *image.NRGBA) []byte {
	return func(t testing.TB, m *image.NRGBA) []byte {
		b := make(t, m)
		exif := append([]byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"), 0, 0, 0, 0)
		marker := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(2+len(exif)))
		return append(append(bytes.Clone(b[:2]), append(marker, exif...)...), b[2:]...)
	}
}

var variants = []variantOf{
	{"jpeg baseline 420", true, viaJPEG(vips.JpegExportParams{SubsampleMode: vips.VipsForeignSubsampleOn})},
	{"jpeg baseline 444", false, viaJPEG(vips.JpegExportParams{SubsampleMode: vips.VipsForeignSubsampleOff})},
	{"jpeg progressive 420", false, viaJPEG(vips.JpegExportParams{Interlace: true, SubsampleMode: vips.VipsForeignSubsampleOn})},
	{"jpeg progressive 444", true, viaJPEG(vips.JpegExportParams{Interlace: true, SubsampleMode: vips.VipsForeignSubsampleOff})},
	{"jpeg cmyk", false, cmyk(false)},
	{"jpeg cmyk progressive", false, cmyk(true)},
	{"jpeg turned", false, turned(viaJPEG(vips.JpegExportParams{}))},
	{"jpeg turned progressive", false, turned(viaJPEG(vips.JpegExportParams{Interlace: true}))},
	{"png 8", false, viaPNG(vips.PngExportParams{})},
	{"png 8 interlaced", false, viaPNG(vips.PngExportParams{Interlace: true})},
	{"png 16", false, viaPNG(vips.PngExportParams{Bitdepth: 16})},
	{"png 16 interlaced", true, viaPNG(vips.PngExportParams{Bitdepth: 16, Interlace: true})},
	{"png palette", false, viaPNG(vips.PngExportParams{Palette: true, Bitdepth: 8, Quality: 90})},
	{"webp lossy", true, viaWebP(vips.WebpExportParams{})},
	{"webp lossless", false, viaWebP(vips.WebpExportParams{Lossless: true})},
	{"avif 8", true, viaAVIF(vips.AvifExportParams{Quality: 60, Bitdepth: 8})},
	{"avif 8 444", false, viaAVIF(vips.AvifExportParams{Quality: 95, Bitdepth: 8})},
	{"avif 10", false, viaAVIF(vips.AvifExportParams{Quality: 60, Bitdepth: 10})},
	{"gif", false, func(t testing.TB, m *image.NRGBA) []byte {
		return inVips(t, m, func(r *vips.ImageRef) ([]byte, *vips.ImageMetadata, error) {
			return r.ExportGIF(&vips.GifExportParams{Bitdepth: 8, Effort: 1})
		})
	}},
	{"tiff strips", false, viaTIFF(vips.TiffExportParams{Compression: vips.TiffCompressionLzw})},
	{"tiff tiles", false, viaTIFF(vips.TiffExportParams{Compression: vips.TiffCompressionDeflate, Tile: true, TileHeight: 256, TileWidth: 256})},
	{"tiff jpeg tiles", false, viaTIFF(vips.TiffExportParams{Quality: 80, Compression: vips.TiffCompressionJpeg, Tile: true, TileHeight: 256, TileWidth: 256})},
	{"tiff whole", true, func(t testing.TB, m *image.NRGBA) []byte {
		var b bytes.Buffer
		if err := tiff.Encode(&b, m, &tiff.Options{Compression: tiff.Deflate}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}},
	{"tiff whole raw", false, func(t testing.TB, m *image.NRGBA) []byte {
		var b bytes.Buffer
		if err := tiff.Encode(&b, m, nil); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}},
}
