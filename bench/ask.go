package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// answer is what came of one request.
type answer struct {
	size                     int64
	cache, contentType, etag string
	sum                      [sha256.Size]byte
}

// statusError is an answer with another status than 200.
type statusError struct {
	url    string
	status int
}

func (e *statusError) Error() string { return fmt.Sprintf("%s: status %d", e.url, e.status) }

// requestError is a request without an answer.
type requestError struct{ err error }

func (e *requestError) Error() string { return e.err.Error() }
func (e *requestError) Unwrap() error { return e.err }

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// body fetches an image and returns it.
func body(ctx context.Context, client *http.Client, url, accept string) ([]byte, error) {
	var b bytes.Buffer
	_, err := fetch(ctx, client, url, accept, &b)
	return b.Bytes(), err
}

// get fetches an image and looks at its bytes; any status but 200 is an error.
func get(ctx context.Context, client *http.Client, url, accept string) (answer, error) {
	hash := sha256.New()
	a, err := fetch(ctx, client, url, accept, hash)
	hash.Sum(a.sum[:0])
	return a, err
}

func fetch(ctx context.Context, client *http.Client, url, accept string, to io.Writer) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Accept", accept)
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, &requestError{err}
	}
	defer resp.Body.Close()
	n, err := io.Copy(to, resp.Body)
	a := answer{size: n, cache: resp.Header.Get("X-Nextjs-Cache"), contentType: resp.Header.Get("Content-Type"), etag: resp.Header.Get("ETag")}
	switch {
	case err != nil:
		return a, &requestError{err}
	case resp.StatusCode != http.StatusOK:
		return a, &statusError{url, resp.StatusCode}
	}
	return a, nil
}

func newClient(conns int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: conns, MaxIdleConns: conns, DisableCompression: true}, Timeout: time.Minute}
}

// ask fetches one image, and holds it against what the peer says of its cache. A status of its own is no error: an open
// loop counts it.
func ask(ctx context.Context, client *http.Client, url, accept string, p peer, state string) (int, error) {
	a, err := get(ctx, client, url, accept)
	if status, ok := statusOf(err); ok {
		return status, nil
	}
	if err == nil && p.tells && a.cache != state {
		err = fmt.Errorf("%s: %s, want %s", url, a.cache, state)
	}
	return http.StatusOK, err
}

// statusOf is the status of an answer that is none with an image.
func statusOf(err error) (int, bool) {
	var s *statusError
	if errors.As(err, &s) {
		return s.status, true
	}
	return 0, false
}
