package optimizer

import (
	"context"
	"errors"
	"slices"
	"time"

	"imgopt/admission"
	"imgopt/cache"
	"imgopt/fetch"
	"imgopt/jobs"
	"imgopt/tracing"
	"imgopt/transform"
)

// made is the result of a job.
type made struct {
	entry *cache.Entry
	// shared says that the tier of the cache that all processes share has it.
	shared bool
	timing Timing
}

// work does one attempt of a job: fetch the source, decide, encode, store. The entry that is returned has been
// stored, unless storing failed, which costs the next request a miss and is no error of this one.
func (o *Optimizer) work(ctx context.Context, job jobs.Job) (made, error) {
	key := cache.Key(job.Key)
	defer o.revalidated(key)

	mark := o.opts.Store.Mark()                  // what is purged from here on may be in what is fetched
	previous, _ := o.opts.Store.Latest(ctx, key) // every error is a miss
	// Somebody else may have been faster: another process that shares the store, or a job that ended between the
	// look-up and the queue. A later attempt of a failing revalidation finds what the first one retained, and goes on.
	if previous != nil && job.Attempt <= 1 && previous.State(o.opts.Now()) == cache.Hit {
		return made{entry: previous}, nil
	}
	var took Timing
	e, err := o.make(ctx, job, previous, &took)
	if err != nil {
		if previous != nil && ctx.Err() == nil {
			o.opts.Observe.Revalidated(Failed)
			o.put(ctx, key, previous.Retained(o.opts.Now(), o.opts.MinimumTTL))
		}
		return made{}, err
	}
	e.Mark = mark
	if previous != nil {
		outcome := Changed
		if e.ETag == previous.ETag {
			outcome = Unchanged
		}
		o.opts.Observe.Revalidated(outcome)
	}
	began := time.Now()
	shared := o.put(ctx, key, e)
	took.Store = time.Since(began)
	return made{entry: e, shared: shared, timing: took}, nil
}

// minimumAge is images.minimumCacheTTL in seconds.
func (o *Optimizer) minimumAge() int64 { return int64(o.opts.MinimumTTL / time.Second) }

// put stores an entry, and tells whether the shared tier has it.
func (o *Optimizer) put(ctx context.Context, key cache.Key, e *cache.Entry) (shared bool) {
	kept, _ := o.keep(ctx, key, e)
	return o.opts.Shared != nil && slices.Contains(kept, o.opts.Shared.Tier)
}

// keep stores an entry, and tells which tiers have it. A failing tier counts every failure; one line a minute tells of
// them.
func (o *Optimizer) keep(ctx context.Context, key cache.Key, e *cache.Entry) (kept []string, err error) {
	kept, err = o.opts.Store.PutTiers(ctx, key, e)
	if err == nil || errors.Is(err, cache.ErrTooLarge) || errors.Is(err, cache.ErrUnavailable) {
		return kept, err
	}
	now := time.Now().Unix()
	if last := o.putFailed.Load(); now-last >= 60 && o.putFailed.CompareAndSwap(last, now) {
		o.opts.Log.Warn("variants cannot be stored", "href", e.Href, "error", err)
	}
	return kept, err
}

// make produces the entry, from previous where the source has not changed.
func (o *Optimizer) make(ctx context.Context, job jobs.Job, previous *cache.Entry, took *Timing) (*cache.Entry, error) {
	held := o.opts.Bytes.Reserve(rank(ctx, job))
	defer held.Release() // the entry is the cache's from then on, and the handler's while it is sent
	req := fetch.Request{Href: job.Spec.Href, Absolute: job.Spec.Absolute, Deployment: job.Spec.Deployment, Memory: held}
	if previous != nil {
		req.ETag, req.LastModified = previous.SourceETag, previous.SourceLastModified
	}
	started := time.Now()
	src, err := o.opts.Fetcher.Fetch(ctx, req)
	took.Fetch = time.Since(started)
	o.opts.Observe.Fetched(job.Kind, took.Fetch, src, err)
	if err != nil {
		return nil, err
	}
	jobs.LeaveOrigin(ctx) // what follows is not the origin's time
	etag := ""
	if !src.NotModified {
		etag = etagOf(src)
	}
	d, err := o.draft(job.Spec, previous, src, etag, o.opts.Now())
	if err == nil && d.encode {
		err = o.encode(ctx, d, job, held, took)
	}
	if err != nil {
		return nil, err
	}
	return d.entry, nil
}

// rank is a job's at the gates: that of a background job rises when somebody begins to wait for it.
func rank(ctx context.Context, job jobs.Job) admission.Rank {
	if job.Priority == jobs.Background {
		return admission.BackgroundUntil(jobs.Promoted(ctx))
	}
	return admission.Interactive
}

// encode completes a draft.
func (o *Optimizer) encode(ctx context.Context, d draft, job jobs.Job, held *admission.Reservation, took *Timing) error {
	body, plan := d.body, d.plan
	spec := transform.Spec{Output: plan.Output, Width: job.Spec.Width, Quality: job.Spec.Quality}
	waiting, wait := tracing.Start(ctx, spanWait)
	leave, err := o.opts.Gate.Enter(waiting, rank(ctx, job), o.opts.Profile.Estimate(body, plan.Source, spec).Under(o.opts.MaxInputPixels))
	wait.End()
	if err != nil {
		return err
	}
	started := time.Now()
	out, err := func() ([]byte, error) {
		defer leave()
		ctx, span := tracing.Start(ctx, spanTransform)
		ctx, stages := timed(ctx, span)
		out, err := o.opts.Engine.Encode(ctx, body, spec)
		recordStages(ctx, stages, started)
		endTransform(span, plan, len(body), len(out), err)
		return out, err
	}()
	took.Encode = time.Since(started)
	o.opts.Observe.Encoded(plan, took.Encode, len(body), len(out), err)
	if err == nil {
		// From here on the result is held instead of the source. If the job's time ends while a larger one waits for
		// room, the result is there all the same.
		_ = held.Resize(ctx, int64(len(out)))
	}
	return o.fill(ctx, d, out, err)
}
