package fetch

import (
	"context"
	"net"
	"net/http"
	"time"
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
//
// Framing that contradicts itself is judged by net/http, which differs from Node 20's llhttp (measured with Next.js
// 16.4.6's fetchExternalImage and a raw origin):
//
//	Transfer-Encoding: chunked and a Content-Length    here the chunks count (RFC 9112, 6.3); Next.js refuses the answer
//	two equal Content-Length headers                   here as one (RFC 9112, 6.3); Next.js refuses the answer
//	Transfer-Encoding: "gzip, chunked", "identity, chunked", "chunked" twice, or another one
//	                                                   here 502; Next.js takes the body as it stands
//
// net/http does not tell of the first two, it removes the header in question. Neither can make one url's bytes those of
// another: nothing that an answer leaves behind on a connection is read as the next one's (watchedConn).
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
		switch {
		case err == nil:
			return newWatchedConn(conn), nil
		case c.life.ctx.Err() != nil:
			return nil, errClosed
		}
		return nil, err
	}
}
