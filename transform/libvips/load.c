#include "load.h"

#include <string.h>

// More bands than a colour image with one extra channel can have are refused, as sharp does by default.
enum { MAX_BANDS = 5 };

static const struct {
	const char *prefix;
	int type;
} loaders[] = {
	{ "VipsForeignLoadJpeg", IMGOPT_SOURCE_JPEG },
	{ "VipsForeignLoadPng", IMGOPT_SOURCE_PNG },
	{ "VipsForeignLoadWebp", IMGOPT_SOURCE_WEBP },
	{ "VipsForeignLoadNsgif", IMGOPT_SOURCE_GIF },
	{ "VipsForeignLoadGif", IMGOPT_SOURCE_GIF },
	{ "VipsForeignLoadTiff", IMGOPT_SOURCE_TIFF },
	{ "VipsForeignLoadHeif", IMGOPT_SOURCE_HEIF },
	{ "VipsForeignLoadSvg", IMGOPT_SOURCE_SVG },
};

// Sources are read once from top to bottom. (sharp 0.35.5 does so whatever its option sequentialRead says; random
// access would give turned images other bytes.) A warning fails the load, which is sharp's default: a damaged image
// is served as it is, not half decoded.
#define COMMON "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_WARNING

static int
open_page(imgopt_source *source, int page, VipsImage **image)
{
	void *data = (void *) source->data;
	switch (source->type) {
	case IMGOPT_SOURCE_JPEG:
		return vips_jpegload_buffer(data, source->size, image, COMMON, NULL);
	case IMGOPT_SOURCE_PNG:
		return vips_pngload_buffer(data, source->size, image, COMMON, NULL);
	case IMGOPT_SOURCE_WEBP:
		return vips_webpload_buffer(data, source->size, image, COMMON, "n", 1, "page", page, NULL);
	case IMGOPT_SOURCE_GIF:
		return vips_gifload_buffer(data, source->size, image, COMMON, "n", 1, "page", page, NULL);
	case IMGOPT_SOURCE_TIFF:
		return vips_tiffload_buffer(data, source->size, image, COMMON, "n", 1, "page", page, NULL);
	case IMGOPT_SOURCE_HEIF:
		return vips_heifload_buffer(data, source->size, image, COMMON, "n", 1, "page", page, NULL);
	case IMGOPT_SOURCE_SVG:
		return vips_svgload_buffer(data, source->size, image, COMMON, "dpi", 72.0, NULL);
	default:
		vips_error("imgopt", "unsupported image format");
		return -1;
	}
}

// primary_page is the page of a HEIF file that its author marked as the picture itself, or 0.
static int
primary_page(VipsImage *image)
{
	int pages, primary;
	if (vips_image_get_typeof(image, VIPS_META_N_PAGES) != G_TYPE_INT ||
		vips_image_get_typeof(image, "heif-primary") != G_TYPE_INT ||
		vips_image_get_int(image, VIPS_META_N_PAGES, &pages) ||
		vips_image_get_int(image, "heif-primary", &primary))
		return 0;
	return pages > 1 ? primary : 0;
}

int
imgopt_open(imgopt_source *source, uint64_t max_pixels, VipsImage **image)
{
	const char *loader = vips_foreign_find_load_buffer(source->data, source->size);
	source->type = IMGOPT_SOURCE_OTHER;
	for (size_t i = 0; loader && i < G_N_ELEMENTS(loaders); i++)
		if (g_str_has_prefix(loader, loaders[i].prefix)) {
			source->type = loaders[i].type;
			break;
		}
	if (open_page(source, 0, image))
		return -1;

	if (source->type == IMGOPT_SOURCE_HEIF) {
		int primary = primary_page(*image);
		if (primary != 0) {
			g_object_unref(*image);
			*image = NULL;
			if (open_page(source, primary, image))
				return -1;
		}
	}

	uint64_t pixels = (uint64_t) vips_image_get_width(*image) * vips_image_get_height(*image);
	if (max_pixels > 0 && pixels > max_pixels) {
		vips_error("imgopt", "%d x %d pixels exceed the limit of %" G_GUINT64_FORMAT,
			vips_image_get_width(*image), vips_image_get_height(*image), max_pixels);
		return -1;
	}
	if (vips_image_get_bands(*image) > MAX_BANDS) {
		vips_error("imgopt", "%d bands exceed the limit of %d", vips_image_get_bands(*image), MAX_BANDS);
		return -1;
	}
	return 0;
}

int
imgopt_open_jpeg(imgopt_source *source, int shrink, VipsImage **image)
{
	return vips_jpegload_buffer((void *) source->data, source->size, image, COMMON, "shrink", shrink, NULL);
}

int
imgopt_open_webp(imgopt_source *source, double scale, VipsImage **image)
{
	return vips_webpload_buffer((void *) source->data, source->size, image, COMMON,
		"n", 1, "page", 0, "scale", scale, NULL);
}
