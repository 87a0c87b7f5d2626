package libvips

/*
#cgo pkg-config: vips
#cgo CFLAGS: -std=c11 -Wall
#cgo LDFLAGS: -lm
#include "pipeline.h"
*/
import "C"

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"imgopt/transform"
)

var formats = map[string]C.int{
	transform.JPEG: C.IMGOPT_JPEG,
	transform.PNG:  C.IMGOPT_PNG,
	transform.WebP: C.IMGOPT_WEBP,
	transform.AVIF: C.IMGOPT_AVIF,
}

func request(spec transform.Spec, enc transform.Encoding, opts transform.Options, canceled *int32) C.imgopt_request {
	return C.imgopt_request{
		width:      C.int(spec.Width),
		format:     formats[spec.Output], // absent: IMGOPT_INPUT
		encoding:   encoding(enc),
		max_pixels: C.uint64_t(opts.MaxInputPixels),
		timeout_ms: C.int64_t(opts.Timeout.Milliseconds()),
		max_shared: C.uint64_t(transform.MaxShared),
		cancel:     (*C.int32_t)(unsafe.Pointer(canceled)),
	}
}

func encoding(e transform.Encoding) C.imgopt_encoding {
	c := C.imgopt_encoding{
		quality:        C.int(e.Quality),
		effort:         C.int(e.Effort),
		subsample:      flag(e.Subsample),
		sharp_yuv:      flag(e.SharpYUV),
		smart_deblock:  flag(e.SmartDeblock),
		passes:         C.int(max(e.Passes, 1)),
		progressive:    flag(e.Progressive),
		trellis:        flag(e.Trellis),
		overshoot:      flag(e.Overshoot),
		optimize_scans: flag(e.OptimizeScans),
		quant_table:    C.int(e.QuantTable),
	}
	text(c.preset[:], cmp.Or(e.Preset, "default"))
	text(c.tune[:], cmp.Or(e.Tune, "auto"))
	return c
}

// text copies what fits and leaves a zero at the end. The encoders refuse half a name.
func text(to []C.char, s string) {
	for i := range min(len(s), len(to)-1) {
		to[i] = C.char(s[i])
	}
}

// Run encodes src on the calling thread and gives the result to use, which must not keep it. Its errors are
// those of transform.Engine, and use's own. Start must have succeeded.
func Run(ctx context.Context, src []byte, spec transform.Spec, opts transform.Options, use func(encoded []byte) error) error {
	return run(ctx, src, spec, opts.Encoding(spec), opts, use)
}

// EncodeAs is Run with an encoding of the caller's: spec.Quality and opts.Profile have no say. It is for measuring what
// an encoding is worth; whatever the encoder refuses is a *transform.CodecError. It starts libvips where that was not done.
func EncodeAs(ctx context.Context, src []byte, spec transform.Spec, enc transform.Encoding, opts transform.Options) ([]byte, error) {
	if err := Start(); err != nil {
		return nil, err
	}
	var out []byte
	err := run(ctx, src, spec, enc, opts, func(encoded []byte) error {
		out = bytes.Clone(encoded)
		return nil
	})
	return out, err
}

func run(ctx context.Context, src []byte, spec transform.Spec, enc transform.Encoding, opts transform.Options, use func(encoded []byte) error) error {
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

	req := request(spec, enc, opts, canceled)
	var res C.imgopt_result
	status := C.imgopt_encode(unsafe.Pointer(&src[0]), C.size_t(len(src)), &req, &res)
	runtime.KeepAlive(src)
	return finish(ctx, status, &res, use)
}

// finish gives a result to use and frees it, or makes an error of what went wrong.
func finish(ctx context.Context, status C.int, res *C.imgopt_result, use func(encoded []byte) error) error {
	switch status {
	case C.IMGOPT_OK:
		if s := transform.StagesOf(ctx); s != nil {
			s.Pixels, s.Encode = time.Duration(res.pixels_us)*time.Microsecond, time.Duration(res.encode_us)*time.Microsecond
		}
		defer C.imgopt_free(res.data)
		return use(unsafe.Slice((*byte)(res.data), res.size))
	case C.IMGOPT_CANCELED:
		return fmt.Errorf("encoding: %w", context.Cause(ctx))
	default:
		return &transform.CodecError{Message: C.GoString(&res.message[0]), TimedOut: status == C.IMGOPT_TIMEOUT}
	}
}

// Job makes several results of one source. Its methods are called one after the other.
type Job struct {
	ctx     context.Context
	job     *C.imgopt_job // nil for an empty source
	left    int
	pin     runtime.Pinner
	stop    func() bool
	decodes int
}

// NewJob prepares one result for each of specs, which come in ascending order of their widths: then what widths have in
// common is done once, and little is kept in memory. src must stay where it is until Close: memory of Go's is to be pinned by the caller.
func NewJob(ctx context.Context, src []byte, specs []transform.Spec, opts transform.Options) *Job {
	j := &Job{ctx: ctx, left: len(specs)}
	canceled := new(int32)
	j.stop = context.AfterFunc(ctx, func() { atomic.StoreInt32(canceled, 1) })
	if len(src) == 0 || len(specs) == 0 {
		return j
	}
	j.pin.Pin(canceled)
	reqs := make([]C.imgopt_request, len(specs))
	for i, spec := range specs {
		reqs[i] = request(spec, opts.Encoding(spec), opts, canceled)
	}
	j.job = C.imgopt_job_new(unsafe.Pointer(&src[0]), C.size_t(len(src)), &reqs[0], C.int(len(reqs)))
	return j
}

// Next makes the next result, with the errors of Run: that of one result says nothing about the others. It must not be
// called more often than there are specs.
func (j *Job) Next(use func(encoded []byte) error) error {
	if j.left--; j.left < 0 {
		panic("libvips: more results than specs")
	}
	if j.job == nil {
		return &transform.CodecError{Message: "empty source"}
	}
	var res C.imgopt_result
	status := C.imgopt_job_next(j.job, &res)
	return finish(j.ctx, status, &res, use)
}

// Decodes is how often the source was decoded so far.
func (j *Job) Decodes() int {
	if j.job != nil {
		j.decodes = int(C.imgopt_job_decodes(j.job))
	}
	return j.decodes
}

// Close frees everything. It must be called once.
func (j *Job) Close() {
	j.stop()
	if j.job != nil {
		j.Decodes() // the number stays
		C.imgopt_job_free(j.job)
		j.job = nil
	}
	j.pin.Unpin()
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
