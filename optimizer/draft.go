package optimizer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"imgopt/cache"
	"imgopt/fetch"
	"imgopt/jobs"
	"imgopt/transform"
)

// draft is an entry that is complete, or lacks the image that is to be encoded.
type draft struct {
	entry *cache.Entry
	// encode says that body is to be encoded as plan says.
	encode bool
	body   []byte
	plan   transform.Plan
}

// draft decides what becomes of a source: etag is etagOf of one that was modified, now when it arrived. previous is the
// entry that there is, or nil.
func (o *Optimizer) draft(spec jobs.Spec, previous *cache.Entry, src *fetch.Source, etag string, now time.Time) (draft, error) {
	maxAge := max(o.minimumAge(), parseMaxAge(src.CacheControl))
	body, upstreamETag := src.Body, etag
	if src.NotModified {
		if !passedThrough(previous) {
			return draft{entry: renew(previous, src, now, maxAge, o.opts.MinimumTTL)}, nil
		}
		// What was passed through, because it is animated or because encoding failed, is looked at again, as Next.js
		// does. Its bytes are the source's.
		body, upstreamETag = previous.Body, previous.UpstreamETag
	}
	plan, err := transform.Decide(body, spec.Format, o.opts.AllowSVG)
	if err != nil {
		return draft{}, err
	}
	e := &cache.Entry{
		Href:               spec.Href,
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
		o.expire(e)
		return draft{entry: e}, nil
	case previous != nil && !passedThrough(previous) && previous.UpstreamETag == upstreamETag:
		renewed := renew(previous, src, now, maxAge, o.opts.MinimumTTL)
		renewed.ContentType = plan.Output
		return draft{entry: renewed}, nil
	}
	return draft{entry: e, encode: true, body: body, plan: plan}, nil
}

// expire says until when an entry is fresh, unless that is known.
func (o *Optimizer) expire(e *cache.Entry) {
	if e.ExpiresAt.IsZero() {
		e.ExpiresAt = cache.Expiry(e.StoredAt, e.MaxAge, o.opts.MinimumTTL)
	}
}

// fill completes a draft's entry with the encoded image or, where the source cannot be decoded or encoded, with the
// source itself, fresh for the minimum only. Any other error is returned.
func (o *Optimizer) fill(ctx context.Context, d draft, out []byte, err error) error {
	e := d.entry
	var codec *transform.CodecError
	switch {
	case errors.As(err, &codec):
		o.opts.Log.WarnContext(ctx, "a source could not be encoded and is served as it is",
			"href", e.Href, "type", d.plan.Source, "output", d.plan.Output, "error", err)
		passThrough(e, d.body, d.plan.Source)
		e.MaxAge = o.minimumAge()
		if codec.TimedOut || codec.Crashed {
			// That may have been a moment's shortage rather than the image: not for hours.
			e.ExpiresAt = e.StoredAt.Add(min(passingFailure, o.opts.MinimumTTL))
			e.MaxAge = min(e.MaxAge, int64(passingFailure/time.Second))
		}
	case err != nil:
		return err
	default:
		e.Body, e.ContentType = out, d.plan.Output
		sum := sha256.Sum256(out)
		e.ETag = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	o.expire(e)
	return nil
}

// passingFailure is how long an image that took too long, or crashed its codec, is served unoptimized before it is
// tried again. (Next.js keeps it for minimumCacheTTL.)
const passingFailure = time.Minute

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
