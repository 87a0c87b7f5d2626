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

// described are the headers of an image.
type described struct {
	cacheControl []byte
	etag         []byte
	contentType  []byte // made by describeBody, as a 304 has no need of it
	disposition  []byte // likewise
	// compressible says that Next would compress the body or, if it is small, at least vary by the encoding.
	compressible bool
}

// prepared are the headers of an entry, made once and kept with it.
type prepared struct {
	described
	by       *settings
	static   bool
	identity sending // the entry's body
	gzip     compressed
}

// compressed is a body's compressed form, made when it is first asked for and kept with the entry: it is never
// larger than a compressible body itself, and such bodies are rare.
type compressed struct {
	once sync.Once
	sending
}

// prepare returns the entry's headers. They come from the entry unless they were made by other settings or for
// another kind of url, which takes a changed configuration.
func (h *public) prepare(e *cache.Entry, static bool) (*prepared, error) {
	if p, ok := e.Prepared().(*prepared); ok && p.by == h.settings && p.static == static {
		return p, nil
	}
	d, m, err := h.describe(e.ContentType, e.ETag, e.MaxAge, static)
	if err != nil {
		return nil, err
	}
	p := &prepared{described: d, by: h.settings, static: static}
	p.describeBody(h.settings, e.Href, m)
	p.identity.body = e.Body
	e.SetPrepared(p)
	return p, nil
}

// describe makes the headers of an image, without those that are about its body.
func (h *public) describe(contentType, etag string, maxAge int64, static bool) (described, mediaType, error) {
	m, ok := lookupMediaType(contentType)
	if !ok {
		return described{}, m, failure.Wrap(http.StatusInternalServerError, "media_type", "Internal Server Error", fmt.Errorf("entry of type %q", contentType))
	}
	d := described{
		cacheControl: immutableForever,
		etag:         []byte(etag),
		compressible: m.compressible && h.compress,
	}
	if !static {
		d.cacheControl = append(strconv.AppendInt([]byte("public, max-age="), maxAge, 10), ", must-revalidate"...)
	}
	return d, m, nil
}

// describeBody makes the headers that are about the body.
func (d *described) describeBody(s *settings, href string, m mediaType) {
	d.contentType = []byte(m.contentType)
	d.disposition = contentDisposition(s.disposition, fileName(href, m))
}

// succeed answers with an image: setResponseHeaders and sendResponse of next/dist/server/image-optimizer.js. When it
// returns an error it has changed nothing.
func (h *public) succeed(ctx *fasthttp.RequestCtx, a *answer, r *Result) error {
	p, err := h.prepare(r.Entry, a.params.Static)
	if err != nil {
		return err
	}
	notModified := h.notModified(&ctx.Request.Header, r.Entry.ETag)
	var coding string
	var body *sending
	if !notModified {
		coding, body = p.choose(ctx)
		if len(body.body) >= sendingMin && ctx.IsGet() && a.conn != nil && !a.conn.hold(body) {
			return errResponseMemory
		}
	}
	h.setHeaders(ctx, a, &p.described, r, notModified)
	if notModified {
		return nil // nothing of the entry's body is touched
	}
	if coding != codingNone {
		ctx.Response.Header.SetCanonical(nameEncoding, []byte(coding))
	}
	a.Bytes = len(body.body)
	if coding != codingNone && ctx.Request.Header.IsHTTP11() {
		ctx.Response.SetBodyStream(newChunks(a.conn, body.body), -1) // chunked, as Next's
		return nil
	}
	// The body is sent from where it is.
	ctx.Response.SetBodyRaw(body.body)
	if a.conn != nil && len(body.body) >= gatherMin && ctx.IsGet() {
		a.conn.gatherNext()
	}
	return nil
}

// setHeaders makes the answer with an image, but for its body and how that is coded, or the answer that it has not
// changed.
func (h *public) setHeaders(ctx *fasthttp.RequestCtx, a *answer, p *described, r *Result, notModified bool) {
	a.State, a.Coalesced = r.State, r.Coalesced
	header := &ctx.Response.Header
	header.SetCanonical(nameCacheControl, p.cacheControl)
	if len(p.etag) > 0 {
		header.SetCanonical(nameETag, p.etag)
	}
	if h.timing != TimingNever && h.tellsTiming(&ctx.Request.Header) {
		setTiming(header, r.State, r.Timing)
	}
	if notModified {
		// Vary is what it is without compression.
		if header.SetCanonical(nameVary, varyAccept); a.byCookie {
			header.SetCanonical(nameVary, varyCookie)
		}
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
	switch {
	case p.compressible && a.byCookie:
		header.SetCanonical(nameVary, varyEncodingCookie)
	case p.compressible:
		header.SetCanonical(nameVary, varyEncoding)
	case a.byCookie:
		header.SetCanonical(nameVary, varyCookie)
	default:
		header.SetCanonical(nameVary, varyAccept)
	}
}

func (h *public) notModified(header *fasthttp.RequestHeader, etag string) bool {
	ifNoneMatch := joined(header, headerIfNoneMatch)
	if len(ifNoneMatch) == 0 {
		return false
	}
	// Of several If-Modified-Since Node keeps the first.
	return isFresh(ifNoneMatch, trimOWS(header.Peek(headerIfModifiedSince)), joined(header, headerCacheControl), etag)
}

// choose returns the body in the coding the client prefers.
func (p *prepared) choose(ctx *fasthttp.RequestCtx) (string, *sending) {
	body := p.identity.body
	if !p.compressible || len(body) < compressMin || ctx.IsHead() {
		return codingNone, &p.identity
	}
	switch acceptedCoding(string(joined(&ctx.Request.Header, headerAcceptEncoding))) {
	case codingGzip:
		p.gzip.once.Do(func() { p.gzip.body = compress(gzip.NewWriter, body) })
		return codingGzip, &p.gzip.sending
	case codingDeflate:
		// For clients that refuse gzip, of which there are none to speak of.
		return codingDeflate, &sending{body: compress(zlib.NewWriter, body)}
	default:
		return codingNone, &p.identity
	}
}

// chunks is a body that fasthttp copies piece by piece, and closes when it is done with it, however that came about.
type chunks struct {
	bytes.Reader
	conn *conn // nil: of no interest
}

func newChunks(c *conn, body []byte) *chunks {
	r := &chunks{conn: c}
	r.Reset(body)
	return r
}

func (r *chunks) Close() error {
	if r.conn != nil {
		r.conn.letGo()
	}
	return nil
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
