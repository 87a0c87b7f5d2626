package handler

import "strings"

// mediaType is what Next makes of the media type of an image before it sends it.
type mediaType struct {
	// contentType is the header's value.
	contentType string
	// extension is the file name's, without the dot.
	extension string
	// compressible says that Next's compression middleware handles the type.
	compressible bool
}

// extensions are the file name extensions that Next has for media types of images: those of mime 1.6 with four
// additions (next/dist/server/serve-static.js). First the types that a variant can have, then the ones that only a
// client can bring up, by being asked for its favourite (see validate.Params.Format).
var extensions = map[string]string{
	"image/jpeg": "jpeg", "image/png": "png", "image/webp": "webp", "image/avif": "avif", "image/gif": "gif",
	"image/svg+xml": "svg", "image/tiff": "tiff", "image/bmp": "bmp", "image/x-icon": "ico", "image/x-icns": "icns",
	"image/heic": "heic", "image/jxl": "jxl", "image/jp2": "jp2",

	"image/apng": "apng", "image/cgm": "cgm", "image/g3fax": "g3", "image/ief": "ief", "image/jpm": "jpm",
	"image/jpx": "jpx", "image/ktx": "ktx", "image/prs.btif": "btif", "image/sgi": "sgi",
	"image/vnd.adobe.photoshop": "psd", "image/vnd.dece.graphic": "uvi", "image/vnd.djvu": "djvu",
	"image/vnd.dwg": "dwg", "image/vnd.dxf": "dxf", "image/vnd.fastbidsheet": "fbs", "image/vnd.fpx": "fpx",
	"image/vnd.fst": "fst", "image/vnd.fujixerox.edmics-mmr": "mmr", "image/vnd.fujixerox.edmics-rlc": "rlc",
	"image/vnd.ms-modi": "mdi", "image/vnd.ms-photo": "wdp", "image/vnd.net-fpx": "npx",
	"image/vnd.wap.wbmp": "wbmp", "image/vnd.xiff": "xif", "image/x-3ds": "3ds", "image/x-cmu-raster": "ras",
	"image/x-cmx": "cmx", "image/x-freehand": "fh", "image/x-jng": "jng", "image/x-mrsid-image": "sid",
	"image/x-pcx": "pcx", "image/x-pict": "pic", "image/x-portable-anymap": "pnm", "image/x-portable-bitmap": "pbm",
	"image/x-portable-graymap": "pgm", "image/x-portable-pixmap": "ppm", "image/x-rgb": "rgb", "image/x-tga": "tga",
	"image/x-xbitmap": "xbm", "image/x-xpixmap": "xpm", "image/x-xwindowdump": "xwd",
}

// lookupMediaType returns what is sent for an entry's type. Next turns the type into an extension and back; of what
// a client may have written that keeps the type in lower case and drops parameters. For a type without an extension
// Next fails with a TypeError, hence a 500; false reports that.
func lookupMediaType(contentType string) (mediaType, bool) {
	contentType = trimJS(contentType)
	if i := strings.IndexFunc(contentType, func(r rune) bool { return r == ';' || r < 0x100 && isJSSpace(byte(r)) }); i >= 0 {
		contentType = contentType[:i]
	}
	contentType = strings.ToLower(contentType)
	extension, ok := extensions[contentType]
	if !ok {
		return mediaType{}, false
	}
	return mediaType{contentType, extension, isCompressible(contentType)}, true
}

// isCompressible reports what mime-db says of the types in extensions.
func isCompressible(contentType string) bool {
	switch contentType {
	case "image/svg+xml", "image/bmp", "image/x-icon", "image/vnd.adobe.photoshop":
		return true
	default:
		return false
	}
}

// fileName is getFileNameWithExtension of next/dist/server/image-optimizer.js: the last segment of the path up to
// its first dot, with the extension of what is sent.
func fileName(href string, m mediaType) string {
	href, _, _ = strings.Cut(href, "?")
	last := href[strings.LastIndexByte(href, '/')+1:]
	if last == "" {
		return "image.bin"
	}
	last, _, _ = strings.Cut(last, ".")
	return last + "." + m.extension
}
