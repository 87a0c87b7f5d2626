package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"imgopt/admission"
	"imgopt/cache"
	"imgopt/config"
	"imgopt/handler"
	"imgopt/handler/metrics"
	"imgopt/jobs"
	"imgopt/optimizer"
	"imgopt/transform"
	"imgopt/transform/codec"
	"imgopt/transform/libvips"
	"imgopt/validate"
)

// service is everything one configuration runs.
type service struct {
	public, admin *fiber.App
	optimizer     *optimizer.Optimizer
	readiness     *handler.Readiness
	codecs        *codec.Pool // nil without isolation
	// waiting is the parent of every request's context; stopWaiting ends what still waits when the grace period is over.
	waiting     context.Context
	stopWaiting context.CancelFunc
	load        *handler.Load
	metrics     *metrics.Metrics
	// ready is set once the listeners are open.
	ready atomic.Bool
	// closers end what the optimizer needs, in this order.
	closers []func() error
}

// newService builds the rooms and connects them. Nothing listens yet.
func newService(c *config.Config, plan memoryPlan, log *slog.Logger) (_ *service, err error) {
	s := &service{}
	s.waiting, s.stopWaiting = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			_ = s.close(context.Background())
		}
	}()
	rules, err := validate.Compile(rulesOf(c))
	if err != nil {
		return nil, fmt.Errorf("compiling the rules of images: %w", err)
	}
	for _, warning := range rules.Warnings() {
		log.Warn("a pattern can never match", "pattern", warning)
	}
	registry := prometheus.NewRegistry()
	measured, err := metrics.New(registry, metrics.Build{Version: version, Libvips: libvips.Version()})
	if err != nil {
		return nil, fmt.Errorf("setting up the metrics: %w", err)
	}
	s.metrics = measured
	fetcher, err := newFetcher(c, rules, log)
	if err != nil {
		return nil, fmt.Errorf("setting up fetching: %w", err)
	}
	s.closers = append(s.closers, func() error { fetcher.Close(); return nil })
	if err := measured.WatchFetch(func() int { return fetcher.Stats().OpenCircuits }); err != nil {
		return nil, err
	}

	engine, err := s.newEngine(c, plan, log, measured)
	if err != nil {
		return nil, err
	}
	memory, store, err := s.newCache(c, plan, log, measured)
	if err != nil {
		return nil, err
	}
	keyParts := []string{libvips.Version(), engineOptions(c).Fingerprint(), fmt.Sprintf("svg=%t", c.Images.DangerouslyAllowSVG)}
	queue, err := newQueue(c, log, optimizer.Version(keyParts...))
	if err != nil {
		return nil, err
	}
	bytes := admission.NewBudget(plan.sources)
	gate, err := admission.NewGate(workers(c), plan.decode)
	if err != nil {
		return nil, err
	}
	s.load = &handler.Load{}
	if err := errors.Join(measured.WatchHTTP(s.load), measured.WatchMemory(
		metrics.Pool{Name: "sources", Stats: func() (int64, int64, int) { b := bytes.Stats(); return b.Used, b.Limit, b.Waiting }},
		metrics.Pool{Name: "decode", Stats: func() (int64, int64, int) { g := gate.Stats(); return g.Used, g.Limit, g.Waiting }},
		metrics.Pool{Name: "responses", Stats: s.load.ResponseMemory},
	)); err != nil {
		return nil, err
	}
	s.optimizer, err = optimizer.New(optimizer.Options{
		Store:   store,
		Memory:  memory,
		Fetcher: fetcher,
		Engine:  engine,
		Bytes:   bytes,
		Gate:    gate,

		MaxInputPixels: engineOptions(c).MaxInputPixels,

		Queue:      queue,
		Jobs:       jobOptions(c, log, measured),
		Observe:    measured,
		MinimumTTL: time.Duration(c.Images.MinimumCacheTTL) * time.Second,
		AllowSVG:   c.Images.DangerouslyAllowSVG,
		KeyParts:   keyParts,
		Origins:    strings.Join(c.Origin, " "),
		Log:        log,
	})
	if err != nil {
		return nil, err
	}
	if err := measured.WatchJobs(s.optimizer.Stats); err != nil {
		return nil, err
	}
	return s, s.newApps(c, plan, log, rules, registry, measured)
}

func workers(c *config.Config) int {
	if c.Transform.Workers > 0 {
		return c.Transform.Workers
	}
	return runtime.GOMAXPROCS(0) // what the cgroup grants
}

func engineOptions(c *config.Config) transform.Options {
	return transform.Options{
		Workers:        workers(c),
		Timeout:        c.Transform.Timeout,
		MaxInputPixels: uint64(c.Transform.MaxInputPixels),
		Mozjpeg:        c.Transform.Mozjpeg,
	}
}

// maxSource bounds what a codec is given, whatever may be fetched; larger sources are served as they are.
const maxSource = 1 << 30

// maxResult bounds one encoded image; the largest variant, 3,840 pixels of noise as PNG, stays below it.
const maxResult = 64 << 20

// newEngine starts the codecs: in processes of their own, or in this one.
func (s *service) newEngine(c *config.Config, plan memoryPlan, log *slog.Logger, m *metrics.Metrics) (transform.Engine, error) {
	if c.Transform.Isolation == config.IsolationNone {
		log.Info("codecs run in the service's own process")
		return libvips.New(engineOptions(c))
	}
	pool, err := codec.NewPool(codecSettings(c, plan, log))
	if err != nil {
		return nil, err
	}
	s.closers = append([]func() error{pool.Close}, s.closers...)
	s.codecs = pool
	log.Info("codec processes are ready", "processes", workers(c), "nice", c.Transform.Nice, "restrictions", pool.Restrictions())
	return pool, m.WatchCodecs(func() metrics.CodecStats { return metrics.CodecStats(pool.Stats()) })
}

func codecSettings(c *config.Config, plan memoryPlan, log *slog.Logger) codec.Settings {
	return codec.Settings{
		Options: engineOptions(c),
		// Not the file's name: an upgrade may have put another version there.
		Command:   []string{"/proc/self/exe", codecSubcommand},
		MaxSource: int(min(c.Images.MaximumResponseBody, maxSource)),
		MaxResult: maxResult,
		MaxData:   uint64(plan.codec),
		Nice:      c.Transform.Nice,
		MaxJobs:   c.Transform.MaxJobs,
		MaxGrowth: int64(c.Transform.MaxGrowth),
		Log:       log,
	}
}

// newCache opens the tiers that are configured.
func (s *service) newCache(c *config.Config, plan memoryPlan, log *slog.Logger, m *metrics.Metrics) (optimizer.Memory, *cache.Tiered, error) {
	memory, err := cache.NewMemory(plan.cache)
	if err != nil {
		return nil, nil, err
	}
	tiers := []cache.Tier{{Name: "memory", Store: memory}}
	watched := []metrics.Tier{{Name: "memory", Stats: memory.Stats}}
	if path, size, ok := c.DiskCache(); ok {
		if size == 0 {
			size = cache.HalfFree
		}
		disk, err := cache.OpenDisk(cache.DiskOptions{Path: path, MaxBytes: size, Log: log})
		if err != nil {
			return nil, nil, err
		}
		tiers = append(tiers, cache.Tier{Name: "disk", Store: disk})
		watched = append(watched, metrics.Tier{Name: "disk", Stats: disk.Stats})
	}
	store := cache.NewTiered(tiers...)
	s.closers = append(s.closers, store.Close)
	return memory, store, m.WatchCache(watched...)
}

func newQueue(c *config.Config, log *slog.Logger, version string) (jobs.Queue, error) {
	limits := jobs.DefaultLimits()
	limits.Interactive = c.Transform.Queue
	limits.OriginShare = c.Fetch.HostShare
	if c.Storage.Type == config.StorageFilesystem {
		return jobs.OpenFilesystem(jobs.FilesystemOptions{Dir: c.Storage.Path, Version: version, Limits: limits, Log: log})
	}
	return jobs.NewMemory(limits)
}

func jobOptions(c *config.Config, log *slog.Logger, m *metrics.Metrics) jobs.Options {
	o := jobs.Defaults(workers(c))
	o.OriginShare = c.Fetch.HostShare
	o.Timeout = c.Timeout
	o.MaxAttempts = c.MaxAttempts
	o.RetryBudget = c.Fetch.RetryBudget
	o.Observe = m.Job
	o.Log = log
	return o
}

// close stops the service: the listeners, the work, and what the work needs.
func (s *service) close(ctx context.Context) error {
	var errs []error
	if s.public != nil {
		errs = append(errs, s.closePublic(ctx))
	}
	s.stopWaiting()
	if s.optimizer != nil {
		errs = append(errs, s.optimizer.Close(ctx))
	}
	// The admin listener answers to the end: /readyz tells why nothing else does.
	if s.admin != nil {
		if err := s.admin.ShutdownWithContext(ctx); err != nil {
			errs = append(errs, fmt.Errorf("closing the admin listener: %w", err))
		}
	}
	for _, c := range s.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// lastAnswers is the time to tell those who still wait when the grace period is over that it is.
const lastAnswers = time.Second

// closePublic stops accepting and waits for the requests under way. When ctx ends, those that wait for work are
// answered with 503: a client that gets no answer cannot know that another replica may be asked.
func (s *service) closePublic(ctx context.Context) error {
	answered, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		s.stopWaiting()
		time.AfterFunc(lastAnswers, cancel)
	})()
	if err := errors.Join(s.public.ShutdownWithContext(answered), ctx.Err()); err != nil {
		return fmt.Errorf("finishing the requests under way: %w", err)
	}
	return nil
}

// images gives the handler the optimizer's answers in the handler's words.
type images struct{ *optimizer.Optimizer }

func (i images) Lookup(p validate.Params) (handler.Result, bool) {
	r, ok := i.Optimizer.Lookup(p)
	return handler.Result(r), ok
}

func (i images) Get(ctx context.Context, p validate.Params) (handler.Result, error) {
	r, err := i.Optimizer.Get(ctx, p)
	return handler.Result(r), err
}

// Cached answers from whatever tier has the variant, without having it made.
func (i images) Cached(ctx context.Context, p validate.Params) (handler.Result, bool) {
	r, ok := i.Optimizer.Cached(ctx, p)
	return handler.Result(r), ok
}
