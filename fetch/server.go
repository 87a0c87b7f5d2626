package fetch

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// server is an origin that is asked over HTTP: the frontend, or whatever stands before it.
//
// Next.js calls its own request handler without any header; here a request has those that HTTP needs and no
// Accept-Encoding, so that the answer is not compressed. If it has a Content-Encoding all the same it is not decoded:
// like Next.js, the compressed bytes are taken for the image. Redirects are not followed, as there.
type server struct {
	client        *Client
	scheme, host  string
	prefix        string // the path of the origin, without a slash at its end
	authorization string
}

// serverHeader suppresses the User-Agent of net/http.
var serverHeader = http.Header{"Connection": {"keep-alive"}, "User-Agent": {""}}

func newServer(c *Client, u *url.URL) *server {
	s := &server{client: c, scheme: u.Scheme, host: u.Host, prefix: strings.TrimRight(u.EscapedPath(), "/")}
	if u.User != nil {
		req := http.Request{Header: http.Header{}}
		password, _ := u.User.Password()
		req.SetBasicAuth(u.User.Username(), password)
		s.authorization = req.Header.Get("Authorization")
	}
	return s
}

func (s *server) get(ctx context.Context, q relative) (src *Source, lacks bool, err error) {
	h := s.client.newHop(ctx, relativeWording)
	defer h.end()
	t := &target{url: requestURL(s.scheme, s.host, s.prefix+q.path+q.query), authorization: s.authorization}
	resp, conditional, err := h.get(s.client.frontend, t, serverHeader, q.Request)
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	resp.Header.Del("Content-Encoding")
	src, err = h.receive(resp, q.Request, conditional)
	return src, resp.StatusCode == http.StatusNotFound, err
}
