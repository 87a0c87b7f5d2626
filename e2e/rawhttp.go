package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// host is the Host both servers are asked for, so that nothing in an answer can depend on their ports.
const host = "images.test"

// Request is a request as it goes over the wire. Nothing in it is normalised: a target with a raw space or a
// header with an odd name arrives as it is written, which net/http's client would refuse to send.
type Request struct {
	Method string   // "" means GET
	Target string   // the request target: path and query
	Proto  string   // "" means HTTP/1.1
	Header []string // lines without their line end; Host and Connection are added when absent
	Body   string   // sent as it is, after the head
}

// Response is an answer with its framing undone. Header names are canonical, repeated lines keep their order.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// bytes returns the request as it is sent.
func (r Request) bytes() []byte {
	method, proto := r.Method, r.Proto
	if method == "" {
		method = http.MethodGet
	}
	if proto == "" {
		proto = "HTTP/1.1"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\n", method, r.Target, proto)
	if !r.has("Host") {
		fmt.Fprintf(&b, "Host: %s\r\n", host)
	}
	if !r.has("Connection") {
		b.WriteString("Connection: close\r\n")
	}
	for _, line := range r.Header {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("\r\n" + r.Body)
	return []byte(b.String())
}

// has tells whether a header line with that name is given.
func (r Request) has(name string) bool {
	for _, line := range r.Header {
		if n, _, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// Curl returns a command that repeats the request against addr (host:port).
func (r Request) Curl(addr string) string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	args := []string{"curl", "-sS", "-i", "--path-as-is", "-g", "-H", quote("Host: " + host)}
	switch r.Method {
	case "", http.MethodGet:
	case http.MethodHead:
		args = append(args, "-I")
	default:
		args = append(args, "-X", r.Method)
	}
	if r.Proto == "HTTP/1.0" {
		args = append(args, "--http1.0")
	}
	for _, line := range r.Header {
		args = append(args, "-H", quote(line))
	}
	if r.Body != "" {
		args = append(args, "--data-binary", quote(r.Body))
	}
	return strings.Join(append(args, quote("http://"+addr+r.Target)), " ")
}

// Do sends the request to addr (host:port) on a connection of its own and reads the whole answer. An answer that
// ends early is an error.
func (r Request) Do(ctx context.Context, addr string) (*Response, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	// A server may answer, and close, before it has read a large request: its answer still counts.
	_, writeErr := conn.Write(r.bytes())
	resp, err := readResponse(bufio.NewReader(conn), r.Method)
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", addr, errors.Join(err, writeErr))
	}
	return resp, nil
}

// readResponse reads one final answer, skipping interim (1xx) ones.
func readResponse(br *bufio.Reader, method string) (*Response, error) {
	if method == "" {
		method = http.MethodGet
	}
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("body after %d bytes: %w", len(body), err)
		}
		if resp.StatusCode >= 200 {
			return &Response{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
		}
	}
}
