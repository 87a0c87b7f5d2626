package handler

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"

	"imgopt/deployment"
	"imgopt/validate"
)

// Answers that the cookie decides about, or may decide about for others who ask for the same url.
var (
	varyCookie         = []byte("Accept, Cookie")
	varyEncodingCookie = []byte("Accept, Accept-Encoding, Cookie")
)

const headerCookie = "Cookie"

// askedBy completes p with the version of the application that asks, where only a cookie tells: the url comes first. The
// id is lent by the request. It reports whether the cookie was looked at.
func (h *public) askedBy(header *fasthttp.RequestHeader, p *validate.Params) bool {
	if h.deploymentCookie == "" || p.Absolute || p.Deployment != "" {
		return false
	}
	for _, cookies := range header.PeekAll(headerCookie) {
		if id := cookieValue(cookies, h.deploymentCookie); id != nil {
			if deployment.Valid(id) {
				p.Deployment = lend(id)
			}
			return true
		}
	}
	return true
}

// cookieValue returns the value of the first cookie with a name, nil if there is none (RFC 6265, section 5.4).
func cookieValue(cookies []byte, name string) []byte {
	for len(cookies) > 0 {
		var pair []byte
		pair, cookies, _ = bytes.Cut(cookies, []byte{';'})
		if key, value, ok := bytes.Cut(trimOWS(pair), []byte{'='}); ok && string(key) == name {
			return trimOWS(value)
		}
	}
	return nil
}

// keep makes a copy of what is lent by the request.
func keep(p validate.Params) validate.Params {
	p.Deployment = strings.Clone(p.Deployment)
	return p
}
