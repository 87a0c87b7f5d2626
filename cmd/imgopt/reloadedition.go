package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"imgopt/cache"
	"imgopt/config"
	"imgopt/deployment"
	"imgopt/fetch"
	"imgopt/handler"
	"imgopt/optimizer"
	"imgopt/transform/libvips"
	"imgopt/validate"
)

// edition is what is made from one configuration: the rules, fetching, the queue and its workers, and what answers. A
// reload makes another one, which uses the same memory, codecs and cache.
type edition struct {
	service   *service
	config    *config.Config
	fetcher   *fetch.Client
	optimizer *optimizer.Optimizer
	queue     *sharedQueue // nil if this process is alone
	version   string       // of the queue's jobs
	users     users
	// The applications; public is nil in a worker.
	public, admin           *fiber.App
	servePublic, serveAdmin fasthttp.RequestHandler
}

// newEdition makes an edition. Nobody is answered with it yet.
func (s *service) newEdition(c *config.Config) (_ *edition, err error) {
	e := &edition{service: s, config: c}
	defer func() {
		if err != nil {
			e.discard()
		}
	}()
	rules, err := validate.Compile(rulesOf(c))
	if err != nil {
		return nil, fmt.Errorf("compiling the rules of images: %w", err)
	}
	for _, warning := range rules.Warnings() {
		s.log.Warn("a pattern can never match", "pattern", warning)
	}
	if e.fetcher, err = newFetcher(c, rules, s.log); err != nil {
		return nil, fmt.Errorf("setting up fetching: %w", err)
	}
	if err := e.newPublic(c, rules); err != nil {
		return nil, err
	}
	if err := e.newOptimizer(c); err != nil { // from here on it may have work to do
		return nil, err
	}
	return e, e.newAdmin(c, rules)
}

// discard closes an edition that was never in force. What it has begun to do for others it gives back.
func (e *edition) discard() {
	ctx, cancel := context.WithTimeout(context.Background(), retireGrace)
	defer cancel()
	_ = e.close(ctx) // it is not what went wrong
}

// originParts says where relative urls are fetched, and where for other versions of the application. A build whose folder
// is an origin is a part of the first where there are versions: another build's images have other keys, also where
// processes with both share a cache.
func originParts(c *config.Config) (origins, others string) {
	origins, others = strings.Join(c.Origin, " "), strings.Join(c.Deployment.Origin, " ")
	if own := c.OwnDeployment(); own != "" {
		origins += " " + deployment.Param + "=" + own
	}
	return origins, others
}

// imageKeyParts are what variants depend on beside the request and its source.
func imageKeyParts(c *config.Config) []string {
	return []string{libvips.Version(), engineOptions(c).Fingerprint(), fmt.Sprintf("svg=%t", c.Images.DangerouslyAllowSVG)}
}

// optimizerOptions are those that every optimizer with a configuration has in common, so that all find the same entries,
// and the version of its jobs.
func (s *service) optimizerOptions(c *config.Config, fetcher *fetch.Client) (optimizer.Options, string) {
	keyParts := imageKeyParts(c)
	origins, others := originParts(c)
	// A job stored by a process that would fetch elsewhere is not this one's.
	versionParts := append(keyParts[:len(keyParts):len(keyParts)], origins)
	if others != "" {
		versionParts = append(versionParts, others)
	}
	return optimizer.Options{
		Store:   s.store,
		Memory:  s.memory,
		Fetcher: fetcher,
		Engine:  s.engine,
		Bytes:   s.bytes,
		Gate:    s.gate,

		MaxInputPixels: engineOptions(c).MaxInputPixels,
		Profile:        engineOptions(c).Profile,

		Jobs:       jobOptions(c, s.log, s.metrics),
		Observe:    s.metrics,
		MinimumTTL: time.Duration(c.Images.MinimumCacheTTL) * time.Second,
		AllowSVG:   c.Images.DangerouslyAllowSVG,
		KeyParts:   keyParts,
		Origins:    origins,
		Log:        s.log,

		Deployments:       fetcher,
		DeploymentOrigins: others,
	}, queueVersion(versionParts)
}

// newOptimizer opens the queue and starts working on it.
func (e *edition) newOptimizer(c *config.Config) (err error) {
	s := e.service
	options, version := s.optimizerOptions(c, e.fetcher)
	e.version = version
	options.Jobs.Tracer = s.tracer(c)
	if s.shared != nil {
		if e.queue, err = s.shared.newQueue(c, s.log, e.version, queueLimits(c)); err != nil {
			return err
		}
		options.Shared = s.shared.optimizer(e.queue)
	} else if options.Queue, err = newQueue(c, s.log, e.version); err != nil {
		return err
	}
	e.optimizer, err = optimizer.New(options)
	if err != nil && e.queue != nil {
		err = errors.Join(err, e.queue.over.Close())
	} else if err != nil {
		err = errors.Join(err, options.Queue.Close())
	}
	return err
}

// close finishes what is under way until ctx ends, and gives the rest back to the queue. It must be called once.
func (e *edition) close(ctx context.Context) error {
	var err error
	if e.optimizer != nil {
		err = e.optimizer.Close(ctx)
	}
	if e.fetcher != nil {
		e.fetcher.Close()
	}
	return err
}

// images gives the handler an edition's answers in the handler's words.
type images struct{ *edition }

func answer(r optimizer.Result) handler.Result {
	return handler.Result{Entry: r.Entry, State: r.State, Coalesced: r.Coalesced, Timing: (*handler.Timing)(r.Timing)}
}

func (i images) Lookup(p validate.Params) (handler.Result, bool) {
	r, ok := i.optimizer.Lookup(p)
	return answer(r), ok
}

// Open answers from the disk tier. What it opens outlives the edition.
func (i images) Open(p validate.Params) *cache.Opened { return i.optimizer.Open(p) }

// Get is asked by those who have to wait, so only they are counted. One that comes so late that the edition does not
// take it any more, having been checked by its rules, is answered by the one in force.
func (i images) Get(ctx context.Context, p validate.Params) (handler.Result, error) {
	e := i.edition
	for !e.users.enter() {
		e = e.service.editions.inForce()
	}
	defer e.users.leave()
	r, err := e.optimizer.Get(ctx, p)
	return answer(r), err
}

// Cached answers from whatever tier has the variant, without having it made.
func (i images) Cached(ctx context.Context, p validate.Params) (handler.Result, bool) {
	r, ok := i.optimizer.Cached(ctx, p)
	return answer(r), ok
}
