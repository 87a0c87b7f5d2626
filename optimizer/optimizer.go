// Package optimizer is one image's way through the rooms: look into the cache; on a miss have the job done once,
// whoever asks for it; on a stale entry answer at once and have it revalidated once in the background. The job
// itself (work.go) is fetch, decide, encode, store. The order of decisions is Next.js' (imageOptimizer and
// ResponseCache in next/dist/server, 16.4.6).
package optimizer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"imgopt/admission"
	"imgopt/cache"
	"imgopt/failure"
	"imgopt/fetch"
	"imgopt/jobs"
	"imgopt/transform"
	"imgopt/validate"
)

// pipelineVersion is a part of every key. It changes when the same request would give other bytes.
const pipelineVersion = "1"

// Store is the cache as the optimizer needs it: see cache.Tiered.
type Store interface {
	Get(ctx context.Context, k cache.Key) (*cache.Entry, error)
	Latest(ctx context.Context, k cache.Key) (*cache.Entry, error)
	PutTiers(ctx context.Context, k cache.Key, e *cache.Entry) (kept []string, err error)
	// Mark is what an entry is marked with that work begins on now, Purged whether one was purged since.
	Mark() uint64
	Purged(e *cache.Entry) bool
}

// Memory is a cache that answers without waiting.
type Memory interface {
	Get(ctx context.Context, k cache.Key) (*cache.Entry, error)
}

// Opener is a Store that can open an entry on disk instead of reading it: see cache.Tiered.Open.
type Opener interface {
	Open(k cache.Key) *cache.Opened
}

// Fetcher gets sources.
type Fetcher interface {
	Fetch(ctx context.Context, r fetch.Request) (*fetch.Source, error)
}

// Deployments knows the versions of the application that have origins of their own. *fetch.Client implements it.
type Deployments interface {
	// Deployment returns the name under which a version's sources are fetched, "" for the origins that everything else
	// has. It does not wait; settled is false if it takes FindDeployment to know.
	Deployment(id string) (name string, settled bool)
	// FindDeployment is Deployment, and finds out. The error is a *failure.Error.
	FindDeployment(ctx context.Context, id string) (name string, err error)
}

// Options of an Optimizer. All fields but the hooks and the log are needed.
type Options struct {
	Store Store
	// Memory is the tier of Store that answers at once; nil where there is none.
	Memory  Memory
	Fetcher Fetcher
	Engine  transform.Engine
	// Bytes bounds what the sources and results of all jobs take, and Gate lets jobs into the engine; nil means no
	// bound but the engine's own.
	Bytes *admission.Budget
	Gate  *admission.Gate
	// MaxInputPixels is the engine's limit: what exceeds it is refused from its header and takes next to no memory.
	MaxInputPixels uint64
	// Profile is the engine's: it changes what an encoding takes.
	Profile transform.Profile
	// Queue holds the jobs; the optimizer owns it and closes it. In its place Shared has jobs done by several processes.
	Queue  jobs.Queue
	Shared *Shared
	// Jobs configures the dispatcher.
	Jobs jobs.Options
	// MinimumTTL is the least time an entry is fresh: images.minimumCacheTTL.
	MinimumTTL time.Duration
	// AllowSVG is images.dangerouslyAllowSVG.
	AllowSVG bool
	// KeyParts is what else changes the bytes: the libvips version, the encoder's settings.
	KeyParts []string
	// Origins says where relative urls are fetched; it is a part of their keys, so that two services with different
	// frontends may share a folder.
	Origins string
	// Deployments finds the versions of the application that requests name; nil where there is but one. DeploymentOrigins
	// says where theirs are, and with a version's name stands in the place of Origins in keys.
	Deployments       Deployments
	DeploymentOrigins string
	// Observe, when set, is told about every look-up and every stage of a job. It must not block.
	Observe Observer
	// Log gets what an operator must see; nil means slog.Default().
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Result is an answer and how it came about.
type Result struct {
	Entry *cache.Entry
	State cache.State
	// Coalesced says that another request had asked for the same and did the work.
	Coalesced bool
	// Timing is where the time of a miss went; nil where nothing was made.
	Timing *Timing
}

// Timing is where the time went until an image was there. What was not needed, or is not known because another process
// did it, is 0.
type Timing struct {
	// Wait is what is not part of the others: for a slot, a worker, or work that another request had begun.
	Wait, Fetch, Encode, Store time.Duration
}

// Optimizer answers requests for variants. Create it with New, end it with Close.
type Optimizer struct {
	opts       Options
	opener     Opener // Options.Store, or nil if it is none
	dispatcher *jobs.Dispatcher[made]
	localParts []string // KeyParts and Origins
	otherParts []string // KeyParts and DeploymentOrigins: the name of the deployment follows

	// revalidating holds the keys whose revalidation is under way here, so that a thousand stale answers a second
	// do not each ask the queue.
	mu           sync.Mutex
	revalidating map[cache.Key]time.Time

	putFailed atomic.Int64 // when a failure to store was last logged, in Unix seconds
}

// New starts the workers.
func New(o Options) (*Optimizer, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = silent{}
	}
	if o.Bytes == nil {
		o.Bytes = admission.NewBudget(0)
	}
	if o.Gate == nil {
		// The engine bounds its own parallelism; this many never wait.
		gate, err := admission.NewGate(math.MaxInt32, 0)
		if err != nil {
			return nil, err
		}
		o.Gate = gate
	}
	opt := &Optimizer{opts: o, revalidating: map[cache.Key]time.Time{}}
	opt.opener, _ = o.Store.(Opener)
	opt.localParts = append(slices.Clone(o.KeyParts), o.Origins)
	opt.otherParts = append(slices.Clone(o.KeyParts), o.DeploymentOrigins)
	var d *jobs.Dispatcher[made]
	var err error
	if o.Shared != nil {
		d, err = jobs.NewShared(o.Jobs, o.Shared.Queue, opt.work, passing{opt})
	} else {
		d, err = jobs.New(o.Jobs, o.Queue, opt.work)
	}
	if err != nil {
		return nil, fmt.Errorf("starting the workers: %w", err)
	}
	opt.dispatcher = d
	return opt, nil
}

// Version names everything besides a request that changes the bytes: jobs stored by a process of another version are
// not this one's.
func Version(keyParts ...string) string {
	return strings.Join(append([]string{pipelineVersion}, keyParts...), " ")
}

// Close stops accepting work, finishes what is under way until ctx ends, and hands the rest back to the queue.
func (o *Optimizer) Close(ctx context.Context) error { return o.dispatcher.Close(ctx) }

// Stats describes the queue and the workers.
func (o *Optimizer) Stats(ctx context.Context) (jobs.Stats, error) { return o.dispatcher.Stats(ctx) }

// Key names the variant that a request asks for. A deployment is a part of it if it has origins of its own, which
// Deployments has said.
func (o *Optimizer) Key(p validate.Params) cache.Key {
	switch {
	case p.Absolute:
		return cache.Key(jobs.KeyOf(pipelineVersion, spec(p), o.opts.KeyParts...))
	case p.Deployment != "":
		var space [8]string // no allocation
		return cache.Key(jobs.KeyOf(pipelineVersion, spec(p), append(append(space[:0], o.otherParts...), p.Deployment)...))
	}
	return cache.Key(jobs.KeyOf(pipelineVersion, spec(p), o.localParts...))
}

func spec(p validate.Params) jobs.Spec {
	return jobs.Spec{Href: p.Href, Absolute: p.Absolute, Width: p.Width, Quality: p.Quality, Format: p.Format, Deployment: p.Deployment}
}

// settle puts the name of a deployment in the place of the id that a request has, or nothing where that changes nothing.
// It reports false if it takes find to know.
func (o *Optimizer) settle(p *validate.Params) (settled bool) {
	if p.Deployment == "" {
		return true
	}
	if o.opts.Deployments == nil || p.Absolute {
		p.Deployment = ""
		return true
	}
	p.Deployment, settled = o.opts.Deployments.Deployment(p.Deployment)
	return settled
}

// find does what settle does, and waits for it.
func (o *Optimizer) find(ctx context.Context, p *validate.Params) (err error) {
	if id := p.Deployment; !o.settle(p) || p.Deployment != "" {
		p.Deployment, err = o.opts.Deployments.FindDeployment(ctx, id)
	}
	return err
}

// Lookup answers from memory, or reports false. It neither waits nor does anything about a stale entry: Get does.
func (o *Optimizer) Lookup(p validate.Params) (Result, bool) {
	if o.opts.Memory == nil || !o.settle(&p) {
		return Result{}, false
	}
	e, err := o.opts.Memory.Get(context.Background(), o.Key(p))
	if err != nil || e.State(o.opts.Now()) != cache.Hit {
		return Result{}, false
	}
	return Result{Entry: e, State: cache.Hit}, true
}

// Open returns a fresh entry that is on disk and not in memory, or nil: then Get is to be asked. It waits for the disk
// alone. The caller closes what it gets.
func (o *Optimizer) Open(p validate.Params) *cache.Opened {
	if o.opener == nil || !o.settle(&p) {
		return nil
	}
	e := o.opener.Open(o.Key(p))
	if e != nil && e.State(o.opts.Now()) != cache.Hit {
		_ = e.Close() // opened for reading: nothing can be lost
		return nil
	}
	return e
}

// Cached answers from any tier of the cache, stale or not, or reports false. It has no work done.
func (o *Optimizer) Cached(ctx context.Context, p validate.Params) (Result, bool) {
	if !o.settle(&p) {
		return Result{}, false
	}
	e, err := o.opts.Store.Get(ctx, o.Key(p))
	if err != nil {
		return Result{}, false
	}
	return Result{Entry: e, State: e.State(o.opts.Now())}, true
}

// Get answers a request: from the cache, stale or not, or by having the work done. When ctx ends it returns and
// the work goes on for whoever else waits. Errors are *failure.Error.
func (o *Optimizer) Get(ctx context.Context, p validate.Params) (Result, error) {
	if err := o.find(ctx, &p); err != nil {
		return Result{State: cache.Miss}, err
	}
	key := o.Key(p)
	if e, err := o.opts.Store.Get(ctx, key); err == nil {
		state := e.State(o.opts.Now())
		if state == cache.Stale {
			o.revalidate(ctx, key, p)
		}
		return Result{Entry: e, State: state}, nil
	}
	asked := time.Now()
	m, coalesced, err := o.dispatcher.Do(ctx, jobs.Job{Key: jobs.Key(key), Kind: jobs.Miss, Spec: spec(p)})
	if err == nil && o.opts.Store.Purged(m.entry) {
		// It joined a job that had begun before the purge. The next one begins after it.
		m, coalesced, err = o.dispatcher.Do(ctx, jobs.Job{Key: jobs.Key(key), Kind: jobs.Miss, Spec: spec(p)})
	}
	if err != nil {
		return Result{State: cache.Miss, Coalesced: coalesced}, waiting(err)
	}
	timing := m.timing
	timing.Wait = max(0, time.Since(asked)-timing.Fetch-timing.Encode-timing.Store)
	return Result{Entry: m.entry, State: cache.Miss, Coalesced: coalesced, Timing: &timing}, nil
}

// waiting gives an error that is not the job's own but the waiter's (its time ran out, it went away) a status.
func waiting(err error) error {
	var f *failure.Error
	if errors.As(err, &f) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &failure.Error{Status: http.StatusGatewayTimeout, Reason: "deadline", Text: failure.TextUpstreamTimeout, Timeout: true, Cause: err}
	}
	return failure.From(err)
}

// maxRevalidating is how many keys are remembered before those whose time is over are swept out.
const maxRevalidating = 4096

// revalidate enqueues a revalidation unless one was enqueued here a moment ago. Failing is no reason to fail the
// request that found the entry stale: the next one tries again.
func (o *Optimizer) revalidate(ctx context.Context, key cache.Key, p validate.Params) {
	now := o.opts.Now()
	o.mu.Lock()
	if until, ok := o.revalidating[key]; ok && now.Before(until) {
		o.mu.Unlock()
		return
	}
	if len(o.revalidating) > maxRevalidating {
		for k, until := range o.revalidating {
			if now.After(until) {
				delete(o.revalidating, k)
			}
		}
	}
	// Another process may do the job and never tell: after one job's time the next stale answer asks again.
	o.revalidating[key] = now.Add(o.opts.Jobs.Timeout)
	o.mu.Unlock()

	if _, err := o.dispatcher.Submit(ctx, jobs.Job{Key: jobs.Key(key), Kind: jobs.Revalidate, Spec: spec(p)}); err != nil {
		o.revalidated(key)
		o.opts.Log.Debug("a stale entry was served and could not be queued for revalidation", "href", p.Href, "error", err)
	}
}

// revalidated forgets that a revalidation is under way.
func (o *Optimizer) revalidated(key cache.Key) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.revalidating, key)
}
