package adminclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"imgopt/cache"
	"imgopt/handler"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// As in package handler: none of these can be stopped.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// service stands behind a real admin application, and remembers what it was asked for.
type service struct {
	asked []string
	n     int
	found bool
	err   error
}

func (s *service) ask(ctx context.Context, format string, args ...any) error {
	s.asked = append(s.asked, fmt.Sprintf(format, args...))
	return s.err
}

func (s *service) Purge(ctx context.Context, p handler.Purge) (handler.PurgeReport, error) {
	return report, s.ask(ctx, "purge %s", cache.Purge(p))
}
func (s *service) Queue(ctx context.Context) (handler.QueueReport, error) {
	return queue, s.ask(ctx, "queue")
}
func (s *service) Retry(ctx context.Context, id string, all bool) (int, error) {
	return s.n, s.ask(ctx, "retry %q %t", id, all)
}
func (s *service) Drop(ctx context.Context, id string, all bool) (int, error) {
	return s.n, s.ask(ctx, "drop %q %t", id, all)
}
func (s *service) Cancel(ctx context.Context, key string) (bool, error) {
	return s.found, s.ask(ctx, "cancel %q", key)
}
func (s *service) Reload(ctx context.Context) (handler.ReloadReport, error) {
	return reload, s.ask(ctx, "reload")
}

// key is one that a job can have.
const key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

var (
	report = handler.PurgeReport{Stamp: 1<<63 + 1, Pending: true, Heard: 2}
	reload = handler.ReloadReport{Changed: []string{"timeout"}, NeedRestart: []string{"listen", "role"}}
	queue  = handler.QueueReport{
		Type: "valkey", Version: "v1", Interactive: handler.ClassReport{Queued: 1, Delayed: 2, HeldBack: 3, OldestSeconds: 4.5},
		Background: handler.ClassReport{Queued: 5}, Leased: 6, DeadTotal: 9,
		Workers: []handler.WorkerReport{{ID: "w", Version: "v1", SeenSeconds: .5}},
		Others:  []handler.VersionReport{{Version: "v0", Leased: 1, DeadTotal: 2}},
		Dead: []handler.DeadLetter{{
			ID: "17-0", Key: "k", Href: "/a<b>.jpg?x=1&y=\u2028", Width: 640, Quality: 75, Format: "image/webp", Status: 502,
			Reason: "upstream_status", Text: `"url" parameter`, Cause: "c", Attempts: 3, At: time.Unix(1_800_000_000, 0).UTC(),
		}},
	}
)

// start serves a real admin application on loopback until the test ends.
func start(t *testing.T, o handler.AdminOptions) *Client {
	t.Helper()
	if o.Ready == nil {
		o.Ready = handler.NewReadiness()
	}
	o.Metrics = prometheus.NewRegistry()
	app, err := handler.NewAdmin(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- app.Listener(handler.Wrap(ln, handler.ListenOptions{})) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := app.ShutdownWithContext(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	return client(t, ln.Addr().String())
}

func client(t *testing.T, base string) *Client {
	t.Helper()
	c, err := New(base, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Everything that can be asked for arrives as it was asked, and its answer as it was given.
func TestAll(t *testing.T) {
	s := &service{n: 4, found: true}
	c := start(t, handler.AdminOptions{Purger: s, Queue: s, Reloader: s})
	for _, step := range []struct {
		asked string
		want  any
		do    func(context.Context) (any, error)
	}{
		{`purge url "/a b.jpg?x=1&y=<é>"`, report, func(ctx context.Context) (any, error) {
			return c.Purge(ctx, handler.Purge{URL: "/a b.jpg?x=1&y=<é>"})
		}},
		{`purge prefix "https://h/"`, report, func(ctx context.Context) (any, error) { return c.Purge(ctx, handler.Purge{Prefix: "https://h/"}) }},
		{`purge everything`, report, func(ctx context.Context) (any, error) { return c.Purge(ctx, handler.Purge{All: true}) }},
		{`queue`, queue, func(ctx context.Context) (any, error) { return c.Queue(ctx) }},
		{`retry "17-0" false`, 4, func(ctx context.Context) (any, error) { return c.Retry(ctx, "17-0", false) }},
		{`retry "" true`, 4, func(ctx context.Context) (any, error) { return c.Retry(ctx, "", true) }},
		{`drop "17-0" false`, 4, func(ctx context.Context) (any, error) { return c.Drop(ctx, "17-0", false) }},
		{`drop "" true`, 4, func(ctx context.Context) (any, error) { return c.Drop(ctx, "", true) }},
		{`cancel "` + key + `"`, true, func(ctx context.Context) (any, error) { return c.Cancel(ctx, key) }},
		{`reload`, reload, func(ctx context.Context) (any, error) { return c.Reload(ctx) }},
		{``, handler.ReadyReport{Ready: true, Failing: []handler.Failure{}}, func(ctx context.Context) (any, error) { return c.Ready(ctx) }},
	} {
		s.asked = nil
		got, err := step.do(t.Context())
		if asked := strings.Join(s.asked, ", "); err != nil || asked != step.asked || !reflect.DeepEqual(got, step.want) {
			t.Errorf("%s: asked %s, got %+v, %v", step.asked, asked, got, err)
		}
	}
	s.n, s.found = 0, false
	if ok, err := c.Cancel(t.Context(), key); ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
	if n, err := c.Retry(t.Context(), "1-0", false); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestNotReady(t *testing.T) {
	ready := handler.NewReadiness(
		handler.Check{Name: "codecs", Run: func(context.Context) error { return errors.New("none lives") }},
		handler.Check{Name: "valkey", Optional: true, Run: func(context.Context) error { return errors.New("down") }},
	)
	got, err := start(t, handler.AdminOptions{Ready: ready}).Ready(t.Context())
	want := handler.ReadyReport{Failing: []handler.Failure{{Name: "codecs", Error: "none lives"}}, Degraded: []handler.Failure{{Name: "valkey", Error: "down"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	s := &service{}
	c, none := start(t, handler.AdminOptions{Purger: s, Queue: s, Reloader: s}), start(t, handler.AdminOptions{})
	reloads := func(c *Client) func() error {
		return func() error { _, err := c.Reload(t.Context()); return err }
	}
	purges := func(c *Client, p handler.Purge) func() error {
		return func() error { _, err := c.Purge(t.Context(), p); return err }
	}
	for name, x := range map[string]struct {
		fails error
		do    func() error
		want  Refused
	}{
		"a bad configuration": {errors.New("images.qualities: [175]: want 1 to 100\ntimeout: fast: want a duration"), reloads(c), Refused{409, "images.qualities: [175]: want 1 to 100\ntimeout: fast: want a duration", 0}},
		"nothing to reload":   {nil, reloads(none), Refused{404, "this configuration cannot be read again without a restart", 0}},
		"nothing to purge":    {nil, purges(c, handler.Purge{}), Refused{400, `cache: not a purge: want one of a url, a prefix, or all, got 0 of them: exactly one of "url", "prefix" (not empty) and "all" (true)`, 0}},
		"valkey is away":      {fmt.Errorf("%w: valkey: down", handler.ErrUnavailable), purges(c, handler.Purge{All: true}), Refused{503, "not available now: valkey: down", 5 * time.Second}},
		"no queue":            {nil, func() error { _, err := none.Queue(t.Context()); return err }, Refused{404, "this storage has no shared queue", 0}},
	} {
		s.err = x.fails
		err := x.do()
		var refused *Refused
		if !errors.As(err, &refused) || *refused != x.want || err.Error() != x.want.Text {
			t.Errorf("%s: %+v (%v)", name, refused, err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = client(t, "http://operator:secret@"+address).Queue(t.Context())
	var away *Unreachable
	if !errors.As(err, &away) || !errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), "secret") || strings.Count(err.Error(), address) > 2 {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client(t, address).Queue(ctx); !errors.As(err, &away) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// What answers and is no admin listener is not believed.
func TestSomethingElse(t *testing.T) {
	ask := func(answer http.HandlerFunc) error {
		server := httptest.NewServer(answer)
		defer server.Close()
		_, err := client(t, server.URL+"/imgopt/").Queue(t.Context())
		return err
	}
	respond := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/imgopt/queue" {
				t.Errorf("asked for %s", r.URL)
			}
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for name, x := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"a page":         {respond(200, "<!doctype html>"), "is not what an admin listener of imgopt says"},
		"nothing":        {respond(204, ""), "204 No Content"},
		"a redirection":  {respond(302, "", "Location", "https://login.example.com/"), "302 Found"},
		"an endless one": {respond(200, strings.Repeat(" ", maxAnswer+1)), "longer than 16 MiB"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		}, "reading the answer"},
		"no answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		err := ask(x.answer)
		var away *Unreachable
		if !errors.As(err, &away) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, x := range map[string]struct {
		answer http.HandlerFunc
		want   Refused
	}{
		"a proxy's page":    {respond(502, "<h1>Bad Gateway</h1>\n"), Refused{502, "502 Bad Gateway: <h1>Bad Gateway</h1>", 0}},
		"a proxy's no body": {respond(403, ""), Refused{403, "403 Forbidden:", 0}},
		"another's JSON":    {respond(401, `{"message":"no"}`), Refused{401, `401 Unauthorized: {"message":"no"}`, 0}},
		"an endless text":   {respond(500, `{"error":"`+strings.Repeat("x", maxErrorText+1)+`"}`), Refused{500, strings.Repeat("x", maxErrorText) + "…", 0}},
		"when to come back": {respond(503, `{"error":"e"}`, "Retry-After", "7"), Refused{503, "e", 7 * time.Second}},
		"a date":            {respond(503, `{"error":"e"}`, "Retry-After", "Sun, 22 Nov 2026 02:00:00 GMT"), Refused{503, "e", 0}},
		"next year":         {respond(503, `{"error":"e"}`, "Retry-After", "31536000"), Refused{503, "e", 0}},
	} {
		err := ask(x.answer)
		var refused *Refused
		if !errors.As(err, &refused) || *refused != x.want {
			t.Errorf("%s: %+v (%v)", name, refused, err)
		}
	}
}

func TestNew(t *testing.T) {
	for base, want := range map[string]string{
		"127.0.0.1:9090": "http://127.0.0.1:9090", "http://h:1/x/": "http://h:1/x/", "https://[::1]:9090": "https://[::1]:9090", "localhost": "http://localhost",
		"http://u:secret@h": "http://u:xxxxx@h",
		"":                  "", "http://": "", "ftp://h": "", "redis://u:secret@h": "", "http://h?x": "", "http://h#x": "", "http://:9090": "", "http://u:secret@h\n": "", "/run/imgopt.sock": "",
	} {
		c, err := New(base, Options{})
		switch {
		case want == "" && (err == nil || strings.Contains(err.Error(), "secret")):
			t.Errorf("%q: %v", base, err)
		case want != "" && (err != nil || c.String() != want):
			t.Errorf("%q: %v, %v", base, c, err)
		}
	}
}

// The listener may be asked by whatever name it has.
func TestAnyName(t *testing.T) {
	c := start(t, handler.AdminOptions{Queue: &service{}})
	address := c.base.Host
	c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	c.base.Host = "imgopt-admin.prod.svc:9090"
	if got, err := c.Queue(t.Context()); err != nil || got.Type != "valkey" {
		t.Errorf("%+v, %v", got, err)
	}
}

// The caller's own client is used.
func TestOwnHTTP(t *testing.T) {
	used := false
	c, err := New("http://nowhere.invalid", Options{HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		used = r.Host == "nowhere.invalid"
		return nil, errors.New("as planned")
	})}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Queue(t.Context()); !used || !strings.Contains(err.Error(), "as planned") {
		t.Errorf("%t, %v", used, err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
