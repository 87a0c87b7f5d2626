package handler

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"imgopt/failure"
)

// Reasons of answers that are not failures, for logs and metrics.
const (
	reasonOK          = "ok"
	reasonNotModified = "not_modified"
	reasonRedirect    = "redirect"
)

var (
	errNotFound = failure.New(http.StatusNotFound, "not_found", "Not Found")
	errDisabled = failure.New(http.StatusNotFound, "disabled", "Not Found")
	errMethod   = failure.New(http.StatusMethodNotAllowed, "method_not_allowed", "Method Not Allowed")
	errBody     = failure.New(http.StatusRequestEntityTooLarge, "request_body", "Request Entity Too Large")
	// Node's parser answers these itself, without a text.
	errBadRequest = failure.New(http.StatusBadRequest, "bad_request", "")
)

// Refusals for want of room, each answered at once and worth another try.
var (
	errTooManyWaiting = unavailable("too_many_waiting")
	errResponseMemory = unavailable("response_memory")
)

func unavailable(reason string) *failure.Error {
	return &failure.Error{Status: http.StatusServiceUnavailable, Reason: reason, Text: "Service Unavailable", Retryable: true, RetryAfter: time.Second}
}

// respond answers one request and says in a what it did.
func (h *public) respond(ctx *fasthttp.RequestCtx, a *answer) {
	defer func() {
		if p := recover(); p != nil {
			if a.conn != nil {
				a.conn.sendNothing()
			}
			ctx.Response.Reset()
			a.Outcome = Outcome{}
			h.fail(ctx, a, failure.Wrap(http.StatusInternalServerError, "panic", "Internal Server Error", &panicError{p, debug.Stack()}))
		}
	}()
	header := &ctx.Request.Header
	if err := checkMessage(ctx, a.conn); err != nil {
		h.fail(ctx, a, err)
		return
	}
	target := header.RequestURI()
	path, query, fragment := splitTarget(target)
	// A comparison of strings does not copy.
	if string(path) != h.endpoint || len(fragment) > 0 {
		if !isForm(target) || !isTarget(string(target)) {
			h.fail(ctx, a, errBadRequest)
			return
		}
		switch kind := h.classify(string(path)); kind {
		case routeNone:
			h.fail(ctx, a, errNotFound)
			return
		case routeSlash, routeRepeated:
			h.redirect(ctx, a, h.location(kind, string(path), string(query), string(fragment)))
			return
		}
	}
	if h.disabled {
		h.fail(ctx, a, errDisabled)
		return
	}
	if !ctx.IsGet() && !ctx.IsHead() {
		h.fail(ctx, a, errMethod)
		return
	}
	a.routed = true
	p, err := h.params.check(query, joined(header, headerAccept))
	if err != nil {
		h.fail(ctx, a, err)
		return
	}
	a.byCookie = h.askedBy(header, &p)
	a.params = p
	r, ok := h.images.Lookup(p)
	if !ok {
		if h.opener != nil && h.succeedFromFile(ctx, a) {
			return
		}
		if r, err = h.get(h.recorded(ctx, a), a.conn, keep(p)); err != nil {
			h.fail(ctx, a, err)
			return
		}
	}
	if err := h.succeed(ctx, a, &r); err != nil {
		h.fail(ctx, a, err)
	}
}

// panicError is a bug in a room that was asked for an image. It costs one request, not the process.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprint("panic: ", e.value) }

// redirect answers 308 as next/dist/server/lib/router-server.js does.
func (h *public) redirect(ctx *fasthttp.RequestCtx, a *answer, location string) {
	ctx.SetStatusCode(http.StatusPermanentRedirect)
	ctx.Response.Header.Set("Location", location)
	ctx.Response.Header.Set("Refresh", "0;url="+location)
	a.Status, a.Reason, a.Bytes = http.StatusPermanentRedirect, reasonRedirect, len(location)
	h.writeText(ctx, location)
}

// fail answers a failure. Next sends nothing but the text with its own: no Content-Type, no caching headers.
func (h *public) fail(ctx *fasthttp.RequestCtx, a *answer, err error) {
	f := failure.From(err)
	header := &ctx.Response.Header
	ctx.SetStatusCode(f.Status)
	switch f {
	case errMethod:
		header.Set("Allow", "GET, HEAD")
	case errNotFound, errDisabled:
		// The plain 404 that Next has for images and other subresources (router-server.js).
		header.Set("Cache-Control", "private, no-cache, no-store, max-age=0, must-revalidate")
		header.SetContentType("text/plain; charset=utf-8")
	case errBody, errBadRequest:
		hangUp(ctx)
	case errClientGone:
		ctx.SetConnectionClose()
		a.conn.mute = true
	}
	if a.byCookie {
		header.SetCanonical(nameVary, varyCookie)
	}
	if f.RetryAfter > 0 && f.Status == http.StatusServiceUnavailable {
		// Beside other statuses it means nothing (RFC 9110, section 10.2.3), and Next does not send it.
		header.Set("Retry-After", strconv.FormatInt(int64((f.RetryAfter+time.Second-1)/time.Second), 10))
	}
	a.Status, a.Reason, a.Bytes, a.err = f.Status, f.Reason, len(f.Text), err
	h.writeText(ctx, f.Text)
}

// writeText writes a body the way Next does behind its compression: chunked to whoever understands that, without a
// Content-Length, also in the answer to HEAD. Without compression Node knows the length when it writes the headers.
func (h *public) writeText(ctx *fasthttp.RequestCtx, text string) {
	switch {
	case ctx.IsHead():
		ctx.Response.SkipBody = true
	case ctx.Request.Header.IsHTTP11() && h.compress:
		ctx.Response.SetBodyStream(strings.NewReader(text), -1)
	default:
		ctx.Response.SetBodyString(text)
	}
}

var (
	headerAccept          = "Accept"
	headerAcceptEncoding  = "Accept-Encoding"
	headerIfNoneMatch     = "If-None-Match"
	headerIfModifiedSince = "If-Modified-Since"
	headerCacheControl    = "Cache-Control"
)

// joined returns a header's value, trimmed. Of several with the name it is all of them, as Node joins them.
func joined(h *fasthttp.RequestHeader, name string) []byte {
	values := h.PeekAll(name)
	switch len(values) {
	case 0:
		return nil
	case 1:
		return trimOWS(values[0])
	}
	var all []byte
	for i, v := range values {
		if i > 0 {
			all = append(all, ", "...)
		}
		all = append(all, trimOWS(v)...)
	}
	return all
}

// trimOWS trims spaces and tabs, of which fasthttp leaves some.
func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
