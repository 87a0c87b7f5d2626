// The pixels of a result: which it gets, and what of them is kept for others. The steps themselves are in steps.c.
//
// libvips computes a picture in strips, and its resizers round a little differently where a strip begins elsewhere. So
// a picture that is kept pretends to be what it was kept from: read from top to bottom, in strips of the same height.
#include <math.h>

#include "job.h"
#include "steps.h"

// imgopt_open_job reads the header, once.
int
imgopt_open_job(imgopt_job *job, const imgopt_request *req)
{
	if (job->opened)
		return 0;
	if (imgopt_open(&job->source, req->max_pixels, &job->head)) {
		imgopt_drop(&job->head);
		return -1;
	}
	job->width = vips_image_get_width(job->head);
	job->height = vips_image_get_height(job->head);
	job->angle = imgopt_orientation(job->head, &job->flop);
	job->swapped = job->angle == VIPS_ANGLE_D90 || job->angle == VIPS_ANGLE_D270;
	job->alpha = vips_image_hasalpha(job->head);
	job->opened = TRUE;
	return 0;
}

shape
imgopt_shape(const imgopt_job *job, const imgopt_request *req)
{
	double hshrink, vshrink;
	imgopt_resolve_shrink(job->width, job->height, job->swapped, req->width, &hshrink, &vshrink);
	gboolean resized = hshrink != 1.0 || vshrink != 1.0;
	double common = fmin(hshrink, vshrink);
	shape s = { .width = resized ? req->width : 0, .load = 1.0, .premultiplied = job->alpha && resized };
	if (job->source.type == IMGOPT_SOURCE_JPEG)
		s.load = imgopt_jpeg_shrink(common);
	else if (job->source.type == IMGOPT_SOURCE_WEBP)
		s.load = common;
	return s;
}

gboolean
imgopt_same_pixels(const shape *a, const shape *b)
{
	return a->width == b->width && a->load == b->load;
}

static gboolean
same_decoded(const shape *a, const shape *b)
{
	return a->load == b->load && a->premultiplied == b->premultiplied;
}

// later reports whether a request after the current one has a shape that is the same by some measure.
static gboolean
later(const imgopt_job *job, const shape *s, gboolean (*same)(const shape *, const shape *))
{
	for (int i = job->at + 1; i < job->n; i++) {
		shape other = imgopt_shape(job, &job->reqs[i]);
		if (same(&other, s))
			return TRUE;
	}
	return FALSE;
}

static gboolean
other_width(const shape *other, const shape *s)
{
	return same_decoded(other, s) && !imgopt_same_pixels(other, s);
}

// shrinks gives what is left to do after the decoder has shrunk.
static void
shrinks(const imgopt_job *job, VipsImage *image, int target, double *hshrink, double *vshrink)
{
	int height = vips_image_get_height(image);
	int page = vips_image_get_page_height(image);
	imgopt_resolve_shrink(vips_image_get_width(image), page, job->swapped, target, hshrink, vshrink);
	if (height > page)
		*vshrink = height / rint(page / *vshrink);
}

// to_memory computes *image and keeps the pixels in its place.
static int
to_memory(VipsImage **image, watch *w)
{
	imgopt_watch_image(*image, w);
	VipsDemandStyle strips = (*image)->dhint;
	VipsImage *memory = vips_image_copy_memory(*image);
	if (!memory)
		return -1;
	vips_image_set_progress(memory, FALSE); // it would tell the image that it was made from
	memory->dhint = strips;
	imgopt_swap(image, memory);
	return 0;
}

static gboolean
fits(VipsImage *image, const imgopt_request *req)
{
	return VIPS_IMAGE_SIZEOF_IMAGE(image) <= req->max_shared;
}

static gboolean
unshrunk(const shape *other, const shape *s)
{
	(void) s;
	return other->load == 1.0;
}

// open_pixels opens the source for the decoder to shrink it.
static int
open_pixels(imgopt_job *job, const imgopt_request *req, const shape *s, VipsImage **image)
{
	job->decodes++;
	if (s->load == 1.0 && job->head) {
		*image = job->head;
		job->head = NULL;
		return 0;
	}
	if (job->head && !later(job, s, unshrunk))
		imgopt_drop(&job->head);
	if (s->load > 1.0 && job->source.type == IMGOPT_SOURCE_JPEG)
		return imgopt_open_jpeg(&job->source, (int) s->load, image);
	if (s->load > 1.0 && job->source.type == IMGOPT_SOURCE_WEBP)
		return imgopt_open_webp(&job->source, 1.0 / s->load, image);
	return imgopt_open(&job->source, req->max_pixels, image);
}

// decode takes *image from the source to where widths begin to differ. *format is that of imgopt_premultiply.
static int
decode(imgopt_job *job, const imgopt_request *req, const shape *s, VipsImage **image, VipsBandFormat *format)
{
	double hshrink, vshrink;
	*format = VIPS_FORMAT_NOTSET;
	if (open_pixels(job, req, s, image) || imgopt_untag(image) || imgopt_apply_profile(image))
		return -1;
	shrinks(job, *image, req->width, &hshrink, &vshrink);
	if ((hshrink != 1.0 || vshrink != 1.0) && vips_image_hasalpha(*image))
		return imgopt_premultiply(image, format);
	return 0;
}

// get_decoded gives decode's image: the one that was kept, one that is kept from now on because other widths need it
// too, or one whose pixels are computed as they are asked for.
static int
get_decoded(imgopt_job *job, const imgopt_request *req, const shape *s, watch *w, VipsImage **image, VipsBandFormat *format)
{
	if (job->decoded && !same_decoded(&job->decoded_as, s))
		imgopt_drop(&job->decoded);
	if (job->decoded) {
		*format = job->format;
		return vips_copy(job->decoded, image, NULL);
	}
	if (decode(job, req, s, image, format))
		return -1;
	gboolean loose = job->loose && same_decoded(&job->loose_as, s);
	if (loose || !later(job, s, other_width) || !fits(*image, req) ||
		s->premultiplied != (*format != VIPS_FORMAT_NOTSET))
		return 0;
	if (to_memory(image, w)) {
		// Of a damaged source a resizer may not need the rows that are bad. Where time has run out it runs anew for
		// the next result.
		job->loose = TRUE;
		job->loose_as = *s;
		imgopt_drop(image);
		if (w->status != IMGOPT_OK)
			return -1;
		vips_error_clear();
		return decode(job, req, s, image, format);
	}
	job->decoded = *image;
	job->decoded_as = *s;
	job->format = *format;
	*image = NULL;
	return vips_copy(job->decoded, image, NULL);
}

// resize scales with Lanczos 3 where there is anything to scale.
static int
resize(const imgopt_job *job, const imgopt_request *req, VipsImage **image)
{
	double hshrink, vshrink;
	shrinks(job, *image, req->width, &hshrink, &vshrink);
	if (hshrink != 1.0 || vshrink != 1.0)
		STEP(vips_resize(*image, &out, 1.0 / hshrink,
			"vscale", 1.0 / vshrink,
			"kernel", VIPS_KERNEL_LANCZOS3, NULL));
	return 0;
}

// still makes sure that a still image does not become an endless animation.
static int
still(VipsImage **image)
{
	STEP(vips_copy(*image, &out, NULL));
	vips_image_set_int(*image, "loop", 1);
	return 0;
}

// imgopt_pixels_needed reports whether a later request needs the pixels of the current one for another encoder or encoding.
gboolean
imgopt_pixels_needed(const imgopt_job *job, const shape *s)
{
	const imgopt_request *now = &job->reqs[job->at];
	for (int i = job->at + 1; i < job->n; i++) {
		const imgopt_request *req = &job->reqs[i];
		shape other = imgopt_shape(job, req);
		if (imgopt_same_pixels(&other, s) && !imgopt_same_output(req, now->format, &now->encoding) && !imgopt_find_result(job, req))
			return TRUE;
	}
	return FALSE;
}

// imgopt_pixels gives the picture as encoders take it.
int
imgopt_pixels(imgopt_job *job, const imgopt_request *req, const shape *s, watch *w, VipsImage **image)
{
	VipsBandFormat format;
	if (job->pixels)
		return vips_copy(job->pixels, image, NULL);
	if (get_decoded(job, req, s, w, image, &format) ||
		resize(job, req, image) ||
		imgopt_orient(image, job->angle, job->flop) ||
		imgopt_crop(image, req->width) ||
		imgopt_to_output_space(image, format) ||
		still(image))
		return -1;

	gboolean last = job->decoded && !later(job, s, other_width);
	if (!(last || imgopt_pixels_needed(job, s)) || !fits(*image, req))
		return 0;
	if (to_memory(image, w))
		return -1;
	if (last) // the encoder takes memory of its own
		imgopt_drop(&job->decoded);
	job->pixels = *image;
	*image = NULL;
	return vips_copy(job->pixels, image, NULL);
}
