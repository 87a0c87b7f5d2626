package prewarm

import (
	"bytes"
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

// userAgent names this program to servers and to robots.txt.
const userAgent = "imgopt-prewarm"

// maxPageRedirects is how many redirects of a page are followed.
const maxPageRedirects = 5

// web gets documents: pages, sitemaps, robots.txt.
type web struct {
	client   *http.Client
	header   http.Header
	limiter  *rate.Limiter
	attempts int
	timeout  time.Duration
}

// transport is a pool of connections of its own for at most n requests at once.
func transport(n int) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost = n, n
	return t
}

// newLimiter limits events a second; 0 does not limit.
func newLimiter(perSecond float64) *rate.Limiter {
	if perSecond == 0 {
		return rate.NewLimiter(rate.Inf, 1)
	}
	return rate.NewLimiter(rate.Limit(perSecond), 1)
}

func newWeb(o Options) *web {
	w := &web{header: o.header(), limiter: newLimiter(o.PageRate), attempts: o.Attempts, timeout: o.Timeout}
	w.client = &http.Client{Transport: transport(maxPagesAtOnce), CheckRedirect: w.redirect}
	return w
}

func (w *web) close() { w.client.CloseIdleConnections() }

// withinKey is the context key of the origin that redirects must not leave.
type withinKey struct{}

// errRedirect is a redirect that is not followed.
var errRedirect = errors.New("redirects")

// redirect decides whether a redirect is followed. The headers of the command line are meant for the site: they do not
// follow to another origin.
func (w *web) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxPageRedirects {
		return fmt.Errorf("%w more than %d times", errRedirect, maxPageRedirects)
	}
	if within, _ := req.Context().Value(withinKey{}).(string); within != "" && siteOf(req.URL) != within {
		return fmt.Errorf("%w to another origin: %s", errRedirect, siteOf(req.URL))
	}
	if siteOf(req.URL) != siteOf(via[0].URL) {
		for name := range w.header {
			req.Header.Del(name)
		}
		req.Host = ""
	}
	return nil
}

// siteOf is the origin of a url, with its port only if it is not the scheme's.
func siteOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return u.Scheme + "://" + host
}

// document is an answer that was read completely, or up to the limit.
type document struct {
	url       *url.URL // after redirects
	mediaType string   // without parameters
	body      []byte   // empty if the type is not a wanted one
}

// asking is what get asks for.
type asking struct {
	url string
	// within is the origin that redirects must not leave; "" lets them.
	within string
	accept string
	limit  int64
	// wanted says whether a body of a type is read; nil reads all.
	wanted func(mediaType string) bool
}

// get gets a document with a body of at most a.limit bytes, after as many attempts as are allowed.
func (w *web) get(ctx context.Context, a asking) (*document, *Failure) {
	var doc *document
	_, failure := attempts(ctx, w.attempts, nil, func(ctx context.Context) (f *Failure) {
		if err := w.limiter.Wait(ctx); err != nil {
			return &Failure{Reason: ReasonPage, Detail: err.Error()}
		}
		doc, f = w.once(ctx, a)
		return f
	})
	return doc, failure
}

func (w *web) once(ctx context.Context, a asking) (*document, *Failure) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, withinKey{}, a.within), w.timeout)
	defer cancel()
	resp, failure := w.do(ctx, http.MethodGet, a.url, a.accept)
	if failure != nil {
		return nil, failure
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, statusFailure(resp, "", time.Now())
	}
	doc := &document{url: resp.Request.URL}
	doc.mediaType, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if a.wanted != nil && !a.wanted(doc.mediaType) {
		return doc, nil
	}
	var body bytes.Buffer
	if _, err := io.Copy(&body, io.LimitReader(resp.Body, a.limit)); err != nil {
		return nil, connectionFailure(err, ReasonBroken)
	}
	doc.body = body.Bytes()
	return doc, nil
}

// do sends one request with the headers of the command line.
func (w *web) do(ctx context.Context, method, url, accept string) (*http.Response, *Failure) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, &Failure{Reason: ReasonPage, Detail: "not a url: " + reasonOf(err)}
	}
	setHeaders(req, w.header)
	req.Header.Set("Accept", accept)
	resp, err := w.client.Do(req)
	switch {
	case errors.Is(err, errRedirect):
		return nil, &Failure{Reason: ReasonRedirect, Detail: reasonOfRequest(err)}
	case err != nil:
		return nil, connectionFailure(err, ReasonBroken)
	}
	return resp, nil
}

// setHeaders sets the headers of the command line and this program's name, if they name no other.
func setHeaders(req *http.Request, header http.Header) {
	for name, values := range header {
		req.Header[name] = values
		if name == "Host" {
			req.Host = values[0]
		}
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", userAgent)
	}
}

// reasonOfRequest is the text of an error of net/http without method and url.
func reasonOfRequest(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return oneLine(err.Error())
}
