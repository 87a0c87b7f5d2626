// A job while it runs: what its requests have in common, and what is kept for those to come.
#ifndef IMGOPT_JOB_H
#define IMGOPT_JOB_H

#include <vips/vips.h>

#include "load.h"
#include "pipeline.h"

// shape says which pixels a request gets. Two requests of equal shape get the same.
typedef struct {
	int width;        // 0: not resized, whatever the width asked for
	double load;      // what the decoder shrinks by
	gboolean premultiplied;
} shape;

// kept is a result that another request of the job will get as well.
typedef struct {
	imgopt_result result;
	int format;
	imgopt_encoding encoding;
} kept;

struct imgopt_job {
	imgopt_source source;
	imgopt_request *reqs;
	int n, at;
	int decodes;

	gboolean opened; // what follows is known
	VipsImage *head; // the source as it was opened first, until somebody reads its pixels
	int width, height;
	VipsAngle angle;
	gboolean flop, swapped, alpha;

	VipsImage *decoded; // in memory, up to the point from which on widths differ; or NULL
	shape decoded_as;   // its width does not count
	VipsBandFormat format;
	gboolean loose;     // pictures of this kind cannot be kept
	shape loose_as;

	VipsImage *pixels; // in memory, ready for encoders; or NULL
	shape pixels_as;
	GArray *results;   // kept, of pixels_as
};

typedef struct {
	gint64 deadline; // g_get_monotonic_time() µs; 0: none
	const int32_t *cancel;
	int status; // IMGOPT_OK until something stopped the evaluation
	gint64 pixels; // when all pixels of the last image were computed; 0: not yet
} watch;

// imgopt_drop gives up a reference, if there is one.
void imgopt_drop(VipsImage **image);

// imgopt_watch has *w checked whenever some pixels of image were computed.
void imgopt_watch_image(VipsImage *image, watch *w);

// imgopt_open_job reads the header, once.
int imgopt_open_job(imgopt_job *job, const imgopt_request *req);

shape imgopt_shape(const imgopt_job *job, const imgopt_request *req);
gboolean imgopt_same_pixels(const shape *a, const shape *b);

// imgopt_find_result returns a kept result of the current pixels, or NULL.
const kept *imgopt_find_result(const imgopt_job *job, const imgopt_request *req);

// imgopt_same_output reports whether a request gives the bytes that format and encoding gave, of the same pixels.
gboolean imgopt_same_output(const imgopt_request *req, int format, const imgopt_encoding *encoding);

// imgopt_pixels_needed reports whether a later request needs the pixels of the current one for another encoder or
// encoding.
gboolean imgopt_pixels_needed(const imgopt_job *job, const shape *s);

// imgopt_pixels gives the picture as encoders take it, and keeps what later requests can use.
int imgopt_pixels(imgopt_job *job, const imgopt_request *req, const shape *s, watch *w, VipsImage **image);

#endif
