//go:build e2e

package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"
)

// client asks replicas. Its connections are closed with the test.
type client struct{ http *http.Client }

// giveUp is when a client leaves; nobody should have to wait so long.
const giveUp = 60 * time.Second

func newClient(t testing.TB) *client {
	transport := &http.Transport{MaxIdleConnsPerHost: 400, MaxIdleConns: 2000, DisableCompression: true, IdleConnTimeout: 30 * time.Second}
	c := &client{http: &http.Client{Transport: transport, Timeout: giveUp}}
	t.Cleanup(transport.CloseIdleConnections)
	return c
}

// answer is a complete one.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

func (a *answer) String() string {
	if a == nil {
		return "no answer"
	}
	return fmt.Sprintf("%d %q %.80q", a.status, a.header.Get("X-Nextjs-Cache"), a.body)
}

func (c *client) get(target string, header ...string) (*answer, error) {
	return c.do(http.MethodGet, target, nil, header...)
}

func (c *client) do(method, target string, body []byte, header ...string) (*answer, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	began := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(resp.Body)
	a.took = time.Since(began)
	return a, err
}

// variant is an image in a width.
type variant struct {
	href  string
	width int
}

// at is the variant's url at a replica.
func (v variant) at(r *replica) string {
	return "http://" + r.addr + "/_next/image?url=" + url.QueryEscape(v.href) + "&w=" + strconv.Itoa(v.width) + "&q=75"
}

// image asks a replica for a variant as WebP.
func (r *replica) image(v variant, header ...string) (*answer, error) {
	return r.client.get(v.at(r), append([]string{"Accept", "image/webp,*/*"}, header...)...)
}

// must asks for a variant that must be had.
func (r *replica) must(v variant) *answer {
	r.t.Helper()
	a, err := r.image(v)
	if err == nil {
		err = a.isImage()
	}
	if err != nil {
		r.t.Fatalf("%s from %s: %v", v.href, r.name, err)
	}
	return a
}

var errStatus = errors.New("not the status 200")

// isImage tells what is wrong with an answer that should be a WebP.
func (a *answer) isImage() error {
	switch {
	case a.status != http.StatusOK:
		return fmt.Errorf("%w: %v", errStatus, a)
	case a.header.Get("Content-Type") != "image/webp", len(a.body) < 16, string(a.body[:4]) != "RIFF", string(a.body[8:12]) != "WEBP":
		return fmt.Errorf("not a WebP: %q %v", a.header.Get("Content-Type"), a)
	}
	return nil
}

// post posts JSON to the admin listener and reads JSON.
func (r *replica) post(path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	a, err := r.client.do(http.MethodPost, "http://"+r.admin+path, b, "Content-Type", "application/json")
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("POST %s: %d %s", path, a.status, a.body)
	}
	return json.Unmarshal(a.body, into)
}

// queue is what GET /queue tells.
type queue struct {
	Type        string
	Version     string
	Interactive struct{ Queued, Delayed, HeldBack int }
	Background  struct{ Queued, Delayed, HeldBack int }
	Leased      int
	Workers     []struct {
		ID, Version string
		Leased      int
	}
	Dead []struct {
		ID, Href, Reason, Cause string
		Attempts                int
	}
	DeadTotal int
}

func (r *replica) queue() (*queue, error) {
	a, err := r.client.get("http://" + r.admin + "/queue")
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("GET /queue: %d %s", a.status, a.body)
	}
	q := &queue{}
	if err := json.Unmarshal(a.body, q); err != nil {
		return nil, fmt.Errorf("GET /queue: %w", err)
	}
	return q, nil
}

// queueEmpty waits until the shared queue holds nothing, and checks that nothing has died in it.
func (r *replica) queueEmpty() {
	r.t.Helper()
	eventually(r.t, "the queue is empty", func() error {
		q, err := r.queue()
		if err != nil {
			return err
		}
		if q.DeadTotal != 0 {
			r.t.Errorf("%d dead letters: %+v", q.DeadTotal, q.Dead)
			return nil
		}
		if n := q.Interactive.Queued + q.Background.Queued + q.Leased; n != 0 {
			return fmt.Errorf("%+v", *q)
		}
		return nil
	})
}

// purged is what POST /purge tells.
type purged struct {
	Stamp   uint64
	Pending bool
	Heard   int
}

func (r *replica) purge(field string, value any) purged {
	r.t.Helper()
	var p purged
	if err := r.post("/purge", map[string]any{field: value}, &p); err != nil {
		r.t.Fatalf("purging %s %v at %s: %v", field, value, r.name, err)
	}
	return p
}
