package main

/*
#cgo pkg-config: vips
#include <stdlib.h>
#include <vips/vips.h>

// cgo cannot call variadic C functions, so each needs a wrapper of fixed arguments.

static int gen_start(void) {
	if (VIPS_INIT("generate"))
		return -1;
	// One thread, no cache: the encoders' output must not depend on the machine's load or cores.
	vips_concurrency_set(1);
	vips_cache_set_max(0);
	return 0;
}

static VipsImage *gen_raw(void *data, size_t size, int w, int h, int bands, int format, int space) {
	VipsImage *raw, *out;
	raw = vips_image_new_from_memory_copy(data, size, w, h, bands, format);
	if (!raw)
		return NULL;
	if (vips_copy(raw, &out, "interpretation", space, NULL))
		out = NULL;
	g_object_unref(raw);
	return out;
}

static int gen_save(VipsImage *in, const char *suffix, void **buf, size_t *len) {
	return vips_image_write_to_buffer(in, suffix, buf, len, NULL);
}

static int gen_save_uhdr(VipsImage *in, void **buf, size_t *len) {
	return vips_uhdrsave_buffer(in, buf, len, "Q", 80, NULL);
}

static VipsImage *gen_thumbnail(void *data, size_t size, int w, int h) {
	VipsImage *small, *srgb;
	if (vips_thumbnail_buffer(data, size, &small, w, "height", h, "size", VIPS_SIZE_DOWN, "output-profile", "srgb", NULL))
		return NULL;
	if (vips_colourspace(small, &srgb, VIPS_INTERPRETATION_sRGB, NULL))
		srgb = NULL;
	g_object_unref(small);
	return srgb;
}

static void *gen_pixels(VipsImage *in, size_t *len) {
	VipsImage *uchar;
	void *p;
	if (vips_cast(in, &uchar, VIPS_FORMAT_UCHAR, NULL))
		return NULL;
	p = vips_image_write_to_memory(uchar, len);
	g_object_unref(uchar);
	return p;
}
*/
import "C"

import (
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"math"
	"os"
	"strings"
	"unsafe"
)

// Pixel spaces, as libvips numbers them.
const (
	spaceGrey   = C.VIPS_INTERPRETATION_B_W
	spaceSRGB   = C.VIPS_INTERPRETATION_sRGB
	spaceCMYK   = C.VIPS_INTERPRETATION_CMYK
	spaceLab    = C.VIPS_INTERPRETATION_LAB
	spaceRGB16  = C.VIPS_INTERPRETATION_RGB16
	spaceGrey16 = C.VIPS_INTERPRETATION_GREY16
	spaceScRGB  = C.VIPS_INTERPRETATION_scRGB
)

// pixels are raw samples, interleaved, in the machine's byte order: 8 or 16 bits, or 32-bit floats.
type pixels struct {
	w, h, bands, bits int
	space             int
	data              []byte
	icc               []byte // embedded as it is
	orientation       int    // 1 to 8; 0: none
	pageHeight        int    // rows of one page of several; 0: one page
}

func startVips() error {
	// The sheet decodes broken files, about which libvips has a lot to say.
	if err := os.Setenv("VIPS_WARNING", "0"); err != nil {
		return fmt.Errorf("libvips: %w", err)
	}
	if C.gen_start() != 0 {
		return vipsError("start")
	}
	return nil
}

// vipsVersion is the version of the libvips in use.
func vipsVersion() string { return C.GoString(C.vips_version_string()) }

// encode writes p in the format that suffix names, such as ".webp[Q=70,lossless]": the options are
// those of libvips' saver. No metadata but p's profile is written: libvips would add EXIF of its own.
func (p pixels) encode(suffix string) ([]byte, error) {
	suffix = strings.TrimSuffix(suffix, "]") + ",keep=icc]"
	in, err := p.vips()
	if err != nil {
		return nil, err
	}
	defer C.g_object_unref(C.gpointer(in))
	cs := C.CString(suffix)
	defer C.free(unsafe.Pointer(cs))
	var buf unsafe.Pointer
	var n C.size_t
	if C.gen_save(in, cs, &buf, &n) != 0 {
		return nil, vipsError("save " + suffix)
	}
	defer C.g_free(C.gpointer(buf))
	return C.GoBytes(buf, C.int(n)), nil
}

// encodeUltraHDR writes p, which must be scRGB, as a JPEG with a gain map.
func (p pixels) encodeUltraHDR() ([]byte, error) {
	in, err := p.vips()
	if err != nil {
		return nil, err
	}
	defer C.g_object_unref(C.gpointer(in))
	var buf unsafe.Pointer
	var n C.size_t
	if C.gen_save_uhdr(in, &buf, &n) != 0 {
		return nil, vipsError("save uhdr")
	}
	defer C.g_free(C.gpointer(buf))
	return C.GoBytes(buf, C.int(n)), nil
}

func (p pixels) vips() (*C.VipsImage, error) {
	format := map[int]C.int{8: C.VIPS_FORMAT_UCHAR, 16: C.VIPS_FORMAT_USHORT, 32: C.VIPS_FORMAT_FLOAT}[p.bits]
	in := C.gen_raw(unsafe.Pointer(&p.data[0]), C.size_t(len(p.data)),
		C.int(p.w), C.int(p.h), C.int(p.bands), format, C.int(p.space))
	if in == nil {
		return nil, vipsError("wrap pixels")
	}
	if p.icc != nil {
		name := C.CString("icc-profile-data")
		C.vips_image_set_blob_copy(in, name, unsafe.Pointer(&p.icc[0]), C.size_t(len(p.icc)))
		C.free(unsafe.Pointer(name))
	}
	set := func(name string, v int) {
		if v == 0 {
			return
		}
		cs := C.CString(name)
		C.vips_image_set_int(in, cs, C.int(v))
		C.free(unsafe.Pointer(cs))
	}
	set("orientation", p.orientation)
	set("page-height", p.pageHeight)
	return in, nil
}

// thumbnail decodes any file libvips can read and fits it into w by h, upright and in sRGB.
func thumbnail(file []byte, w, h int) (*image.NRGBA, error) {
	if len(file) == 0 {
		return nil, fmt.Errorf("thumbnail: empty file")
	}
	data := C.CBytes(file)
	defer C.free(data)
	in := C.gen_thumbnail(data, C.size_t(len(file)), C.int(w), C.int(h))
	if in == nil {
		return nil, vipsError("thumbnail")
	}
	defer C.g_object_unref(C.gpointer(in))
	var n C.size_t
	p := C.gen_pixels(in, &n)
	if p == nil {
		return nil, vipsError("thumbnail pixels")
	}
	defer C.g_free(C.gpointer(p))
	raw := C.GoBytes(p, C.int(n))
	out := image.NewNRGBA(image.Rect(0, 0, int(C.vips_image_get_width(in)), int(C.vips_image_get_height(in))))
	bands := int(C.vips_image_get_bands(in))
	for i := range len(out.Pix) / 4 {
		px := raw[i*bands : (i+1)*bands]
		c := color.NRGBA{px[0], px[0], px[0], 255}
		if bands >= 3 {
			c.G, c.B = px[1], px[2]
		}
		if bands == 2 || bands == 4 {
			c.A = px[bands-1]
		}
		out.Pix[4*i], out.Pix[4*i+1], out.Pix[4*i+2], out.Pix[4*i+3] = c.R, c.G, c.B, c.A
	}
	return out, nil
}

func vipsError(what string) error {
	msg := strings.TrimSpace(C.GoString(C.vips_error_buffer()))
	C.vips_error_clear()
	return fmt.Errorf("libvips: %s: %s", what, strings.ReplaceAll(msg, "\n", "; "))
}

// rgbPixels and rgbaPixels are 8-bit samples of img, greyPixels its luma.
func rgbPixels(img *image.NRGBA) pixels  { return samples(img, spaceSRGB, 3) }
func rgbaPixels(img *image.NRGBA) pixels { return samples(img, spaceSRGB, 4) }
func greyPixels(img *image.NRGBA) pixels { return samples(img, spaceGrey, 1) }

// wide makes 16-bit samples of what one of the functions above made.
func wide(p pixels) pixels {
	out := make([]byte, 2*len(p.data))
	for i, v := range p.data {
		// The low byte is not a copy of the high one, so that truncating and rounding differ.
		binary.NativeEndian.PutUint16(out[2*i:], uint16(v)<<8|uint16(hash(i, 0, 5)>>24))
	}
	p.data, p.bits = out, 16
	if p.bands < 3 {
		p.space = spaceGrey16
	} else {
		p.space = spaceRGB16
	}
	return p
}

func samples(img *image.NRGBA, space, bands int) pixels {
	b := img.Rect
	p := pixels{w: b.Dx(), h: b.Dy(), bands: bands, bits: 8, space: space}
	for i := 0; i < len(img.Pix); i += 4 {
		px := img.Pix[i : i+4]
		switch bands {
		case 1, 2:
			p.data = append(p.data, luma(px[0], px[1], px[2]))
			if bands == 2 {
				p.data = append(p.data, px[3])
			}
		default:
			p.data = append(p.data, px[:bands]...)
		}
	}
	return p
}

func luma(r, g, b uint8) uint8 {
	return uint8((299*int(r) + 587*int(g) + 114*int(b) + 500) / 1000)
}

// floats makes 32-bit float samples, three for each pixel of img, by the given function of 0-to-1 RGB.
func floats(img *image.NRGBA, space int, f func(rgb) [3]float64) pixels {
	p := pixels{w: img.Rect.Dx(), h: img.Rect.Dy(), bands: 3, bits: 32, space: space}
	for i := 0; i < len(img.Pix); i += 4 {
		v := f(rgb{float64(img.Pix[i]) / 255, float64(img.Pix[i+1]) / 255, float64(img.Pix[i+2]) / 255})
		for _, s := range v {
			p.data = binary.NativeEndian.AppendUint32(p.data, math.Float32bits(float32(s)))
		}
	}
	return p
}
