//go:build e2e

package stress

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// answer is what came back, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) String() string {
	return fmt.Sprintf("%d %v %.100q (%d bytes)", a.status, a.header, a.body, len(a.body))
}

// newClient returns a client that keeps up to n connections, and neither follows redirects nor undoes codings.
func newClient(t testing.TB, n int, limit time.Duration) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: n, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       limit,
	}
}

// single is for single questions: it opens a connection for each.
var single = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}, Timeout: 2 * patience}

// get asks a single question.
func get(target string, header ...string) (*answer, error) {
	return ask(context.Background(), single, target, header...)
}

// ask sends a GET; header is names and values in turn.
func ask(ctx context.Context, client *http.Client, target string, header ...string) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("the body of the answer ends early: %w", err)
	}
	return &answer{res.StatusCode, res.Header, body}, nil
}

// path is the request target of a variant, with the quality 75.
func path(href string, width int) string {
	return "/_next/image?url=" + url.QueryEscape(href) + "&w=" + strconv.Itoa(width) + "&q=75"
}

// image is the url of a variant.
func (s *service) image(href string, width int) string { return "http://" + s.addr + path(href, width) }

// metrics are the time series of a service at a moment.
type metrics map[string]float64

// metrics reads the service's.
func (s *service) metrics(t testing.TB) metrics {
	t.Helper()
	a, err := get("http://" + s.admin + "/metrics")
	if err != nil || a.status != http.StatusOK {
		t.Fatalf("metrics: %v %v", a, err)
	}
	m := metrics{}
	for line := range strings.Lines(string(a.body)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		v, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			t.Fatalf("metric %q: %v", line, err)
		}
		m[name] = v
	}
	return m
}

// sum adds the series of one name that have all the given labels (as they are written: `reason="x"`).
func (m metrics) sum(name string, labels ...string) float64 {
	total := 0.0
	for series, v := range m {
		if base, rest, _ := strings.Cut(series, "{"); base == name {
			all := true
			for _, l := range labels {
				all = all && strings.Contains(rest, l)
			}
			if all {
				total += v
			}
		}
	}
	return total
}

// reasons lists what was answered and why, for a test that has failed.
func (m metrics) reasons() string {
	var lines []string
	for series, v := range m {
		if v > 0 && (strings.HasPrefix(series, "imgopt_http_requests_total") || strings.HasPrefix(series, "imgopt_jobs_") || strings.HasPrefix(series, "imgopt_codec_") || strings.HasPrefix(series, "imgopt_fetch_failures")) {
			lines = append(lines, fmt.Sprint(series, " ", v))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// resting are the figures that must be back where they were once nothing is asked any more.
type resting struct{ goroutines, descriptors float64 }

func (s *service) resting(t testing.TB) resting {
	m := s.metrics(t)
	return resting{m["go_goroutines"], m["process_open_fds"]}
}

// slackAtRest is how many goroutines and descriptors more are no leak: a timer here, a pooled connection there.
const slackAtRest = 16

// descriptorsBack waits until no more descriptors are open than before. The origins hang up: connections to them are
// kept on purpose.
func (s *service) descriptorsBack(t testing.TB, before resting, origins ...*origin) {
	t.Helper()
	s.back(t, before, false, origins)
}

// backAtRest waits for the goroutines, too. The HTTP server keeps those of its connections for ten seconds.
func (s *service) backAtRest(t testing.TB, before resting, origins ...*origin) {
	t.Helper()
	s.back(t, before, true, origins)
}

func (s *service) back(t testing.TB, before resting, goroutines bool, origins []*origin) {
	t.Helper()
	for _, o := range origins {
		o.hangUp()
	}
	var now resting
	if err := waitFor(patience, func() bool {
		now = s.resting(t)
		return now.descriptors <= before.descriptors+slackAtRest && (!goroutines || now.goroutines <= before.goroutines+slackAtRest)
	}); err != nil {
		t.Errorf("held at rest: %+v, before the test %+v", now, before)
	}
}
