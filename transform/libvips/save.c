#include "save.h"

#include "load.h"

// libvips 8.15 replaced "strip" by "keep"; the options that came later have the defaults sharp passes.
#if VIPS_MAJOR_VERSION > 8 || VIPS_MINOR_VERSION >= 15
#define NO_METADATA "keep", VIPS_FOREIGN_KEEP_NONE
#else
#define NO_METADATA "strip", TRUE
#endif

static int
check_size(VipsImage *image, int limit, const char *format)
{
	if (vips_image_get_width(image) <= limit && vips_image_get_height(image) <= limit)
		return 0;
	vips_error("imgopt", "%d x %d is too large for %s", vips_image_get_width(image), vips_image_get_height(image), format);
	return -1;
}

static VipsForeignSubsample
subsample_mode(const imgopt_encoding *e)
{
	return e->subsample ? VIPS_FOREIGN_SUBSAMPLE_ON : VIPS_FOREIGN_SUBSAMPLE_OFF;
}

static int
save_jpeg(VipsImage *image, const imgopt_encoding *e, imgopt_result *res)
{
	return check_size(image, 65535, "jpeg") ||
		vips_jpegsave_buffer(image, &res->data, &res->size, NO_METADATA,
			"Q", e->quality,
			"interlace", e->progressive,
			"subsample_mode", subsample_mode(e),
			"trellis_quant", e->trellis,
			"quant_table", e->quant_table,
			"overshoot_deringing", e->overshoot,
			"optimize_scans", e->optimize_scans,
			"optimize_coding", TRUE, NULL);
}

// save_png writes an 8-bit palette when a quality is given (sharp's reading of png({quality})); quality 0 is the
// "same format as the source" case, which has no quality.
static int
save_png(VipsImage *image, int quality, imgopt_result *res)
{
	return vips_pngsave_buffer(image, &res->data, &res->size, NO_METADATA,
		"interlace", FALSE,
		"compression", 6,
		"filter", VIPS_FOREIGN_PNG_FILTER_NONE,
		"palette", quality > 0,
		"Q", quality > 0 ? quality : 100,
		"effort", 7,
		"bitdepth", 8,
		"dither", 1.0, NULL);
}

static int
save_webp(VipsImage *image, const imgopt_encoding *e, imgopt_result *res)
{
	int preset = vips_enum_from_nick("webp", VIPS_TYPE_FOREIGN_WEBP_PRESET, e->preset);
	return preset < 0 || check_size(image, 16383, "webp") ||
		vips_webpsave_buffer(image, &res->data, &res->size, NO_METADATA,
			"Q", e->quality,
			"lossless", FALSE,
			"near_lossless", FALSE,
			"smart_subsample", e->sharp_yuv,
#if VIPS_MAJOR_VERSION > 8 || VIPS_MINOR_VERSION >= 16
			"smart_deblock", e->smart_deblock,
			"passes", e->passes,
#endif
			"preset", preset,
			"effort", e->effort,
			"min_size", FALSE,
			"mixed", FALSE,
			"alpha_q", 100, NULL);
}

static int
save_avif(VipsImage **image, const imgopt_encoding *e, imgopt_result *res)
{
	VipsImage *copy = NULL;
	if (check_size(*image, 16384, "avif") || vips_copy(*image, &copy, NULL))
		return -1;
	vips_image_remove(copy, VIPS_META_PAGE_HEIGHT);
	vips_image_remove(copy, "delay");
	vips_image_remove(copy, "loop");
	int failed = vips_heifsave_buffer(copy, &res->data, &res->size, NO_METADATA,
		"Q", e->quality,
		"compression", VIPS_FOREIGN_HEIF_COMPRESSION_AV1,
		"effort", e->effort,
		"bitdepth", 8,
#if VIPS_MAJOR_VERSION > 8 || VIPS_MINOR_VERSION >= 18
		"tune", e->tune,
#endif
		"subsample_mode", subsample_mode(e),
		"lossless", FALSE, NULL);
	g_object_unref(copy);
	return failed;
}

static int
save_gif(VipsImage *image, imgopt_result *res)
{
	return check_size(image, 65535, "gif") ||
		vips_gifsave_buffer(image, &res->data, &res->size, NO_METADATA,
			"bitdepth", 8,
			"effort", 7,
			"reuse", TRUE,
			"interlace", FALSE,
			"interframe_maxerror", 0.0,
			"interpalette_maxerror", 3.0,
			"dither", 1.0, NULL);
}

static int
save_tiff(VipsImage *image, imgopt_result *res)
{
	return check_size(image, 65535, "tiff with jpeg compression") ||
		vips_tiffsave_buffer(image, &res->data, &res->size, NO_METADATA,
			"Q", 80,
			"bitdepth", 0,
			"compression", VIPS_FOREIGN_TIFF_COMPRESSION_JPEG,
			"bigtiff", FALSE,
			"miniswhite", FALSE,
			"predictor", VIPS_FOREIGN_TIFF_PREDICTOR_HORIZONTAL,
			"pyramid", FALSE,
			"tile", FALSE,
			"tile_height", 256,
			"tile_width", 256,
			"xres", 1.0,
			"yres", 1.0,
			"resunit", VIPS_FOREIGN_TIFF_RESUNIT_INCH, NULL);
}

// save_as_source encodes with sharp's defaults for the source's own format: what happens when Next.js sets no
// format, which it does for gif and tiff.
static int
save_as_source(VipsImage **image, int source_type, imgopt_result *res)
{
	static const imgopt_encoding
		jpeg = { .quality = 80, .subsample = TRUE },
		webp = { .quality = 80, .effort = 4, .passes = 1, .preset = "default" },
		avif = { .quality = 50, .effort = 4, .tune = "auto" };
	switch (source_type) {
	case IMGOPT_SOURCE_JPEG:
		res->format = IMGOPT_JPEG;
		return save_jpeg(*image, &jpeg, res);
	case IMGOPT_SOURCE_PNG:
	case IMGOPT_SOURCE_SVG:
		res->format = IMGOPT_PNG;
		return save_png(*image, 0, res);
	case IMGOPT_SOURCE_WEBP:
		res->format = IMGOPT_WEBP;
		return save_webp(*image, &webp, res);
	case IMGOPT_SOURCE_HEIF:
		res->format = IMGOPT_AVIF;
		return save_avif(image, &avif, res);
	case IMGOPT_SOURCE_GIF:
		return save_gif(*image, res);
	case IMGOPT_SOURCE_TIFF:
		return save_tiff(*image, res);
	default:
		vips_error("imgopt", "the source's format cannot be written");
		return -1;
	}
}

// WebP stores alpha without loss. With effort 6 its encoder then tries everything there is, for the last three per cent of
// the bytes: it takes eight times as long as with 5 for a cut-out, and a hundred times for noise.
//
// From effort 4 on, AVIF's encoder takes four to five times as long, more than two seconds for a megapixel, for six or
// seven per cent of the bytes. Larger pictures would exceed the time limit and be sent as they are.
enum { most_webp_effort_with_alpha = 5, most_avif_effort_when_large = 3, large_avif = 1 << 20 };

// bounded is an encoding with no more effort than ends in time. What sharp does by itself (save_as_source) is not bounded.
static imgopt_encoding
bounded(const imgopt_request *req, VipsImage *image)
{
	imgopt_encoding e = req->encoding;
	guint64 pixels = (guint64) vips_image_get_width(image) * vips_image_get_height(image);
	if (req->format == IMGOPT_WEBP && vips_image_hasalpha(image))
		e.effort = MIN(e.effort, most_webp_effort_with_alpha);
	if (req->format == IMGOPT_AVIF && pixels > large_avif)
		e.effort = MIN(e.effort, most_avif_effort_when_large);
	return e;
}

int
imgopt_save(VipsImage **image, int source_type, const imgopt_request *req, imgopt_result *res)
{
	imgopt_encoding e = bounded(req, *image);
	res->format = req->format;
	switch (req->format) {
	case IMGOPT_JPEG:
		return save_jpeg(*image, &e, res);
	case IMGOPT_PNG:
		return save_png(*image, e.quality, res);
	case IMGOPT_WEBP:
		return save_webp(*image, &e, res);
	case IMGOPT_AVIF:
		return save_avif(image, &e, res);
	default:
		return save_as_source(image, source_type, res);
	}
}
