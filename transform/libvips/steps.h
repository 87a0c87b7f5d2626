// The steps between opening a source and encoding it, each on the current image.
#ifndef IMGOPT_STEPS_H
#define IMGOPT_STEPS_H

#include <vips/vips.h>

// imgopt_swap makes next the current image and drops the reference to the one before: operations hold their inputs.
void imgopt_swap(VipsImage **image, VipsImage *next);

// STEP runs a libvips call with the current image as input and makes its output the current image.
#define STEP(CALL) \
	do { \
		VipsImage *out = NULL; \
		if (CALL) \
			return -1; \
		imgopt_swap(image, out); \
	} while (0)

// imgopt_orientation reads the EXIF value: a rotation, then a mirror about the vertical axis.
VipsAngle imgopt_orientation(VipsImage *image, gboolean *flop);

// imgopt_resolve_shrink gives the factor both axes shrink by, so that the axis that will be the width becomes target.
// It is at least 1 (no enlargement) and never takes an axis below one pixel.
void imgopt_resolve_shrink(int width, int height, gboolean swapped, int target, double *hshrink, double *vshrink);

// imgopt_jpeg_shrink picks what the JPEG decoder may shrink by: 1, 2, 4 or 8. An exact factor is halved, because
// libjpeg rounds odd sizes.
int imgopt_jpeg_shrink(double shrink);

// imgopt_untag makes the pixels stand for themselves: without the tag nobody turns them twice.
int imgopt_untag(VipsImage **image);

// imgopt_apply_profile converts pixels with an embedded profile, or CMYK without one, to sRGB (P3 for 16-bit RGB).
int imgopt_apply_profile(VipsImage **image);

// imgopt_premultiply prepares an image with alpha for resizing. *format is the band format to return to.
int imgopt_premultiply(VipsImage **image, VipsBandFormat *format);

// imgopt_orient turns and mirrors. Turning reads pixels out of order, so a sequential image is taken into memory first.
int imgopt_orient(VipsImage **image, VipsAngle angle, gboolean flop);

// imgopt_crop takes the centre when rounding left the image wider than asked for.
int imgopt_crop(VipsImage **image, int width);

// imgopt_to_output_space undoes premultiplication (VIPS_FORMAT_NOTSET: there is none) and leaves 8-bit sRGB.
int imgopt_to_output_space(VipsImage **image, VipsBandFormat premultiplied);

#endif
