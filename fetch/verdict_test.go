package fetch

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
)

// What counts as a failure, what ends the row, and what does neither.
func TestBreakerVerdicts(t *testing.T) {
	raw := func(s string) func(io.Writer, string) {
		return func(w io.Writer, _ string) {
			io.WriteString(w, s)
			w.(io.Closer).Close()
		}
	}
	invalid := func(status int, reason string, retryable bool) want {
		return want{status: status, text: failure.TextUpstreamInvalid, reason: "upstream_" + reason, retryable: retryable}
	}
	for _, tt := range []struct {
		name    string
		answer  func(io.Writer, string)
		want    want
		verdict verdict
	}{
		{"good", good, want{}, answered},
		{"404", answers("404 Not Found", "x"), invalid(404, "status", false), answered},
		{"500", answers("500 Internal Server Error", "x"), invalid(502, "status", true), answered},
		{"503", answers("503 Service Unavailable", ""), invalid(502, "status", true), answered},
		{"empty", answers("200 OK", ""), invalid(400, "empty", false), answered},
		{"too large", raw("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"), invalid(413, "too_large", false), answered},
		{"not gzip", raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx"), want{status: 500, text: "Internal Server Error", reason: "upstream_encoding"}, answered},
		{"body breaks off", raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx"), hungUp, answered},
		{"redirect to nothing", answers("302 Found\r\nLocation: ftp://x/", ""), want{status: 500, text: "Internal Server Error", reason: "upstream_url"}, answered},
		{"no HTTP", raw("\x89PNG\r\n\r\n"), hungUp, undecided},
		{"half a head", raw("HTTP/1.1 200 OK\r\nContent-Le"), hungUp, undecided},
		{"bad length", raw("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx"), hungUp, undecided},
		{"silence", silent, timedOut, dead},
		{"slams the door", slams, hungUp, dead},
		{"slow body", func(w io.Writer, _ string) {
			io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx")
			hang(w)
		}, timedOut, dead},
		{"slow header", func(w io.Writer, _ string) {
			io.WriteString(w, "HTTP/1.1 200 OK\r\n")
			hang(w)
		}, timedOut, dead},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, c, _ := newHost(t)
				h.does(slams)
				ask(t, c, hungUp)
				ask(t, c, hungUp)
				h.does(tt.answer)
				ask(t, c, tt.want)
				if open := c.Stats().OpenCircuits == 1; open != (tt.verdict == dead) {
					t.Fatalf("open: %v", open)
				}
				if tt.verdict == dead {
					return
				}
				h.does(slams)
				ask(t, c, hungUp)
				if open := c.Stats().OpenCircuits == 1; open != (tt.verdict == undecided) {
					t.Errorf("open after one more: %v", open)
				}
			})
		})
	}
}

// The network below HTTP: what is the host's fault and what is not.
func TestBreakerDialVerdicts(t *testing.T) {
	dial := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	for _, tt := range []struct {
		name string
		err  error
		dead bool
	}{
		{"refused", dial(syscall.ECONNREFUSED), true},
		{"reset", dial(syscall.ECONNRESET), true},
		{"no route", dial(syscall.EHOSTUNREACH), true},
		{"timeout", dial(syscall.ETIMEDOUT), true},
		{"name server fails", &net.DNSError{Err: "server misbehaving", IsTemporary: true}, true},
		{"name server is slow", &net.DNSError{Err: "i/o timeout", IsTimeout: true}, true},
		{"no such name", &net.DNSError{Err: "no such host", IsNotFound: true}, false},
		{"address not public", &BlockedError{}, false},
		{"no descriptors here", dial(syscall.EMFILE), false},
		{"no ports here", dial(syscall.EADDRNOTAVAIL), false},
		{"something else", errors.New("something else"), false},
	} {
		c := newTestClient(t, func(o *Options) { o.Breaker = BreakerOptions{Failures: 2, OpenFor: time.Hour} })
		c.upstream.DialContext = c.ownedDial(func(context.Context, string, string) (net.Conn, error) { return nil, tt.err })
		for range 2 {
			if _, err := get(t, c, dying+"/"); err == nil {
				t.Error("no failure")
			}
		}
		if open := c.Stats().OpenCircuits == 1; open != tt.dead {
			t.Errorf("%s: open: %v", tt.name, open)
		}
	}
}

// A handshake that the other side breaks off counts, one that fails does not.
func TestBreakerTLS(t *testing.T) {
	quiet(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.ReadFull(conn, make([]byte, 100)) // the beginning of a hello
			conn.Close()
		}
	})
	t.Cleanup(func() {
		l.Close()
		accepting.Wait()
	})
	plain := newTestServer(t, http.NotFound)
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(untrusted.Close)
	for host, open := range map[string]int{l.Addr().String(): 1, plain.Listener.Addr().String(): 0, untrusted.Listener.Addr().String(): 0} {
		c := newTestClient(t, func(o *Options) { o.Breaker = BreakerOptions{Failures: 1, OpenFor: time.Hour} })
		_, err := get(t, c, "https://"+host+"/")
		if got := c.Stats().OpenCircuits; got != open || err == nil {
			t.Errorf("%d open, want %d: %v", got, open, err)
		}
	}
}
