package handler

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/validate"
)

// gone wants the server to close the connection.
func gone(t *testing.T, r io.Reader) {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil || len(b) > 0 {
		t.Errorf("after the answer came %q and %v, want the end", b, err)
	}
}

func dialAndSend(t *testing.T, addr, raw string) net.Conn {
	t.Helper()
	c := dial(t, addr)
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMalformed(t *testing.T) {
	addr := start(t, hits(testEntry(100)), nil)
	for name, raw := range map[string]string{
		"no HTTP":                 "hello\r\n\r\n",
		"no target":               "GET  HTTP/1.1\r\nHost: h\r\n\r\n",
		"header without a colon":  "GET " + aJPG + " HTTP/1.1\r\nHost: h\r\nnonsense\r\nX: y\r\n\r\n",
		"space before the colon":  "GET " + aJPG + " HTTP/1.1\r\nHost: h\r\nAccept : x\r\n\r\n",
		"TLS":                     "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n\n\n",
		"no Host":                 "GET " + aJPG + " HTTP/1.1\r\n\r\n",
		"odd version":             "GET " + aJPG + " HTTP/2.0\r\nHost: h\r\n\r\n",
		"length is no number":     "GET " + aJPG + " HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
		"length is negative":      "GET " + aJPG + " HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
		"target with a space":     "GET " + aJPG + " x HTTP/1.1\r\nHost: h\r\n\r\n",
		"target beyond ASCII":     "GET " + aJPG + "\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n",
		"redirect beyond ASCII":   "GET /_next//image?a=\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n",
		"redirect with a control": "GET /_next//image?a=\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := send(t, addr, raw)
			if got.StatusCode != 400 {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
			if strings.Contains(string(got.body), "a.jpg") {
				t.Errorf("the request is quoted: %q", got.body)
			}
			mustNotBeCached(t, got)
		})
	}
}

func TestTooLargeHeaders(t *testing.T) {
	addr := start(t, hits(testEntry(100)), nil)
	for name, raw := range map[string]string{
		"one header":   request("GET", aJPG, "X: "+strings.Repeat("y", 200<<10)),
		"many headers": request("GET", aJPG, strings.Repeat("X: y\r\n", 20<<10)+"Z: z"),
		"target":       request("GET", aJPG+"&"+strings.Repeat("y", 100<<10)),
		"no end":       "GET " + strings.Repeat("y", 64<<10),
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, addr)
			// The client goes on sending while it is refused, and still gets to read the answer.
			sent := make(chan error, 1)
			go func() {
				_, err := io.WriteString(c, raw)
				sent <- err
			}()
			r := bufio.NewReader(c)
			if got := read(t, r, "GET"); got.StatusCode != 431 {
				t.Errorf("%d %q", got.StatusCode, got.body)
			}
			gone(t, r)
			_ = c.Close()
			<-sent // whether it could send everything is of no interest
		})
	}
	if got := send(t, addr, request("GET", aJPG)); got.StatusCode != 200 {
		t.Errorf("afterwards: %d", got.StatusCode)
	}
}

func TestRequestBody(t *testing.T) {
	addr := start(t, hits(testEntry(100)), nil)
	for name, c := range map[string]struct {
		raw    string
		status int
	}{
		"GET with a body":       {request("GET", aJPG, "Content-Length: 5") + "hello", 413},
		"GET with one byte":     {request("GET", aJPG, "Content-Length: 1") + "x", 413},
		"a body to come":        {request("GET", aJPG, "Content-Length: 5000000"), 413},
		"chunked":               {request("GET", aJPG, "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n", 413},
		"chunked and empty":     {request("GET", aJPG, "Transfer-Encoding: chunked") + "0\r\n\r\n" + request("GET", "/smuggled"), 200},
		"expected":              {request("GET", aJPG, "Content-Length: 5", "Expect: 100-continue"), 413},
		"two lengths":           {request("GET", aJPG, "Content-Length: 5", "Content-Length: 0") + request("GET", "/smuggled"), 400},
		"length and chunked":    {request("GET", aJPG, "Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n" + request("GET", "/smuggled"), 400},
		"odd coding":            {request("GET", aJPG, "Transfer-Encoding: xchunked") + "0\r\n\r\n" + request("GET", "/smuggled"), 400},
		"POST":                  {request("POST", aJPG, "Content-Length: 5") + "hello", 413},
		"multipart":             {request("POST", aJPG, "Content-Type: multipart/form-data; boundary=x", "Content-Length: 9") + "--x\r\n\r\n--", 413},
		"empty":                 {request("GET", aJPG, "Content-Length: 0") + request("GET", "/next"), 200},
		"elsewhere with a body": {request("PUT", "/x", "Content-Length: 5") + "hello", 413},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, addr)
			if _, err := io.WriteString(conn, c.raw); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			got := read(t, r, "GET")
			if got.StatusCode != c.status || !got.Close {
				t.Errorf("%d %q, close %v; want %d", got.StatusCode, got.body, got.Close, c.status)
			}
			gone(t, r) // what follows must not be taken for a request
		})
	}
}

func TestPipelining(t *testing.T) {
	for _, size := range []int{100, 700, 2047, 2048, 5000, 45 << 10, 600 << 10} {
		addr := start(t, hits(testEntry(size)), nil)
		c := dial(t, addr)
		var raw strings.Builder
		methods := []string{"GET", "HEAD", "GET", "GET", "HEAD", "GET"}
		for i, method := range methods {
			target := aJPG
			if i == 3 {
				target = "/_next/image"
			}
			raw.WriteString(request(method, target))
		}
		go func() { _, _ = io.WriteString(c, raw.String()) }()
		r := bufio.NewReader(c)
		for i, method := range methods {
			got := read(t, r, method)
			switch {
			case i == 3:
				if got.StatusCode != 400 {
					t.Errorf("size %d, answer %d: %d", size, i, got.StatusCode)
				}
			case method == "HEAD":
				if got.ContentLength != int64(size) {
					t.Errorf("size %d, answer %d: length %d", size, i, got.ContentLength)
				}
			case !bytes.Equal(got.body, testEntry(size).Body):
				t.Errorf("size %d, answer %d: %d bytes, not the image", size, i, len(got.body))
			}
		}
	}
}

func TestOldAndAbsolute(t *testing.T) {
	addr := start(t, hits(testEntry(100)), nil)
	t.Run("HTTP/1.0", func(t *testing.T) {
		c := dial(t, addr)
		if _, err := io.WriteString(c, "GET "+aJPG+" HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		if got := read(t, r, "GET"); got.StatusCode != 200 || len(got.body) != 100 {
			t.Errorf("%d, %d bytes", got.StatusCode, len(got.body))
		}
		gone(t, r)
	})
	t.Run("HTTP/1.0 failure", func(t *testing.T) {
		got := send(t, addr, "GET /_next/image HTTP/1.0\r\n\r\n")
		if got.StatusCode != 400 || string(got.body) != `"url" parameter is required` || len(got.TransferEncoding) > 0 {
			t.Errorf("%d %q %v", got.StatusCode, got.body, got.TransferEncoding)
		}
	})
	t.Run("HTTP/1.0 compressed", func(t *testing.T) {
		e := testEntry(5000)
		e.ContentType = "image/svg+xml"
		got := send(t, start(t, hits(e), nil), "GET "+aJPG+" HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
		if len(got.TransferEncoding) > 0 || !bytes.Equal(decode(t, got.body, got.Header.Get("Content-Encoding")), e.Body) {
			t.Errorf("%v", got.Header)
		}
	})
	t.Run("absolute-form", func(t *testing.T) {
		for _, target := range []string{"http://h" + aJPG, "https://user@h:1" + aJPG} {
			if got := send(t, addr, request("GET", target)); got.StatusCode != 200 {
				t.Errorf("%s: %d", target, got.StatusCode)
			}
		}
		if got := send(t, addr, request("GET", "http://h")); got.StatusCode != 404 {
			t.Errorf("%d", got.StatusCode)
		}
	})
	t.Run("keep-alive", func(t *testing.T) {
		c := dial(t, addr)
		r := bufio.NewReader(c)
		for range 3 {
			if _, err := io.WriteString(c, request("GET", aJPG)); err != nil {
				t.Fatal(err)
			}
			if got := read(t, r, "GET"); got.StatusCode != 200 || got.Close {
				t.Errorf("%d, close %v", got.StatusCode, got.Close)
			}
		}
	})
}

// Shutting down closes idle connections, answers what is under way with Connection: close, and accepts no more.
func TestShutdown(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	o := testOptions()
	app, err := New(&fakeImages{get: func(context.Context, validate.Params) (Result, error) {
		close(entered)
		<-finish
		return Result{Entry: testEntry(100), State: cache.Miss}, nil
	}}, testRules(t), o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- app.Listener(Wrap(ln, ListenOptions{})) }()

	idle := dial(t, ln.Addr().String())
	if _, err := io.WriteString(idle, request("GET", "/_next/image")); err != nil {
		t.Fatal(err)
	}
	idleReader := bufio.NewReader(idle)
	read(t, idleReader, "GET")
	busy := dial(t, ln.Addr().String())
	if _, err := io.WriteString(busy, request("GET", aJPG)); err != nil {
		t.Fatal(err)
	}
	<-entered

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- app.ShutdownWithContext(ctx) }()
	gone(t, idleReader)
	if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("still accepting")
	}
	close(finish)
	r := bufio.NewReader(busy)
	if got := read(t, r, "GET"); got.StatusCode != 200 || len(got.body) != 100 || !got.Close {
		t.Errorf("%d, %d bytes, close %v", got.StatusCode, len(got.body), got.Close)
	}
	gone(t, r)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// More connections than allowed are refused with 503, not kept waiting.
func TestMaxConns(t *testing.T) {
	addr := start(t, hits(testEntry(100)), func(o *Options) { o.MaxConns = 2 })
	for range 2 {
		c := dial(t, addr)
		if _, err := io.WriteString(c, request("GET", aJPG)); err != nil {
			t.Fatal(err)
		}
		read(t, bufio.NewReader(c), "GET")
	}
	c := dial(t, addr)
	got := read(t, bufio.NewReader(c), "GET")
	if got.StatusCode != 503 {
		t.Errorf("%d", got.StatusCode)
	}
	if s := fmt.Sprint(got.Header); strings.Contains(s, "fasthttp") {
		t.Error(s)
	}
}
