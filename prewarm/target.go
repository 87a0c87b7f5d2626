package prewarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Target is a Warmer that asks a server, as browsers do: imgopt, Next.js itself, or any other with this endpoint.
type Target struct {
	client   *http.Client
	base     string // scheme, host and endpoint
	user     *url.Userinfo
	header   http.Header
	limiter  *rate.Limiter
	attempts int
	timeout  time.Duration
	// waiting is told of every pause before another attempt, by any goroutine; nil is nobody.
	waiting func(pause time.Duration, because *Failure)
}

// maxErrorText is how much of an error answer is shown.
const maxErrorText = 200

// NewTarget prepares the requests to o.Target, which has to be there. Call Close at the end.
func NewTarget(site *Site, o Options) (*Target, error) {
	u, err := url.Parse(o.Target)
	if err != nil || u.Host == "" {
		return nil, OptionErrors{{Flag: "target", Value: quote(redacted(o.Target)), Problem: "must be a url with http:// or https://"}}
	}
	t := &Target{
		base:     u.Scheme + "://" + u.Host + site.Endpoint(),
		user:     u.User,
		header:   o.header(),
		limiter:  newLimiter(o.Rate),
		attempts: o.Attempts,
		timeout:  o.Timeout,
	}
	connections := transport(o.Concurrency)
	connections.DisableCompression = true // an image is measured as it is sent
	t.client = &http.Client{
		Transport: connections,
		// The endpoint redirects only if it is asked in a form that pages do not use.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return t, nil
}

// Close closes the connections.
func (t *Target) Close() { t.client.CloseIdleConnections() }

// tellPauses says who is told of pauses. It is called before anything is asked for.
func (t *Target) tellPauses(told func(time.Duration, *Failure)) { t.waiting = told }

// Warm asks for one variant after the other.
func (t *Target) Warm(ctx context.Context, variants []Variant, done func(Variant, Result)) {
	for _, v := range variants {
		done(v, t.ask(ctx, http.MethodGet, v))
	}
}

// Verify asks for a variant with HEAD, and is content with HIT and STALE: a server that keeps nothing fresh answers the
// latter for ever. From a server that does not tell, any good answer has to do.
func (t *Target) Verify(ctx context.Context, v Variant) Result {
	r := t.ask(ctx, http.MethodHead, v)
	var f *Failure
	if errors.As(r.Err, &f) && (f.Status == http.StatusMethodNotAllowed || f.Status == http.StatusNotImplemented) {
		r = t.ask(ctx, http.MethodGet, v) // a proxy that lets no HEAD through
	}
	if r.Err == nil && r.State == Made {
		r.Err = &Failure{Reason: ReasonNotKept, Attempts: r.Attempts, Detail: "answered, but not kept: it had to be made again"}
	}
	return r
}

// ask makes as many attempts as allowed.
func (t *Target) ask(ctx context.Context, method string, v Variant) (r Result) {
	made, failure := attempts(ctx, t.attempts, t.waiting, func(ctx context.Context) (f *Failure) {
		if err := t.limiter.Wait(ctx); err != nil {
			return &Failure{Reason: ReasonTimeout, Detail: err.Error()}
		}
		r, f = t.once(ctx, method, v)
		return f
	})
	r.Attempts = made
	switch {
	case failure != nil && ctx.Err() != nil:
		r.Err = ctx.Err() // what failed, failed because of that
	case failure != nil:
		r.Err = failure
	}
	return r
}

func (t *Target) once(ctx context.Context, method string, v Variant) (r Result, f *Failure) {
	began := time.Now()
	defer func() { r.Elapsed = time.Since(began) }()
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, t.base+"?"+v.Query, nil)
	if err != nil {
		return r, &Failure{Reason: ReasonStatus, Detail: "not a url: " + reasonOf(err)}
	}
	req.URL.User = t.user
	setHeaders(req, t.header)
	req.Header.Set("Accept", v.Accept)
	resp, err := t.client.Do(req)
	if err != nil {
		return r, connectionFailure(err, ReasonBroken)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return r, refusal(resp)
	}
	r.State = stateOf(resp.Header.Get("X-Nextjs-Cache"))
	r.Type, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if !strings.HasPrefix(r.Type, "image/") {
		return r, &Failure{Reason: ReasonNotAnImage, Status: resp.StatusCode, Detail: "its type is " + quote(r.Type)}
	}
	if method == http.MethodHead {
		r.Bytes = max(0, resp.ContentLength)
		return r, nil
	}
	if r.Bytes, err = io.Copy(io.Discard, resp.Body); err != nil {
		return r, connectionFailure(err, ReasonBroken)
	}
	if r.Bytes == 0 {
		return r, &Failure{Reason: ReasonEmpty, Status: resp.StatusCode, Detail: "no body"}
	}
	return r, nil
}

// refusal is the failure of an answer that is no image, with the beginning of its text.
func refusal(resp *http.Response) *Failure {
	if location := resp.Header.Get("Location"); resp.StatusCode >= 300 && resp.StatusCode < 400 && location != "" {
		return &Failure{Reason: ReasonRedirect, Status: resp.StatusCode,
			Detail: fmt.Sprintf("redirects to %s; does trailingSlash or basePath differ?", shorten(oneLine(location), maxErrorText))}
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4*maxErrorText)) // what can be had of it; it is only shown
	detail := strings.TrimSpace(oneLine(strings.ToValidUTF8(string(text), "\uFFFD")))
	if mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mediaType == "text/html" {
		detail = "" // a page for people
	}
	return statusFailure(resp, shorten(detail, maxErrorText), time.Now())
}

func stateOf(header string) State {
	switch s := State(header); s {
	case Made, Kept, Stale:
		return s
	}
	return Unknown
}
