package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Reply is what the origin answers, down to the bytes: also what no decent server would say.
type Reply struct {
	Status  int         // 0 means 200
	Header  [][2]string // in order; repeated names make repeated lines
	Body    []byte
	Framing Framing
	Length  int           // with FramingLength, another Content-Length than that of Body; 0: the true one
	Before  time.Duration // waits before the head
	Within  time.Duration // waits between the two halves of the body
	Raw     []byte        // sent instead of everything above (after Before), then the connection is closed
	Hangup  bool          // closes the connection without an answer
}

// Framing says how the end of a body is marked.
type Framing int

// The ways HTTP/1.1 marks the end of a body, and one that breaks off.
const (
	FramingLength  Framing = iota // Content-Length
	FramingChunked                // chunked transfer coding
	FramingClose                  // the end of the connection
	FramingCut                    // chunked transfer coding without its last chunk
)

// Handler decides what a path answers.
type Handler func(*http.Request) Reply

// Origin is a scripted upstream on the loopback interface. It counts the requests per path.
type Origin struct {
	Port     int
	fallback Handler

	listeners []net.Listener
	serving   sync.WaitGroup

	mu     sync.Mutex
	routes map[string]Handler
	hits   map[string]int
	conns  map[net.Conn]struct{}
	closed bool
}

// NewOrigin listens on the given loopback addresses, all with the same port. Paths nobody has claimed with Handle
// are answered by fallback.
func NewOrigin(fallback Handler, addrs ...string) (*Origin, error) {
	var err error
	for range 20 { // another address may have the port in use; then another port is tried
		o := &Origin{fallback: fallback, routes: map[string]Handler{}, hits: map[string]int{}, conns: map[net.Conn]struct{}{}}
		if err = o.listen(addrs); err == nil {
			return o, nil
		}
		o.Close()
	}
	return nil, fmt.Errorf("origin: %w", err)
}

func (o *Origin) listen(addrs []string) error {
	for _, addr := range addrs {
		l, err := net.Listen("tcp", net.JoinHostPort(addr, strconv.Itoa(o.Port)))
		if err != nil {
			return err
		}
		o.Port = l.Addr().(*net.TCPAddr).Port
		o.listeners = append(o.listeners, l)
		o.serving.Go(func() { o.accept(l) })
	}
	return nil
}

// ListenTLS serves the same paths over TLS on one more port of 127.0.0.1, which it returns.
func (o *Origin) ListenTLS(config *tls.Config) (port int, err error) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return 0, fmt.Errorf("origin: %w", err)
	}
	o.listeners = append(o.listeners, l)
	o.serving.Go(func() { o.accept(l) })
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Close stops the origin and waits for its goroutines.
func (o *Origin) Close() {
	o.mu.Lock()
	o.closed = true
	for c := range o.conns {
		c.Close()
	}
	o.mu.Unlock()
	for _, l := range o.listeners {
		l.Close()
	}
	o.serving.Wait()
}

// Handle lets h answer path (as it is written in the request target, without the query).
func (o *Origin) Handle(path string, h Handler) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.routes[path] = h
}

// Hits returns how many requests a path has had.
func (o *Origin) Hits(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hits[path]
}

// URL returns the absolute url of a path.
func (o *Origin) URL(path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", o.Port, path)
}

func (o *Origin) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if !o.track(conn) {
			conn.Close()
			return
		}
		o.serving.Go(func() {
			defer o.forget(conn)
			o.serve(conn)
		})
	}
}

func (o *Origin) track(c net.Conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.conns[c] = struct{}{}
	return true
}

func (o *Origin) forget(c net.Conn) {
	c.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, c)
}

// serve answers the requests of one connection until one of them ends it.
func (o *Origin) serve(conn net.Conn) {
	br := bufio.NewReader(conn)
	for {
		req, err := readRequest(br)
		if err != nil {
			return
		}
		if !o.handler(req)(req).send(conn) {
			return
		}
	}
}

// readRequest reads a request without a body. Unlike http.ReadRequest it takes any target, also one that is no url.
func readRequest(br *bufio.Reader) (*http.Request, error) {
	tp := textproto.NewReader(br)
	line, err := tp.ReadLine()
	if err != nil {
		return nil, err
	}
	parts := strings.SplitN(line, " ", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("request line %q", line)
	}
	header, err := tp.ReadMIMEHeader()
	if err != nil {
		return nil, err
	}
	req := &http.Request{Method: parts[0], RequestURI: parts[1], Proto: parts[2], Header: http.Header(header)}
	req.Host = req.Header.Get("Host")
	return req, nil
}

// handler counts the request and returns who answers it.
func (o *Origin) handler(req *http.Request) Handler {
	path, _, _ := strings.Cut(req.RequestURI, "?")
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hits[path]++
	if h, ok := o.routes[path]; ok {
		return h
	}
	return o.fallback
}

// send writes the reply and tells whether the connection may be used again.
func (r Reply) send(conn net.Conn) bool {
	time.Sleep(r.Before)
	if r.Hangup {
		return false
	}
	if r.Raw != nil {
		conn.Write(r.Raw)
		return false
	}
	w := bufio.NewWriter(conn)
	status := r.Status
	if status == 0 {
		status = http.StatusOK
	}
	fmt.Fprintf(w, "HTTP/1.1 %03d %s\r\n", status, http.StatusText(status))
	for _, h := range r.Header {
		fmt.Fprintf(w, "%s: %s\r\n", h[0], h[1])
	}
	bodiless := status == http.StatusNoContent || status == http.StatusNotModified
	switch {
	case bodiless:
	case r.Framing == FramingLength:
		fmt.Fprintf(w, "Content-Length: %d\r\n", max(len(r.Body), r.Length))
	case r.Framing == FramingClose:
		w.WriteString("Connection: close\r\n")
	default:
		w.WriteString("Transfer-Encoding: chunked\r\n")
	}
	w.WriteString("\r\n")
	if !bodiless {
		half := len(r.Body) / 2
		r.part(w, r.Body[:half])
		if r.Within > 0 {
			w.Flush()
			time.Sleep(r.Within)
		}
		r.part(w, r.Body[half:])
		if r.Framing == FramingChunked {
			w.WriteString("0\r\n\r\n")
		}
	}
	complete := r.Framing == FramingChunked || r.Framing == FramingLength && r.Length <= len(r.Body)
	return w.Flush() == nil && complete
}

// part writes a piece of the body in the reply's framing.
func (r Reply) part(w *bufio.Writer, b []byte) {
	chunked := r.Framing == FramingChunked || r.Framing == FramingCut
	if chunked && len(b) > 0 {
		fmt.Fprintf(w, "%x\r\n%s\r\n", len(b), b)
	} else if !chunked {
		w.Write(b)
	}
}
