package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// upstream is where everything that is compared fetches its sources: one HTTP server in this program, which counts
// what it is asked for. The query is for the askers alone: it makes variants of one file distinct.
type upstream struct {
	base    string
	files   map[string]file // by name
	mix     []file          // what /mix/N serves: the N-th, and from the beginning again
	fetches atomic.Int64
	server  *http.Server
	done    chan struct{}
}

type file struct {
	bytes       []byte
	contentType string
}

// serveFiles starts an upstream with the given files. The names of mix are among them.
func serveFiles(paths []string, mix ...string) (*upstream, error) {
	u := &upstream{files: map[string]file{}, done: make(chan struct{})}
	for _, p := range append(append([]string(nil), paths...), mix...) {
		b, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("reading a source: %w", err)
		}
		u.files[filepath.Base(p)] = file{b, http.DetectContentType(b)}
	}
	for _, p := range mix {
		u.mix = append(u.mix, u.files[filepath.Base(p)])
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the upstream: %w", err)
	}
	u.base = "http://" + l.Addr().String()
	u.server = &http.Server{Handler: u, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(u.done)
		_ = u.server.Serve(l) // ends with ErrServerClosed
	}()
	return u, nil
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	f, ok := u.files[name]
	if n, found := strings.CutPrefix(name, "mix/"); found && len(u.mix) > 0 {
		i, err := strconv.Atoi(strings.TrimSuffix(n, ".jpg"))
		if ok = err == nil && i >= 0; ok {
			f = u.mix[i%len(u.mix)]
		}
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method == http.MethodGet { // ipx asks with HEAD, too
		u.fetches.Add(1)
	}
	w.Header().Set("Content-Type", f.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(f.bytes)))
	w.Header().Set("Cache-Control", "public, max-age=60") // platformatic needs one
	_, _ = w.Write(f.bytes)
}

func (u *upstream) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if u.server.Shutdown(ctx) != nil {
		_ = u.server.Close()
	}
	<-u.done
}

// prepare starts an upstream, as serveFiles does, and makes a folder for what is measured beside it; done ends both.
func prepare(paths []string, mix ...string) (up *upstream, dir string, done func(), err error) {
	if up, err = serveFiles(paths, mix...); err != nil {
		return nil, "", nil, err
	}
	if dir, err = tempDir(); err != nil {
		up.close()
		return nil, "", nil, err
	}
	return up, dir, func() { removeDir(dir); up.close() }, nil
}
