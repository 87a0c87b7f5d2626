package handler

import (
	"io"
	"net/http"
	"net/http/pprof"
	"os"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
)

const (
	// maxProfileSeconds bounds a profile that takes time: it is in memory until it is sent.
	maxProfileSeconds = 60
	// The pages of net/http/pprof have styles of their own, and nothing else.
	pprofPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// registerPprof adds what net/http/pprof serves, to GET only. A profile under way ends when the service drains.
func registerPprof(app *fiber.App, g guard, on bool, ready *Readiness) {
	serve := adaptor.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serveProfile(w, r.WithContext(ready.serving)) // not the request's own context: see NewAdmin
	}))
	app.Use("/debug/pprof", g.ownPage, func(c *fiber.Ctx) error {
		switch {
		case c.Method() != http.MethodGet:
			c.Set(fiber.HeaderAllow, http.MethodGet)
			return fiber.ErrMethodNotAllowed
		case !on:
			return c.Status(http.StatusNotFound).SendString(textNoPprof + "\n")
		case c.Path() == "/debug/pprof":
			return c.Redirect("pprof/", http.StatusFound) // the page's own links start from there
		}
		if s := c.Query("seconds"); s != "" {
			if n, err := strconv.ParseFloat(s, 64); err != nil || !(n > 0 && n <= maxProfileSeconds) {
				return c.Status(http.StatusBadRequest).SendString("seconds: want a number up to " + strconv.Itoa(maxProfileSeconds) + "\n")
			}
		}
		c.Set(fiber.HeaderContentSecurityPolicy, pprofPolicy)
		return serve(c)
	})
}

// serveProfile is the routing that net/http/pprof does for the default mux. The command line is shown without secrets.
func serveProfile(w http.ResponseWriter, r *http.Request) {
	switch strings.TrimPrefix(r.URL.Path, "/debug/pprof/") {
	case "cmdline":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, redact(strings.Join(os.Args, "\x00"))) // into memory
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
}
