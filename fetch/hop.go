package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"imgopt/failure"
	"imgopt/tracing"
)

// hop is one request and its answer, with the time limit for both.
type hop struct {
	client  *Client
	caller  context.Context // without the limit
	limited context.Context // with it
	cancel  context.CancelCauseFunc
	limit   *stopwatch
	wording wording

	pass    *pass   // of the circuit breaker; nil if nothing was asked
	verdict verdict // on the host
	trouble *failure.Error

	connected bool
	spoke     atomic.Bool // something arrived, whatever it was

	span tracing.Span // of the request
}

// newHop starts the clock. end must be called.
func (c *Client) newHop(ctx context.Context, w wording) *hop {
	h := &hop{client: c, caller: ctx, wording: w}
	h.limited, h.cancel = context.WithCancelCause(ctx)
	h.limit = startStopwatch(c.timeout, func() { h.cancel(errHopTimeout) })
	return h
}

// end ends the hop and tells the circuit breaker how it went.
func (h *hop) end() {
	h.limit.end()
	h.cancel(nil)
	h.span.End()
	if h.pass != nil {
		h.client.breaker.leave(h.pass, h.verdict, h.trouble)
	}
}

// failure judges an error of the network.
func (h *hop) failure(err error) *failure.Error {
	f := transportFailure(h.caller, h.limited, h.wording, err)
	h.span.Fail(f.Reason)
	if h.caller.Err() != nil || errors.Is(err, errClosed) {
		h.verdict = undecided
	} else if f.Timeout || h.verdict != answered && f.Retryable && h.hungUp(err) {
		h.verdict, h.trouble = dead, f
	}
	return f
}

// hungUp reports whether err, which came before an answer, means that nobody is there to answer. An answer that makes
// no sense, or a handshake that fails, is no sign of that.
func (h *hop) hungUp(err error) bool {
	return isHostFault(err) || h.connected && !h.spoke.Load()
}

// get sends a request for t. conditional says whether a validator of r was sent along.
func (h *hop) get(pool *http.Transport, t *target, header http.Header, r Request) (resp *http.Response, conditional bool, err error) {
	origin := originOf(t.url.Scheme, t.url.Host)
	header = header.Clone()
	if t.authorization != "" {
		header.Set("Authorization", t.authorization)
	}
	for name, value := range map[string]string{"If-None-Match": r.ETag, "If-Modified-Since": r.LastModified} {
		if raw, ok := encodeLatin1(value); ok && raw != "" {
			header.Set(name, raw)
			conditional = true
		}
	}
	for name, values := range h.client.headers[origin] {
		header[name] = values
	}
	req := &http.Request{
		Method: http.MethodGet,
		URL:    t.url,
		Host:   t.url.Host,
		Header: header,
		Proto:  "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	var open *openCircuit
	if h.pass, open = h.client.breaker.enter(origin); open != nil {
		return nil, false, open.failure(h.wording)
	}
	h.startSpan(t, header, pool == h.client.frontend)
	trace := httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			h.connected = true
			h.connectedTo(info)
			if info.Reused {
				settleConn(h.limited, info.Conn)
			}
		},
		GotFirstResponseByte: func() {
			h.spoke.Store(true)
			h.span.Event("first byte")
		},
	}
	// The transport is used without an http.Client: redirects are followed by hand and there are no cookies.
	resp, err = pool.RoundTrip(req.WithContext(httptrace.WithClientTrace(h.limited, &trace)))
	if err != nil {
		return nil, false, h.failure(err)
	}
	for name := range resp.Header {
		// net/http lets "Transfer-Encoding : chunked" pass as a header that it does not know. Node refuses it.
		if !httpguts.ValidHeaderFieldName(name) {
			resp.Body.Close()
			return nil, false, h.failure(fmt.Errorf("malformed header name %q", name))
		}
	}
	h.verdict = answered
	h.answered(resp)
	return resp, conditional, nil
}

// receive turns an answer into a Source.
func (h *hop) receive(resp *http.Response, r Request, conditional bool) (*Source, error) {
	src := &Source{
		ContentType:  firstHeader(resp.Header, "Content-Type"),
		CacheControl: joinedHeader(resp.Header, "Cache-Control"),
		ETag:         firstHeader(resp.Header, "ETag"),
		LastModified: firstHeader(resp.Header, "Last-Modified"),
	}
	if resp.StatusCode == http.StatusNotModified && conditional {
		src.NotModified = true
		return src, nil
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, statusFailure(h.wording, resp)
	}
	body, err := h.receiveBody(resp, r.Memory)
	if err != nil {
		return nil, h.bodyFailure(err)
	}
	if len(body) == 0 {
		return nil, failure.New(http.StatusBadRequest, h.wording.prefix+"_empty", h.wording.invalid)
	}
	src.Body = body
	return src, nil
}

func (h *hop) receiveBody(resp *http.Response, memory Memory) ([]byte, error) {
	var body io.Reader = &networkReader{r: resp.Body}
	held := &account{memory: memory, caller: h.caller, limit: h.limit}
	limit := h.client.maxBody
	codings, err := parseCodings(joinedHeader(resp.Header, "Content-Encoding"))
	if err != nil {
		return nil, err
	}
	if len(codings) > 0 {
		return readAll(decodeAll(h.limited, body, codings, limit, held), -1, limit, held)
	}
	if resp.ContentLength > limit {
		return nil, errTooLarge
	}
	return readAll(body, resp.ContentLength, limit, held)
}

// bodyFailure judges an error of receiveBody.
func (h *hop) bodyFailure(err error) *failure.Error {
	var network *networkError
	var memory *memoryError
	switch {
	case errors.As(err, &memory):
		return memoryFailure(err)
	case errors.As(err, &network):
		return h.failure(fmt.Errorf("read the body: %w", network.err))
	case errors.Is(err, errTooLarge):
		return failure.Wrap(http.StatusRequestEntityTooLarge, h.wording.prefix+"_too_large", h.wording.invalid, err)
	case errors.Is(err, errTooManyCodings):
		return failure.Wrap(http.StatusBadRequest, h.wording.prefix+"_codings", h.wording.invalid, err)
	default: // The body contradicts its Content-Encoding. Next.js throws zlib's error.
		return failure.Wrap(http.StatusInternalServerError, h.wording.prefix+"_encoding", h.wording.thrown, fmt.Errorf("decode the body: %w", err))
	}
}
