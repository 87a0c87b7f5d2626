package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"imgopt/admission"
	"imgopt/cache"
	"imgopt/config"
	"imgopt/failure"
	"imgopt/fetch"
	"imgopt/handler"
	"imgopt/handler/metrics"
	"imgopt/jobs"
	"imgopt/optimizer"
	"imgopt/prewarm"
	"imgopt/transform/libvips"
	"imgopt/validate"
	"imgopt/valkey"
)

// warmer is what a pre-warming needs of the service: its cache, and either its codecs or its shared queue. Nothing
// listens, and no jobs of others are done.
type warmer struct {
	service   *service
	fetcher   *fetch.Client
	optimizer *optimizer.Optimizer
	queue     *sharedQueue // nil if this process makes the images itself
}

// reachWithin is how long Valkey, and a worker, are waited for at the start.
const reachWithin = 10 * time.Second

var (
	errNothingKeeps = errors.New("nothing would keep what is made: the configuration has a cache in memory only. Give --target, " +
		"the server to warm (such as http://127.0.0.1:3001), or configure cache.disk.path or storage.type: valkey")
	errNoQueue = errors.New("--queue needs a queue that other processes work on: storage.type: valkey with storage.url")
)

// warmable says why a configuration cannot be warmed.
func warmable(c *config.Config, queue bool) error {
	_, _, disk := c.DiskCache()
	switch {
	case queue && !c.Shared():
		return misuse{errNoQueue}
	case !disk && !c.Shared():
		return misuse{errNothingKeeps}
	}
	return c.Validate(config.Serve)
}

// openWarmer opens the cache of a configuration, and what makes images: codecs, or with queued the processes that share
// the queue.
func openWarmer(ctx context.Context, c *config.Config, from *config.Provenance, queued bool, stderr io.Writer) (_ *warmer, err error) {
	own := *c
	own.Role = config.RoleAll
	if queued {
		own.Role = config.RoleWeb
	}
	if own.Log.Level == "info" {
		own.Log.Level = "warn" // the report says the rest
	}
	log := newLogger(stderr, own.Log)
	captureLibraries(log)
	total, container := availableMemory()
	plan := planMemory(&own, from.Of("cache.memory").Kind != config.FromDefault, total, container)
	plan.cache = 0 // what only this process had would be nobody's
	plan.apply(log)
	s := &service{plan: plan, log: log, started: time.Now(), registry: prometheus.NewRegistry(), load: &handler.Load{}, editions: newEditions()}
	s.waiting, s.stopWaiting = context.WithCancel(context.Background())
	w := &warmer{service: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if s.metrics, err = metrics.New(s.registry, metrics.Build{Version: version, Libvips: libvips.Version()}); err != nil {
		return nil, fmt.Errorf("setting up the counters: %w", err)
	}
	if own.Shared() {
		if s.shared, err = openShared(&own, log); err != nil {
			return nil, err
		}
	}
	if s.engine, err = s.newEngine(&own, plan, log, s.metrics); err != nil {
		return nil, err
	}
	if s.memory, s.store, err = s.newCache(&own, plan, log, s.metrics); err != nil {
		return nil, err
	}
	s.bytes = admission.NewBudget(plan.sources)
	if s.gate, err = admission.NewGate(workers(&own), plan.decode); err != nil {
		return nil, err
	}
	rules, err := validate.Compile(rulesOf(&own))
	if err != nil {
		return nil, fmt.Errorf("compiling the rules of images: %w", err)
	}
	if w.fetcher, err = newFetcher(&own, rules, log); err != nil {
		return nil, fmt.Errorf("setting up fetching: %w", err)
	}
	return w, errors.Join(w.newOptimizer(&own, queued), w.reach(ctx))
}

// newOptimizer makes an optimizer whose jobs are in this process, or in the shared queue and none of this process's.
func (w *warmer) newOptimizer(c *config.Config, queued bool) (err error) {
	s := w.service
	options, version := s.optimizerOptions(c, w.fetcher)
	if queued {
		if w.queue, err = s.shared.newQueue(c, s.log, version, queueLimits(c)); err != nil {
			return err
		}
		options.Shared = s.shared.optimizer(w.queue)
	} else if options.Queue, err = jobs.NewMemory(queueLimits(c)); err != nil {
		return err
	}
	w.optimizer, err = optimizer.New(options)
	if err != nil && w.queue != nil {
		err = errors.Join(err, w.queue.over.Close())
	} else if err != nil {
		err = errors.Join(err, options.Queue.Close())
	}
	return err
}

// reach waits for Valkey, for what was purged there, and for somebody who works on the queue.
func (w *warmer) reach(ctx context.Context) error {
	s := w.service
	if s.shared == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	look := time.NewTicker(joinPoll)
	defer look.Stop()
	for {
		missing := w.missing()
		if missing == nil {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return missing
		}
	}
}

// missing says what is not there yet.
func (w *warmer) missing() error {
	s := w.service
	if h := s.shared.client.Health(); h.State != valkey.Up {
		return fmt.Errorf("valkey cannot be reached: %s", h)
	}
	if s.shared.purges.Stats().Synced.IsZero() {
		return errors.New("valkey does not tell what was purged")
	}
	if w.queue == nil {
		return nil
	}
	if up, _ := w.queue.remote.Up(); !up || w.queue.remote.Peers() == 0 {
		return errors.New("no worker with this version and configuration was seen")
	}
	return nil
}

// closeWithin bounds the end of what a cancelled pre-warming had begun.
const closeWithin = 5 * time.Second

// close ends the codecs and closes the cache.
func (w *warmer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	var err error
	if w.optimizer != nil {
		err = w.optimizer.Close(ctx)
	}
	if w.fetcher != nil {
		w.fetcher.Close()
	}
	return errors.Join(err, w.service.close(ctx))
}

// Look implements prewarm.Cache.
func (w *warmer) Look(ctx context.Context, p validate.Params) (prewarm.Answer, bool) {
	r, ok := w.optimizer.Cached(ctx, p)
	return prewarmAnswer(r), ok
}

// Fill implements prewarm.Filler.
func (w *warmer) Fill(ctx context.Context, list []validate.Params, done func(int, prewarm.Answer, error)) {
	w.optimizer.Warm(ctx, list, func(i int, r optimizer.Result, err error) { done(i, prewarmAnswer(r), prewarmFailure(err)) })
}

// Enqueue implements prewarm.Queue.
func (w *warmer) Enqueue(ctx context.Context, p validate.Params) (joined bool, err error) {
	return w.optimizer.Enqueue(ctx, p)
}

// Get implements prewarm.Queue.
func (w *warmer) Get(ctx context.Context, p validate.Params) (prewarm.Answer, error) {
	r, err := w.optimizer.Get(ctx, p)
	return prewarmAnswer(r), err
}

func prewarmAnswer(r optimizer.Result) prewarm.Answer {
	states := map[cache.State]prewarm.State{cache.Hit: prewarm.Kept, cache.Stale: prewarm.Stale, cache.Miss: prewarm.Made}
	a := prewarm.Answer{State: states[r.State]}
	if e := r.Entry; e != nil {
		a.Bytes, a.Type, a.SourceBytes = int64(len(e.Body)), e.ContentType, e.OriginalSize
	}
	return a
}

// prewarmFailure says in the report's words that an image was made in vain.
func prewarmFailure(err error) error {
	if errors.Is(err, optimizer.ErrNotKept) {
		return &failure.Error{Reason: prewarm.ReasonNotKept, Text: "Internal Server Error", Retryable: errors.Is(err, cache.ErrUnavailable), Cause: err}
	}
	return err
}
