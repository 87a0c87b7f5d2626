//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// permissive lets imgopt fetch from the loopback origin of a test.
const permissive = "images: {dangerouslyAllowLocalIP: true, dangerouslyAllowSVG: true, remotePatterns: [{hostname: 127.0.0.1}]}"

// target returns the target for an absolute url.
func target(src string) string {
	return "/_next/image?url=" + url.QueryEscape(src) + "&w=640&q=75"
}

// metric returns the sum of a metric's samples whose line begins with name.
func (s *imgopt) metric(t *testing.T, name string) float64 {
	t.Helper()
	resp, err := Request{Target: "/metrics"}.Do(t.Context(), s.admin)
	if err != nil || resp.Status != 200 {
		t.Fatalf("metrics: %v %v", resp, err)
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(resp.Body)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		fields := strings.Fields(rest)
		v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			t.Fatalf("metric %q: %v", line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Fatalf("no metric %s", name)
	}
	return sum
}

// ownImgopt starts an imgopt for one test.
func ownImgopt(t *testing.T, name string, more ...string) (*imgopt, *suite) {
	t.Helper()
	s := &suite{assets: loadAssets(t)}
	s.origin = startOrigin(t, s.assets)
	srv, err := startImgopt(t, name, s.origin.URL(""), append([]string{permissive}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return srv, s
}

// TestThousandAtOnce: 1,000 concurrent identical cold requests are one fetch, one encoding and 1,000 equal answers.
func TestThousandAtOnce(t *testing.T) {
	srv, s := ownImgopt(t, "imgopt-thousand")
	path := s.servePath("photo.jpg", always(Reply{Body: s.assets.photo, Before: 500 * time.Millisecond}))
	r := Request{Target: target(s.origin.URL(path)), Header: []string{"Accept: image/webp"}}
	const clients = 1000
	answers := make([]*Response, clients)
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { answers[i], errs[i] = r.Do(t.Context(), srv.addr) })
	}
	wg.Wait()
	for i := range clients {
		if errs[i] != nil {
			t.Fatalf("client %d: %v", i, errs[i])
		}
		if d := Compare(answers[0], answers[i]); len(d) != 0 {
			t.Fatalf("client %d got another answer: %q", i, d)
		}
	}
	first := answers[0]
	if first.Status != 200 || first.Header.Get("X-Nextjs-Cache") != "MISS" || first.Header.Get("Content-Type") != "image/webp" {
		t.Errorf("answer: %d %v", first.Status, first.Header)
	}
	if n := s.origin.Hits(path); n != 1 {
		t.Errorf("%d upstream fetches, want 1", n)
	}
	if n := srv.metric(t, "imgopt_fetch_duration_seconds_count"); n != 1 {
		t.Errorf("%v fetches counted, want 1", n)
	}
	if n := srv.metric(t, "imgopt_transform_duration_seconds_count"); n != 1 {
		t.Errorf("%v encodings, want 1", n)
	}
	if again, err := r.Do(t.Context(), srv.addr); err != nil || again.Header.Get("X-Nextjs-Cache") != "HIT" || !bytes.Equal(again.Body, first.Body) {
		t.Errorf("afterwards: %v %v", again, err)
	}
}

// TestRetries: what may pass is tried again, what is final is not, and the retry budget holds the rest back.
func TestRetries(t *testing.T) {
	srv, s := ownImgopt(t, "imgopt-retries", "maxAttempts: 3", "fetch: {retryBudget: 1}")
	ask := func(reply Reply) (*Response, int) {
		path := s.servePath("x.png", always(reply))
		resp, err := Request{Target: target(s.origin.URL(path))}.Do(t.Context(), srv.addr)
		if err != nil {
			t.Fatal(err)
		}
		return resp, s.origin.Hits(path)
	}
	// Jobs that are not retried come first: they earn the retries of the others.
	for _, code := range []int{400, 401, 403, 404, 410, 418, 451, 501, 505, 301} {
		want := max(code, 400)
		if code < 400 {
			want = 500
		}
		if resp, n := ask(Reply{Status: code}); resp.Status != want || n != 1 {
			t.Errorf("%d: answered %d after %d attempts, want %d after 1", code, resp.Status, n, want)
		}
	}
	if resp, n := ask(Reply{Body: []byte("no image")}); resp.Status != 400 || n != 1 {
		t.Errorf("no image: answered %d after %d attempts, want 400 after 1", resp.Status, n)
	}
	for _, code := range retryable {
		if resp, n := ask(Reply{Status: code}); resp.Status != 502 || n != 3 || string(resp.Body) != textUpstream {
			t.Errorf("%d: answered %d %q after %d attempts, want 502 after 3", code, resp.Status, resp.Body, n)
		}
	}
	// A kept connection may have been closed meanwhile: an attempt that finds it so takes another one, hence 3 or 4.
	if resp, n := ask(Reply{Hangup: true}); resp.Status != 502 || n < 3 || n > 4 {
		t.Errorf("hangup: answered %d after %d attempts, want 502 after 3", resp.Status, n)
	}
	failures := 2
	path := s.servePath("x.png", func(*http.Request) Reply {
		if failures--; failures >= 0 {
			return Reply{Status: 503}
		}
		return Reply{Body: s.assets.small}
	})
	if resp, err := (Request{Target: target(s.origin.URL(path))}).Do(t.Context(), srv.addr); err != nil || resp.Status != 200 {
		t.Errorf("good at the third attempt: %v %v", resp, err)
	}
}

// TestRetryBudget: a failing origin is not hammered.
func TestRetryBudget(t *testing.T) {
	srv, s := ownImgopt(t, "imgopt-budget", "fetch: {retryBudget: 0.2}")
	const jobs = 100
	total := 0
	for range jobs {
		path := s.servePath("x.png", always(Reply{Status: 503}))
		resp, err := Request{Target: target(s.origin.URL(path))}.Do(t.Context(), srv.addr)
		if err != nil || resp.Status != 502 {
			t.Fatalf("%v %v", resp, err)
		}
		total += s.origin.Hits(path)
	}
	// A bucket starts with something in it; three attempts for each job would be 300.
	if total < jobs || total > jobs*160/100 {
		t.Errorf("%d jobs made %d requests", jobs, total)
	}
}

// TestGracefulStop: after SIGTERM requests under way are finished, no new ones are taken, and the exit code is 0.
func TestGracefulStop(t *testing.T) {
	srv, s := ownImgopt(t, "imgopt-stop")
	asked := make(chan struct{})
	var once sync.Once
	path := s.servePath("x.png", func(*http.Request) Reply {
		once.Do(func() { close(asked) })
		return Reply{Body: s.assets.small, Before: 2 * time.Second}
	})
	type result struct {
		resp *Response
		err  error
	}
	answers := make(chan result, 5)
	for range cap(answers) {
		go func() {
			resp, err := Request{Target: target(s.origin.URL(path))}.Do(t.Context(), srv.addr)
			answers <- result{resp, err}
		}()
	}
	<-asked
	time.Sleep(100 * time.Millisecond) // the other four are waiting for the first
	began := time.Now()
	if err := srv.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	refused := false
	for !refused && time.Since(began) < time.Second {
		_, err := Request{Target: "/_next/image"}.Do(t.Context(), srv.addr)
		refused = err != nil
	}
	if !refused {
		t.Error("new requests are still taken a second after SIGTERM")
	}
	for range cap(answers) {
		r := <-answers
		if r.err != nil || r.resp.Status != 200 || len(r.resp.Body) == 0 {
			t.Errorf("a request under way was not finished: %v %v", r.resp, r.err)
		}
	}
	if code, err := srv.exitCode(10 * time.Second); err != nil || code != 0 {
		t.Errorf("exit code %d, %v\n%s", code, err, tail(srv.log))
	}
}

// TestClientLeaves: who gives up neither cancels nor hangs what others wait for.
func TestClientLeaves(t *testing.T) {
	srv, s := ownImgopt(t, "imgopt-leave")
	path := s.servePath("x.png", always(Reply{Body: s.assets.small, Before: time.Second}))
	r := Request{Target: target(s.origin.URL(path))}
	leaving, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := r.Do(leaving, srv.addr); err == nil {
			t.Error("the leaving client got an answer")
		}
	})
	time.Sleep(100 * time.Millisecond)
	resp, err := r.Do(t.Context(), srv.addr)
	wg.Wait()
	if err != nil || resp.Status != 200 {
		t.Fatalf("who stayed: %v %v", resp, err)
	}
	if n := s.origin.Hits(path); n != 1 {
		t.Errorf("%d upstream fetches, want 1", n)
	}
}

// TestRestart: what is on disk is served after a restart, without asking anyone.
func TestRestart(t *testing.T) {
	s := &suite{assets: loadAssets(t)}
	s.origin = startOrigin(t, s.assets)
	dir := t.TempDir()
	path := s.servePath("x.jpg", always(Reply{Body: s.assets.photo, Header: [][2]string{{"ETag", `"1"`}}}))
	r := Request{Target: target(s.origin.URL(path))}
	var answers []*Response
	for i := range 2 {
		srv, err := startImgopt(t, fmt.Sprintf("imgopt-restart-%d", i), s.origin.URL(""), permissive, "cache: {disk: {path: "+strconv.Quote(dir)+"}}")
		if err != nil {
			t.Fatal(err)
		}
		resp, err := r.Do(t.Context(), srv.addr)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, resp)
		srv.stop()
	}
	if d := Compare(answers[0], answers[1]); len(d) != 1 || d[0] != `X-Nextjs-Cache: want "MISS", got "HIT"` {
		t.Errorf("after the restart: %q", d)
	}
	if n := s.origin.Hits(path); n != 1 {
		t.Errorf("%d upstream fetches, want 1", n)
	}
}
