package handler

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/gofiber/fiber/v2/middleware/recover"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
)

// AdminOptions configures the admin application.
type AdminOptions struct {
	// Ready answers /readyz. Required.
	Ready *Readiness
	// Metrics answers /metrics. Required.
	Metrics prometheus.Gatherer
	// Demo, when set, turns on /demo.
	Demo *Demo
	// Purger, Queue and Reloader are what the endpoints of their names work on. One that is nil is not there: its
	// endpoints answer 404 and say why.
	Purger   Purger
	Queue    QueueAdmin
	Reloader Reloader
	// Pprof turns on /debug/pprof/: profiles of the process, which take CPU while they are made.
	Pprof bool
	// Hosts are names by which the listener may be asked for what is for people only, beside addresses and names that
	// nobody on the web can have: without a dot, or below .localhost, .internal or .cluster.local. Programs that send
	// HeaderProgram may use any.
	Hosts []string
	// Version and Instance, the name of this replica, are shown in the head of /ops.
	Version, Instance string
	// Started is when the process started, for the same place. Default: now.
	Started time.Time
	// Log gets what goes wrong. Nil turns it off.
	Log *slog.Logger
}

// The admin listener serves probes, a scraper and the occasional person.
const (
	adminHeaderTimeout = 10 * time.Second
	adminIdleTimeout   = 2 * time.Minute
	adminMaxConns      = 256
)

// NewAdmin returns the admin application. It belongs on a listener of its own that is not public: it tells about the
// inside, and does what whoever asks wants. Serve it on a listener made by Wrap with spare descriptors
// (ListenOptions.Spare), so that it answers when the process has no others left.
//
//	GET  /healthz        200 as long as the process can answer
//	GET  /readyz         200, or 503 with what fails: ReadyReport
//	GET  /metrics        Prometheus' formats
//	GET  /ops            the operators' page
//	GET  /demo           the demo page
//	GET  /debug/pprof/   profiles
//	POST /purge          {"url":…}, {"prefix":…} or {"all":true}: PurgeReport
//	GET  /queue          QueueReport
//	POST /queue/retry    {"id":…} or {"all":true}: {"retried":n}
//	POST /queue/drop     {"id":…} or {"all":true}: {"dropped":n}
//	POST /queue/cancel   {"key":…}: {"cancelled":true}, or false if there is no such job
//	POST /reload         ReloadReport
//
// What is posted is application/json, read strictly. Whatever goes wrong there is answered with {"error":"…"}: 400 for
// the body, 403 for another site's page, 404 for what this service does not have, 405, 409 for a configuration that
// was refused, 413, 415, and 503 with Retry-After for what cannot be reached now. All but the first three are for
// people and refuse to be a part of the web: see Hosts.
func NewAdmin(o AdminOptions) (*fiber.App, error) {
	if o.Ready == nil || o.Metrics == nil {
		return nil, errors.New("handler: the admin application needs readiness and metrics")
	}
	app := fiber.New(fiber.Config{
		AppName:                      "imgopt admin",
		DisableStartupMessage:        true,
		DisablePreParseMultipartForm: true,
		CaseSensitive:                true,
		// Answers are made of request strings only within the handler, and sent before it returns.
		BodyLimit:      maxBody,
		ReadBufferSize: minHeaderBytes,
		Concurrency:    adminMaxConns,
		ReadTimeout:    adminHeaderTimeout,
		IdleTimeout:    adminIdleTimeout,
		ErrorHandler: func(c *fiber.Ctx, err error) error {
			status := http.StatusInternalServerError
			if e := (*fiber.Error)(nil); errors.As(err, &e) {
				status = e.Code
			} else if o.Log != nil {
				o.Log.Error("admin request failed", "path", loggable(c.Path()), "error", loggable(err.Error()))
			}
			hangUpAfter(c.Context(), status)
			if isAction(c.Path()) || status == http.StatusRequestEntityTooLarge { // then the path may be forgotten
				return c.Status(status).JSON(fiber.Map{"error": http.StatusText(status)})
			}
			return c.Status(status).SendString(http.StatusText(status))
		},
	})
	app.Server().CloseOnShutdown = true
	app.Server().SecureErrorLogMessage = true
	app.Server().HeaderReceived = boundBody
	app.Use(recover.New())
	app.Use(func(c *fiber.Ctx) error {
		if own, ok := c.Context().Conn().(*conn); ok && own.borrowed {
			c.Context().SetConnectionClose()
		}
		c.Set(fiber.HeaderCacheControl, "no-store")
		c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
		c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
		return c.Next()
	})
	app.Get("/healthz", func(c *fiber.Ctx) error { return c.SendString("ok\n") })
	// The context of a request is not used anywhere: fasthttp's ends when the server is stopped, not when the client
	// leaves, and deriving another from it races with the stopping.
	app.Get("/readyz", func(c *fiber.Ctx) error {
		report := o.Ready.report(context.Background())
		if !report.Ready {
			c.Status(http.StatusServiceUnavailable)
		}
		return c.JSON(report)
	})
	app.Get("/metrics", adaptor.HTTPHandler(promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, // one broken gauge must not hide the rest
	})))
	acts := &actions{guard: guard{o.Hosts}, purger: o.Purger, queue: o.Queue, reloader: o.Reloader, log: o.Log}
	acts.register(app)
	newOps(o, acts).register(app)
	registerPprof(app, acts.guard, o.Pprof, o.Ready)
	first := "ops"
	if o.Demo != nil {
		o.Demo.register(app, acts.guard)
		first = "demo"
	}
	app.Get("/", func(c *fiber.Ctx) error { return c.Redirect(first, http.StatusFound) })
	return app, nil
}

// hangUpAfter closes the connection gently after a message that was not read to its end.
func hangUpAfter(ctx *fasthttp.RequestCtx, status int) {
	switch status {
	case http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge:
		hangUp(ctx)
	}
}
