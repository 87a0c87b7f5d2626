package fetch

import (
	"net/http"
	"net/http/httptrace"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"imgopt/failure"
	"imgopt/tracing"
)

// endFetch ends the span of a fetch: all its redirects, or all origins that were asked.
func endFetch(s tracing.Span, r Request, src *Source, err error) {
	if !s.Recording() {
		return
	}
	s.Set(attribute.String("imgopt.href", r.Href))
	if err != nil {
		f := failure.From(err)
		s.Set(attribute.Bool("imgopt.retryable", f.Retryable))
		s.Fail(f.Reason)
	} else {
		s.Set(attribute.Int("imgopt.source.size", len(src.Body)), attribute.Bool("imgopt.source.not_modified", src.NotModified))
	}
	s.End()
}

// startSpan begins the span of one request, by OpenTelemetry's conventions for clients
// (https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client). header is what will be sent.
func (h *hop) startSpan(t *target, header http.Header, toOrigin bool) {
	h.limited, h.span = tracing.Start(h.limited, http.MethodGet, trace.WithSpanKind(trace.SpanKindClient))
	if !h.span.Recording() {
		return
	}
	h.span.Set(
		attribute.String("http.request.method", http.MethodGet),
		attribute.String("url.full", t.url.Scheme+"://"+t.url.Host+t.url.RequestURI()),
		attribute.String("server.address", t.url.Hostname()))
	if port, err := strconv.Atoi(t.url.Port()); err == nil {
		h.span.Set(attribute.Int("server.port", port))
	}
	if toOrigin && h.client.propagate {
		header.Set("Traceparent", h.span.Link().Parent)
	}
}

// connectedTo notes when there is a connection for the request: looking up the name, connecting and TLS come before it.
func (h *hop) connectedTo(info httptrace.GotConnInfo) {
	if h.span.Recording() {
		h.span.Event("connected", attribute.Bool("reused", info.Reused))
	}
}

// answered notes the status, here and for the fetch as a whole, whose last one it may be.
func (h *hop) answered(resp *http.Response) {
	if !h.span.Recording() {
		return
	}
	status := attribute.Int("http.response.status_code", resp.StatusCode)
	h.span.Set(status, attribute.String("network.protocol.version", strconv.Itoa(resp.ProtoMajor)+"."+strconv.Itoa(resp.ProtoMinor)))
	tracing.Of(h.caller).Set(status)
	if resp.StatusCode >= http.StatusBadRequest {
		h.span.Fail(strconv.Itoa(resp.StatusCode))
	}
}
