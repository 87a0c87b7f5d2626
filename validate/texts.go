package validate

import (
	"math"
	"net/http"
	"strconv"

	"imgopt/failure"
)

// refusal is one reason to refuse a request: a label for logs and metrics, and the text the client gets, word for
// word that of ImageOptimizerCache.validateParams in next/dist/server/image-optimizer.js.
type refusal struct{ reason, text string }

// The refusals in the order of Next.js' checks. All of them are answered with status 400.
var (
	urlMissing   = refusal{"url_missing", `"url" parameter is required`}
	urlRepeated  = refusal{"url_repeated", `"url" parameter cannot be an array`}
	urlTooLong   = refusal{"url_too_long", `"url" parameter is too long`}
	urlSchemless = refusal{"url_protocol_relative", `"url" parameter cannot be a protocol-relative URL (//)`}
	urlRecursive = refusal{"url_recursive", `"url" parameter cannot be recursive`}
	urlInvalid   = refusal{"url_invalid", `"url" parameter is invalid`}
	urlRefused   = refusal{"url_not_allowed", failure.TextNotAllowed}

	widthMissing  = refusal{"width_missing", `"w" parameter (width) is required`}
	widthRepeated = refusal{"width_repeated", `"w" parameter (width) cannot be an array`}
	widthInvalid  = refusal{"width_invalid", `"w" parameter (width) must be an integer greater than 0`}

	qualityMissing  = refusal{"quality_missing", `"q" parameter (quality) is required`}
	qualityRepeated = refusal{"quality_repeated", `"q" parameter (quality) cannot be an array`}
	qualityInvalid  = refusal{"quality_invalid", `"q" parameter (quality) must be an integer between 1 and 100`}
)

// requestLineInvalid is what Node's HTTP parser answers before Next.js sees the request: 400 and an empty body.
var requestLineInvalid = refusal{"request_line_invalid", ""}

func (r refusal) err() *failure.Error {
	return failure.New(http.StatusBadRequest, r.reason, r.text)
}

func widthRefused(width float64) *failure.Error {
	return refusal{"width_not_allowed", `"w" parameter (width) of ` + jsNumber(width) + ` is not allowed`}.err()
}

// qualityRefused quotes the parameter as it was given, "075" for example.
func qualityRefused(q string) *failure.Error {
	return refusal{"quality_not_allowed", `"q" parameter (quality) of ` + q + ` is not allowed`}.err()
}

// The causes of what Next.js answers with status 500, because it does not expect them.
const (
	reasonURLEncoding   = "url_encoding_invalid"  // decodeURIComponent throws
	reasonURLUnparsable = "url_unparsable"        // new URL throws
	reasonAccept        = "accept_header_invalid" // @hapi/accept throws
)

func unexpected(reason string) *failure.Error {
	return failure.New(http.StatusInternalServerError, reason, "Internal Server Error")
}

// jsNumber writes a number that is not negative as JavaScript's String() does.
func jsNumber(f float64) string {
	switch {
	case math.IsInf(f, 0):
		return "Infinity"
	case f < 1e21:
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return strconv.FormatFloat(f, 'e', -1, 64)
}
