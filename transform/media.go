// Package transform decides what is to become of a source image and says how it is encoded: its type from magic
// bytes, whether it is animated, passed through, refused or re-encoded, and as what. The rules are those of
// next/dist/server/image-optimizer/transform.js (16.4.6). Engines that do the encoding live in subpackages, so
// that this one links no C code.
package transform

// Media types as Next.js names them.
const (
	AVIF = "image/avif"
	WebP = "image/webp"
	PNG  = "image/png"
	JPEG = "image/jpeg"
	JXL  = "image/jxl"
	JP2  = "image/jp2"
	HEIC = "image/heic"
	GIF  = "image/gif"
	SVG  = "image/svg+xml"
	ICO  = "image/x-icon"
	ICNS = "image/x-icns"
	TIFF = "image/tiff"
	BMP  = "image/bmp"
	PDF  = "application/pdf"
)
