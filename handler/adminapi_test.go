package handler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/failure"
)

// backend is everything the admin application can be told to do, and remembers what it was told.
type backend struct {
	mu     sync.Mutex
	calls  []string
	purged PurgeReport
	report QueueReport
	reload ReloadReport
	n      int
	found  bool
	err    error
}

func (b *backend) call(ctx context.Context, format string, args ...any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	call := fmt.Sprintf(format, args...)
	if _, bounded := ctx.Deadline(); !bounded {
		call += " without a deadline"
	}
	b.calls = append(b.calls, call)
	return b.err
}

// told returns what was asked for since the last time.
func (b *backend) told() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := strings.Join(b.calls, ", ")
	b.calls = nil
	return s
}

func (b *backend) Purge(ctx context.Context, p Purge) (PurgeReport, error) {
	return b.purged, b.call(ctx, "purge %s", cache.Purge(p))
}
func (b *backend) Queue(ctx context.Context) (QueueReport, error) {
	return b.report, b.call(ctx, "queue")
}
func (b *backend) Retry(ctx context.Context, id string, all bool) (int, error) {
	return b.n, b.call(ctx, "retry %q %t", id, all)
}
func (b *backend) Drop(ctx context.Context, id string, all bool) (int, error) {
	return b.n, b.call(ctx, "drop %q %t", id, all)
}
func (b *backend) Cancel(ctx context.Context, key string) (bool, error) {
	return b.found, b.call(ctx, "cancel %q", key)
}
func (b *backend) Reload(ctx context.Context) (ReloadReport, error) {
	return b.reload, b.call(ctx, "reload")
}

// testKey is one that a job can have.
var testKey = strings.Repeat("0a", 32)

func startBackend(t *testing.T, b *backend, change func(*AdminOptions)) string {
	t.Helper()
	o := AdminOptions{Purger: b, Queue: b, Reloader: b}
	if change != nil {
		change(&o)
	}
	return startAdmin(t, o)
}

// post builds what a program posts.
func post(target, body string, lines ...string) string {
	lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	if !strings.Contains(strings.Join(lines, "\n"), "Content-Type") {
		lines = append(lines, "Content-Type: application/json")
	}
	return request("POST", target, lines...) + body
}

func TestActions(t *testing.T) {
	b := &backend{purged: PurgeReport{Stamp: 1<<63 + 1, Pending: true, Heard: 3}, n: 5, found: true, reload: ReloadReport{Changed: []string{"timeout"}}}
	addr := startBackend(t, b, nil)
	long := strings.Repeat("x", maxID+1)
	for _, c := range []struct{ target, body, told, want string }{
		{"/purge", `{"url":"/a b.jpg?x=1"}`, `purge url "/a b.jpg?x=1"`, `200 {"stamp":9223372036854775809,"pending":true,"heard":3}`},
		{"/purge", `{"prefix":"https://h/\u00fc"}`, `purge prefix "https://h/ü"`, `200 {"stamp":9223372036854775809,"pending":true,"heard":3}`},
		{"/purge", `{"all":true}`, "purge everything", `200 {"stamp":9223372036854775809,"pending":true,"heard":3}`},
		{"/purge", `{"url":"/a","all":false}`, `purge url "/a"`, `200 {"stamp":9223372036854775809,"pending":true,"heard":3}`},
		{"/purge", `{}`, "", `400 {"error":"cache: not a purge: want one of a url, a prefix, or all, got 0 of them: exactly one of \"url\", \"prefix\" (not empty) and \"all\" (true)"}`},
		{"/purge", `{"all":false}`, "", "400 got 0 of them"},
		{"/purge", `{"prefix":""}`, "", "400 got 0 of them"},
		{"/purge", `{"url":"/a","prefix":"/"}`, "", "400 got 2 of them"},
		{"/purge", `{"url":"` + strings.Repeat("a", 9<<10) + `"}`, "", "400 9216 bytes are too long for a url, at most 8192"},
		{"/purge", `{"Url":"/a"}`, "", `400 {"error":"unknown key \"Url\": want all, prefix, url"}`},
		{"/purge", ``, "", `400 {"error":"the body is not a JSON object"}`},
		{"/queue/retry", `{"id":"17-0"}`, `retry "17-0" false`, `200 {"retried":5}`},
		{"/queue/retry", `{"all":true}`, `retry "" true`, `200 {"retried":5}`},
		{"/queue/retry", `{"id":"17-0","all":true}`, "", `400 {"error":"want exactly one of \"id\" (not empty) and \"all\" (true)"}`},
		{"/queue/retry", `{}`, "", "400 want exactly one"},
		{"/queue/retry", `{"id":"` + long + `"}`, "", `400 {"error":"\"id\" has 513 bytes: at most 512"}`},
		{"/queue/retry", `{"key":"17-0"}`, "", `400 {"error":"unknown key \"key\": want all, id"}`},
		{"/queue/drop", `{"id":"17-0"}`, `drop "17-0" false`, `200 {"dropped":5}`},
		{"/queue/drop", `{"all":true}`, `drop "" true`, `200 {"dropped":5}`},
		{"/queue/cancel", `{"key":"` + testKey + `"}`, `cancel "` + testKey + `"`, `200 {"cancelled":true}`},
		{"/queue/cancel", `{"key":""}`, "", "400 want 64 hexadecimal digits"},
		{"/queue/cancel", `{"key":"` + long + `"}`, "", "400 want 64 hexadecimal digits"},
		{"/queue/cancel", `{"id":"abc"}`, "", `400 {"error":"unknown key \"id\": want key"}`},
		{"/reload", `{}`, "reload", `200 {"changed":["timeout"],"needRestart":[]}`},
		{"/reload", ``, "reload", `200 {"changed":["timeout"],"needRestart":[]}`},
		{"/reload", `{"force":true}`, "", `400 {"error":"unknown key \"force\": the object is to be empty"}`},
	} {
		got := send(t, addr, post(c.target, c.body))
		status, text, _ := strings.Cut(c.want, " ")
		body := strings.ReplaceAll(string(got.body), `\u003c`, "<")
		if fmt.Sprint(got.StatusCode) != status || !strings.Contains(body, text) || strings.HasPrefix(text, "{") && body != text {
			t.Errorf("%s %.60s: %d %s, want %s", c.target, c.body, got.StatusCode, body, c.want)
		}
		if got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Cache-Control") != "no-store" || !got.Close {
			t.Errorf("%s %.60s: %v", c.target, c.body, got.Header)
		}
		if told := b.told(); told != c.told {
			t.Errorf("%s %.60s: told %s, want %s", c.target, c.body, told, c.told)
		}
	}
}

func TestQueueEndpoint(t *testing.T) {
	b := &backend{report: QueueReport{
		Type: "valkey", Version: "v1", Interactive: ClassReport{1, 2, 3, 4.5}, Background: ClassReport{Queued: 6}, Leased: 7,
		Workers: []WorkerReport{{"w1", "v1", 0.5}},
		Dead:    []DeadLetter{{"17-0", "k", "/a.jpg", 640, 75, "image/webp", 502, "upstream_status", "text", "cause", 3, time.Unix(0, 0).UTC()}},
	}}
	addr := startBackend(t, b, nil)
	const want = `{"type":"valkey","version":"v1","interactive":{"queued":1,"delayed":2,"heldBack":3,"oldestSeconds":4.5},` +
		`"background":{"queued":6,"delayed":0,"heldBack":0,"oldestSeconds":0},"leased":7,"workers":[{"id":"w1","version":"v1","seenSeconds":0.5}],` +
		`"dead":[{"id":"17-0","key":"k","href":"/a.jpg","width":640,"quality":75,"format":"image/webp","status":502,"reason":"upstream_status","text":"text","cause":"cause","attempts":3,"at":"1970-01-01T00:00:00Z"}],"deadTotal":1}`
	if got := send(t, addr, request("GET", "/queue")); got.StatusCode != 200 || string(got.body) != want || b.told() != "queue" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if got := send(t, addr, request("HEAD", "/queue")); got.StatusCode != 200 {
		t.Error(got.StatusCode)
	}
	b.report = QueueReport{}
	if got := send(t, addr, request("GET", "/queue")); !strings.Contains(string(got.body), `"workers":[],"dead":[],"deadTotal":0`) {
		t.Errorf("%s", got.body)
	}
}

// Each kind of failure has its status, and a text that says what is wrong and holds no secret.
func TestActionErrors(t *testing.T) {
	b := &backend{}
	log := &logBuffer{}
	addr := startBackend(t, b, func(o *AdminOptions) { o.Log = log.logger() })
	for _, c := range []struct {
		name       string
		err        error
		status     int
		reload     int
		retryAfter string
		text       string
	}{
		{"away", fmt.Errorf("%w: valkey: down", ErrUnavailable), 503, 503, "5", "not available now: valkey: down"},
		{"a tier is away", fmt.Errorf("purging: %w", cache.ErrUnavailable), 503, 503, "5", "purging: cache: tier is not available"},
		{"slow", fmt.Errorf("asking valkey: %w", context.DeadlineExceeded), 503, 503, "5", "asking valkey: context deadline exceeded"},
		{"a failure", &failure.Error{Status: 429, Reason: "busy", Text: "Too Many", RetryAfter: 1500 * time.Millisecond}, 429, 429, "2", "busy (429): Too Many"},
		{"a strange failure", failure.New(200, "odd", "x"), 500, 409, "", "odd (200): x"},
		{"its own", errors.New("disk full: redis://u:secret@h"), 500, 409, "", "disk full: redis://xxxxx@h"},
		{"several lines", errors.New("a: 1: want 2\nb: 3: want 4"), 500, 409, "", "a: 1: want 2\nb: 3: want 4"},
		{"endless", errors.New(strings.Repeat("é", maxAdminText)), 500, 409, "", strings.Repeat("é", maxAdminText/2) + "…"},
	} {
		b.err = c.err
		for raw, status := range map[string]int{
			post("/purge", `{"url":"/a"}`): c.status, request("GET", "/queue"): c.status, post("/queue/retry", `{"all":true}`): c.status,
			post("/queue/drop", `{"id":"1"}`): c.status, post("/queue/cancel", `{"key":"`+testKey+`"}`): c.status, post("/reload", ""): c.reload,
		} {
			got := send(t, addr, raw)
			var v struct{ Error string }
			if err := json.Unmarshal(got.body, &v); err != nil || v.Error != c.text || got.StatusCode != status || got.Header.Get("Retry-After") != c.retryAfter {
				t.Errorf("%s, %.20s: %d %.80s %v, want %d %.80s", c.name, raw, got.StatusCode, got.body, got.Header, status, c.text)
			}
		}
	}
	for _, want := range []string{
		`level=WARN msg="admin action" action=purge what="url \"/a\"" remote=127.0.0.1:`, `action="dead letters retried" what="all (0)"`, `action="dead letters dropped" what="id \"1\" (0)"`,
		`action=cancel what="key \"` + testKey + `\" (false)"`, `action=reload`, `error="disk full: redis://xxxxx@h"`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s", want)
		}
	}
}

// What a service does not have says so.
func TestActionsNotThere(t *testing.T) {
	addr := startAdmin(t, AdminOptions{})
	for raw, text := range map[string]string{
		post("/purge", `{"all":true}`):                 textNoPurge,
		request("GET", "/queue"):                       textNoQueue,
		post("/queue/retry", `{"all":true}`):           textNoQueue,
		post("/queue/drop", `{"all":true}`):            textNoQueue,
		post("/queue/cancel", `{"key":"`+testKey+`"}`): textNoQueue,
		post("/reload", ``):                            textNoReload,
	} {
		got := send(t, addr, raw)
		if got.StatusCode != 404 || string(got.body) != `{"error":"`+text+`"}` {
			t.Errorf("%.30s: %d %s", raw, got.StatusCode, got.body)
		}
	}
}

// Nobody else's page, no other way of asking, no other kind of body.
func TestActionsRefuse(t *testing.T) {
	b := &backend{}
	addr := startBackend(t, b, func(o *AdminOptions) { o.Hosts = []string{"ops.example.com"} })
	const all = `{"all":true}`
	for _, c := range []struct {
		name, raw string
		status    int
		text      string
	}{
		{"cross-site", post("/purge", all, "Sec-Fetch-Site: cross-site"), 403, "asked for by another site"},
		{"same-site", post("/queue/drop", all, "Sec-Fetch-Site: same-site"), 403, "asked for by another site"},
		{"another origin", post("/purge", all, "Origin: http://evil.example"), 403, "asked for by another site"},
		{"an origin that is none", post("/purge", all, "Origin: null"), 403, "asked for by another site"},
		{"its own origin", post("/purge", all, "Origin: http://h"), 200, ""},
		{"its own origin behind a proxy with TLS", post("/purge", all, "Sec-Fetch-Site: same-origin", "Origin: https://ops.example"), 200, ""},
		{"rebound", strings.Replace(post("/purge", all), "Host: h", "Host: evil.example", 1), 403, "Host: localhost"},
		{"rebound, reading", strings.Replace(request("GET", "/queue"), "Host: h", "Host: evil.example", 1), 403, "Host: localhost"},
		{"a program, by any name", strings.Replace(post("/purge", all, HeaderProgram+": 1"), "Host: h", "Host: imgopt.prod:9090", 1), 200, ""},
		{"no program, by its own words", post("/purge", all, HeaderProgram+": 1", "Sec-Fetch-Site: cross-site"), 403, "asked for by another site"},
		{"nor by its origin", strings.Replace(post("/purge", all, HeaderProgram+": 1", "Origin: http://x"), "Host: h", "Host: imgopt.prod", 1), 403, "asked for by another site"},
		{"a name that was configured", strings.Replace(post("/purge", all), "Host: h", "Host: OPS.example.com:9090", 1), 200, ""},
		{"one below it", strings.Replace(post("/purge", all), "Host: h", "Host: x.ops.example.com", 1), 403, "Host: localhost"},
		{"a service in Kubernetes", strings.Replace(post("/purge", all), "Host: h", "Host: imgopt.prod.svc.cluster.local:9090", 1), 200, ""},
		{"reading from another site", request("GET", "/queue", "Sec-Fetch-Site: cross-site"), 403, "asked for by another site"},
		{"a form", post("/purge", "all=true", "Content-Type: application/x-www-form-urlencoded"), 415, "Content-Type must be application/json"},
		{"text", post("/purge", all, "Content-Type: text/plain"), 415, "Content-Type must be application/json"},
		{"no type", post("/purge", all, "Content-Type: "), 415, "Content-Type must be application/json"},
		{"a charset", post("/purge", all, "Content-Type: application/json; charset=UTF-8"), 200, ""},
		{"another charset", post("/purge", all, "Content-Type: application/json; charset=utf-16"), 415, "Content-Type must be application/json"},
		{"two types", post("/purge", all, "Content-Type: text/plain, application/json"), 415, "Content-Type must be application/json"},
		{"packed", post("/purge", all, "Content-Encoding: gzip"), 200, ""}, // nobody unpacks it
		{"reload without a type", request("POST", "/reload"), 415, "Content-Type must be application/json"},
		{"GET", request("GET", "/purge"), 405, "/purge takes POST"},
		{"PUT", request("PUT", "/queue/drop"), 405, "/queue/drop takes POST"},
		{"POST to the queue", post("/queue", ""), 405, "/queue takes GET and HEAD"},
		{"too long", post("/purge", strings.Repeat(" ", adminMaxBody)+all), 413, "Request Entity Too Large"},
		{"too long, in chunks", request("POST", "/purge", "Content-Type: application/json", "Transfer-Encoding: chunked") + "20000\r\n" + strings.Repeat(" ", 0x20000) + "\r\n0\r\n\r\n", 413, "Request Entity Too Large"},
		{"GET with a body", request("GET", "/queue", "Content-Length: 10") + "0123456789", 413, "Request Entity Too Large"},
		{"elsewhere", post("/queue/burn", all), 404, "Not Found"},
	} {
		got := send(t, addr, c.raw)
		if got.StatusCode != c.status || c.status != 200 && !strings.Contains(string(got.body), c.text) || !json.Valid(got.body) {
			t.Errorf("%s: %d %s, want %d %s", c.name, got.StatusCode, got.body, c.status, c.text)
		}
		if allow := got.Header.Get("Allow"); (c.status == 405) != (allow != "") {
			t.Errorf("%s: Allow: %q", c.name, allow)
		}
		told := b.told()
		if (told != "") != (c.status == 200) {
			t.Errorf("%s: told %q", c.name, told)
		}
	}
}

// A conversion that compiles is the proof that the fields are the same.
var (
	_ = cache.Purge(Purge{})
	_ = PurgeReport(cache.PurgeReport{})
)

// Checks that the service does without are told, and keep nobody away.
func TestOptionalCheck(t *testing.T) {
	broken := errors.New("down (not_connected) since 2026-11-22T02:51:07Z")
	ready := NewReadiness(
		Check{Name: "codecs", Run: func(context.Context) error { return nil }},
		Check{Name: "valkey", Optional: true, Run: func(context.Context) error { return broken }},
	)
	addr := startAdmin(t, AdminOptions{Ready: ready})
	ask := func(status int, want string) {
		t.Helper()
		if got := send(t, addr, request("GET", "/readyz")); got.StatusCode != status || string(got.body) != want {
			t.Errorf("%d %s, want %d %s", got.StatusCode, got.body, status, want)
		}
	}
	ask(200, `{"ready":true,"failing":[],"degraded":[{"name":"valkey","error":"down (not_connected) since 2026-11-22T02:51:07Z"}]}`)
	broken = errors.New("")
	ask(200, `{"ready":true,"failing":[],"degraded":[{"name":"valkey","error":"failed"}]}`)
	if f := ready.Failing(context.Background()); len(f) != 0 {
		t.Error(f)
	}
	if got := fmt.Sprint(ready.Results(context.Background())); got != "[{codecs  false} {valkey failed true}]" {
		t.Error(got)
	}
	ready.Drain()
	ready.Drain() // twice is once
	ask(503, `{"ready":false,"failing":[{"name":"shutdown","error":"shutting down"}]}`)
}
