package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// response is an answer, read to its end.
type response struct {
	status int
	header http.Header
	body   []byte
}

func (r *response) String() string {
	return fmt.Sprintf("%d %v %.100q", r.status, r.header, r.body)
}

func (r *response) sum() string {
	sum := sha256.Sum256(r.body)
	return hex.EncodeToString(sum[:])
}

// client opens a connection for each request, so that none is left behind that a service would wait for.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       2 * patience,
}

// ask sends a request; header is names and values in turn.
func ask(method, target string, header ...string) (*response, error) {
	req, err := http.NewRequest(method, target, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return &response{res.StatusCode, res.Header, body}, nil
}

// get asks for what must be answered.
func get(t *testing.T, target string, header ...string) *response {
	t.Helper()
	r, err := ask(http.MethodGet, target, header...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// asking asks in the background.
func asking(target string, header ...string) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		r, err := ask(http.MethodGet, target, header...)
		done <- outcome{r, err}
	}()
	return done
}

// outcome is an answer or why there is none.
type outcome struct {
	*response
	err error
}

// wait returns the answer, which must come.
func wait(t *testing.T, done <-chan outcome) *response {
	t.Helper()
	o := <-done // the client has a time limit
	if o.err != nil {
		t.Fatal(o.err)
	}
	return o.response
}

// image is the url of a variant, with the width and the quality 75.
func (p *process) image(href string, width int) string {
	return p.public + imagePath(href, width)
}

func imagePath(href string, width int) string {
	return "/_next/image?url=" + url.QueryEscape(href) + "&w=" + strconv.Itoa(width) + "&q=75"
}

// metric is the value of a time series of the service, 0 if it is not there (yet).
func (p *process) metric(t *testing.T, series string) float64 {
	t.Helper()
	for line := range strings.Lines(string(get(t, p.admin+"/metrics").body)) {
		if v, ok := strings.CutPrefix(line, series+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	return 0
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so after %v: %s", patience, what)
		}
	}
}

// origin is a frontend that answers every path with the same image.
type origin struct {
	*httptest.Server
	fetches atomic.Int64 // requests that have arrived
	last    atomic.Pointer[http.Request]
	image   atomic.Pointer[[]byte]
	gate    atomic.Pointer[chan struct{}] // open when closed
}

func newOrigin(t *testing.T, image []byte) *origin {
	o := &origin{}
	o.image.Store(&image)
	o.pause()
	o.resume()
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.last.Store(r)
		o.fetches.Add(1)
		select {
		case <-*o.gate.Load():
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(*o.image.Load()))
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(o.Close)
	return o
}

// pause lets requests wait from now on, and resume answers them.
func (o *origin) pause()  { gate := make(chan struct{}); o.gate.Store(&gate) }
func (o *origin) resume() { close(*o.gate.Load()) }

// testImage is a file of testdata/images.
func testImage(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(imagesDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const imagesDir = "../../testdata/images"

// imagesOrigin is testdata/images as an origin.
func imagesOrigin(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(imagesDir)
	if err != nil {
		t.Fatal(err)
	}
	return (&url.URL{Scheme: "file", Path: dir}).String()
}
