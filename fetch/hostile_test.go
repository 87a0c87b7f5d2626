package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"imgopt/failure"
)

// Origins that do their worst, over real connections. Each of them is answered within the time limit, with little
// memory, and is cut off rather than listened to.

const (
	hostileBody  = 1 << 20
	hostileTime  = 400 * time.Millisecond
	ok200        = "HTTP/1.1 200 OK\r\n"
	hostileImage = "image"
)

// endless writes head and then part for ever, until the other side has enough.
func endless(head, part string) func(net.Conn) {
	return func(conn net.Conn) {
		_, err := io.WriteString(conn, head)
		for err == nil {
			_, err = io.WriteString(conn, part)
		}
	}
}

// trickle writes head at once, and then part a byte at a time, again and again.
func trickle(head, part string) func(net.Conn) {
	return func(conn net.Conn) {
		_, err := io.WriteString(conn, head)
		for i := 0; err == nil; i++ {
			time.Sleep(hostileTime / 40)
			_, err = conn.Write([]byte{part[i%len(part)]})
		}
	}
}

// exactly writes an answer and closes the connection.
func exactly(answer string) func(net.Conn) {
	return func(conn net.Conn) { io.WriteString(conn, answer) }
}

// bombIn answers with sixteen times as many zeros as a body may have, in codings, as a Content-Encoding header has them.
func bombIn(t *testing.T, codings ...string) func(net.Conn) {
	return exactly(ok200 + "Content-Encoding: " + strings.Join(codings, ", ") + "\r\n\r\n" + string(pack(t, make([]byte, 16*hostileBody), codings...)))
}

func TestHostileOrigins(t *testing.T) {
	quiet(t)
	invalid := func(status int, reason string) want {
		return want{status: status, text: failure.TextUpstreamInvalid, reason: "upstream_" + reason}
	}
	slow := want{status: 504, text: failure.TextUpstreamTimeout, reason: "upstream_timeout", retryable: true, timeout: true}
	broken := invalid(502, "connection")
	broken.retryable = true
	large := invalid(413, "too_large")
	undecodable := want{status: 500, text: "Internal Server Error", reason: "upstream_encoding"}
	fine := want{}
	length := fmt.Sprintf("Content-Length: %d\r\n", len(hostileImage))
	const chunked = "Transfer-Encoding: chunked\r\n"
	chunks := "5\r\n" + hostileImage + "\r\n0\r\n\r\n"
	coded := func(name string) string { return ok200 + "Content-Encoding: " + name + "\r\n\r\n" }
	gz := string(pack(t, []byte(hostileImage), "gzip"))

	for _, tt := range []struct {
		name   string
		answer func(net.Conn)
		want   want
		memory int64 // at the most, beside twice and a half of the limit of a body
	}{
		// A byte at a time.
		{"slow status line", trickle("", "HTTP/1.1 200 OK "), slow, 0},
		{"slow header", trickle(ok200+"X: ", "y"), slow, 0},
		{"slow headers", trickle(ok200, "X: y\r\n"), slow, 0},
		{"slow interim answers", trickle("", "HTTP/1.1 100 Continue\r\n\r\n"), slow, 0},
		{"slow body", trickle(ok200+"\r\n", "x"), slow, 0},
		{"slow body of known length", trickle(ok200+"Content-Length: 100000\r\n\r\n", "x"), slow, 0},
		{"slow chunks", trickle(ok200+chunked+"\r\n", "1\r\nx\r\n"), slow, 0},
		{"slow chunk extension", trickle(ok200+chunked+"\r\n1;", "x"), slow, 0},
		{"slow trailer", trickle(ok200+chunked+"\r\n1\r\nx\r\n0\r\n", "X: y\r\n"), slow, 0},
		{"slow gzip", trickle(coded("gzip"), gz), slow, inflateMemory + inputBuffer},
		{"slow deflate", trickle(coded("deflate"), "\x00\x00\x00\xff\xff"), slow, inflateMemory + inputBuffer},
		{"slow br", trickle(coded("br"), string(greedyBrotli())), slow, brotliMemory + inputBuffer + 24<<20},
		{"slow redirect", trickle("HTTP/1.1 302 Found\r\nLocation: /", "x"), slow, 0},
		{"slow error", trickle("HTTP/1.1 503 Service Unavailable\r\n", "X: y\r\n"), slow, 0},
		// Without end.
		{"endless status line", endless("HTTP/1.1 200 ", "OK"), broken, 0},
		{"endless header name", endless(ok200, strings.Repeat("X", 1000)), broken, 0},
		{"endless header value", endless(ok200+"X: ", strings.Repeat("y", 1000)), broken, 0},
		{"endless headers", endless(ok200, "X: y\r\n"), broken, 0},
		{"endless empty headers", endless(ok200, ":\r\n"), broken, 0},
		{"endless cookies", endless(ok200, "Set-Cookie: a=b\r\n"), broken, 0},
		{"endless folded header", endless(ok200+"X: y\r\n", " y\r\n"), broken, 0},
		{"endless interim answers", endless("", "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"), broken, 0},
		{"endless continue", endless("", "HTTP/1.1 100 Continue\r\n\r\n"), broken, 0},
		{"endless line ends", endless("", "\r\n"), broken, 0},
		{"endless nothing", endless("", strings.Repeat("\x00", 4096)), broken, 0},
		{"endless body", endless(ok200+"\r\n", strings.Repeat("x", 4096)), large, 0},
		{"endless body with a length", endless(ok200+"Content-Length: 9000000000\r\n\r\n", "x"), large, 0},
		{"endless chunk", endless(ok200+chunked+"\r\nfffffffffffffff\r\n", strings.Repeat("x", 4096)), large, 0},
		{"endless chunks", endless(ok200+chunked+"\r\n", "10\r\n"+strings.Repeat("x", 16)+"\r\n"), large, 0},
		{"endless tiny chunks", endless(ok200+chunked+"\r\n", strings.Repeat("1\r\nx\r\n", 1000)), large, 0},
		{"endless chunk size", endless(ok200+chunked+"\r\n", strings.Repeat("0", 1000)), broken, 0},
		{"endless chunk extension", endless(ok200+chunked+"\r\n1;", strings.Repeat("x", 1000)), broken, 0},
		{"endless chunk extensions", endless(ok200+chunked+"\r\n", "1;"+strings.Repeat("x", 1000)+"\r\nx\r\n"), broken, 0},
		{"endless trailer", endless(ok200+chunked+"\r\n1\r\nx\r\n0\r\n", "X: y\r\n"), broken, 0},
		{"endless redirect", endless("HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\n\r\n", strings.Repeat("x", 4096)), want{status: 500, text: "Internal Server Error", reason: "upstream_url"}, 0},
		{"endless error", endless("HTTP/1.1 404 Not Found\r\n\r\n", strings.Repeat("x", 4096)), invalid(404, "status"), 0},
		{"endless upgrade", endless("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "x"), invalid(500, "status"), 0},
		// Lengths that lie.
		{"length too short", exactly(ok200 + "Content-Length: 5\r\n\r\nimage and more"), fine, 0},
		{"length too long", exactly(ok200 + "Content-Length: 6\r\n\r\nimage"), broken, 0},
		{"length far too long", exactly(ok200 + "Content-Length: 1048576\r\n\r\nimage"), broken, 0},
		{"length over the limit", exactly(ok200 + "Content-Length: 1048577\r\n\r\nimage"), large, 0},
		{"length of 2^63", exactly(ok200 + "Content-Length: 9223372036854775808\r\n\r\nimage"), broken, 0},
		{"length of 2^64+5", exactly(ok200 + "Content-Length: 18446744073709551621\r\n\r\nimage"), broken, 0},
		{"negative length", exactly(ok200 + "Content-Length: -5\r\n\r\nimage"), broken, 0},
		{"signed length", exactly(ok200 + "Content-Length: +5\r\n\r\nimage"), broken, 0},
		{"hexadecimal length", exactly(ok200 + "Content-Length: 0x5\r\n\r\nimage"), broken, 0},
		{"list of lengths", exactly(ok200 + "Content-Length: 5, 5\r\n\r\nimage"), broken, 0},
		{"two lengths", exactly(ok200 + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nimage"), broken, 0},
		// Next.js refuses this one and "chunks and a length", and takes the bodies of "chunks twice", "chunks and
		// identity", "chunks of gzip", "gzip without chunks" and "an unknown coding" (transport.go).
		{"the same length twice", exactly(ok200 + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nimage"), fine, 0},
		{"length of a coded body", exactly(ok200 + "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\n" + gz), invalid(400, "empty"), inflateMemory + inputBuffer},
		// Framing that contradicts itself.
		{"chunks and a length", exactly(ok200 + "Content-Length: 3\r\n" + chunked + "\r\n" + chunks), fine, 0},
		{"chunks in capitals", exactly(ok200 + "Transfer-Encoding: CHUNKED\r\n\r\n" + chunks), fine, 0},
		{"chunks twice", exactly(ok200 + chunked + chunked + "\r\n" + chunks), broken, 0},
		{"chunks and identity", exactly(ok200 + "Transfer-Encoding: identity, chunked\r\n\r\n" + chunks), broken, 0},
		{"chunks of gzip", exactly(ok200 + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunks), broken, 0},
		{"gzip without chunks", exactly(ok200 + "Transfer-Encoding: gzip\r\n\r\n" + gz), broken, 0},
		{"an unknown coding", exactly(ok200 + "Transfer-Encoding: xchunked\r\n\r\n" + chunks), broken, 0},
		{"a vertical tab", exactly(ok200 + "Transfer-Encoding: \x0bchunked\r\n\r\n" + chunks), broken, 0},
		{"a space before the colon", exactly(ok200 + "Transfer-Encoding : chunked\r\n\r\n" + chunks), broken, 0},
		{"a header without colon", exactly(ok200 + "Content-Length 5\r\n\r\nimage"), broken, 0},
		{"a NUL in a header", exactly(ok200 + "X: a\x00b\r\n" + length + "\r\nimage"), broken, 0},
		{"negative chunk", exactly(ok200 + chunked + "\r\n-5\r\nimage\r\n0\r\n\r\n"), broken, 0},
		{"chunk of 2^64+5", exactly(ok200 + chunked + "\r\n10000000000000005\r\nimage\r\n0\r\n\r\n"), broken, 0},
		{"chunk longer than it says", exactly(ok200 + chunked + "\r\n3\r\nimage\r\n0\r\n\r\n"), broken, 0},
		{"HTTP/0.9", exactly(hostileImage), broken, 0},
		{"HTTP/2", exactly("\x00\x00\x12\x04\x00\x00\x00\x00\x00"), broken, 0},
		{"HTTP/9", exactly("HTTP/9.9 200 OK\r\n" + length + "\r\nimage"), fine, 0},
		{"status 000", exactly("HTTP/1.1 000 \r\n" + length + "\r\nimage"), invalid(500, "status"), 0},
		{"status of four digits", exactly("HTTP/1.1 2000 OK\r\n" + length + "\r\nimage"), broken, 0},
		{"negative status", exactly("HTTP/1.1 -20 OK\r\n" + length + "\r\nimage"), broken, 0},
		// Codings that are none, and bombs.
		{"gzip that is none", exactly(coded("gzip") + hostileImage), undecodable, inflateMemory + inputBuffer},
		{"deflate that is none", exactly(coded("deflate") + "\x78\x9c\xff\xff\xff"), undecodable, inflateMemory + inputBuffer},
		{"br that is none", exactly(coded("br") + "\xff\xff\xff\xff"), undecodable, brotliMemory + inputBuffer + 24<<20},
		{"br that wants it all", exactly(coded("br") + string(greedyBrotli())), undecodable, brotliMemory + inputBuffer + 24<<20},
		{"br in br in br that wants it all", exactly(coded("br, br, br") + string(pack(t, greedyBrotli(), "br", "br"))), undecodable, 3 * (brotliMemory + inputBuffer + 24<<20)},
		{"gzip bomb", bombIn(t, "gzip"), large, inflateMemory + inputBuffer},
		{"deflate bomb", bombIn(t, "deflate"), large, inflateMemory + inputBuffer},
		{"br bomb", bombIn(t, "br"), large, brotliMemory + inputBuffer + 24<<20},
		{"gzip in gzip bomb", bombIn(t, "gzip", "gzip"), large, 2 * (inflateMemory + inputBuffer)},
		{"br in gzip bomb", bombIn(t, "br", "gzip"), large, inflateMemory + brotliMemory + 2*inputBuffer + 24<<20},
		{"five layers of bomb", bombIn(t, "gzip", "deflate", "gzip", "deflate", "gzip"), large, 5 * (inflateMemory + inputBuffer)},
		{"endless gzip name", endless(coded("gzip")+"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x00", strings.Repeat("x", 4096)), large, inflateMemory + inputBuffer},
		{"endless empty gzip", endless(coded("gzip"), strings.Repeat(string(pack(t, nil, "gzip")), 100)), large, inflateMemory + inputBuffer},
		{"endless empty deflate", endless(coded("deflate"), strings.Repeat("\x00\x00\x00\xff\xff", 1000)), large, inflateMemory + inputBuffer},
		{"endless empty br", endless(coded("br")+"\x0c", strings.Repeat("\x06", 4096)), large, brotliMemory + inputBuffer + 24<<20},
		{"six codings", exactly(coded("gzip, gzip, gzip, gzip, gzip, gzip") + gz), invalid(400, "codings"), 0},
		{"thousands of codings", exactly(coded(strings.Repeat("gzip,", 3000)) + gz), invalid(400, "codings"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			base := newRawServer(t, func(conn net.Conn, _ string) {
				asked.Add(1)
				tt.answer(conn)
			})
			c := newTestClient(t, func(o *Options) { o.Timeout, o.MaxBody = hostileTime, hostileBody })
			if tt.want != slow {
				c.timeout = 20 * time.Second // judged by what it sends, however slow the machine is
			}
			m := &recorder{}
			begin := time.Now()
			src, err := c.Fetch(t.Context(), Request{Href: base + "/", Absolute: true, Memory: m})
			if took := time.Since(begin); took > 15*time.Second {
				t.Errorf("took %v", took)
			}
			if tt.want == fine {
				if err != nil || string(src.Body) != hostileImage {
					t.Errorf("%v, %v", src, err)
				}
			} else {
				tt.want.check(t, err)
			}
			if most := int64(hostileBody)*5/2 + tt.memory; m.peak > most {
				t.Errorf("%d bytes of memory, want %d", m.peak, most)
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("asked %d times", n)
			}
		}) // the server is waited for: it gets an error, or the test hangs
	}
}

// A redirect that leads nowhere is followed for so long and no longer.
func TestHostileRedirects(t *testing.T) {
	var hits atomic.Int32
	var other string
	s := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		to := map[string]string{
			"/self": "/self", "/slash": "//" + r.Host + "/slash", "/query": "/query?" + r.URL.RawQuery + "x", "/fragment": "#x", "/empty": "?", "/ping": other + "/pong", "/dots": "./././dots",
			"/far": "http://a.test/" + strings.Repeat("x", maxLocation), "/ats": "http://" + strings.Repeat("@", maxLocationAts+1) + "a.test/", "/crlf": "/x\r\nX-Evil: 1\r\n\r\nHTTP/1.1 200 OK",
			"/port": "http://127.0.0.1:1/", "/portzero": "http://127.0.0.1:0/", "/portlarge": "http://127.0.0.1:65536/", "/file": "file:///etc/passwd", "/ftp": "ftp://" + r.Host + "/", "/gopher": "gopher://" + r.Host + "/_GET", "/blob": "blob:http://" + r.Host + "/", "/about": "about:blank",
		}[r.URL.Path]
		w.Header()["Location"] = []string{to}
		w.WriteHeader(http.StatusFound)
	})
	o := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		http.Redirect(w, r, s.URL+"/ping", http.StatusMovedPermanently)
	})
	other = o.URL
	c := newTestClient(t, nil)
	loop := want{status: 508, text: failure.TextUpstreamInvalid, reason: "upstream_redirects"}
	thrown := want{status: 500, text: "Internal Server Error", reason: "upstream_url"}
	refused := want{status: 502, text: failure.TextUpstreamInvalid, reason: "upstream_connection", retryable: true}
	status := want{status: 500, text: failure.TextUpstreamInvalid, reason: "upstream_status"}
	for _, tt := range []struct {
		path string
		want want
		hits int32
	}{
		{"/self", loop, 4}, {"/slash", loop, 4}, {"/query", loop, 4}, {"/fragment", loop, 4}, {"/empty", loop, 4}, {"/ping", loop, 4}, {"/dots", loop, 4},
		{"/far", status, 1}, {"/ats", status, 1}, {"/crlf", status, 2}, {"/port", refused, 1}, {"/portzero", refused, 1}, {"/portlarge", status, 1},
		{"/file", thrown, 1}, {"/ftp", thrown, 1}, {"/gopher", thrown, 1}, {"/blob", thrown, 1}, {"/about", thrown, 1},
	} {
		hits.Store(0)
		_, err := get(t, c, s.URL+tt.path)
		tt.want.check(t, err)
		if n := hits.Load(); n != tt.hits {
			t.Errorf("%s: asked %d times, want %d", tt.path, n, tt.hits)
		}
	}
}

// However many addresses a name has, few are tried.
func TestManyAddresses(t *testing.T) {
	var list []string
	for i := range 4000 {
		list = append(list, fmt.Sprintf("8.8.%d.%d", i/250, i%250))
	}
	var tried atomic.Int32
	g := newGuard(nil, &fakeResolver{answers: map[string][][]netip.Addr{"many.test": {addrs(list...)}}})
	refused := errors.New("refused")
	g.connect = func(context.Context, string, string) (net.Conn, error) {
		tried.Add(1)
		return nil, refused
	}
	if _, err := g.DialContext(t.Context(), "tcp", "many.test:80"); !errors.Is(err, refused) || tried.Load() != maxTargets {
		t.Errorf("%d addresses tried: %v", tried.Load(), err)
	}
	list[3999] = "10.0.0.1" // each of them is checked all the same
	tried.Store(0)
	g.resolver = &fakeResolver{answers: map[string][][]netip.Addr{"many.test": {addrs(list...)}}}
	var blocked *BlockedError
	if _, err := g.DialContext(t.Context(), "tcp", "many.test:80"); !errors.As(err, &blocked) || tried.Load() != 0 {
		t.Errorf("%d addresses tried: %v", tried.Load(), err)
	}
}
