// Opening a source with libvips: which loader, which options, which limits.
#ifndef IMGOPT_LOAD_H
#define IMGOPT_LOAD_H

#include <stdint.h>

#include <vips/vips.h>

enum imgopt_source_type {
	IMGOPT_SOURCE_OTHER = 0,
	IMGOPT_SOURCE_JPEG,
	IMGOPT_SOURCE_PNG,
	IMGOPT_SOURCE_WEBP,
	IMGOPT_SOURCE_GIF,
	IMGOPT_SOURCE_TIFF,
	IMGOPT_SOURCE_HEIF,
	IMGOPT_SOURCE_SVG,
};

typedef struct {
	const void *data;
	size_t size;
	int type; // enum imgopt_source_type, set by imgopt_open
} imgopt_source;

// imgopt_open finds the loader, opens the first (or primary) page and refuses more than max_pixels (0: no limit).
int imgopt_open(imgopt_source *source, uint64_t max_pixels, VipsImage **image);

// imgopt_open_jpeg and imgopt_open_webp open the source again, shrunk while it is decoded.
int imgopt_open_jpeg(imgopt_source *source, int shrink, VipsImage **image);
int imgopt_open_webp(imgopt_source *source, double scale, VipsImage **image);

#endif
