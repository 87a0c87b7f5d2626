package handler

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"

	"imgopt/tracing"
)

// maxLogged is the length to which anything a client or an origin chose is cut in the log.
const maxLogged = 1024

// logRequest writes the access log's line: at info, or at error for what is the service's own fault.
func (h *public) logRequest(ctx *fasthttp.RequestCtx, a *answer) {
	level := slog.LevelInfo
	if a.Status == fasthttp.StatusInternalServerError {
		level = slog.LevelError
	}
	// Not fasthttp's context, which handlers of slog have no use for.
	if !h.log.Enabled(context.Background(), level) {
		return
	}
	path, query, _ := splitTarget(ctx.Request.Header.RequestURI())
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("method", loggable(string(ctx.Method()))),
		slog.String("path", loggable(string(path))),
		slog.Int("status", a.Status),
		slog.Int("bytes", a.Bytes),
		slog.Duration("duration", a.Duration),
		slog.String("reason", a.Reason),
	)
	if p := a.params; p.Href != "" {
		attrs = append(attrs,
			slog.String("href", loggable(p.Href)),
			slog.Int("width", p.Width),
			slog.Int("quality", p.Quality),
			slog.String("format", loggable(p.Format)))
	} else if u := askedURL(string(query)); u != "" {
		attrs = append(attrs, slog.String("href", loggable(u)))
	}
	if a.State != "" {
		attrs = append(attrs, slog.String("cache", string(a.State)), slog.Bool("coalesced", a.Coalesced))
	}
	if id := a.params.Deployment; id != "" {
		attrs = append(attrs, slog.String("deployment", id))
	}
	if id := a.traceID(); id != "" {
		attrs = append(attrs, slog.String(tracing.LogKey, id))
	}
	if a.err != nil {
		attrs = append(attrs, slog.String("error", loggable(a.err.Error())))
		if p := (*panicError)(nil); errors.As(a.err, &p) {
			attrs = append(attrs, slog.String("stack", string(p.stack)))
		}
	}
	h.log.LogAttrs(context.Background(), level, "request", attrs...)
}

// askedURL returns the first url parameter of a query that was refused.
func askedURL(query string) string {
	for pair := range strings.SplitSeq(query, "&") {
		if v, ok := strings.CutPrefix(pair, "url="); ok {
			return decodeForm(v)
		}
	}
	return ""
}

// Loggable returns a text that a client or an origin had a part in (a url, an error) without secrets and not too long.
func Loggable(s string) string { return loggable(s) }

// loggable returns s without secrets and not too long.
func loggable(s string) string {
	s = redact(s)
	if len(s) > maxLogged {
		s = strings.ToValidUTF8(s[:maxLogged], "") + "…"
	}
	return s
}

const redacted = "xxxxx"

// redact removes what gives access from every url in a text: user name and password, and the values of parameters
// that sign the url or stand for the one who may use it.
func redact(s string) string {
	if strings.Contains(s, "@") {
		s = redactUserinfo(s)
	}
	if strings.IndexByte(s, '=') >= 0 && strings.ContainsAny(s, "?&") {
		s = redactQuery(s)
	}
	return s
}

// redactUserinfo replaces what stands between "//" and an "@" in the same authority.
func redactUserinfo(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "//")
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		i += len("//")
		b.WriteString(s[:i])
		s = s[i:]
		end := strings.IndexAny(s, "/\\?# \t\n\"'<>")
		if end < 0 {
			end = len(s)
		}
		if at := strings.LastIndexByte(s[:end], '@'); at >= 0 {
			b.WriteString(redacted)
			s = s[at:]
		}
	}
}

// redactQuery replaces the values of parameters with telling names.
func redactQuery(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexAny(s, "?&")
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i+1])
		s = s[i+1:]
		end := strings.IndexAny(s, "&# \t\n\"'<>")
		if end < 0 {
			end = len(s)
		}
		if name, _, ok := strings.Cut(s[:end], "="); ok && isSecretName(name) {
			b.WriteString(name)
			b.WriteString("=" + redacted)
			s = s[end:]
		}
	}
}

// secretParts are what the names of secret parameters contain, in lower case: those of S3, GCS and CloudFront, and
// what people call their own.
var secretParts = []string{"signature", "credential", "token", "secret", "password", "passwd", "apikey", "api_key", "api-key", "access_key", "accesskey", "policy", "key-pair-id", "auth", "hmac", "jwt", "session"}

func isSecretName(name string) bool {
	if unescaped, err := url.QueryUnescape(name); err == nil {
		name = unescaped
	}
	name = strings.ToLower(name)
	switch name {
	case "sig", "s", "key", "pwd", "pass", "hash": // sig is Azure's, s is imgix'
		return true
	}
	for _, part := range secretParts {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
