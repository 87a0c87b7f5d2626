//go:build e2e

package stress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// misdeed is what an origin does on a connection once it has been asked. It returns when the other side has had enough.
type misdeed struct {
	name string
	do   func(net.Conn, string) // with the origin's address
}

// flood writes until the other side hangs up.
func flood(conn net.Conn, block string) {
	block = strings.Repeat(block, max(1, 64<<10/len(block)))
	for {
		if _, err := conn.Write([]byte(block)); err != nil {
			return
		}
	}
}

// says writes once.
func says(text string) func(net.Conn, string) {
	return func(conn net.Conn, _ string) { _, _ = conn.Write([]byte(text)) }
}

// floods writes something once and something else for ever.
func floods(once, ever string) func(net.Conn, string) {
	return func(conn net.Conn, _ string) {
		_, _ = conn.Write([]byte(once))
		flood(conn, ever)
	}
}

const okay = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"

var misdeeds = []misdeed{
	{"endless-body", floods(okay+"\r\n", "x")},
	{"endless-chunks", floods(okay+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n")},
	{"endless-chunk-extension", floods(okay+"Transfer-Encoding: chunked\r\n\r\n1;", "x")},
	{"endless-chunk-size", floods(okay+"Transfer-Encoding: chunked\r\n\r\n", "0")},
	{"endless-trailers", floods(okay+"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", "X-Trailer: x\r\n")},
	{"endless-headers", floods(okay, "X-Header: x\r\n")},
	{"endless-header", floods(okay+"X-Header: ", "x")},
	{"endless-status", floods("HTTP/1.1 200 ", "x")},
	{"endless-interim", floods("", "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n")},
	{"endless-continue", floods("", "HTTP/1.1 100 Continue\r\n\r\n")},
	{"endless-newlines", floods("", "\r\n")},
	{"endless-zeros", floods("", "\x00")},
	{"endless-error", floods("HTTP/1.1 500 Internal Server Error\r\n\r\n", "x")},
	{"endless-redirect", func(conn net.Conn, addr string) {
		fmt.Fprintf(conn, "HTTP/1.1 302 Found\r\nLocation: http://%s/endless-redirect\r\n\r\n", addr)
		flood(conn, "x")
	}},
	{"redirect-loop", func(conn net.Conn, addr string) {
		fmt.Fprintf(conn, "HTTP/1.1 302 Found\r\nLocation: http://%s/redirect-loop\r\nContent-Length: 0\r\n\r\n", addr)
	}},
	{"redirect-long", says("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/" + strings.Repeat("x", 500_000) + "\r\nContent-Length: 0\r\n\r\n")},
	{"redirect-nowhere", says("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")},
	{"redirect-file", says("HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n")},
	{"redirect-garbage", says("HTTP/1.1 302 Found\r\nLocation: http://[::1\x7f%zz\r\nContent-Length: 0\r\n\r\n")},
	{"length-too-large", says(okay + "Content-Length: 100\r\n\r\nx")},
	{"length-63-bits", floods(okay+"Content-Length: 9223372036854775807\r\n\r\n", "x")},
	{"length-64-bits", floods(okay+"Content-Length: 18446744073709551616\r\n\r\n", "x")},
	{"length-negative", says(okay + "Content-Length: -1\r\n\r\nx")},
	{"length-twice", says(okay + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy")},
	{"length-and-chunks", says(okay + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx")},
	{"chunk-64-bits", floods(okay+"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "x")},
	{"chunk-63-bits", floods(okay+"Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n", "x")},
	{"chunk-negative", says(okay + "Transfer-Encoding: chunked\r\n\r\n-1\r\nx")},
	{"hangs-up", func(net.Conn, string) {}},
	{"resets", func(conn net.Conn, _ string) {
		if c, ok := conn.(*net.TCPConn); ok {
			_ = c.SetLinger(0)
		}
	}},
	{"half-a-header", says("HTTP/1.1 200 OK\r\nConte")},
	{"http-0.9", says("\x89PNG\r\n\x1a\n")},
	{"http-2", says("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
	{"tls", says("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
	{"another-protocol", says("220 mail ESMTP\r\n")},
	{"status-0", says("HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n")},
	{"status-999", says("HTTP/1.1 999 All\r\nContent-Length: 0\r\n\r\n")},
	{"status-text", says("HTTP/1.1 abc\r\nContent-Length: 0\r\n\r\n")},
	{"status-101", says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")},
	{"status-304", says("HTTP/1.1 304 Not Modified\r\n\r\n")},
	{"status-206", says("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/1\r\nContent-Length: 1\r\n\r\nx")},
	{"header-name-empty", says("HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 1\r\n\r\nx")},
	{"header-folded", says("HTTP/1.1 200 OK\r\nA: x\r\n y\r\nContent-Length: 1\r\n\r\nx")},
	{"answers-twice", says(okay + "Content-Length: 1\r\n\r\nx" + okay + "Content-Length: 1\r\n\r\ny")},
}

// startMisdeeds listens for connections and does what the path of the first request names.
func startMisdeeds(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]misdeed{}
	for _, m := range misdeeds {
		named[m.name] = m
	}
	var serving sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			serving.Go(func() {
				defer func() {
					_ = conn.Close()
					mu.Lock()
					delete(open, conn)
					mu.Unlock()
				}()
				r := textproto.NewReader(bufio.NewReader(conn))
				line, err := r.ReadLine()
				if err != nil {
					return
				}
				if _, err := r.ReadMIMEHeader(); err != nil {
					return
				}
				_, path, _ := strings.Cut(line, "/")
				path, _, _ = strings.Cut(path, " ")
				path, _, _ = strings.Cut(path, "?")
				if m, ok := named[path]; ok {
					m.do(conn, l.Addr().String())
				}
			})
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		mu.Lock()
		for conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return l.Addr().String()
}

// TestHostileOrigins has origins break HTTP in every way, all at once: each request has its answer within the time
// limits, none of them is an image, and memory stays bounded.
func TestHostileOrigins(t *testing.T) {
	healthy := startOrigin(t, "127.0.0.1")
	healthy.put("photo", served{body: testImage(t, "photo-640.jpg")})
	addr := startMisdeeds(t)
	flags := append(small.flags(t), "--origin=http://"+healthy.addr, "--origin=http://"+addr, anyHost, "--images.dangerouslyAllowLocalIP",
		"--fetch.timeout=1s", "--timeout=4s", "--log.level=info")
	s := startService(t, append(flags, optional(t, "--fetch.breaker.failures=0")...)...)
	client := newClient(t, len(misdeeds), patience)
	if a, err := get(s.image("/photo/warm.jpg", 64)); err != nil || a.status != http.StatusOK {
		t.Fatalf("a good image: %v %v", a, err)
	}
	before := s.resting(t)
	stop := s.watch(t)
	var asking sync.WaitGroup
	var mu sync.Mutex
	byStatus := map[int][]string{}
	for _, m := range misdeeds {
		for _, href := range []string{"http://" + addr + "/" + m.name, "/" + m.name} {
			asking.Go(func() {
				asked := time.Now()
				a, err := ask(context.Background(), client, s.image(href, 64), "Accept", acceptWebP)
				took := time.Since(asked)
				if err != nil {
					t.Errorf("%s: %v", href, err)
					return
				}
				mu.Lock()
				byStatus[a.status] = append(byStatus[a.status], href)
				mu.Unlock()
				if a.status < 400 || len(a.body) > 200 {
					t.Errorf("%s: %v", href, a)
				}
				if took > 5*time.Second {
					t.Errorf("%s: answered after %v", href, took)
				}
			})
		}
	}
	asking.Wait()
	seen := stop()
	for status, hrefs := range byStatus {
		t.Logf("%d: %s", status, strings.Join(hrefs, " "))
	}
	s.mustRun(t)
	small.check(t, seen, int64(len(misdeeds)))
	if a, err := get(s.image("/photo/after.jpg", 64)); err != nil || a.status != http.StatusOK {
		t.Errorf("a good image afterwards: %v %v", a, err)
	}
	client.CloseIdleConnections()
	s.descriptorsBack(t, before, healthy)
}
