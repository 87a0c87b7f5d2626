package e2e

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// serveOnce answers one connection with the given bytes and returns the address and what was asked.
func serveOnce(t *testing.T, answer string) (addr string, asked <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var head strings.Builder
		buf := make([]byte, 1)
		for !strings.HasSuffix(head.String(), "\r\n\r\n") {
			if _, err := io.ReadFull(conn, buf); err != nil {
				return
			}
			head.Write(buf)
		}
		got <- head.String()
		io.WriteString(conn, answer)
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String(), got
}

func TestRequestIsSentAsWritten(t *testing.T) {
	addr, asked := serveOnce(t, "HTTP/1.1 204 No Content\r\n\r\n")
	r := Request{Method: "GET", Target: "/a b?%zz&ü#x", Header: []string{"aCCept: x", "Accept: y"}}
	if _, err := r.Do(context.Background(), addr); err != nil {
		t.Fatal(err)
	}
	want := "GET /a b?%zz&ü#x HTTP/1.1\r\nHost: images.test\r\nConnection: close\r\naCCept: x\r\nAccept: y\r\n\r\n"
	if got := <-asked; got != want {
		t.Fatalf("sent %q, want %q", got, want)
	}
}

func TestResponses(t *testing.T) {
	for name, c := range map[string]struct {
		method, answer string
		status         int
		body           string
		fails          bool
	}{
		"length":          {answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok"},
		"chunked":         {answer: "HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", status: 400, body: "ok"},
		"close":           {answer: "HTTP/1.0 200 OK\r\n\r\nok", status: 200, body: "ok"},
		"interim first":   {answer: "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok"},
		"head":            {method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", status: 200},
		"cut by length":   {answer: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", fails: true},
		"cut chunks":      {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", fails: true},
		"no answer":       {answer: "", fails: true},
		"no http":         {answer: "hello\r\n\r\n", fails: true},
		"only an interim": {answer: "HTTP/1.1 100 Continue\r\n\r\n", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := serveOnce(t, c.answer)
			resp, err := Request{Method: c.method, Target: "/"}.Do(context.Background(), addr)
			if c.fails {
				if err == nil {
					t.Fatalf("no error, but %+v", resp)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if resp.Status != c.status || string(resp.Body) != c.body {
				t.Fatalf("got %d %q", resp.Status, resp.Body)
			}
		})
	}
}

func TestRequestStopsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts by itself, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := (Request{Target: "/"}).Do(ctx, l.Addr().String()); err == nil {
		t.Fatal("no error")
	}
}

func TestCurl(t *testing.T) {
	r := Request{Method: "HEAD", Target: "/x?a='b'", Header: []string{"Accept: image/webp"}}
	want := `curl -sS -i --path-as-is -g -H 'Host: images.test' -I -H 'Accept: image/webp' 'http://h:1/x?a='\''b'\'''`
	if got := r.Curl("h:1"); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}
