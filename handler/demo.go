package handler

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"

	"imgopt/cache"
	"imgopt/failure"
)

// Demo is the page at /demo of the admin application: every source beside its variants, with type, size, time and
// cache state. It asks the same Images as the public application, in the process, so its times are the service's own.
//
// The page is safe to leave on where the admin listener is: it shows the sources it was given and nothing else, its
// images are served with a policy that keeps a hostile SVG from running anything, and requests that another site
// makes a browser send are refused (guard).
type Demo struct {
	// Images and Rules are those of the public application.
	Images Images
	Rules  Rules
	// Sources lists what is shown.
	Sources func(ctx context.Context) ([]DemoSource, error)
	// Original opens a source. It is sent piece by piece, however large it is, and closed afterwards. ctx ends when
	// Original has returned. size is in bytes; the media type is "" if there is none.
	Original func(ctx context.Context, href string) (body io.ReadCloser, size int64, contentType string, err error)
	// Animated reports whether an image is passed through because it moves.
	Animated func(body []byte) bool
	// Version is shown in the page's head.
	Version string
	// PublicURL is where the public application's endpoint is reached, for links: http://localhost:3000/_next/image.
	// Without one there are no links.
	PublicURL string
	// Widths, Qualities and Formats are what the rules allow, for choosing.
	Widths, Qualities []int
	Formats           []string
	// Timeout is the budget of one variant. Default 30 s.
	Timeout time.Duration
}

// DemoSource is one image of the demo page.
type DemoSource struct {
	Name string `json:"name"`
	Href string `json:"href"`
	// Size is in bytes.
	Size int64 `json:"size"`
}

//go:embed demo
var demoFiles embed.FS

const (
	demoPagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// What Next sends with its images by default, and no other source at all.
	demoImagePolicy = "default-src 'none'; script-src 'none'; frame-src 'none'; sandbox;"
)

// demoAccepts are the Accept headers of browsers that show a format.
var demoAccepts = map[string]string{
	"avif": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
	"webp": "image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
	"":     "image/png,image/svg+xml,image/*,*/*;q=0.8",
}

func (d *Demo) register(app *fiber.App, g guard) {
	group := app.Group("/demo", g.ownPage)
	for path, file := range map[string]struct{ name, contentType string }{
		"/":          {"demo/index.html", fiber.MIMETextHTMLCharsetUTF8},
		"/app.js":    {"demo/app.js", fiber.MIMETextJavaScriptCharsetUTF8},
		"/style.css": {"demo/style.css", "text/css; charset=utf-8"},
		"/icon.svg":  {"demo/icon.svg", "image/svg+xml"},
	} {
		body, err := demoFiles.ReadFile(file.name)
		if err != nil {
			panic(err) // the files are part of the program
		}
		group.Get(path, func(c *fiber.Ctx) error {
			if strings.HasSuffix(c.Path(), "/") {
				return c.Redirect("../demo", http.StatusFound) // the page's own links start from the other spelling
			}
			c.Set(fiber.HeaderContentType, file.contentType)
			c.Set(fiber.HeaderContentSecurityPolicy, demoPagePolicy)
			return c.Send(body)
		})
	}
	group.Get("/data.json", d.data)
	group.Get("/original", d.original)
	group.Get("/image", ownScript, d.image)
}

// ownScript refuses what the page's own script did not ask for: another site's page can have an image loaded from
// anywhere, but it cannot add a header without asking first, which nobody here answers. So none can have this process
// encode images.
func ownScript(c *fiber.Ctx) error {
	if c.Get(headerDemo) == "" {
		return c.Status(http.StatusForbidden).SendString("Forbidden: " + headerDemo + " is missing")
	}
	return c.Next()
}

// headerDemo is sent by demo/app.js.
const headerDemo = "X-Imgopt-Demo"

// data answers what the page shows.
func (d *Demo) data(c *fiber.Ctx) error {
	sources, err := d.Sources(context.Background())
	if err != nil {
		return fmt.Errorf("listing the demo's sources: %w", err)
	}
	return c.JSON(fiber.Map{
		"version":   d.Version,
		"publicURL": d.PublicURL,
		"widths":    d.Widths,
		"qualities": d.Qualities,
		"formats":   d.Formats,
		"sources":   sources,
	})
}

// original answers a source as it is.
func (d *Demo) original(c *fiber.Ctx) error {
	href := utils.CopyString(c.Query("href"))
	sources, err := d.Sources(context.Background())
	if err != nil {
		return fmt.Errorf("listing the demo's sources: %w", err)
	}
	if !slices.ContainsFunc(sources, func(s DemoSource) bool { return s.Href == href }) {
		return fiber.ErrNotFound
	}
	ctx, cancel := context.WithTimeout(context.Background(), orDefault(d.Timeout, defaultTimeout))
	defer cancel()
	body, size, contentType, err := d.Original(ctx, href)
	if err != nil {
		return demoError(c, err)
	}
	setDemoImage(c, orDefault(contentType, fiber.MIMEOctetStream))
	c.Response().SetBodyStream(body, int(size))
	return nil
}

// image answers a variant, or the failure with its text, and says in headers what the page shows beside it.
func (d *Demo) image(c *fiber.Ctx) error {
	accept, ok := demoAccepts[c.Query("accept")]
	if !ok {
		return fiber.NewError(http.StatusBadRequest, "accept")
	}
	query := "url=" + url.QueryEscape(c.Query("url")) + "&w=" + url.QueryEscape(c.Query("w")) + "&q=" + url.QueryEscape(c.Query("q"))
	started := time.Now()
	r, err := d.get(query, accept)
	c.Set("Server-Timing", "imgopt;dur="+strconv.FormatFloat(float64(time.Since(started).Microseconds())/1000, 'f', 3, 64))
	if err != nil {
		return demoError(c, err)
	}
	m, ok := lookupMediaType(r.Entry.ContentType)
	if !ok {
		return demoError(c, fmt.Errorf("entry of type %q", r.Entry.ContentType))
	}
	c.Set("X-Nextjs-Cache", string(r.State))
	c.Set("X-Demo-Original-Size", strconv.FormatInt(r.Entry.OriginalSize, 10))
	if note := d.unchanged(r.Entry); note != "" {
		c.Set("X-Demo-Unchanged", note)
	}
	setDemoImage(c, m.contentType)
	c.Response().SetBodyRaw(r.Entry.Body)
	return nil
}

func (d *Demo) get(query, accept string) (Result, error) {
	p, err := d.Rules.Check(query, accept)
	if err != nil {
		return Result{}, err
	}
	if r, ok := d.Images.Lookup(p); ok {
		return r, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), orDefault(d.Timeout, defaultTimeout))
	defer cancel()
	return d.Images.Get(ctx, p)
}

// unchanged says why an entry holds its source's own bytes, or "" if it does not. Equal tags are how Next marks it.
func (d *Demo) unchanged(e *cache.Entry) string {
	if e.ETag != e.UpstreamETag {
		return ""
	}
	switch e.ContentType {
	case "image/svg+xml", "image/x-icon", "image/x-icns", "image/bmp", "image/jxl", "image/heic":
		return "type"
	case "image/gif", "image/png", "image/webp":
		if d.Animated(e.Body) {
			return "animated"
		}
	}
	return "fallback"
}

func setDemoImage(c *fiber.Ctx, contentType string) {
	c.Set(fiber.HeaderContentType, contentType)
	c.Set(fiber.HeaderContentSecurityPolicy, demoImagePolicy)
	c.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// demoError answers with the status and text that the public application answers with, and the reason.
func demoError(c *fiber.Ctx, err error) error {
	f := failure.From(err)
	c.Set("X-Demo-Reason", f.Reason)
	if f.Status < 400 || f.Status > 599 {
		return errors.New("not the status of a failure: " + strconv.Itoa(f.Status))
	}
	return c.Status(f.Status).SendString(f.Text)
}
