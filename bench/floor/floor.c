// The floor: the same pipeline in a bare loop, as many processes as asked for, nothing around it. What imgopt adds
// to it (HTTP, the cache, the process boundary) is what the cold benchmark measures.
// Usage: floor FILE WIDTH QUALITY FORMAT IMAGES PROCESSES OUT   (FORMAT: jpeg png webp avif; OUT: a file for the picture)
// Prints one line of JSON: wall and processor seconds, and peak resident memory, of all processes together.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vips/vips.h>

#include "../../transform/libvips/pipeline.h"

static double
now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static double
seconds(struct timeval t)
{
	return t.tv_sec + t.tv_usec / 1e6;
}

static int
work(const char *data, size_t size, const imgopt_request *req, int images, const char *out)
{
	if (vips_init("floor"))
		return 1;
	vips_concurrency_set(1);
	vips_cache_set_max(0);
	imgopt_init();
	for (int i = 0; i < images; i++) {
		imgopt_result res;
		if (imgopt_encode(data, size, req, &res) != IMGOPT_OK) {
			fprintf(stderr, "floor: %s\n", res.message);
			return 1;
		}
		if (out && i == 0) {
			FILE *f = fopen(out, "wb");
			if (!f || fwrite(res.data, 1, res.size, f) != res.size || fclose(f)) {
				perror(out);
				return 1;
			}
		}
		imgopt_free(res.data);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	static const char *names[] = { "", "jpeg", "png", "webp", "avif" };
	if (argc != 8) {
		fprintf(stderr, "usage: floor FILE WIDTH QUALITY FORMAT IMAGES PROCESSES OUT\n");
		return 2;
	}
	imgopt_request req = { .width = atoi(argv[2]), .max_pixels = 268402689, .timeout_ms = 7000 };
	for (int i = 1; i < 5; i++)
		if (!strcmp(argv[4], names[i]))
			req.format = i;
	// What sharp tells the encoders for Next.js.
	req.encoding = (imgopt_encoding) { .quality = atoi(argv[3]), .effort = req.format == IMGOPT_AVIF ? 3 : 4, .subsample = req.format == IMGOPT_JPEG,
		.passes = 1, .progressive = 1, .trellis = 1, .overshoot = 1, .optimize_scans = 1, .quant_table = 3, .preset = "default", .tune = "auto" };
	int images = atoi(argv[5]), processes = atoi(argv[6]);

	FILE *f = fopen(argv[1], "rb");
	if (!f || fseek(f, 0, SEEK_END)) {
		perror(argv[1]);
		return 1;
	}
	size_t size = ftell(f);
	char *data = malloc(size);
	rewind(f);
	if (fread(data, 1, size, f) != size) {
		perror(argv[1]);
		return 1;
	}
	double start = now();
	for (int p = 0; p < processes; p++)
		if (fork() == 0)
			_exit(work(data, size, &req, images / processes, p ? NULL : argv[7]));
	int failed = 0, status;
	while (wait(&status) > 0)
		failed |= status;
	struct rusage u;
	getrusage(RUSAGE_CHILDREN, &u);
	printf("{\"images\":%d,\"wall\":%.4f,\"cpu\":%.4f,\"rss\":%ld}\n", images / processes * processes, now() - start,
		seconds(u.ru_utime) + seconds(u.ru_stime), u.ru_maxrss * 1024L * processes);
	return failed != 0;
}
