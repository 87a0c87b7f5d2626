// govips refers to libvips' ImageMagick loader, which the pinned libvips is built without. The weak definition
// satisfies the linker; a libvips that has the loader is never asked for it, because imgopt allows only the
// loaders that Next.js allows.
#include <stddef.h>
#include <vips/vips.h>

__attribute__((weak)) int
vips_magickload_buffer(void *buf, size_t len, VipsImage **out, ...)
{
	(void) buf;
	(void) len;
	*out = NULL;
	vips_error("imgopt", "no ImageMagick loader");
	return -1;
}
