package handler

import (
	"errors"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// appOptions are what both applications need from Fiber.
type appOptions struct {
	serve         fasthttp.RequestHandler
	headerTimeout time.Duration
	idleTimeout   time.Duration
	maxHeader     int
	maxConns      int
	load          *Load
	// refused is told the status of an answer to what was no request.
	refused func(ctx *fasthttp.RequestCtx, status int)
}

// newApp returns a Fiber application whose every request goes to one handler. The server calls it directly: for one
// path that has to be compared as it was sent, Fiber's router is 110 ns and one allocation too many, a quarter of a
// hit. It is registered there as well, for (*fiber.App).Handler and Test.
func newApp(o appOptions) *fiber.App {
	app := fiber.New(fiber.Config{
		AppName:                      "imgopt",
		DisableStartupMessage:        true,
		DisableDefaultContentType:    true,
		DisablePreParseMultipartForm: true,
		BodyLimit:                    maxBody,
		ReadBufferSize:               o.maxHeader,
		Concurrency:                  o.maxConns,
		WriteBufferSize:              writeBuffer,
		ReadTimeout:                  o.headerTimeout,
		IdleTimeout:                  o.idleTimeout,
		// No WriteTimeout: it would be one limit for bodies of any size. The connections of Wrap have one per part.
		ErrorHandler: func(c *fiber.Ctx, err error) error {
			o.refused(c.Context(), refuse(c.Context(), err))
			return nil
		},
	})
	app.Use(func(c *fiber.Ctx) error {
		o.serve(c.Context())
		return nil
	})
	server := app.Server()
	server.Handler = o.serve
	server.CloseOnShutdown = true
	// Otherwise an error quotes the request.
	server.SecureErrorLogMessage = true
	server.HeaderReceived = distrustBody
	server.ConnState = o.load.adopt
	return app
}

// distrustBody looks at a message before its body is read. Where a body begins and ends is what request smuggling is
// about, and fasthttp is lenient: the last of several lengths counts. So nothing that comes after a message with any
// kind of length is taken for another message. As bodies are refused anyway, they are not asked for either.
func distrustBody(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	const none = -2
	if h.ContentLength() != none {
		h.SetConnectionClose()
		h.Del(fasthttp.HeaderExpect)
	}
	return fasthttp.RequestConfig{}
}

// refuse answers a message that could not be read: too long (431), too slow (408), with a body (413), or no HTTP
// (400). The answer is the status alone, as Node's, and the connection is closed. It returns the status.
func refuse(ctx *fasthttp.RequestCtx, err error) int {
	status := http.StatusBadRequest
	if e := (*fiber.Error)(nil); errors.As(err, &e) && e.Code >= 400 && e.Code != http.StatusBadGateway {
		status = e.Code
	}
	ctx.Response.Reset()
	ctx.SetStatusCode(status)
	hangUp(ctx)
	return status
}

// hangUp closes the connection after the answer, gently: see conn.Close.
func hangUp(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	if c, ok := ctx.Conn().(*conn); ok {
		c.linger.Store(true)
	}
}
