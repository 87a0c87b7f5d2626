// Package libvips runs libvips in this process: as a transform.Engine of its own, and as what a codec process
// calls. govips starts the library and reads its versions and memory figures; the pipeline itself is C
// beside it (pipeline.c), because equal bytes need what govips 2.18 does not offer: operation blocking,
// a kill switch, AVIF chroma subsampling, and sharp's exact order of steps in a single crossing from Go to C.
package libvips

import (
	"bytes"
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/semaphore"

	"imgopt/transform"
)

// Engine encodes in this process. Create it with New.
type Engine struct {
	opts  transform.Options
	slots *semaphore.Weighted
}

var _ transform.MultiEngine = (*Engine)(nil)

// New starts libvips (once per process) and returns an engine that encodes opts.Workers images at a time, each
// on one thread. libvips' own operation cache is off: nothing here is asked for twice.
func New(opts transform.Options) (*Engine, error) {
	if opts.Workers < 1 {
		return nil, fmt.Errorf("starting the libvips engine: workers must be at least 1, not %d", opts.Workers)
	}
	if err := Start(); err != nil {
		return nil, err
	}
	return &Engine{opts: opts, slots: semaphore.NewWeighted(int64(opts.Workers))}, nil
}

// Encode implements transform.Engine. A context that ends while pixels are computed stops the work; an encoder
// that no longer computes pixels (AVIF's last stage) runs to its end first.
func (e *Engine) Encode(ctx context.Context, src []byte, spec transform.Spec) ([]byte, error) {
	if err := e.slots.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("waiting for a codec: %w", err)
	}
	defer e.slots.Release(1)

	var out []byte
	err := Run(ctx, src, spec, e.opts, func(encoded []byte) error {
		out = bytes.Clone(encoded)
		return nil
	})
	return out, err
}

// EncodeAll implements transform.MultiEngine, on one of the engine's threads.
func (e *Engine) EncodeAll(ctx context.Context, src []byte, specs []transform.Spec, done func(i int, encoded []byte, err error)) {
	if err := e.slots.Acquire(ctx, 1); err != nil {
		for i := range specs {
			done(i, nil, fmt.Errorf("waiting for a codec: %w", err))
		}
		return
	}
	defer e.slots.Release(1)

	var pin runtime.Pinner
	defer pin.Unpin()
	if len(src) > 0 {
		pin.Pin(&src[0])
	}
	order := transform.Order(specs)
	sorted := make([]transform.Spec, len(specs))
	for i, n := range order {
		sorted[i] = specs[n]
	}
	j := NewJob(ctx, src, sorted, e.opts)
	defer j.Close()
	for _, n := range order {
		var out []byte
		err := j.Next(func(encoded []byte) error {
			out = bytes.Clone(encoded)
			return nil
		})
		done(n, out, err)
	}
}
