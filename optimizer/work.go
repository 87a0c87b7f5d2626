package optimizer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"imgopt/admission"
	"imgopt/cache"
	"imgopt/fetch"
	"imgopt/jobs"
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

// put stores an entry, and tells whether the shared tier has it. A failing tier counts every failure; one line a minute
// tells of them.
func (o *Optimizer) put(ctx context.Context, key cache.Key, e *cache.Entry) (shared bool) {
	kept, err := o.opts.Store.PutTiers(ctx, key, e)
	shared = o.opts.Shared != nil && slices.Contains(kept, o.opts.Shared.Tier)
	if err == nil || errors.Is(err, cache.ErrTooLarge) || errors.Is(err, cache.ErrUnavailable) {
		return shared
	}
	now := time.Now().Unix()
	if last := o.putFailed.Load(); now-last >= 60 && o.putFailed.CompareAndSwap(last, now) {
		o.opts.Log.Warn("variants cannot be stored", "href", e.Href, "error", err)
	}
	return shared
}

// make produces the entry, from previous where the source has not changed.
func (o *Optimizer) make(ctx context.Context, job jobs.Job, previous *cache.Entry, took *Timing) (*cache.Entry, error) {
	held := o.opts.Bytes.Reserve(rank(ctx, job))
	defer held.Release() // the entry is the cache's from then on, and the handler's while it is sent
	req := fetch.Request{Href: job.Spec.Href, Absolute: job.Spec.Absolute, Memory: held}
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
	maxAge := max(o.minimumAge(), parseMaxAge(src.CacheControl))
	now := o.opts.Now()

	body, upstreamETag := src.Body, ""
	if src.NotModified {
		if !passedThrough(previous) {
			return renew(previous, src, now, maxAge, o.opts.MinimumTTL), nil
		}
		// What was passed through, because it is animated or because encoding failed, is looked at again, as Next.js
		// does. Its bytes are the source's.
		body, upstreamETag = previous.Body, previous.UpstreamETag
	} else {
		upstreamETag = etagOf(src)
	}

	plan, err := transform.Decide(body, job.Spec.Format, o.opts.AllowSVG)
	if err != nil {
		return nil, err
	}
	e := &cache.Entry{
		Href:               job.Spec.Href,
		UpstreamETag:       upstreamETag,
		SourceETag:         src.ETag,
		SourceLastModified: src.LastModified,
		MaxAge:             maxAge,
		StoredAt:           now,
		OriginalSize:       int64(len(body)),
	}
	if src.NotModified {
		e.SourceETag, e.SourceLastModified = previous.SourceETag, previous.SourceLastModified
	}
	switch {
	case plan.Passthrough:
		o.opts.Observe.PassedThrough(plan)
		passThrough(e, body, plan.Source)
	case previous != nil && !passedThrough(previous) && previous.UpstreamETag == upstreamETag:
		renewed := renew(previous, src, now, maxAge, o.opts.MinimumTTL)
		renewed.ContentType = plan.Output
		return renewed, nil
	default:
		if err := o.encode(ctx, e, body, plan, job, held, took); err != nil {
			return nil, err
		}
	}
	if e.ExpiresAt.IsZero() {
		e.ExpiresAt = cache.Expiry(now, e.MaxAge, o.opts.MinimumTTL)
	}
	return e, nil
}

// passingFailure is how long an image that took too long, or crashed its codec, is served unoptimized before it is
// tried again. (Next.js keeps it for minimumCacheTTL.)
const passingFailure = time.Minute

// rank is a job's at the gates: that of a background job rises when somebody begins to wait for it.
func rank(ctx context.Context, job jobs.Job) admission.Rank {
	if job.Priority == jobs.Background {
		return admission.BackgroundUntil(jobs.Promoted(ctx))
	}
	return admission.Interactive
}

// encode fills e with the encoded image or, where the source cannot be decoded or encoded, with the source itself,
// fresh for the minimum only.
func (o *Optimizer) encode(ctx context.Context, e *cache.Entry, body []byte, plan transform.Plan, job jobs.Job, held *admission.Reservation, took *Timing) error {
	spec := transform.Spec{Output: plan.Output, Width: job.Spec.Width, Quality: job.Spec.Quality}
	leave, err := o.opts.Gate.Enter(ctx, rank(ctx, job), transform.Estimate(body, plan.Source, spec).Under(o.opts.MaxInputPixels))
	if err != nil {
		return err
	}
	started := time.Now()
	out, err := func() ([]byte, error) {
		defer leave()
		return o.opts.Engine.Encode(ctx, body, spec)
	}()
	took.Encode = time.Since(started)
	o.opts.Observe.Encoded(plan, took.Encode, len(body), len(out), err)
	if err == nil {
		// From here on the result is held instead of the source. If the job's time ends while a larger one waits for
		// room, the result is there all the same.
		_ = held.Resize(ctx, int64(len(out)))
	}
	var codec *transform.CodecError
	switch {
	case errors.As(err, &codec):
		o.opts.Log.Warn("a source could not be encoded and is served as it is",
			"href", job.Spec.Href, "type", plan.Source, "output", plan.Output, "error", err)
		passThrough(e, body, plan.Source)
		e.MaxAge = o.minimumAge()
		if codec.TimedOut || codec.Crashed {
			// That may have been a moment's shortage rather than the image: not for hours.
			e.ExpiresAt = e.StoredAt.Add(min(passingFailure, o.opts.MinimumTTL))
			e.MaxAge = min(e.MaxAge, int64(passingFailure/time.Second))
		}
	case err != nil:
		return err
	default:
		e.Body, e.ContentType = out, plan.Output
		sum := sha256.Sum256(out)
		e.ETag = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return nil
}

func passThrough(e *cache.Entry, body []byte, contentType string) {
	e.Body, e.ContentType, e.ETag = body, contentType, e.UpstreamETag
}

// passedThrough tells entries that hold the source's own bytes: Next.js marks them by equal entity tags.
func passedThrough(e *cache.Entry) bool { return e.ETag == e.UpstreamETag }

// renew confirms previous. Next.js keeps the max-age it had (previousOutput.maxAge || maxAge).
func renew(previous *cache.Entry, src *fetch.Source, now time.Time, maxAge int64, minimum time.Duration) *cache.Entry {
	if previous.MaxAge > 0 {
		maxAge = previous.MaxAge
	}
	e := previous.Renewed(now, maxAge, minimum)
	if src.ETag != "" {
		e.SourceETag = src.ETag
	}
	if src.LastModified != "" {
		e.SourceLastModified = src.LastModified
	}
	return e
}

// etagOf is the source's entity tag in Next.js' form: what upstream sent, or the hash of the bytes, as base64url.
// Source: extractEtag in next/dist/server/image-optimizer/extract-etag.js.
func etagOf(src *fetch.Source) string {
	if src.ETag != "" {
		return base64.RawURLEncoding.EncodeToString([]byte(src.ETag))
	}
	sum := sha256.Sum256(src.Body)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
