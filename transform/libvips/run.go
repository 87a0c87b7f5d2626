package libvips

/*
#cgo pkg-config: vips
#cgo CFLAGS: -std=c11 -Wall
#cgo LDFLAGS: -lm
#include "pipeline.h"
*/
import "C"

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"imgopt/transform"
)

var formats = map[string]C.int{
	transform.JPEG: C.IMGOPT_JPEG,
	transform.PNG:  C.IMGOPT_PNG,
	transform.WebP: C.IMGOPT_WEBP,
	transform.AVIF: C.IMGOPT_AVIF,
}

// Run encodes src on the calling thread and gives the result to use, which must not keep it. Its errors are
// those of transform.Engine, and use's own. Start must have succeeded.
func Run(ctx context.Context, src []byte, spec transform.Spec, opts transform.Options, use func(encoded []byte) error) error {
	if len(src) == 0 {
		return &transform.CodecError{Message: "empty source"}
	}
	canceled := new(int32)
	stop := context.AfterFunc(ctx, func() { atomic.StoreInt32(canceled, 1) })
	defer stop()

	// The request is a C struct that holds this one Go pointer.
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(canceled)

	req := C.imgopt_request{
		width:      C.int(spec.Width),
		quality:    C.int(spec.EncoderQuality()),
		format:     formats[spec.Output], // absent: IMGOPT_INPUT
		mozjpeg:    flag(opts.Mozjpeg),
		max_pixels: C.uint64_t(opts.MaxInputPixels),
		timeout_ms: C.int64_t(opts.Timeout.Milliseconds()),
		cancel:     (*C.int32_t)(unsafe.Pointer(canceled)),
	}
	var res C.imgopt_result
	status := C.imgopt_encode(unsafe.Pointer(&src[0]), C.size_t(len(src)), &req, &res)
	runtime.KeepAlive(src)

	switch status {
	case C.IMGOPT_OK:
		defer C.imgopt_free(res.data)
		return use(unsafe.Slice((*byte)(res.data), res.size))
	case C.IMGOPT_CANCELED:
		return fmt.Errorf("encoding: %w", context.Cause(ctx))
	default:
		return &transform.CodecError{Message: C.GoString(&res.message[0]), TimedOut: status == C.IMGOPT_TIMEOUT}
	}
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
