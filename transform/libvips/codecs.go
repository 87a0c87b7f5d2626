package libvips

/*
#cgo LDFLAGS: -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>

// A library that libvips was built without, or that hides its symbols, is not there: hence no link-time names.
static const char *
version_text(const char *function)
{
	const char *(*f)(void *) = (const char *(*)(void *)) dlsym(RTLD_DEFAULT, function);
	return f ? f(NULL) : NULL;
}

static int
version_number(const char *function)
{
	int (*f)(void) = (int (*)(void)) dlsym(RTLD_DEFAULT, function);
	return f ? f() : 0;
}
*/
import "C"

import (
	"fmt"
	"strings"
	"unsafe"
)

// Codecs asks the libraries that libvips is linked with for their versions: pairs of name and version, in a
// stable order. What cannot be asked (libjpeg has no such function) is left out.
func Codecs() [][2]string {
	if Start() != nil { // loads libvips' modules, which bring their libraries with them
		return nil
	}
	texts := []struct{ name, function string }{
		{"aom", "aom_codec_version_str"},
		{"heif", "heif_get_version"},
		{"png", "png_get_libpng_ver"},
		{"tiff", "TIFFGetVersion"},
		{"zlib", "zlibVersion"},
	}
	numbers := []struct {
		name, function string
		format         func(int) string
	}{
		{"imagequant", "liq_version", func(n int) string { return fmt.Sprintf("%d.%d.%d", n/10000, n/100%100, n%100) }},
		{"lcms", "cmsGetEncodedCMMversion", func(n int) string { return fmt.Sprintf("%d.%d", n/1000, n%1000/10) }},
		{"webp", "WebPGetEncoderVersion", func(n int) string { return fmt.Sprintf("%d.%d.%d", n>>16, n>>8&0xff, n&0xff) }},
	}
	var out [][2]string
	for _, t := range texts {
		name := C.CString(t.function)
		if text := C.version_text(name); text != nil {
			first, _, _ := strings.Cut(C.GoString(text), "\n")
			out = append(out, [2]string{t.name, first})
		}
		C.free(unsafe.Pointer(name))
	}
	for _, n := range numbers {
		name := C.CString(n.function)
		if number := int(C.version_number(name)); number != 0 {
			out = append(out, [2]string{n.name, n.format(number)})
		}
		C.free(unsafe.Pointer(name))
	}
	return out
}
