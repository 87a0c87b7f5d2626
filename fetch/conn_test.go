package fetch

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// newKeptServer starts a server that keeps its connections and writes to every request what answer returns.
func newKeptServer(t testing.TB, answer func(requestLine string) string) string {
	return newRawServer(t, func(conn net.Conn, line string) {
		r := bufio.NewReader(conn)
		for {
			if _, err := io.WriteString(conn, answer(line)); err != nil {
				return
			}
			var err error
			line, err = r.ReadString('\n')
			for header := line; err == nil && header != "\r\n"; {
				header, err = r.ReadString('\n')
			}
			if err != nil {
				return
			}
		}
	})
}

// quiet silences what net/http has to say about servers that send too much.
func quiet(t *testing.T) {
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
}

// What a server sends after its answer is never the answer to another request. Without settleConn a few
// of these fetches get "evil" in every run.
func TestLeftovers(t *testing.T) {
	quiet(t)
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	large := strings.Repeat("x", 6000) // goes past net/http's buffer: what follows it stays in the kernel
	for name, tt := range map[string]struct {
		answer string
		body   string // "" for not modified
	}{
		"length":     {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood" + evil, "good"},
		"large":      {"HTTP/1.1 200 OK\r\nContent-Length: 6000\r\n\r\n" + large + evil, large},
		"chunked":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n" + evil, "good"},
		"trailer":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\nX: y\r\n\r\n" + evil, "good"},
		"both":       {"HTTP/1.1 200 OK\r\nContent-Length: 400\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n" + evil, "good"},
		"both, less": {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n" + evil, "good"},
		"twice":      {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\ngood" + evil, "good"},
		"304":        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 48\r\n\r\n" + evil, ""},
		"line ends":  {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood\r\n\r\n" + evil, "good"},
		"many times": {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood" + strings.Repeat(evil, 200), "good"},
	} {
		t.Run(name, func(t *testing.T) {
			base := newKeptServer(t, func(string) string { return tt.answer })
			// A single connection is handed straight to the next who waits for it.
			c := newTestClient(t, func(o *Options) { o.MaxConnsPerHost, o.Origins = 1, []string{base} })
			var wg sync.WaitGroup
			for i := range 16 {
				wg.Go(func() {
					for range 25 {
						src, err := c.Fetch(t.Context(), Request{Href: base + "/", Absolute: true, ETag: `"x"`})
						if i%2 == 1 {
							src, err = c.Fetch(t.Context(), Request{Href: "/", ETag: `"x"`})
						}
						if err != nil || string(src.Body) != tt.body {
							t.Errorf("%v, %.60s", err, fmt.Sprint(src))
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// Behind TLS the same holds.
func TestLeftoversTLS(t *testing.T) {
	quiet(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for err == nil {
			fmt.Fprint(buf, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			buf.Flush()
			_, err = http.ReadRequest(buf.Reader)
		}
	}))
	s.StartTLS()
	t.Cleanup(s.Close)
	c := newTestClient(t, func(o *Options) { o.MaxConnsPerHost = 2 })
	c.upstream.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if src, err := c.Fetch(t.Context(), Request{Href: s.URL + "/", Absolute: true}); err != nil || string(src.Body) != "good" {
					t.Errorf("%v, %.60s", err, fmt.Sprint(src))
					return
				}
			}
		})
	}
	wg.Wait()
}

// A connection that has nothing left over is used again, whatever its answers look like.
func TestReuseAfterOddAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"length":       "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
		"chunked":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\ngood\r\n0\r\nX: y\r\n\r\n",
		"same lengths": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\ngood",
		"hints":        strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n", 20) + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
	} {
		var mu sync.Mutex
		conns := map[net.Conn]bool{}
		base := newRawServer(t, func(conn net.Conn, _ string) {
			mu.Lock()
			conns[conn] = true
			mu.Unlock()
			for r := bufio.NewReader(conn); ; {
				io.WriteString(conn, answer)
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
			}
		})
		c := newTestClient(t, nil)
		for range 5 {
			if src, err := get(t, c, base+"/"); err != nil || string(src.Body) != "good" {
				t.Errorf("%s: %v", name, err)
			}
		}
		c.Close()
		if mu.Lock(); len(conns) != 1 {
			t.Errorf("%s: %d connections", name, len(conns))
		}
		mu.Unlock()
	}
}

// So is one with TLS, whose last handshake message comes after the handshake.
func TestReuseTLS(t *testing.T) {
	var conns atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("good")) }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	c := newTestClient(t, nil)
	c.upstream.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	for range 10 {
		if src, err := get(t, c, s.URL+"/"); err != nil || string(src.Body) != "good" {
			t.Error(err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// Who waits for a connection to rest is told when it does, when it is closed, and when the wait is over.
func TestSettleConn(t *testing.T) {
	settled := func(ctx context.Context, w *watchedConn) chan struct{} {
		done := make(chan struct{})
		go func() {
			settleConn(ctx, w)
			close(done)
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("did not wait")
		default:
		}
		return done
	}
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		w := newWatchedConn(here)
		done := settled(t.Context(), w)
		go w.Read(make([]byte, 1))
		<-done
		there.Write([]byte("x")) // ends the read
		synctest.Wait()
		done = settled(t.Context(), w)
		w.Close()
		<-done
		ctx, cancel := context.WithCancel(t.Context())
		again, other := net.Pipe()
		defer again.Close()
		defer other.Close()
		done = settled(ctx, newWatchedConn(again))
		cancel()
		<-done
		settleConn(t.Context(), other) // not ours: nothing to wait for
	})
}

// stalled is a connection on which a read does not begin: the moment between net/http's decision to read and the read.
type stalled struct {
	*net.TCPConn
	closed chan struct{}
}

func (s stalled) Read([]byte) (int, error) {
	<-s.closed
	return 0, net.ErrClosed
}

func (s stalled) Close() error {
	close(s.closed)
	return s.TCPConn.Close()
}

// A connection of which the kernel holds something is closed rather than used again.
func TestSettleConnUnread(t *testing.T) {
	for _, leftover := range []bool{false, true} {
		here, there := tcpPair(t)
		w := newWatchedConn(stalled{here.(*net.TCPConn), make(chan struct{})})
		if leftover {
			there.Write([]byte("xy"))
			here.Read(make([]byte, 1)) // both have arrived
		}
		done := make(chan struct{})
		go func() {
			w.Read(nil)
			close(done)
		}()
		settleConn(t.Context(), w)
		if w.mu.Lock(); w.closed != leftover {
			t.Errorf("leftover %v, closed %v", leftover, w.closed)
		}
		w.mu.Unlock()
		if !leftover {
			w.Close()
		}
		<-done
	}
}

// tcpPair returns the two ends of a connection.
func tcpPair(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if here, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close() })
	if there, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { there.Close() })
	return here, there
}

// What has arrived and nobody has read is seen in the kernel.
func TestUnread(t *testing.T) {
	here, there := tcpPair(t)
	if unread(here) {
		t.Error("data before any was sent")
	}
	there.Write([]byte("xy"))
	here.Read(make([]byte, 1)) // y is left
	if !unread(here) {
		t.Error("leftover data is not seen")
	}
	here.Read(make([]byte, 1))
	if unread(here) {
		t.Error("data after all was read")
	}
	there.Close()
	here.Read(make([]byte, 1))
	if !unread(here) {
		t.Error("the end is not seen")
	}
	here.Close()
	if !unread(here) {
		t.Error("a closed connection counts as good")
	}
}
