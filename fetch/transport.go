package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"imgopt/failure"
)

// maxHeaderBytes bounds the header of an answer. Node allows 16 KiB of names and values; the rest is for what stands
// between them.
const maxHeaderBytes = 16<<10 + 512

// newTransport returns a connection pool whose connections dial makes.
//
// It speaks HTTP/1.1 only, as Next.js (Node's https.request) does: every upstream answers both in the same way, one
// stuck stream cannot hold up others on a shared connection, and giving up a body means closing its connection.
// It uses no proxy from the environment, which would move the connection, and with it the address guard, elsewhere.
// Bodies are decoded by this package and not by net/http, which knows gzip only.
func (c *Client) newTransport(o Options, dial dialFunc) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            c.ownedDial(dial),
		TLSHandshakeTimeout:    o.Timeout,
		DisableCompression:     true,
		MaxConnsPerHost:        o.MaxConnsPerHost,
		MaxIdleConns:           orDefault(o.MaxIdleConns, 256),
		MaxIdleConnsPerHost:    orDefault(o.MaxIdleConnsPerHost, 32),
		IdleConnTimeout:        orDefault(o.IdleTimeout, time.Minute),
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
	}
}

// orDefault returns v, or d if v is zero.
func orDefault[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// ownedDial lets dial run as work of the Client. net/http lets a dial outlive the request that wanted it, so it has
// a time limit of its own.
func (c *Client) ownedDial(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, leave, err := c.life.enter(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		conn, err := dial(ctx, network, address)
		if err != nil && c.life.ctx.Err() != nil {
			return nil, errClosed
		}
		return conn, err
	}
}

// hop is one request and its answer, with the time limit for both.
type hop struct {
	caller  context.Context // without the limit
	limited context.Context // with it
	cancel  context.CancelFunc
	wording wording
}

func (c *Client) newHop(ctx context.Context, w wording) *hop {
	limited, cancel := context.WithTimeoutCause(ctx, c.timeout, errHopTimeout)
	return &hop{caller: ctx, limited: limited, cancel: cancel, wording: w}
}

// failure judges an error of the network.
func (h *hop) failure(err error) *failure.Error {
	return transportFailure(h.caller, h.limited, h.wording, err)
}

// get sends a request for t. conditional says whether a validator of r was sent along.
func (h *hop) get(pool *http.Transport, t *target, header http.Header, r Request) (resp *http.Response, conditional bool, err error) {
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
	req := &http.Request{
		Method: http.MethodGet,
		URL:    t.url,
		Host:   t.url.Host,
		Header: header,
		Proto:  "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	// The transport is used without an http.Client: redirects are followed by hand and there are no cookies.
	resp, err = pool.RoundTrip(req.WithContext(h.limited))
	if err != nil {
		return nil, false, h.failure(err)
	}
	return resp, conditional, nil
}

// receive turns an answer into a Source.
func (c *Client) receive(h *hop, resp *http.Response, conditional bool) (*Source, error) {
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
	body, err := c.receiveBody(h, resp)
	if err != nil {
		return nil, h.bodyFailure(err)
	}
	if len(body) == 0 {
		return nil, failure.New(http.StatusBadRequest, h.wording.prefix+"_empty", h.wording.invalid)
	}
	src.Body = body
	return src, nil
}

func (c *Client) receiveBody(h *hop, resp *http.Response) ([]byte, error) {
	var body io.Reader = &networkReader{r: resp.Body}
	codings, err := parseCodings(joinedHeader(resp.Header, "Content-Encoding"))
	if err != nil {
		return nil, err
	}
	if len(codings) > 0 {
		return readAll(decodeAll(h.limited, body, codings, c.maxBody), -1, c.maxBody)
	}
	if resp.ContentLength > c.maxBody {
		return nil, errTooLarge
	}
	return readAll(body, resp.ContentLength, c.maxBody)
}

// bodyFailure judges an error of receiveBody.
func (h *hop) bodyFailure(err error) *failure.Error {
	switch network := (*networkError)(nil); {
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
