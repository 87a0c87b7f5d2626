package handler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"imgopt/cache"
	"imgopt/tracing"
	"imgopt/validate"
)

// Rules decides what a request asks for. *validate.Rules implements it.
type Rules interface {
	// Check returns what the raw query and the Accept header ask for, or a *failure.Error. The result may share
	// memory with the arguments.
	Check(rawQuery, accept string) (validate.Params, error)
}

// Images makes or finds the variants. It is asked by many goroutines at once.
type Images interface {
	// Lookup answers from memory at once or reports false: it neither waits nor allocates. A stale entry is an
	// answer, too; that it is revalidated is the implementation's business.
	Lookup(p validate.Params) (Result, bool)
	// Get answers by whatever means. Its errors are answered as failure.From says. ctx ends with the request's time
	// budget, and when its client leaves: Get must then return soon, and work that nobody else waits for is best left
	// undone.
	Get(ctx context.Context, p validate.Params) (Result, error)
}

// Opener is what Images may be in addition: who can answer from a file.
type Opener interface {
	// Open returns a fresh variant that is in a file and not in memory, or nil: then Get is asked. It may wait for a
	// disk, not for a network. The caller closes what it gets.
	Open(p validate.Params) *cache.Opened
}

// Result is a variant and how it came about.
type Result struct {
	Entry *cache.Entry
	State cache.State
	// Coalesced says that the work was, or is being, done for another request.
	Coalesced bool
	// Timing is where the time went, for Options.ServerTiming. Nil for what was in memory, and where it is not known.
	Timing *Timing
}

// Observer is told about every request of the public application, for metrics. *metrics.Metrics implements it.
type Observer interface {
	RequestStarted()
	RequestDone(Outcome)
}

// Outcome is one answered request.
type Outcome struct {
	// Status is the answer's; 499 when the client left before there was one.
	Status int
	// Reason is failure.Error's for a failure, "not_modified" or "redirect" for a 3xx, ReasonClientGone with 499, and
	// "ok" otherwise.
	Reason string
	// State is the cache state of an answered image; "" for any other answer.
	State cache.State
	// Coalesced is Result's.
	Coalesced bool
	// Bytes is the size of the body, 0 for HEAD and 304.
	Bytes int
	// Duration is the time from the end of the request's header to the beginning of the answer.
	Duration time.Duration
}

// Options configures the public application. The zero value of a limit is its default.
type Options struct {
	// BasePath is basePath of next.config.js: "" or a path that begins with a slash and does not end with one.
	BasePath string
	// TrailingSlash and SkipTrailingSlashRedirect are those of next.config.js. The spelling of the endpoint that the
	// first does not ask for is redirected with 308, or served when the second is set.
	TrailingSlash, SkipTrailingSlashRedirect bool
	// Disabled answers 404 on the endpoint, as Next does with images.unoptimized or a loader of one's own.
	Disabled bool
	// NoCompress is compress: false of next.config.js. Next compresses the answers that are text (SVG, BMP, ICO).
	NoCompress bool
	// ContentSecurityPolicy is images.contentSecurityPolicy, sent as it is.
	ContentSecurityPolicy string
	// ContentDispositionType is images.contentDispositionType: attachment or inline.
	ContentDispositionType string

	// Timeout is the budget of one request that is not answered from memory. Default 30 s.
	Timeout time.Duration
	// HeaderTimeout is the time a client has to send a request once it has begun. Default 10 s.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a kept-alive connection may rest between requests. Default 75 s.
	IdleTimeout time.Duration
	// MaxHeaderBytes is the limit of a request's line and headers together; above it the answer is 431. Default and
	// minimum 32 KiB, for which the longest legal url (3,072 characters, percent-encoded) leaves 22 KiB.
	MaxHeaderBytes int
	// MaxConns is how many connections are served at once; more get a 503. Default 16,384.
	MaxConns int
	// MaxWaiting is how many requests may wait for work at once; the next one that is not answered from memory gets
	// 503 at once, with Retry-After. It keeps connections free for what takes no work. Default three quarters of
	// MaxConns.
	MaxWaiting int
	// Cached, when set, is asked for what would be refused because MaxWaiting requests wait: it answers from any tier
	// of the cache, fresh or stale, without having work done, or reports false. Its ctx ends after 25 ms.
	Cached func(ctx context.Context, p validate.Params) (Result, bool)
	// ResponseMemory is how many bytes the bodies that are being sent may take, those of 64 KiB and more, each counted
	// once however many clients it is sent to: a client that reads slowly keeps an image in memory even after the cache
	// has dropped it. (What is sent from a file takes none; the files are counted, too.) A body that does not fit gets 503
	// with Retry-After, but one is always allowed. Above half of it slow readers are cut off sooner: see
	// ListenOptions.PressureTimeout. 0: no limit.
	ResponseMemory int64

	// DeploymentCookie is the name of the cookie with the version of the application that asks, for relative urls that do
	// not tell it; "" is none. Rules have to look for it in urls as well (validate.Options.Deployments). Answers that the
	// cookie may decide about have it in Vary.
	DeploymentCookie string

	// ServerTiming says who is told where the time of a request went. Default TimingNever.
	ServerTiming ServerTiming
	// ServerTimingToken is what a client sends as X-Imgopt-Timing to be told, with TimingOnRequest: 8 bytes at least.
	ServerTimingToken string

	// Log, when set, gets one line per request at level info and the causes of failures. Nil turns it off.
	Log *slog.Logger
	// Tracer, when set, decides which requests are recorded as spans.
	Tracer *tracing.Tracer
	// Observer, when set, is told about every request.
	Observer Observer
	// Load, when set, shows what the application has on its hands. It belongs to this application alone.
	Load *Load
	// Draining, when set, reports that the service is about to stop (Readiness.Draining): every answer then closes its
	// connection, so that clients and proxies have moved elsewhere before the listener is closed.
	Draining func() bool
	// Context is the parent of every request's: cancelled only when waiting for work has to end. Default Background.
	Context context.Context
}

const (
	defaultTimeout       = 30 * time.Second
	defaultHeaderTimeout = 10 * time.Second
	defaultIdleTimeout   = 75 * time.Second
	minHeaderBytes       = 32 << 10
	defaultMaxConns      = 16 << 10
	// maxBody is the largest request body that is read, so that it can be refused. 0 would be Fiber's 4 MiB.
	maxBody = 1
)

// settings are what answers depend on beside the entry. They never change.
type settings struct {
	endpoint    string // the spelling that is served
	plain       string // the endpoint without its trailing slash
	bothForms   bool
	disabled    bool
	compress    bool
	csp         []byte
	disposition string
}

// public is the public application's handler.
type public struct {
	*settings
	images   Images
	opener   Opener // images, or nil if they are none
	params   *memo
	timeout  time.Duration
	log      *slog.Logger
	observer Observer
	context  context.Context
	load     *Load
	draining func() bool
	tracer   *tracing.Tracer // nil: no request is recorded

	timing      ServerTiming
	timingToken []byte

	deploymentCookie string

	maxWaiting int64
	cached     func(context.Context, validate.Params) (Result, bool)
}

// New returns the public application. Serve it with (*fiber.App).Listener on a listener made by Wrap, and stop it
// with ShutdownWithContext: it stops accepting, closes idle connections, tells the others to close with their next
// answer and waits for them. Connections that were opened and never used are closed once they are 5 s old.
func New(images Images, rules Rules, o Options) (*fiber.App, error) {
	if images == nil || rules == nil {
		return nil, errors.New("handler: images and rules are required")
	}
	s, err := newSettings(o)
	if err != nil {
		return nil, err
	}
	if err := checkTiming(o.ServerTiming, o.ServerTimingToken); err != nil {
		return nil, err
	}
	if o.Context == nil {
		o.Context = context.Background()
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Load == nil {
		o.Load = &Load{}
	}
	if o.Draining == nil {
		o.Draining = func() bool { return false }
	}
	if o.MaxWaiting < 0 || o.ResponseMemory < 0 {
		return nil, fmt.Errorf("handler: MaxWaiting %d and ResponseMemory %d must not be negative", o.MaxWaiting, o.ResponseMemory)
	}
	o.Load.limit.Store(o.ResponseMemory)
	maxConns := orDefault(o.MaxConns, defaultMaxConns)
	h := &public{
		settings: s,
		images:   images,
		params:   newMemo(rules),
		timeout:  orDefault(o.Timeout, defaultTimeout),
		log:      o.Log,
		observer: o.Observer,
		context:  o.Context,
		load:     o.Load,
		draining: o.Draining,
		tracer:   o.Tracer,

		deploymentCookie: o.DeploymentCookie,

		timing:      o.ServerTiming,
		timingToken: []byte(o.ServerTimingToken),

		maxWaiting: int64(orDefault(o.MaxWaiting, max(maxConns*3/4, 1))),
		cached:     o.Cached,
	}
	h.opener, _ = images.(Opener)
	return newApp(appOptions{
		serve:         h.serve,
		headerTimeout: orDefault(o.HeaderTimeout, defaultHeaderTimeout),
		idleTimeout:   orDefault(o.IdleTimeout, defaultIdleTimeout),
		maxHeader:     max(o.MaxHeaderBytes, minHeaderBytes),
		maxConns:      maxConns,
		load:          o.Load,
		refused:       h.refused,
	}), nil
}

func newSettings(o Options) (*settings, error) {
	if p := o.BasePath; p != "" && (p[0] != '/' || strings.HasSuffix(p, "/")) {
		return nil, fmt.Errorf("handler: basePath %q: want nothing, or a path that begins with a slash and does not end with one", p)
	}
	switch o.ContentDispositionType {
	case "attachment", "inline":
	default:
		return nil, fmt.Errorf("handler: contentDispositionType %q: want attachment or inline", o.ContentDispositionType)
	}
	if i := strings.IndexFunc(o.ContentSecurityPolicy, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
		return nil, fmt.Errorf("handler: contentSecurityPolicy %q: want printable ASCII only", o.ContentSecurityPolicy)
	}
	s := &settings{
		plain:       o.BasePath + "/_next/image",
		bothForms:   o.SkipTrailingSlashRedirect,
		disabled:    o.Disabled,
		compress:    !o.NoCompress,
		csp:         []byte(o.ContentSecurityPolicy),
		disposition: o.ContentDispositionType,
	}
	s.endpoint = s.plain
	if o.TrailingSlash {
		s.endpoint += "/"
	}
	return s, nil
}

// serve answers one request.
func (h *public) serve(ctx *fasthttp.RequestCtx) {
	h.observer.RequestStarted()
	a := answer{}
	a.conn, _ = ctx.Conn().(*conn)
	if h.tracer != nil {
		a.trace = h.tracer.Accept(ctx.Request.Header.Peek(headerTraceparent), ctx.Request.Header.Peek(headerTracestate))
	}
	h.respond(ctx, &a)
	if h.draining() {
		ctx.SetConnectionClose()
	}
	a.Duration = time.Since(ctx.Time())
	if ctx.IsHead() {
		a.Bytes = 0
	}
	h.observer.RequestDone(a.Outcome)
	if a.trace.Sampled() {
		h.recordRequest(ctx, &a)
	}
	if h.log != nil {
		h.logRequest(ctx, &a)
	}
}

// refused counts and logs a message that could not be read.
func (h *public) refused(ctx *fasthttp.RequestCtx, status int) {
	reasons := map[int]string{
		fasthttp.StatusRequestTimeout:              "request_timeout",
		fasthttp.StatusRequestEntityTooLarge:       errBody.Reason,
		fasthttp.StatusRequestHeaderFieldsTooLarge: "request_header_too_large",
	}
	o := Outcome{Status: status, Reason: orDefault(reasons[status], errBadRequest.Reason)}
	h.observer.RequestStarted()
	h.observer.RequestDone(o)
	if h.log != nil {
		h.log.LogAttrs(h.context, slog.LevelInfo, "request refused",
			slog.Int("status", status), slog.String("reason", o.Reason), slog.String("remote", ctx.RemoteAddr().String()))
	}
}

// answer is what became of a request, for metrics and the log.
type answer struct {
	Outcome
	conn   *conn           // nil when there is none, or one that Wrap did not make
	params validate.Params // zero when validation failed
	err    error
	// byCookie says that a cookie decides, or could have decided, which version of the application the image is from.
	byCookie bool
	routed   bool // it asked for the endpoint
	trace    tracing.Incoming
	span     tracing.Span // none until it is needed, or if the request is not recorded
}

func orDefault[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// nobody observes.
type nobody struct{}

func (nobody) RequestStarted()     {}
func (nobody) RequestDone(Outcome) {}
