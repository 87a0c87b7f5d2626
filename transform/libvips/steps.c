// The steps, their order and their constants follow sharp 0.35.5 (src/pipeline.cc, src/common.cc and the option
// defaults of its constructor) for the one call Next.js 16 makes:
//   sharp(buffer).timeout().rotate().resize(w, undefined, {withoutEnlargement: true}).FORMAT({quality, ...})
// Every step that such a call cannot reach is left out. With the same libvips the bytes are the same.
#include "steps.h"

#include <math.h>

void
imgopt_swap(VipsImage **image, VipsImage *next)
{
	g_object_unref(*image);
	*image = next;
}

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

VipsAngle
imgopt_orientation(VipsImage *image, gboolean *flop)
{
	int exif = meta_int(image, VIPS_META_ORIENTATION);
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

void
imgopt_resolve_shrink(int width, int height, gboolean swapped, int target, double *hshrink, double *vshrink)
{
	double shrink = fmax(1.0, (double) (swapped ? height : width) / target);
	*hshrink = fmin(shrink, (double) width);
	*vshrink = fmin(shrink, (double) height);
}

int
imgopt_jpeg_shrink(double shrink)
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

int
imgopt_untag(VipsImage **image)
{
	STEP(vips_copy(*image, &out, NULL));
	vips_image_remove(*image, VIPS_META_ORIENTATION);
	vips_image_remove(*image, "exif-ifd0-Orientation");
	vips_image_remove(*image, "gainmap");
	vips_image_remove(*image, "gainmap-data");
	return 0;
}

int
imgopt_apply_profile(VipsImage **image)
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
			imgopt_swap(image, out);
	}
	else if (space == VIPS_INTERPRETATION_CMYK)
		STEP(vips_icc_transform(*image, &out, target,
			"input_profile", "cmyk",
			"intent", VIPS_INTENT_PERCEPTUAL, NULL));
	return 0;
}

int
imgopt_premultiply(VipsImage **image, VipsBandFormat *format)
{
	*format = vips_image_get_format(*image);
	STEP(vips_premultiply(*image, &out, NULL));
	STEP(vips_cast(*image, &out, *format, NULL));
	return 0;
}

int
imgopt_orient(VipsImage **image, VipsAngle angle, gboolean flop)
{
	if (angle != VIPS_ANGLE_D0) {
		if (vips_image_is_sequential(*image)) {
			VipsImage *memory = vips_image_copy_memory(*image);
			if (!memory)
				return -1;
			imgopt_swap(image, memory);
			STEP(vips_copy(*image, &out, NULL));
			vips_image_remove(*image, VIPS_META_SEQUENTIAL);
		}
		STEP(vips_rot(*image, &out, angle, NULL));
	}
	if (flop)
		STEP(vips_flip(*image, &out, VIPS_DIRECTION_HORIZONTAL, NULL));
	return 0;
}

int
imgopt_crop(VipsImage **image, int width)
{
	int have = vips_image_get_width(*image);
	if (have <= width)
		return 0;
	STEP(vips_extract_area(*image, &out, (have - width + 1) / 2, 0, width, vips_image_get_height(*image), NULL));
	return 0;
}

int
imgopt_to_output_space(VipsImage **image, VipsBandFormat premultiplied)
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
