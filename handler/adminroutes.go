package handler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"imgopt/cache"
	"imgopt/failure"
	"imgopt/jobs"
)

const (
	// actionTimeout is the time an action has. Whoever takes part in one has shorter limits of its own.
	actionTimeout = 10 * time.Second
	// reloadTimeout is the time of a reload, which starts codecs and may wait for a new build to be complete.
	reloadTimeout = 30 * time.Second
	// actionRetryAfter is when to ask again for what is not available.
	actionRetryAfter = 5 * time.Second
	// adminMaxBody bounds a body in bytes: the longest pattern to purge, with every byte escaped.
	adminMaxBody = 64 << 10
	// maxID bounds ids in bytes.
	maxID = 512
	// maxAdminText bounds an error's text in bytes. One of a configuration has a line for each mistake.
	maxAdminText = 16 << 10
)

// Why an endpoint is not there.
const (
	textNoPurge  = "nothing here can be purged"
	textNoQueue  = "this storage has no shared queue"
	textNoReload = "this configuration cannot be read again without a restart"
	textNoPprof  = "profiling is off"
)

// actions is what the admin application can be told to do, by JSON or by the forms of the page at /ops.
type actions struct {
	guard
	purger   Purger
	queue    QueueAdmin
	reloader Reloader
	log      *slog.Logger
}

// adminError is an answer that says what is wrong.
type adminError struct {
	status     int
	text       string
	retryAfter time.Duration
}

func (e *adminError) Error() string { return e.text }

func refuseWith(status int, format string, args ...any) error {
	return &adminError{status: status, text: fmt.Sprintf(format, args...)}
}

// asAdminError finds the answer to an error.
func asAdminError(err error) *adminError {
	var own *adminError
	var f *failure.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, ErrUnavailable), errors.Is(err, cache.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return &adminError{http.StatusServiceUnavailable, adminText(err), actionRetryAfter}
	case errors.As(err, &f) && f.Status >= 400 && f.Status <= 599:
		return &adminError{f.Status, adminText(err), f.RetryAfter}
	default:
		return &adminError{status: http.StatusInternalServerError, text: adminText(err)}
	}
}

// adminText is an error's text for operators: without secrets, and not endless.
func adminText(err error) string {
	s := redact(err.Error())
	if len(s) > maxAdminText {
		s = strings.ToValidUTF8(s[:maxAdminText], "") + "…"
	}
	return s
}

// isAction reports whether a path is one that answers JSON whatever happens.
func isAction(path string) bool {
	return path == "/purge" || path == "/queue" || path == "/reload" || strings.HasPrefix(path, "/queue/")
}

// register adds the endpoints.
func (a *actions) register(app *fiber.App) {
	get := func(path string, answer func(*fiber.Ctx) (any, error)) {
		app.All(path, a.endpoint([]string{http.MethodGet, http.MethodHead}, answer))
	}
	post := func(path string, answer func(*fiber.Ctx) (any, error)) {
		app.All(path, a.endpoint([]string{http.MethodPost}, func(c *fiber.Ctx) (any, error) {
			if err := requireJSON(c); err != nil {
				return nil, err
			}
			return answer(c)
		}))
	}
	post("/purge", a.postPurge)
	get("/queue", func(*fiber.Ctx) (any, error) { return a.getQueue() })
	post("/queue/retry", func(c *fiber.Ctx) (any, error) { return a.postDead(c, "retried") })
	post("/queue/drop", func(c *fiber.Ctx) (any, error) { return a.postDead(c, "dropped") })
	post("/queue/cancel", a.postCancel)
	post("/reload", a.postReload)
}

// endpoint answers with what answer returns, as JSON.
func (a *actions) endpoint(methods []string, answer func(*fiber.Ctx) (any, error)) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if !slices.Contains(methods, c.Method()) {
			c.Set(fiber.HeaderAllow, strings.Join(methods, ", "))
			return answerError(c, refuseWith(http.StatusMethodNotAllowed, "%s takes %s", c.Path(), strings.Join(methods, " and ")))
		}
		if why := a.refuses(c); why != "" {
			return answerError(c, refuseWith(http.StatusForbidden, "%s", why))
		}
		v, err := answer(c)
		if err != nil {
			return answerError(c, err)
		}
		return c.JSON(v)
	}
}

func answerError(c *fiber.Ctx, err error) error {
	e := asAdminError(err)
	setRetryAfter(c, e)
	return c.Status(e.status).JSON(fiber.Map{"error": e.text})
}

func setRetryAfter(c *fiber.Ctx, e *adminError) {
	if e.retryAfter > 0 {
		c.Set(fiber.HeaderRetryAfter, strconv.FormatInt(int64((e.retryAfter+time.Second-1)/time.Second), 10))
	}
}

// requireJSON refuses every other Content-Type: a browser sends this one to another site only after asking, which
// nobody here answers.
func requireJSON(c *fiber.Ctx) error {
	t, params, err := mime.ParseMediaType(c.Get(fiber.HeaderContentType))
	if err != nil || t != fiber.MIMEApplicationJSON || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return refuseWith(http.StatusUnsupportedMediaType, "Content-Type must be application/json")
	}
	return nil
}

// readBody reads a body that decodeObject is for. It takes the bytes as they were sent: Fiber's own way to the body
// would unpack what is compressed, to any size.
func readBody(c *fiber.Ctx, fields map[string]any) error {
	if err := decodeObject(c.Request().Body(), fields); err != nil {
		return refuseWith(http.StatusBadRequest, "%s", err)
	}
	return nil
}

func (a *actions) postPurge(c *fiber.Ctx) (any, error) {
	if a.purger == nil {
		return nil, refuseWith(http.StatusNotFound, textNoPurge)
	}
	var p Purge
	if err := readBody(c, map[string]any{"url": &p.URL, "prefix": &p.Prefix, "all": &p.All}); err != nil {
		return nil, err
	}
	return a.purge(c, p)
}

// purge does what JSON or a form asked for.
func (a *actions) purge(c *fiber.Ctx, p Purge) (PurgeReport, error) {
	if err := cache.Purge(p).Validate(); err != nil {
		return PurgeReport{}, refuseWith(http.StatusBadRequest, `%s: exactly one of "url", "prefix" (not empty) and "all" (true)`, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	r, err := a.purger.Purge(ctx, p)
	a.note(c, "purge", cache.Purge(p).String(), err)
	return r, err
}

func (a *actions) getQueue() (*QueueReport, error) {
	if a.queue == nil {
		return nil, refuseWith(http.StatusNotFound, textNoQueue)
	}
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	r, err := a.queue.Queue(ctx)
	if err != nil {
		return nil, err
	}
	// Lists, not null.
	r.Workers = append([]WorkerReport{}, r.Workers...)
	r.Dead = append([]DeadLetter{}, r.Dead...)
	r.DeadTotal = max(r.DeadTotal, len(r.Dead))
	return &r, nil
}

func (a *actions) postDead(c *fiber.Ctx, done string) (any, error) {
	if a.queue == nil {
		return nil, refuseWith(http.StatusNotFound, textNoQueue)
	}
	var id string
	var all bool
	if err := readBody(c, map[string]any{"id": &id, "all": &all}); err != nil {
		return nil, err
	}
	n, err := a.dead(c, done, id, all)
	if err != nil {
		return nil, err
	}
	return map[string]int{done: n}, nil
}

// dead retries or drops dead letters.
func (a *actions) dead(c *fiber.Ctx, done, id string, all bool) (int, error) {
	if (id != "") == all {
		return 0, refuseWith(http.StatusBadRequest, `want exactly one of "id" (not empty) and "all" (true)`)
	}
	if len(id) > maxID {
		return 0, refuseWith(http.StatusBadRequest, `"id" has %d bytes: at most %d`, len(id), maxID)
	}
	act := a.queue.Retry
	if done == "dropped" {
		act = a.queue.Drop
	}
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	n, err := act(ctx, id, all)
	what := "id " + strconv.Quote(id)
	if all {
		what = "all"
	}
	a.note(c, "dead letters "+done, fmt.Sprintf("%s (%d)", what, n), err)
	return n, err
}

func (a *actions) postCancel(c *fiber.Ctx) (any, error) {
	if a.queue == nil {
		return nil, refuseWith(http.StatusNotFound, textNoQueue)
	}
	var key string
	if err := readBody(c, map[string]any{"key": &key}); err != nil {
		return nil, err
	}
	if _, err := jobs.ParseKey(key); err != nil {
		return nil, refuseWith(http.StatusBadRequest, "%s", loggable(err.Error()))
	}
	ctx, cancel := context.WithTimeout(context.Background(), actionTimeout)
	defer cancel()
	ok, err := a.queue.Cancel(ctx, key)
	a.note(c, "cancel", fmt.Sprintf("key %q (%t)", key, ok), err)
	if err != nil {
		return nil, err
	}
	return map[string]bool{"cancelled": ok}, nil
}

func (a *actions) postReload(c *fiber.Ctx) (any, error) {
	if a.reloader == nil {
		return nil, refuseWith(http.StatusNotFound, textNoReload)
	}
	if len(c.Request().Body()) > 0 {
		if err := readBody(c, nil); err != nil {
			return nil, err
		}
	}
	return a.reload(c)
}

func (a *actions) reload(c *fiber.Ctx) (ReloadReport, error) {
	ctx, cancel := context.WithTimeout(context.Background(), reloadTimeout)
	defer cancel()
	r, err := a.reloader.Reload(ctx)
	a.note(c, "reload", fmt.Sprintf("%d keys changed, %d need a restart", len(r.Changed), len(r.NeedRestart)), err)
	if err == nil {
		return ReloadReport{append([]string{}, r.Changed...), append([]string{}, r.NeedRestart...)}, nil
	}
	if e := asAdminError(err); e.status != http.StatusInternalServerError {
		return r, e
	}
	return r, &adminError{status: http.StatusConflict, text: adminText(err)}
}

// note logs what somebody has had done.
func (a *actions) note(c *fiber.Ctx, action, what string, err error) {
	if a.log == nil {
		return
	}
	attrs := []slog.Attr{
		slog.String("action", action), slog.String("what", loggable(what)), slog.String("remote", c.Context().RemoteAddr().String()),
	}
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", loggable(err.Error())))
	}
	a.log.LogAttrs(context.Background(), level, "admin action", attrs...)
}

// boundBody looks at a message before its body is read. Only what is posted may have one, and as with the public
// application nothing that comes after a body is taken for another message.
func boundBody(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	config := distrustBody(h)
	if h.IsPost() {
		config.MaxRequestBodySize = adminMaxBody
	}
	return config
}
