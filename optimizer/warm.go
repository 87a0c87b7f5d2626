package optimizer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"imgopt/admission"
	"imgopt/cache"
	"imgopt/failure"
	"imgopt/fetch"
	"imgopt/jobs"
	"imgopt/transform"
	"imgopt/validate"
)

// ErrNotKept says that an image was made, and that no tier of the cache has taken it.
var ErrNotKept = errors.New("made, but not kept by the cache")

// Warm sees to it that the cache has what a list of requests asks for, and calls done once for each: with what is there,
// or with why it is not, as Get would return it. done may be called by several goroutines at the same time.
//
// It does what the requests would have done one by one, but fetches each source once and has it decoded as seldom as
// possible (see transform.MultiEngine). The entries are the same. One that no tier takes is an ErrNotKept, and a codec
// that ran out of time or crashed is an error and leaves no entry. It does not go through the
// queue: what somebody else makes at the same time is made twice, and stored twice. A source is asked for once; to try
// again is for the caller, who calls Warm with what is left.
func (o *Optimizer) Warm(ctx context.Context, list []validate.Params, done func(i int, r Result, err error)) {
	mark := o.opts.Store.Mark() // what is purged from here on may be in what is fetched
	bySource := map[jobs.Spec]*warming{}
	var order []*warming
	for i, p := range list {
		if err := o.find(ctx, &p); err != nil {
			done(i, Result{State: cache.Miss}, err)
			continue
		}
		v := &variant{spec: spec(p), key: o.Key(p)}
		v.done = func(r Result, err error) { done(i, r, err) }
		if e, err := o.opts.Store.Get(ctx, v.key); err == nil && e.State(o.opts.Now()) == cache.Hit {
			v.done(Result{Entry: e, State: cache.Hit}, nil)
			continue
		}
		v.previous, _ = o.opts.Store.Latest(ctx, v.key) // every error is a miss
		source := jobs.Spec{Href: v.spec.Href, Absolute: v.spec.Absolute, Deployment: v.spec.Deployment}
		w := bySource[source]
		if w == nil {
			w = &warming{o: o, mark: mark, source: source}
			bySource[source] = w
			order = append(order, w)
		}
		w.variants = append(w.variants, v)
	}
	for _, w := range order {
		w.run(ctx)
	}
}

// variant is one of those to be made.
type variant struct {
	spec     jobs.Spec
	key      cache.Key
	previous *cache.Entry // nil: none
	draft    draft
	done     func(Result, error)
}

// warming makes the variants of one source.
type warming struct {
	o        *Optimizer
	mark     uint64
	source   jobs.Spec // of which only what names the source is set
	variants []*variant

	mu   sync.Mutex // guards held, which is that of the source, and of results that are being stored
	held *admission.Reservation
	size int64
}

func (w *warming) run(ctx context.Context) {
	o := w.o
	w.held = o.opts.Bytes.Reserve(admission.Background)
	defer w.held.Release()
	src, err := w.fetch(ctx)
	if err != nil {
		for _, v := range w.variants {
			v.done(Result{State: cache.Miss}, waiting(err))
		}
		return
	}
	w.size = int64(len(src.Body))
	etag := ""
	if !src.NotModified {
		etag = etagOf(src)
	}
	now := o.opts.Now()
	var encode []*variant
	for _, v := range w.variants {
		if v.draft, err = o.draft(v.spec, v.previous, src, etag, now); err != nil {
			v.done(Result{State: cache.Miss}, waiting(err))
		} else if v.draft.encode {
			encode = append(encode, v)
		} else {
			w.store(ctx, v)
		}
	}
	w.encode(ctx, encode)
}

// fetch asks for the source once, and for nothing but that it is unchanged if all variants were made from one version.
func (w *warming) fetch(ctx context.Context) (*fetch.Source, error) {
	ctx, cancel := context.WithTimeout(ctx, w.o.opts.Jobs.Timeout)
	defer cancel()
	req := fetch.Request{Href: w.source.Href, Absolute: w.source.Absolute, Deployment: w.source.Deployment, Memory: w.held}
	if first := w.variants[0].previous; first != nil && w.same(first) {
		req.ETag, req.LastModified = first.SourceETag, first.SourceLastModified
	}
	started := time.Now()
	src, err := w.o.opts.Fetcher.Fetch(ctx, req)
	w.o.opts.Observe.Fetched(jobs.Prewarm, time.Since(started), src, err)
	return src, err
}

// same tells whether all variants were made from the same version of the source.
func (w *warming) same(first *cache.Entry) bool {
	for _, v := range w.variants {
		p := v.previous
		if p == nil || p.UpstreamETag != first.UpstreamETag || p.SourceETag != first.SourceETag || p.SourceLastModified != first.SourceLastModified {
			return false
		}
	}
	return true
}

// store keeps an entry that is complete.
func (w *warming) store(ctx context.Context, v *variant) {
	e := v.draft.entry
	e.Mark = w.mark
	if v.previous != nil {
		outcome := Changed
		if e.ETag == v.previous.ETag {
			outcome = Unchanged
		}
		w.o.opts.Observe.Revalidated(outcome)
	}
	kept, err := w.o.keep(ctx, v.key, e)
	if len(kept) == 0 {
		v.done(Result{Entry: e, State: cache.Miss}, fmt.Errorf("%w: %w", ErrNotKept, cmp.Or(err, cache.ErrUnavailable)))
		return
	}
	v.done(Result{Entry: e, State: cache.Miss}, nil)
}

// encode makes what has to be encoded, in as many codecs at once as nobody else uses.
func (w *warming) encode(ctx context.Context, variants []*variant) {
	if len(variants) == 0 {
		return
	}
	var parts sync.WaitGroup
	for _, part := range split(variants, w.o.freeCodecs()) {
		parts.Go(func() { w.encodePart(ctx, part) })
	}
	parts.Wait()
}

// encodePart makes variants of one source in one codec.
func (w *warming) encodePart(ctx context.Context, variants []*variant) {
	o := w.o
	body, media := variants[0].draft.body, variants[0].draft.plan.Source // of one source, and so the same for all
	specs := make([]transform.Spec, len(variants))
	for i, v := range variants {
		specs[i] = transform.Spec{Output: v.draft.plan.Output, Width: v.spec.Width, Quality: v.spec.Quality}
	}
	leave, err := o.opts.Gate.Enter(ctx, admission.Background, o.opts.Profile.EstimateAll(body, media, specs).Under(o.opts.MaxInputPixels))
	if err != nil {
		for _, v := range variants {
			v.done(Result{State: cache.Miss}, waiting(err))
		}
		return
	}
	defer leave()
	started := time.Now()
	o.encodeAll(ctx, body, specs, func(i int, out []byte, err error) {
		v := variants[i]
		o.opts.Observe.Encoded(v.draft.plan, time.Since(started), len(body), len(out), err)
		started = time.Now()
		if err := momentary(err); err != nil {
			v.done(Result{State: cache.Miss}, err)
			return
		}
		w.hold(ctx, len(out))
		defer w.hold(ctx, -len(out))
		if err := o.fill(ctx, v.draft, out, err); err != nil {
			v.done(Result{State: cache.Miss}, waiting(err))
			return
		}
		w.store(ctx, v)
	})
}

// momentary returns the failure of a moment, which says little about the image: a request would be answered with the source
// for some time, which is no reason to call it warm. Trying again may help unless it was a crash.
func momentary(err error) error {
	var codec *transform.CodecError
	switch {
	case errors.As(err, &codec) && codec.TimedOut:
		f := failure.Wrap(http.StatusInternalServerError, "codec_timeout", textInternal, err)
		f.Retryable = true
		return f
	case errors.As(err, &codec) && codec.Crashed:
		return failure.Wrap(http.StatusInternalServerError, "codec_crashed", textInternal, err)
	}
	return nil
}

const textInternal = "Internal Server Error"

// hold accounts for a result that is being stored, beside the source. If ctx ends while a large one waits for room, the
// result is there all the same.
func (w *warming) hold(ctx context.Context, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.size += int64(bytes)
	_ = w.held.Resize(ctx, w.size)
}

// encodeAll is the engine's, or one encoding after the other.
func (o *Optimizer) encodeAll(ctx context.Context, src []byte, specs []transform.Spec, done func(i int, out []byte, err error)) {
	if e, ok := o.opts.Engine.(transform.MultiEngine); ok {
		e.EncodeAll(ctx, src, specs, done)
		return
	}
	for i, spec := range specs {
		out, err := o.opts.Engine.Encode(ctx, src, spec)
		done(i, out, err)
	}
}

// Enqueue has a variant made in the background, and returns when the queue has the job. joined tells that it was there
// already, whether waited for or not. Errors are *failure.Error.
func (o *Optimizer) Enqueue(ctx context.Context, p validate.Params) (joined bool, err error) {
	if err := o.find(ctx, &p); err != nil {
		return false, err
	}
	return o.dispatcher.Submit(ctx, jobs.Job{Key: jobs.Key(o.Key(p)), Kind: jobs.Prewarm, Spec: spec(p)})
}
