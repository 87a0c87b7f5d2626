// Package libvips is the transform.Engine that runs libvips in this process. govips starts the library and reads
// its versions and memory figures; the pipeline itself is one C function beside it (pipeline.c), because equal
// bytes need what govips 2.18 does not offer: operation blocking, a kill switch, AVIF chroma subsampling, and
// sharp's exact order of steps in a single crossing from Go to C.
package libvips

/*
#cgo pkg-config: vips
#cgo CFLAGS: -std=c11 -Wall
#cgo LDFLAGS: -lm
#include <stdlib.h>
#include "pipeline.h"
*/
import "C"

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/davidbyttow/govips/v2/vips"
	"golang.org/x/sync/semaphore"

	"imgopt/transform"
)

// Engine encodes in this process. Create it with New.
type Engine struct {
	opts  transform.Options
	slots *semaphore.Weighted
}

var _ transform.Engine = (*Engine)(nil)

// New starts libvips (once per process) and returns an engine that encodes opts.Workers images at a time, each
// on one thread. libvips' own operation cache is off: nothing here is asked for twice.
func New(opts transform.Options) (*Engine, error) {
	if opts.Workers < 1 {
		return nil, fmt.Errorf("starting the libvips engine: workers must be at least 1, not %d", opts.Workers)
	}
	if err := start(); err != nil {
		return nil, fmt.Errorf("starting libvips: %w", err)
	}
	return &Engine{opts: opts, slots: semaphore.NewWeighted(int64(opts.Workers))}, nil
}

var formats = map[string]C.int{
	transform.JPEG: C.IMGOPT_JPEG,
	transform.PNG:  C.IMGOPT_PNG,
	transform.WebP: C.IMGOPT_WEBP,
	transform.AVIF: C.IMGOPT_AVIF,
}

// Encode implements transform.Engine. A context that ends while pixels are computed stops the work; an encoder
// that no longer computes pixels (AVIF's last stage) runs to its end first.
func (e *Engine) Encode(ctx context.Context, src []byte, spec transform.Spec) ([]byte, error) {
	if len(src) == 0 {
		return nil, &transform.CodecError{Message: "empty source"}
	}
	if err := e.slots.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("waiting for a codec: %w", err)
	}
	defer e.slots.Release(1)

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
		mozjpeg:    flag(e.opts.Mozjpeg),
		sequential: flag(e.opts.SequentialRead),
		max_pixels: C.uint64_t(e.opts.MaxInputPixels),
		timeout_ms: C.int64_t(e.opts.Timeout.Milliseconds()),
		cancel:     (*C.int32_t)(unsafe.Pointer(canceled)),
	}
	var res C.imgopt_result
	status := C.imgopt_encode(unsafe.Pointer(&src[0]), C.size_t(len(src)), &req, &res)
	runtime.KeepAlive(src)

	switch status {
	case C.IMGOPT_OK:
		defer C.imgopt_free(res.data)
		return bytes.Clone(unsafe.Slice((*byte)(res.data), res.size)), nil
	case C.IMGOPT_CANCELED:
		return nil, fmt.Errorf("encoding: %w", context.Cause(ctx))
	default:
		return nil, &transform.CodecError{Message: C.GoString(&res.message[0]), TimedOut: status == C.IMGOPT_TIMEOUT}
	}
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// Memory is what libvips holds at the moment, in bytes and counts.
type Memory = vips.MemoryStats

// ReadMemory returns libvips' own accounting.
func ReadMemory() Memory {
	var m Memory
	vips.ReadVipsMemStats(&m)
	return m
}
