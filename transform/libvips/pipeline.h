// Images through libvips, in the order and with the options of sharp's pipeline: what Next.js asks of sharp (auto-orient,
// resize to a width without enlarging, encode) and nothing else. Several results of one source share what they have in
// common; each has the bytes that it would have alone.
#ifndef IMGOPT_PIPELINE_H
#define IMGOPT_PIPELINE_H

#include <stddef.h>
#include <stdint.h>

enum imgopt_format {
	IMGOPT_INPUT = 0, // the source's own format, as far as it can be written (gif, tiff, ...)
	IMGOPT_JPEG = 1,
	IMGOPT_PNG = 2,
	IMGOPT_WEBP = 3,
	IMGOPT_AVIF = 4,
};

enum imgopt_status {
	IMGOPT_OK = 0,
	IMGOPT_FAILED = 1,   // the image cannot be decoded or encoded; see the message
	IMGOPT_TIMEOUT = 2,  // timeout_ms ran out while pixels were computed
	IMGOPT_CANCELED = 3, // *cancel became non-zero
};

// imgopt_encoding is what an encoder is told beside the pixels; what a format does not know has no effect on it.
// IMGOPT_INPUT reads nothing of it. It has no gaps, so that two can be compared as bytes: what follows the end of a text
// is zero.
typedef struct {
	int quality;   // 1 to 100, as the encoder takes it
	int effort;    // webp 0 to 6, avif 0 to 9
	int subsample; // jpeg, avif: 4:2:0
	int sharp_yuv, smart_deblock, passes; // webp; libvips before 8.16 knows the first only
	int progressive, trellis, overshoot, optimize_scans, quant_table; // jpeg
	char preset[16]; // webp: a nick of VipsForeignWebpPreset
	char tune[32];   // avif; libvips before 8.18 does not know it
} imgopt_encoding;

typedef struct {
	int width;             // target width in pixels
	int format;            // enum imgopt_format
	imgopt_encoding encoding;
	uint64_t max_pixels;   // refuse larger sources; 0: no limit
	int64_t timeout_ms;    // limit of pixel evaluation, for this result; 0: none
	uint64_t max_shared;   // keep no more bytes of decoded pixels for other results of the source
	const int32_t *cancel; // polled while pixels are computed; may be NULL
} imgopt_request;

typedef struct {
	void *data; // allocated by GLib: free with imgopt_free
	size_t size;
	int width, height;
	int format;        // enum imgopt_format; IMGOPT_INPUT for what has no name above
	// Microseconds until the encoder had all pixels, and from then on. 0 for a copy of an earlier result.
	int64_t pixels_us, encode_us;
	char message[512]; // why it failed, one line
} imgopt_result;

// imgopt_init allows only the loaders that Next.js allows. Call once, after vips_init.
void imgopt_init(void);

// imgopt_encode makes one result. It keeps no reference to src after it returns.
int imgopt_encode(const void *src, size_t len, const imgopt_request *req, imgopt_result *res);

// imgopt_job makes several results of one source, in the order of its requests. Those come in ascending order of their
// widths: then no more than one decoded and one resized picture are kept at a time, and the largest result is made when
// the decoded one is gone.
typedef struct imgopt_job imgopt_job;

// imgopt_job_new copies the requests. src, and what their cancel points to, have to stay until imgopt_job_free.
imgopt_job *imgopt_job_new(const void *src, size_t len, const imgopt_request *reqs, int n);

// imgopt_job_next makes the next result. Its failure says nothing about the others. It must not be called more than n
// times.
int imgopt_job_next(imgopt_job *job, imgopt_result *res);

// imgopt_job_decodes is how often the source was opened for its pixels, so far.
int imgopt_job_decodes(const imgopt_job *job);

void imgopt_job_free(imgopt_job *job);

void imgopt_free(void *data);

#endif
