package validate

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"

	"imgopt/deployment"
)

// Next.js reads the query with `new URL(req.url, 'http://n').searchParams`
// (next/dist/shared/lib/router/utils/parse-relative-url.js and querystring.js), so a form in the sense of the URL
// Standard: "+" is a space, a broken escape stands for itself, broken UTF-8 becomes U+FFFD, a parameter without "="
// is empty, one that is given twice is an array, and "#" ends the query.

// queryParam is a parameter that Next.js looks at.
type queryParam struct {
	raw   string // the first value, still encoded
	count int
}

type queryParams struct{ url, w, q, dpl queryParam }

// parseQuery finds the three parameters, and that of deployments, which Next.js leaves alone. It reports false if a byte of the query cannot be part of a request line;
// Node's parser then answers before Next.js is asked.
func parseQuery(raw string) (p queryParams, ok bool) {
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] >= 0x7f {
			return p, false
		}
	}
	raw, _, _ = strings.Cut(raw, "#")
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		if strings.IndexByte(key, '%') >= 0 {
			var buf [16]byte
			key = string(appendPercentDecoded(buf[:0], key, false))
		}
		var param *queryParam
		switch key {
		case "url":
			param = &p.url
		case "w":
			param = &p.w
		case "q":
			param = &p.q
		case deployment.Param:
			param = &p.dpl
		default:
			continue
		}
		if param.count++; param.count == 1 {
			param.raw = value
		}
	}
	return p, true
}

// decodeParam decodes a value. The result shares memory with raw if there is nothing to decode.
func decodeParam(raw string) string {
	if strings.IndexByte(raw, '%') < 0 && strings.IndexByte(raw, '+') < 0 {
		return raw
	}
	var buf [512]byte
	b := appendPercentDecoded(buf[:0], raw, true)
	if utf8.Valid(b) {
		return string(b)
	}
	// This decoder replaces as the Encoding Standard says; Go's own conversions replace every single byte.
	s, err := unicode.UTF8.NewDecoder().String(string(b))
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return s
}
