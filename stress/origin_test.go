//go:build e2e

package stress

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// origin serves what the tests put under a path's first segment.
type origin struct {
	addr   string // host:port
	server *http.Server

	mu   sync.RWMutex
	held map[string]served
}

// served is one answer of an origin.
type served struct {
	body         []byte
	coding       string
	cacheControl string
	etag         string
	wait         time.Duration // before the answer
}

// startOrigin listens on a loopback address ("127.0.0.1") until the test ends.
func startOrigin(t testing.TB, host string) *origin {
	t.Helper()
	o := &origin{held: map[string]served{}}
	o.addr, o.server = serveHTTP(t, host, o)
	return o
}

// hangUp closes the connections that the service keeps for its next requests: they are no leak.
func (o *origin) hangUp() {
	o.server.SetKeepAlivesEnabled(false)
	o.server.SetKeepAlivesEnabled(true)
}

// serveHTTP serves a handler on a free port and returns its address.
func serveHTTP(t testing.TB, host string, h http.Handler) (string, *http.Server) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	ended := make(chan error)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close() // what it could not close is closed with the process
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the origin ended: %v", err)
		}
	})
	return l.Addr().String(), server
}

func (o *origin) put(key string, s served) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held[key] = s
}

func (o *origin) drop(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.held, key)
}

// ServeHTTP answers with what is held for the path's first segment.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	o.mu.RLock()
	s, ok := o.held[key]
	o.mu.RUnlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	if s.wait > 0 {
		select {
		case <-time.After(s.wait):
		case <-r.Context().Done():
			return
		}
	}
	header := w.Header()
	header.Set("Content-Type", "text/html") // a lie, which must not matter
	for name, value := range map[string]string{"Content-Encoding": s.coding, "Cache-Control": s.cacheControl, "ETag": s.etag} {
		if value != "" {
			header.Set(name, value)
		}
	}
	if s.etag != "" && r.Header.Get("If-None-Match") == s.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Length", fmt.Sprint(len(s.body)))
	_, _ = w.Write(s.body) // whoever asked may have gone
}
