// Encoding with libvips: the options sharp passes for what Next.js asks.
#ifndef IMGOPT_SAVE_H
#define IMGOPT_SAVE_H

#include <vips/vips.h>

#include "pipeline.h"

// imgopt_save encodes *image into res; source_type (enum imgopt_source_type) decides where req->format is
// IMGOPT_INPUT.
int imgopt_save(VipsImage **image, int source_type, const imgopt_request *req, imgopt_result *res);

#endif
