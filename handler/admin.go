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
)

// AdminOptions configures the admin application.
type AdminOptions struct {
	// Ready answers /readyz. Required.
	Ready *Readiness
	// Metrics answers /metrics. Required.
	Metrics prometheus.Gatherer
	// Demo, when set, turns on /demo.
	Demo *Demo
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
// inside, and its demo page does work for whoever asks. Serve it on a listener made by Wrap with spare descriptors
// (ListenOptions.Spare), so that it answers when the process has no others left.
//
//	GET /healthz   200 as long as the process can answer
//	GET /readyz    200, or 503 with what fails as JSON: {"ready":false,"failing":[{"name":"…","error":"…"}]}
//	GET /metrics   Prometheus' formats
//	GET /demo      the demo page
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
			return c.Status(status).SendString(http.StatusText(status))
		},
	})
	app.Server().CloseOnShutdown = true
	app.Server().SecureErrorLogMessage = true
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
		failing := o.Ready.Failing(context.Background())
		if len(failing) > 0 {
			c.Status(http.StatusServiceUnavailable)
		}
		return c.JSON(fiber.Map{"ready": len(failing) == 0, "failing": failing})
	})
	app.Get("/metrics", adaptor.HTTPHandler(promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, // one broken gauge must not hide the rest
	})))
	if o.Demo != nil {
		o.Demo.register(app)
	}
	return app, nil
}
