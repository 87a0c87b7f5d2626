package handler

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/attribute"
)

const (
	headerTraceparent = "Traceparent"
	headerTracestate  = "Tracestate"
)

// recorded returns the context of the work for a request. If the request is recorded its span is in there, and begins
// with the request, not now: until work is needed none is made, so that what is not recorded costs nothing.
func (h *public) recorded(ctx *fasthttp.RequestCtx, a *answer) context.Context {
	if !a.trace.Sampled() {
		return h.context
	}
	work, span := h.tracer.Server(h.context, a.trace, h.spanName(ctx, a), ctx.Time())
	a.span = span
	return work
}

// methods are those that spans are named after; any other is a client's own word
// (https://opentelemetry.io/docs/specs/semconv/http/http-spans/).
var methods = map[string]bool{
	http.MethodGet: true, http.MethodHead: true, http.MethodPost: true, http.MethodPut: true, http.MethodPatch: true,
	http.MethodDelete: true, http.MethodConnect: true, http.MethodOptions: true, http.MethodTrace: true,
}

func (h *public) spanName(ctx *fasthttp.RequestCtx, a *answer) string {
	method := string(ctx.Method())
	switch {
	case !methods[method]:
		return "HTTP"
	case a.routed:
		return method + " " + h.endpoint
	default:
		return method
	}
}

// recordRequest ends the span of a request that is recorded. There is nothing in it about the visitor: neither address
// nor browser, as in the log.
func (h *public) recordRequest(ctx *fasthttp.RequestCtx, a *answer) {
	if !a.span.Recording() {
		_, a.span = h.tracer.Server(h.context, a.trace, h.spanName(ctx, a), ctx.Time())
	}
	defer a.span.End()
	method := string(ctx.Method())
	if !methods[method] {
		a.span.Set(attribute.String("http.request.method_original", loggable(method)))
		method = "_OTHER"
	}
	version := "1.0"
	if ctx.Request.Header.IsHTTP11() {
		version = "1.1"
	}
	path, query, _ := splitTarget(ctx.Request.Header.RequestURI())
	attrs := make([]attribute.KeyValue, 0, 20)
	attrs = append(attrs,
		attribute.String("http.request.method", method),
		attribute.String("network.protocol.version", version),
		attribute.String("url.scheme", "http"),
		attribute.String("url.path", loggable(string(path))),
		attribute.Int("http.response.body.size", a.Bytes),
		attribute.String("imgopt.reason", a.Reason))
	if host, port := splitHost(string(ctx.Host())); host != "" {
		attrs = append(attrs, attribute.String("server.address", host))
		if port > 0 {
			attrs = append(attrs, attribute.Int("server.port", port))
		}
	}
	if a.routed {
		attrs = append(attrs, attribute.String("http.route", h.endpoint))
	}
	if p := a.params; p.Href != "" {
		href := loggable(p.Href)
		attrs = append(attrs,
			// As it was asked, but for the secrets in the url, which cannot be found in there while it is encoded.
			attribute.String("url.query", "url="+url.QueryEscape(href)+"&w="+strconv.Itoa(p.Width)+"&q="+strconv.Itoa(p.Quality)),
			attribute.String("imgopt.href", href),
			attribute.Int("imgopt.width", p.Width),
			attribute.Int("imgopt.quality", p.Quality),
			attribute.String("imgopt.format", loggable(p.Format)))
	} else if u := askedURL(string(query)); u != "" {
		attrs = append(attrs, attribute.String("imgopt.href", loggable(u)))
	}
	if a.State != "" {
		attrs = append(attrs, attribute.String("imgopt.cache", strings.ToLower(string(a.State))), attribute.Bool("imgopt.coalesced", a.Coalesced))
	}
	if a.Status != statusClientGone { // which nobody gets to see
		attrs = append(attrs, attribute.Int("http.response.status_code", a.Status))
	}
	a.span.Set(attrs...)
	if a.Status >= http.StatusInternalServerError {
		a.span.Fail(a.Reason)
	}
}

// splitHost takes a Host header apart. What is none is "".
func splitHost(s string) (host string, port int) {
	host = s
	if h, p, err := net.SplitHostPort(s); err == nil {
		host = h
		port, _ = strconv.Atoi(p)
	}
	return loggable(strings.Trim(host, "[]")), port
}

// traceID returns the id of the trace that a request belongs to, or "".
func (a *answer) traceID() string {
	if a.span.Recording() {
		return a.span.Link().TraceID()
	}
	return a.trace.TraceID()
}
