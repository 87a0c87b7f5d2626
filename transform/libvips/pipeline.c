// The steps, their order and their constants follow sharp 0.35.5 (src/pipeline.cc, src/common.cc and the option
// defaults of its constructor) for the one call Next.js 16 makes:
//   sharp(buffer).timeout().rotate().resize(w, undefined, {withoutEnlargement: true}).FORMAT({quality, ...})
// Every step that such a call cannot reach is left out. With the same libvips the bytes are the same.
#include "pipeline.h"

#include <math.h>
#include <string.h>
#include <vips/vips.h>

#include "load.h"
#include "save.h"

// swap makes next the current image and drops the reference to the one before: operations hold their inputs.
static void
swap(VipsImage **image, VipsImage *next)
{
	g_object_unref(*image);
	*image = next;
}

// STEP runs a libvips call with the current image as input and makes its output the current image.
#define STEP(CALL) \
	do { \
		VipsImage *out = NULL; \
		if (CALL) \
			return -1; \
		swap(image, out); \
	} while (0)

static int
is_16bit(VipsInterpretation space)
{
	return space == VIPS_INTERPRETATION_RGB16 || space == VIPS_INTERPRETATION_GREY16;
}

static int
meta_int(VipsImage *image, const char *name)
{
	int value = 0;
	if (vips_image_get_typeof(image, name) != 0 && vips_image_get_int(image, name, &value))
		value = 0;
	return value;
}

// orientation turns the EXIF value into a rotation, then a mirror about the vertical axis.
static VipsAngle
orientation(int exif, gboolean *flop)
{
	*flop = exif == 2 || exif == 4 || exif == 5 || exif == 7;
	switch (exif) {
	case 5:
	case 6:
		return VIPS_ANGLE_D90;
	case 3:
	case 4:
		return VIPS_ANGLE_D180;
	case 7:
	case 8:
		return VIPS_ANGLE_D270;
	default:
		return VIPS_ANGLE_D0;
	}
}

// resolve_shrink gives the factor both axes shrink by, so that the axis that will be the width becomes target.
// It is at least 1 (no enlargement) and never takes an axis below one pixel.
static void
resolve_shrink(int width, int height, gboolean swapped, int target, double *hshrink, double *vshrink)
{
	double shrink = fmax(1.0, (double) (swapped ? height : width) / target);
	*hshrink = fmin(shrink, (double) width);
	*vshrink = fmin(shrink, (double) height);
}

// jpeg_shrink picks what the JPEG decoder may shrink by: 1, 2, 4 or 8. An exact factor is halved, because
// libjpeg rounds odd sizes.
static int
jpeg_shrink(double shrink)
{
	int factor = 1;
	if (shrink >= 8)
		factor = 8;
	else if (shrink >= 4)
		factor = 4;
	else if (shrink >= 2)
		factor = 2;
	if (factor > 1 && (int) shrink == factor)
		factor /= 2;
	return factor;
}

// to_srgb_profile converts pixels with an embedded profile, or CMYK without one, to sRGB (P3 for 16-bit RGB).
static int
apply_profile(VipsImage **image)
{
	VipsInterpretation space = vips_image_get_interpretation(*image);
	const char *target = space == VIPS_INTERPRETATION_RGB16 ? "p3" : "srgb";

	if (vips_image_get_typeof(*image, VIPS_META_ICC_NAME) == VIPS_TYPE_BLOB &&
		space != VIPS_INTERPRETATION_LABS && space != VIPS_INTERPRETATION_GREY16) {
		VipsImage *out = NULL;
		// A broken profile is ignored: the pixels are taken as they are.
		if (vips_icc_transform(*image, &out, target,
				"embedded", TRUE,
				"depth", is_16bit(space) ? 16 : 8,
				"intent", VIPS_INTENT_PERCEPTUAL, NULL))
			vips_error_clear();
		else
			swap(image, out);
	}
	else if (space == VIPS_INTERPRETATION_CMYK)
		STEP(vips_icc_transform(*image, &out, target,
			"input_profile", "cmyk",
			"intent", VIPS_INTENT_PERCEPTUAL, NULL));
	return 0;
}

// resize scales with Lanczos 3, on premultiplied colours where there is alpha; *format is the band format to
// return to, or VIPS_FORMAT_NOTSET where nothing was premultiplied.
static int
resize(VipsImage **image, double hshrink, double vshrink, VipsBandFormat *format)
{
	*format = VIPS_FORMAT_NOTSET;
	if (hshrink == 1.0 && vshrink == 1.0)
		return 0;
	if (vips_image_hasalpha(*image)) {
		*format = vips_image_get_format(*image);
		STEP(vips_premultiply(*image, &out, NULL));
		STEP(vips_cast(*image, &out, *format, NULL));
	}
	STEP(vips_resize(*image, &out, 1.0 / hshrink,
		"vscale", 1.0 / vshrink,
		"kernel", VIPS_KERNEL_LANCZOS3, NULL));
	return 0;
}

// orient turns and mirrors. Turning reads pixels out of order, so a sequential image is taken into memory first.
static int
orient(VipsImage **image, VipsAngle angle, gboolean flop)
{
	if (angle != VIPS_ANGLE_D0) {
		if (vips_image_is_sequential(*image)) {
			VipsImage *memory = vips_image_copy_memory(*image);
			if (!memory)
				return -1;
			swap(image, memory);
			STEP(vips_copy(*image, &out, NULL));
			vips_image_remove(*image, VIPS_META_SEQUENTIAL);
		}
		STEP(vips_rot(*image, &out, angle, NULL));
	}
	if (flop)
		STEP(vips_flip(*image, &out, VIPS_DIRECTION_HORIZONTAL, NULL));
	return 0;
}

// crop takes the centre when rounding left the image wider than asked for.
static int
crop(VipsImage **image, int width)
{
	int have = vips_image_get_width(*image);
	if (have <= width)
		return 0;
	STEP(vips_extract_area(*image, &out, (have - width + 1) / 2, 0, width, vips_image_get_height(*image), NULL));
	return 0;
}

// to_output_space undoes premultiplication and leaves 8-bit sRGB.
static int
to_output_space(VipsImage **image, VipsBandFormat premultiplied)
{
	if (premultiplied != VIPS_FORMAT_NOTSET) {
		STEP(vips_unpremultiply(*image, &out, NULL));
		STEP(vips_cast(*image, &out, premultiplied, NULL));
	}
	VipsInterpretation space = vips_image_get_interpretation(*image);
	if (is_16bit(space))
		STEP(vips_cast(*image, &out, VIPS_FORMAT_USHORT, NULL));
	if (space != VIPS_INTERPRETATION_sRGB)
		STEP(vips_colourspace(*image, &out, VIPS_INTERPRETATION_sRGB, "source_space", space, NULL));
	return 0;
}

typedef struct {
	gint64 deadline; // g_get_monotonic_time() µs; 0: none
	const int32_t *cancel;
	int status; // IMGOPT_OK until something stopped the evaluation
} watch;

static void
watch_eval(VipsImage *image, VipsProgress *progress, watch *w)
{
	(void) progress;
	if (w->status != IMGOPT_OK)
		return;
	if (w->cancel && __atomic_load_n(w->cancel, __ATOMIC_RELAXED))
		w->status = IMGOPT_CANCELED;
	else if (w->deadline && g_get_monotonic_time() >= w->deadline)
		w->status = IMGOPT_TIMEOUT;
	if (w->status != IMGOPT_OK)
		vips_image_set_kill(image, TRUE);
}

// run takes *image from the opened source to the encoded result.
static int
run(VipsImage **image, imgopt_source *source, const imgopt_request *req, imgopt_result *res, watch *w)
{
	gboolean flop;
	VipsAngle angle = orientation(meta_int(*image, VIPS_META_ORIENTATION), &flop);
	gboolean swapped = angle == VIPS_ANGLE_D90 || angle == VIPS_ANGLE_D270;
	double hshrink, vshrink;

	resolve_shrink(vips_image_get_width(*image), vips_image_get_height(*image), swapped, req->width, &hshrink, &vshrink);

	double common = fmin(hshrink, vshrink);
	VipsImage *smaller = NULL;
	int shrunk = 0;
	if (source->type == IMGOPT_SOURCE_JPEG && jpeg_shrink(common) > 1)
		shrunk = imgopt_open_jpeg(source, jpeg_shrink(common), &smaller);
	else if (source->type == IMGOPT_SOURCE_WEBP && common > 1.0)
		shrunk = imgopt_open_webp(source, 1.0 / common, &smaller);
	if (shrunk)
		return -1;
	if (smaller)
		swap(image, smaller);

	// From here on the pixels stand for themselves: without the tag nobody turns them twice.
	STEP(vips_copy(*image, &out, NULL));
	vips_image_remove(*image, VIPS_META_ORIENTATION);
	vips_image_remove(*image, "exif-ifd0-Orientation");
	vips_image_remove(*image, "gainmap");
	vips_image_remove(*image, "gainmap-data");

	int height = vips_image_get_height(*image);
	int page = vips_image_get_page_height(*image);
	resolve_shrink(vips_image_get_width(*image), page, swapped, req->width, &hshrink, &vshrink);
	if (height > page)
		vshrink = height / rint(page / vshrink);

	VipsBandFormat premultiplied;
	if (apply_profile(image) ||
		resize(image, hshrink, vshrink, &premultiplied) ||
		orient(image, angle, flop) ||
		crop(image, req->width) ||
		to_output_space(image, premultiplied))
		return -1;

	STEP(vips_copy(*image, &out, NULL));
	vips_image_set_int(*image, "loop", 1); // a still image is not to become an endless animation
	res->width = vips_image_get_width(*image);
	res->height = vips_image_get_height(*image);

	if (w->deadline || w->cancel) {
		g_signal_connect(*image, "eval", G_CALLBACK(watch_eval), w);
		vips_image_set_progress(*image, TRUE);
	}
	return imgopt_save(image, source->type, req, res);
}

void
imgopt_init(void)
{
	static const char *loaders[] = {
		"VipsForeignLoadHeif", "VipsForeignLoadJpeg", "VipsForeignLoadNsgif", "VipsForeignLoadPng",
		"VipsForeignLoadSvg", "VipsForeignLoadTiff", "VipsForeignLoadWebp"
	};
	vips_operation_block_set("VipsForeignLoad", TRUE);
	for (size_t i = 0; i < G_N_ELEMENTS(loaders); i++)
		vips_operation_block_set(loaders[i], FALSE);
}

int
imgopt_encode(const void *src, size_t len, const imgopt_request *req, imgopt_result *res)
{
	imgopt_source source = { .data = src, .size = len };
	watch w = {
		.deadline = req->timeout_ms > 0 ? g_get_monotonic_time() + req->timeout_ms * 1000 : 0,
		.cancel = req->cancel,
	};
	VipsImage *image = NULL;

	memset(res, 0, sizeof *res);
	int failed = imgopt_open(&source, req->max_pixels, &image) ||
		run(&image, &source, req, res, &w);
	if (image)
		g_object_unref(image);

	int status = IMGOPT_OK;
	if (failed) {
		status = w.status != IMGOPT_OK ? w.status : IMGOPT_FAILED;
		g_strlcpy(res->message, vips_error_buffer(), sizeof res->message);
		g_strdelimit(g_strchomp(res->message), "\n\r", ';');
		imgopt_free(res->data);
		res->data = NULL;
		res->size = 0;
	}
	// A loader may warn in the error buffer and still succeed; nothing must reach the next image.
	vips_error_clear();
	vips_thread_shutdown();
	return status;
}

void
imgopt_free(void *data)
{
	g_free(data);
}
