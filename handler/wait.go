package handler

import (
	"context"
	"time"

	"imgopt/validate"
)

// cachedTimeout is the time to look for what is refused otherwise. Refusing must not take long either.
const cachedTimeout = 25 * time.Millisecond

// get has an image made, or found where it takes waiting. It ends when the client leaves.
func (h *public) get(ctx context.Context, c *conn, p validate.Params) (r Result, err error) {
	if !h.load.enter(h.maxWaiting) {
		return h.getCached(ctx, p)
	}
	defer h.load.leave()
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	if c != nil {
		w := c.watch(cancel)
		defer func() {
			if w.stop() {
				r, err = Result{}, errClientGone
			}
		}()
	}
	return h.images.Get(ctx, p)
}

// getCached answers without work while too many requests wait for some.
func (h *public) getCached(ctx context.Context, p validate.Params) (Result, error) {
	if h.cached != nil {
		ctx, cancel := context.WithTimeout(ctx, cachedTimeout)
		defer cancel()
		if r, ok := h.cached(ctx, p); ok {
			return r, nil
		}
	}
	return Result{}, errTooManyWaiting
}
