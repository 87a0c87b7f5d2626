package prewarm

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"imgopt/failure"
	"imgopt/validate"
)

// Answer is what a cache has for a variant.
type Answer struct {
	// State is Made if it was made for this, else where it came from.
	State State
	// Bytes is its size, Type its media type, SourceBytes the size of its source.
	Bytes       int64
	Type        string
	SourceBytes int64
}

// Cache is a cache that can be looked into.
type Cache interface {
	// Look returns what is there, stale or not, or false.
	Look(ctx context.Context, p validate.Params) (Answer, bool)
}

// Filler is a cache that makes what it lacks.
type Filler interface {
	Cache
	// Fill makes what is not there, of one source, and calls done once for each, from any goroutine, before it returns.
	// It tries once. Errors carry a *failure.Error that says whether trying again may help.
	Fill(ctx context.Context, list []validate.Params, done func(i int, a Answer, err error))
}

// Direct is a Warmer that fills a cache.
type Direct struct {
	cache    Filler
	limiter  *rate.Limiter
	attempts int
	timeout  time.Duration
	waiting  func(pause time.Duration, because *Failure)
}

// NewDirect prepares to fill a cache. o.Rate is how many sources a second are begun, and o.Timeout bounds each variant of
// one on average.
func NewDirect(c Filler, o Options) *Direct {
	return &Direct{cache: c, limiter: newLimiter(o.Rate), attempts: o.Attempts, timeout: o.Timeout}
}

func (d *Direct) tellPauses(told func(time.Duration, *Failure)) { d.waiting = told }

// Warm makes all variants of a source that are missing, and again those of which another attempt may make something.
func (d *Direct) Warm(ctx context.Context, variants []Variant, done func(Variant, Result)) {
	left, results := variants, []Result(nil)
	made := 0
	_, _ = attempts(ctx, d.attempts, d.waiting, func(ctx context.Context) *Failure {
		made++
		last := made == d.attempts
		var again *Failure
		left, results, again = d.once(ctx, left, made, last, done)
		return again
	})
	for i, v := range left { // the run was ended in a pause
		if ctx.Err() != nil {
			results[i].Err = ctx.Err()
		}
		done(v, results[i])
	}
}

// once makes one attempt. What is worth another one is returned with what became of it this time, and one of the reasons.
func (d *Direct) once(ctx context.Context, variants []Variant, attempt int, last bool, done func(Variant, Result)) (left []Variant, results []Result, again *Failure) {
	if err := d.limiter.Wait(ctx); err != nil {
		for _, v := range variants {
			done(v, Result{Err: cause(ctx, err), Attempts: attempt})
		}
		return nil, nil, nil
	}
	list := make([]validate.Params, len(variants))
	for i, v := range variants {
		list[i] = v.Params
	}
	limited, cancel := context.WithTimeout(ctx, d.timeout*time.Duration(len(list)))
	defer cancel()
	var mu sync.Mutex // guards what follows
	before := time.Now()
	d.cache.Fill(limited, list, func(i int, a Answer, err error) {
		mu.Lock()
		defer mu.Unlock()
		r := resultOf(a, attempt)
		// Of what is made together nobody knows what one took; the time since the one before comes closest.
		r.Elapsed = time.Since(before)
		before = time.Now()
		if err == nil {
			done(variants[i], r)
			return
		}
		f := fillFailure(err, attempt)
		r.Err = f
		switch {
		case ctx.Err() != nil:
			r.Err = ctx.Err()
		case f.retryable && !last:
			left, results, again = append(left, variants[i]), append(results, r), f
			return
		}
		done(variants[i], r)
	})
	return left, results, again
}

func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func resultOf(a Answer, attempt int) Result {
	return Result{State: a.State, Bytes: a.Bytes, Type: a.Type, SourceBytes: a.SourceBytes, Attempts: attempt}
}

// fillFailure is the failure of a variant that was not made.
func fillFailure(err error, attempt int) *Failure {
	f := failure.From(err)
	detail := f.Text
	if f.Cause != nil {
		detail = f.Cause.Error()
	}
	out := &Failure{Reason: f.Reason, Status: f.Status, Detail: shorten(oneLine(detail), maxErrorText), Attempts: attempt, retryable: f.Retryable}
	var told interface{ UpstreamRetryAfter() time.Duration }
	if errors.As(err, &told) {
		out.after = told.UpstreamRetryAfter()
	}
	return out
}

// Verify looks into the cache.
func (d *Direct) Verify(ctx context.Context, v Variant) Result { return verify(ctx, d.cache, v) }

func verify(ctx context.Context, c Cache, v Variant) Result {
	began := time.Now()
	a, ok := c.Look(ctx, v.Params)
	r := resultOf(a, 1)
	r.Elapsed = time.Since(began)
	switch {
	case ok:
	case ctx.Err() != nil:
		r.Err = ctx.Err()
	default:
		r.Err = &Failure{Reason: ReasonNotKept, Attempts: 1, Detail: "made, but not kept: the cache does not have it"}
	}
	return r
}
