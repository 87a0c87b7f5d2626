package handler

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"

	"imgopt/cache"
	"imgopt/failure"
)

// Header names as they are sent: fasthttp need not normalize them again.
var (
	nameVary         = []byte("Vary")
	nameCacheControl = []byte("Cache-Control")
	nameETag         = []byte("ETag")
	nameContentType  = []byte("Content-Type")
	nameDisposition  = []byte("Content-Disposition")
	nameCSP          = []byte("Content-Security-Policy")
	nameNextCache    = []byte("X-Nextjs-Cache")
	nameEncoding     = []byte("Content-Encoding")
	varyAccept       = []byte("Accept")
	varyEncoding     = []byte("Accept, Accept-Encoding")
	immutableForever = []byte("public, max-age=315360000, immutable")
	stateHit         = []byte(cache.Hit)
	stateStale       = []byte(cache.Stale)
	stateMiss        = []byte(cache.Miss)
)

// prepared are the headers of an entry, made once and kept with it.
type prepared struct {
	by           *settings
	static       bool
	cacheControl []byte
	etag         []byte
	contentType  []byte
	disposition  []byte
	// compressible says that Next would compress the body or, if it is small, at least vary by the encoding.
	compressible bool
	gzip         compressed
}

// compressed is a body's compressed form, made when it is first asked for and kept with the entry: it is never
// larger than a compressible body itself, and such bodies are rare.
type compressed struct {
	once sync.Once
	body []byte
}

// prepare returns the entry's headers. They come from the entry unless they were made by other settings or for
// another kind of url, which takes a changed configuration.
func (h *public) prepare(e *cache.Entry, static bool) (*prepared, error) {
	if p, ok := e.Prepared().(*prepared); ok && p.by == h.settings && p.static == static {
		return p, nil
	}
	m, ok := lookupMediaType(e.ContentType)
	if !ok {
		return nil, failure.Wrap(http.StatusInternalServerError, "media_type", "Internal Server Error", fmt.Errorf("entry of type %q", e.ContentType))
	}
	p := &prepared{
		by:           h.settings,
		static:       static,
		cacheControl: immutableForever,
		etag:         []byte(e.ETag),
		contentType:  []byte(m.contentType),
		disposition:  contentDisposition(h.disposition, fileName(e.Href, m)),
		compressible: m.compressible && h.compress,
	}
	if !static {
		p.cacheControl = append(strconv.AppendInt([]byte("public, max-age="), e.MaxAge, 10), ", must-revalidate"...)
	}
	e.SetPrepared(p)
	return p, nil
}

// succeed answers with an image: setResponseHeaders and sendResponse of next/dist/server/image-optimizer.js.
func (h *public) succeed(ctx *fasthttp.RequestCtx, a *answer, r Result) {
	p, err := h.prepare(r.Entry, a.params.Static)
	if err != nil {
		h.fail(ctx, a, err)
		return
	}
	a.State, a.Coalesced = r.State, r.Coalesced
	header := &ctx.Response.Header
	header.SetCanonical(nameCacheControl, p.cacheControl)
	if len(p.etag) > 0 {
		header.SetCanonical(nameETag, p.etag)
	}
	if h.notModified(&ctx.Request.Header, r.Entry.ETag) {
		// Nothing of the entry's body is touched, and Vary is what it is without compression.
		header.SetCanonical(nameVary, varyAccept)
		ctx.SetStatusCode(http.StatusNotModified)
		a.Status, a.Reason = http.StatusNotModified, reasonNotModified
		return
	}
	a.Status, a.Reason = http.StatusOK, reasonOK
	header.SetCanonical(nameContentType, p.contentType)
	header.SetCanonical(nameDisposition, p.disposition)
	header.SetCanonical(nameCSP, h.csp)
	switch r.State {
	case cache.Hit:
		header.SetCanonical(nameNextCache, stateHit)
	case cache.Stale:
		header.SetCanonical(nameNextCache, stateStale)
	default:
		header.SetCanonical(nameNextCache, stateMiss)
	}
	if !p.compressible {
		header.SetCanonical(nameVary, varyAccept)
		writeBody(ctx, r.Entry.Body)
		a.Bytes = len(r.Entry.Body)
		return
	}
	header.SetCanonical(nameVary, varyEncoding)
	a.Bytes = writeCompressible(ctx, p, r.Entry.Body)
}

func (h *public) notModified(header *fasthttp.RequestHeader, etag string) bool {
	ifNoneMatch := joined(header, headerIfNoneMatch)
	if len(ifNoneMatch) == 0 {
		return false
	}
	// Of several If-Modified-Since Node keeps the first.
	return isFresh(ifNoneMatch, trimOWS(header.Peek(headerIfModifiedSince)), joined(header, headerCacheControl), etag)
}

// writeBody sends a body from where it is.
func writeBody(ctx *fasthttp.RequestCtx, body []byte) {
	ctx.Response.SetBodyRaw(body)
	if c, ok := ctx.Conn().(*conn); ok && len(body) >= gatherMin && ctx.IsGet() {
		c.gatherNext()
	}
}

// writeCompressible writes a body in the coding the client prefers and returns how many bytes that is.
func writeCompressible(ctx *fasthttp.RequestCtx, p *prepared, body []byte) int {
	coding := codingNone
	if len(body) >= compressMin && !ctx.IsHead() {
		coding = acceptedCoding(string(joined(&ctx.Request.Header, headerAcceptEncoding)))
	}
	out := body
	switch coding {
	case codingGzip:
		p.gzip.once.Do(func() { p.gzip.body = compress(gzip.NewWriter, body) })
		out = p.gzip.body
	case codingDeflate:
		// For clients that refuse gzip, of which there are none to speak of.
		out = compress(zlib.NewWriter, body)
	default:
		writeBody(ctx, body)
		return len(body)
	}
	ctx.Response.Header.SetCanonical(nameEncoding, []byte(coding))
	if ctx.Request.Header.IsHTTP11() {
		ctx.Response.SetBodyStream(bytes.NewReader(out), -1) // chunked, as Next's
	} else {
		ctx.Response.SetBodyRaw(out)
	}
	return len(out)
}

// compress returns body in the form of one of the standard library's writers, at its default level. Writing to
// memory cannot fail.
func compress[W io.WriteCloser](newWriter func(io.Writer) W, body []byte) []byte {
	var b bytes.Buffer
	w := newWriter(&b)
	_, _ = w.Write(body)
	_ = w.Close()
	return bytes.Clone(b.Bytes())
}
