package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"imgopt/admission"
	"imgopt/cache"
	"imgopt/cache/valkeycache"
	"imgopt/config"
	"imgopt/handler"
	"imgopt/handler/metrics"
	"imgopt/jobs"
	"imgopt/optimizer"
	"imgopt/tracing/export"
	"imgopt/transform"
	"imgopt/transform/codec"
	"imgopt/transform/libvips"
)

// service is what lives as long as the process: the listeners' servers, memory and its budgets, the codecs, the cache, the
// connection to Valkey, metrics. What is made from one configuration is an edition, and there is always one in force.
type service struct {
	// Of the first edition; their servers answer with the edition in force.
	public, admin *fiber.App
	editions      *editions
	readiness     *handler.Readiness
	engine        transform.Engine // nil in a process without codecs
	codecs        *codec.Pool      // nil without isolation
	// waiting is the parent of every request's context; stopWaiting ends what still waits when the grace period is over.
	waiting     context.Context
	stopWaiting context.CancelFunc
	load        *handler.Load
	maxConns    int
	bytes       *admission.Budget
	gate        *admission.Gate
	shared      *shared // nil if this process is alone
	memory      optimizer.Memory
	store       *cache.Tiered
	metrics     *metrics.Metrics
	traces      *export.Exporter // nil if tracing is off
	registry    *prometheus.Registry
	plan        memoryPlan
	log         *slog.Logger
	started     time.Time
	reloader    *reloader
	// ready is set once the listeners are open.
	ready atomic.Bool
	// closers end what the editions needed, in this order.
	closers []func() error
}

// newService builds the rooms and connects them, with a first edition. Nothing listens yet. read reads the configuration
// again.
func newService(first reading, read func() (reading, error), plan memoryPlan, log *slog.Logger) (_ *service, err error) {
	c := first.config
	s := &service{plan: plan, log: log, started: time.Now(), registry: prometheus.NewRegistry(), load: &handler.Load{}, editions: newEditions()}
	s.waiting, s.stopWaiting = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			_ = s.close(context.Background())
		}
	}()
	s.metrics, err = metrics.New(s.registry, metrics.Build{Version: version, Libvips: libvips.Version()})
	if err != nil {
		return nil, fmt.Errorf("setting up the metrics: %w", err)
	}
	if s.traces, err = openTraces(c, log); err != nil {
		return nil, err
	}
	if c.Shared() {
		if s.shared, err = openShared(c, log); err != nil {
			return nil, err
		}
	}
	if s.engine, err = s.newEngine(c, plan, log, s.metrics); err != nil {
		return nil, err
	}
	if s.memory, s.store, err = s.newCache(c, plan, log, s.metrics); err != nil {
		return nil, err
	}
	s.bytes = admission.NewBudget(plan.sources)
	if s.gate, err = admission.NewGate(workers(c), plan.decode); err != nil {
		return nil, err
	}
	s.maxConns = connectionLimit(c, log)
	s.readiness = s.newReadiness(c)
	s.reloader = newReloader(s, first, read)
	e, err := s.newEdition(c)
	if err != nil {
		return nil, err
	}
	s.serveWith(e)
	return s, s.watch()
}

// watch exports what the service knows of itself.
func (s *service) watch() error {
	return errors.Join(
		s.metrics.WatchHTTP(s.load),
		s.metrics.WatchMemory(
			metrics.Pool{Name: "sources", Stats: func() (int64, int64, int) { b := s.bytes.Stats(); return b.Used, b.Limit, b.Waiting }},
			metrics.Pool{Name: "decode", Stats: func() (int64, int64, int) { g := s.gate.Stats(); return g.Used, g.Limit, g.Waiting }},
			metrics.Pool{Name: "responses", Stats: s.load.ResponseMemory},
		),
		s.metrics.WatchFetch(func() int { return s.editions.inForce().fetcher.Stats().OpenCircuits }),
		s.metrics.WatchJobs(s.editions.jobs),
		s.watchTraces(),
	)
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
		Profile:        transform.Profile(c.Transform.Profile),
	}
}

// maxSource bounds what a codec is given, whatever may be fetched; larger sources are served as they are.
const maxSource = 1 << 30

// maxResult bounds one encoded image; the largest variant, 3,840 pixels of noise as PNG, stays below it.
const maxResult = 64 << 20

// maxCarry bounds passing on one result that is too large for the cache.
const maxCarry = 3 * time.Second

// newEngine starts the codecs: in processes of their own, or in this one.
func (s *service) newEngine(c *config.Config, plan memoryPlan, log *slog.Logger, m *metrics.Metrics) (transform.Engine, error) {
	if c.Role == config.RoleWeb {
		return nil, nil // workers have them
	}
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
	purges := cache.PurgeOptions{Log: log}
	if path, _, ok := c.DiskCache(); ok {
		purges.Dir = path
	}
	if s.shared != nil {
		tiers = append(tiers, cache.Tier{Name: sharedTier, Store: s.shared.tier})
		watched = append(watched, metrics.Tier{Name: sharedTier, Remote: true, Stats: s.shared.tier.Stats})
		purges.Shared = valkeycache.NewPurges(s.shared.client)
	}
	purgeLog, err := cache.OpenPurges(purges)
	if err != nil {
		return nil, nil, err
	}
	s.store = cache.NewTieredWith(purgeLog, tiers...)
	s.closers = append(s.closers, s.store.Close)
	if err := watchPurges(m, purgeLog); err != nil {
		return nil, nil, err
	}
	if s.shared != nil {
		s.shared.purges = purgeLog
		if err := s.shared.watch(m, func() *sharedQueue { return s.editions.inForce().queue }); err != nil {
			return nil, nil, err
		}
	}
	return memory, s.store, m.WatchCache(watched...)
}

// newQueue opens a queue for one process.
func newQueue(c *config.Config, log *slog.Logger, version string) (jobs.Queue, error) {
	if c.Storage.Type == config.StorageFilesystem {
		return jobs.OpenFilesystem(jobs.FilesystemOptions{Dir: c.Storage.Path, Version: version, Limits: queueLimits(c), Log: log})
	}
	return jobs.NewMemory(queueLimits(c))
}

func queueLimits(c *config.Config) jobs.Limits {
	limits := jobs.DefaultLimits()
	limits.Interactive = c.Transform.Queue
	limits.OriginShare = c.Fetch.HostShare
	return limits
}

func jobOptions(c *config.Config, log *slog.Logger, m *metrics.Metrics) jobs.Options {
	o := jobs.Defaults(workers(c))
	o.Workless = c.Role == config.RoleWeb
	o.CPUs = workers(c)
	o.OriginShare = c.Fetch.HostShare
	o.Timeout = c.Timeout
	o.MaxAttempts = c.MaxAttempts
	o.RetryBudget = c.Fetch.RetryBudget
	o.Observe = m.Job
	o.Log = log
	return o
}

// queueVersion names what processes must have in common to do each other's jobs: short, and readable to some extent.
func queueVersion(parts []string) string {
	whole := optimizer.Version(parts...)
	sum := sha256.Sum256([]byte(whole))
	return optimizer.Version(parts[0], hex.EncodeToString(sum[:4]))
}

// close stops the service: the listeners, the work, and what the work needs.
func (s *service) close(ctx context.Context) error {
	var errs []error
	if s.public != nil {
		errs = append(errs, s.closePublic(ctx))
	}
	s.stopWaiting()
	errs = append(errs, s.editions.close(ctx))
	// The admin listener answers to the end: /readyz tells why nothing else does.
	if s.admin != nil {
		if err := s.admin.ShutdownWithContext(ctx); err != nil {
			errs = append(errs, fmt.Errorf("closing the admin listener: %w", err))
		}
	}
	for _, c := range s.closers {
		errs = append(errs, c())
	}
	if s.shared != nil {
		errs = append(errs, s.shared.client.Close()) // the cache and the queue used it to the end
	}
	errs = append(errs, s.closeTraces()) // by now all spans have ended
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
