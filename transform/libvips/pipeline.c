// Jobs: one result after the other, each with its own time and its own failure.
#include "pipeline.h"

#include <string.h>
#include <vips/vips.h>

#include "job.h"
#include "save.h"

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

static void
watch_posteval(VipsImage *image, VipsProgress *progress, watch *w)
{
	(void) image;
	(void) progress;
	w->pixels = g_get_monotonic_time();
}

void
imgopt_watch_image(VipsImage *image, watch *w)
{
	if (!w->deadline && !w->cancel)
		return;
	g_signal_connect(image, "eval", G_CALLBACK(watch_eval), w);
	g_signal_connect(image, "posteval", G_CALLBACK(watch_posteval), w);
	vips_image_set_progress(image, TRUE);
}

void
imgopt_drop(VipsImage **image)
{
	g_clear_object(image);
}

static void
forget_results(imgopt_job *job)
{
	for (guint i = 0; i < job->results->len; i++)
		imgopt_free(g_array_index(job->results, kept, i).result.data);
	g_array_set_size(job->results, 0);
}

gboolean
imgopt_same_output(const imgopt_request *req, int format, const imgopt_encoding *encoding)
{
	return req->format == format && !memcmp(&req->encoding, encoding, sizeof *encoding);
}

// imgopt_find_result returns a result of the current pixels.
const kept *
imgopt_find_result(const imgopt_job *job, const imgopt_request *req)
{
	for (guint i = 0; i < job->results->len; i++) {
		const kept *k = &g_array_index(job->results, kept, i);
		if (imgopt_same_output(req, k->format, &k->encoding))
			return k;
	}
	return NULL;
}

// keep_result copies a result that a later request asks for as well.
static void
keep_result(imgopt_job *job, const imgopt_request *req, const shape *s, const imgopt_result *res)
{
	for (int i = job->at + 1; i < job->n; i++) {
		const imgopt_request *other = &job->reqs[i];
		shape o = imgopt_shape(job, other);
		if (!imgopt_same_pixels(&o, s) || !imgopt_same_output(other, req->format, &req->encoding))
			continue;
		kept k = { .result = *res, .format = req->format, .encoding = req->encoding };
		if (!(k.result.data = g_try_malloc(res->size)))
			return;
		memcpy(k.result.data, res->data, res->size);
		g_array_append_val(job->results, k);
		return;
	}
}

static int
reuse(const kept *k, imgopt_result *res)
{
	*res = k->result;
	if (!(res->data = g_try_malloc(k->result.size))) {
		vips_error("imgopt", "out of memory");
		return -1;
	}
	memcpy(res->data, k->result.data, k->result.size);
	return 0;
}

// run makes one result. *image is what is to be released afterwards.
static int
run(imgopt_job *job, const imgopt_request *req, VipsImage **image, imgopt_result *res, watch *w)
{
	if (imgopt_open_job(job, req))
		return -1;
	shape s = imgopt_shape(job, req);
	if (!imgopt_same_pixels(&job->pixels_as, &s)) {
		imgopt_drop(&job->pixels);
		forget_results(job);
		job->pixels_as = s;
	}
	const kept *k = imgopt_find_result(job, req);
	if (k)
		return reuse(k, res);
	if (imgopt_pixels(job, req, &s, w, image))
		return -1;
	if (!imgopt_pixels_needed(job, &s))
		imgopt_drop(&job->pixels); // *image still holds them
	res->width = vips_image_get_width(*image);
	res->height = vips_image_get_height(*image);
	imgopt_watch_image(*image, w);
	if (imgopt_save(image, job->source.type, req, res))
		return -1;
	keep_result(job, req, &s, res);
	return 0;
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

imgopt_job *
imgopt_job_new(const void *src, size_t len, const imgopt_request *reqs, int n)
{
	imgopt_job *job = g_new0(imgopt_job, 1);
	job->source.data = src;
	job->source.size = len;
	job->reqs = g_new(imgopt_request, n);
	memcpy(job->reqs, reqs, n * sizeof *reqs);
	job->n = n;
	job->results = g_array_new(FALSE, FALSE, sizeof(kept));
	return job;
}

int
imgopt_job_next(imgopt_job *job, imgopt_result *res)
{
	const imgopt_request *req = &job->reqs[job->at];
	gint64 began = g_get_monotonic_time();
	watch w = {
		.deadline = req->timeout_ms > 0 ? began + req->timeout_ms * 1000 : 0,
		.cancel = req->cancel,
	};
	VipsImage *image = NULL;

	memset(res, 0, sizeof *res);
	int failed = run(job, req, &image, res, &w);
	imgopt_drop(&image);
	job->at++;
	res->pixels_us = w.pixels ? w.pixels - began : 0;
	res->encode_us = w.pixels ? g_get_monotonic_time() - w.pixels : 0;

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

int
imgopt_job_decodes(const imgopt_job *job)
{
	return job->decodes;
}

void
imgopt_job_free(imgopt_job *job)
{
	imgopt_drop(&job->head);
	imgopt_drop(&job->decoded);
	imgopt_drop(&job->pixels);
	forget_results(job);
	g_array_free(job->results, TRUE);
	g_free(job->reqs);
	g_free(job);
	vips_thread_shutdown();
}

int
imgopt_encode(const void *src, size_t len, const imgopt_request *req, imgopt_result *res)
{
	imgopt_job *job = imgopt_job_new(src, len, req, 1);
	int status = imgopt_job_next(job, res);
	imgopt_job_free(job);
	return status;
}

void
imgopt_free(void *data)
{
	g_free(data);
}
