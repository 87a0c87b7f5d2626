package handler

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// form builds what a browser posts for a form of the page.
func form(target, body string, lines ...string) string {
	return post(target, body, append(lines, "Content-Type: application/x-www-form-urlencoded")...)
}

const samePage = "Sec-Fetch-Site: same-origin"

// text returns a page without tags, spaces folded.
func text(page []byte) string {
	s := regexp.MustCompile(`(?s)<(style|script)>.*?</(style|script)>`).ReplaceAllString(string(page), "")
	s = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(s, " ")
	return strings.Join(strings.Fields(s), " ")
}

func TestOpsPage(t *testing.T) {
	b := &backend{report: QueueReport{
		Type: "valkey", Version: "v1", Leased: 16,
		Interactive: ClassReport{Queued: 212, Delayed: 9, HeldBack: 40, OldestSeconds: 14.5}, Background: ClassReport{Queued: 1284, OldestSeconds: 7300},
		Workers: []WorkerReport{{"w-here", "v1", 1.24}, {"w-old", "v0", 2}, {"w-silent", "v1", 95}},
		Others:  []VersionReport{{"v0", ClassReport{Queued: 1}, ClassReport{Queued: 2}, 3, 4}, {"v00", ClassReport{}, ClassReport{Queued: 5}, 0, 0}},
		Dead: []DeadLetter{{
			ID: `"><script>1</script>`, Href: "https://u:secret@cdn/a.jpg?x=<b>", Width: 828, Quality: 75, Format: "image/avif", Status: 502, Reason: "upstream_status",
			Text: `"url" parameter is <valid>`, Cause: "GET: 500", Attempts: 3, At: time.Now().Add(-3 * time.Hour),
		}},
		DeadTotal: 60,
	}}
	ready := NewReadiness(
		Check{Name: "codecs", Run: func(context.Context) error { return nil }},
		Check{Name: "valkey", Optional: true, Run: func(context.Context) error { return errors.New("partly (cluster_down)") }},
	)
	demo, _ := testDemo(t)
	addr := startBackend(t, b, func(o *AdminOptions) {
		o.Ready, o.Instance, o.Version, o.Pprof, o.Demo = ready, "web-<1>", "1.2.3", true, demo
	})
	got := send(t, addr, request("GET", "/ops"))
	if got.StatusCode != 200 || got.Header.Get("Content-Type") != "text/html; charset=utf-8" || got.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", got.StatusCode, got.Header)
	}
	page, shown := string(got.body), text(got.body)
	for _, want := range []string{
		"imgopt operations web-&lt;1&gt; · 1.2.3 · up 0.0 s", "readyz metrics demo profiles",
		"Ready, degraded codecs valkey partly (cluster_down)",
		"valkey · pipeline version v1", "interactive people wait 212 9 40 14 s", "background pre-warming, revalidation 1284 0 0 2 h 1 min", "in work 16",
		"Workers 3", "w-here v1 1.2 s ago", "w-old v0 another version 2.0 s ago", "w-silent v1 silent 95 s ago",
		"Dead letters v0 3 3 4 v00 no worker 5 0 0",
		"Dead letters 60 Retry all Drop all… Yes, forget 60",
		"3 h 0 min ago 3 attempts https://xxxxx@cdn/a.jpg?x=&lt;b&gt; 828 px · quality 75 · avif 502 upstream_status &#34;url&#34; parameter is &lt;valid&gt; GET: 500 Retry Drop",
		"And 59 more, older ones.", "Purge everything", "Reload",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	for _, never := range []string{"secret", "<script>1", "style=", "onclick", "http://", `src="`} {
		if strings.Contains(strings.ReplaceAll(page, "http:%2F%2F", ""), never) {
			t.Errorf("the page has %q", never)
		}
	}
	if title := regexp.MustCompile(`<title>(.*)</title>`).FindStringSubmatch(page); title == nil || title[1] != "Ready, degraded · web-&lt;1&gt; · imgopt" {
		t.Error(title)
	}
	// The policy allows this very style and script, and nothing else.
	policy := got.Header.Get("Content-Security-Policy")
	for _, tag := range []string{"style", "script"} {
		found := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(page, -1)
		if len(found) != 1 {
			t.Fatalf("%d %s elements", len(found), tag)
		}
		sum := sha256.Sum256([]byte(found[0][1]))
		if want := tag + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("%s lacks %s", policy, want)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "form-action 'self'; base-uri 'none'; frame-ancestors 'none'") {
		t.Error(policy)
	}
	// Every way that the page knows is there: links by GET, forms by POST.
	for _, ref := range regexp.MustCompile(`(?:href|action)="([a-z][^":]*)"`).FindAllStringSubmatch(page, -1) {
		raw := request("GET", "/"+ref[1])
		if strings.Contains(ref[0], "action") {
			raw = form("/"+ref[1], "do=retry&all=true", samePage)
		}
		if got := send(t, addr, raw); got.StatusCode == 404 || got.StatusCode == 405 {
			t.Errorf("%s: %d", ref[0], got.StatusCode)
		}
	}
	if got := send(t, addr, request("GET", "/")); got.Header.Get("Location") != "demo" {
		t.Error(got.Header)
	}
}

// The page is there whatever is not, and says what that means.
func TestOpsStates(t *testing.T) {
	fails := NewReadiness(Check{Name: "capacity", Run: func(context.Context) error { return errors.New("refused for 37s") }})
	drains := NewReadiness(Check{Name: "codecs", Run: func(context.Context) error { return nil }})
	drains.Drain()
	for name, c := range map[string]struct {
		change func(*AdminOptions)
		want   []string
		never  []string
	}{
		"nothing": {func(o *AdminOptions) { o.Queue, o.Purger, o.Reloader = nil, nil, nil },
			[]string{"Ready Queue None: this storage has no shared queue."}, []string{"Workers", "Dead letters", "Purge", "Reload", "demo", "profiles"}},
		"not ready": {func(o *AdminOptions) { o.Ready = fails }, []string{"Not ready capacity refused for 37s"}, []string{"Ready,"}},
		"draining":  {func(o *AdminOptions) { o.Ready = drains }, []string{"Not ready shutdown shutting down codecs"}, nil},
		"queue away": {func(o *AdminOptions) {
			o.Queue = &backend{err: fmt.Errorf("%w: redis://u:secret@h is down", ErrUnavailable)}
		},
			[]string{"The queue cannot be asked: not available now: redis://xxxxx@h is down", "Purge everything"}, []string{"Workers", "secret"}},
		"no worker": {func(o *AdminOptions) { o.Queue = &backend{} }, []string{"No worker of this version was heard of", "Dead letters 0 None."}, []string{"Retry", "Workers", "other versions"}},
		"only others": {func(o *AdminOptions) {
			o.Queue = &backend{report: QueueReport{Version: "v2", Workers: []WorkerReport{{"w", "v1", 1}}}}
		}, []string{"No worker of this version"}, nil},
		"many dead": {func(o *AdminOptions) { o.Queue = &backend{report: QueueReport{Dead: make([]DeadLetter, 51)}} },
			[]string{"Dead letters 51", "And 1 more, older ones."}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := send(t, startBackend(t, &backend{}, c.change), request("GET", "/ops"))
			shown := text(got.body)
			for _, want := range c.want {
				if got.StatusCode != 200 || !strings.Contains(shown, want) {
					t.Errorf("%d, no %q in\n%s", got.StatusCode, want, shown)
				}
			}
			for _, never := range c.never {
				if strings.Contains(shown, never) {
					t.Errorf("%q in\n%s", never, shown)
				}
			}
		})
	}
}

func TestOpsForms(t *testing.T) {
	b := &backend{n: 5, purged: PurgeReport{Stamp: 1, Heard: 3}, reload: ReloadReport{Changed: []string{"a"}, NeedRestart: []string{"b", "c"}}}
	addr := startBackend(t, b, nil)
	for _, c := range []struct{ target, body, told, location, says string }{
		{"/ops/purge", "url=%2Fa+b.jpg%3Fx%3D1", `purge url "/a b.jpg?x=1"`, "../ops?done=purged&n=3", "Purged. 3 replicas were told at once"},
		{"/ops/purge", "prefix=https%3A%2F%2Fh%2F", `purge prefix "https://h/"`, "../ops?done=purged&n=3", "Purged."},
		{"/ops/purge", "all=true", "purge everything", "../ops?done=purged&n=3", "Purged."},
		{"/ops/dead", "do=retry&id=17-0", `retry "17-0" false`, "../ops?done=retried&n=5", "Queued again: 5 jobs."},
		{"/ops/dead", "do=retry&all=true", `retry "" true`, "../ops?done=retried&n=5", "Queued again"},
		{"/ops/dead", "do=drop&id=17-0", `drop "17-0" false`, "../ops?done=dropped&n=5", "Forgotten: 5 dead letters."},
		{"/ops/reload", "", "reload", "../ops?done=reloaded&n=1&m=2", "1 key changed. Only a restart will put 2 others in force."},
	} {
		got := send(t, addr, form(c.target, c.body, samePage))
		if told := b.told(); told != c.told || got.StatusCode != 303 || got.Header.Get("Location") != c.location {
			t.Errorf("%s %s: %d %s, told %s", c.target, c.body, got.StatusCode, got.Header.Get("Location"), told)
		}
		if after := text(send(t, addr, request("GET", strings.TrimPrefix(c.location, ".."))).body); !strings.Contains(after, c.says) {
			t.Errorf("%s %s: no %q in\n%s", c.target, c.body, c.says, after)
		}
		b.told()
	}
	for address, says := range map[string]string{
		"done=pending": "Purged on this replica only", "done=purged&n=1": "Purged. ", "done=retried&n=0": "Nothing to retry", "done=dropped&n=0": "Nothing to drop", "done=dropped&n=1": "Forgotten: 1 dead letter.", "done=reloaded&n=2": "2 keys changed. ",
	} {
		if got := text(send(t, addr, request("GET", "/ops?"+address)).body); !strings.Contains(got, says) {
			t.Errorf("%s: no %q in\n%s", address, says, got)
		}
	}
	if got := send(t, addr, request("GET", "/ops?done=pending")); !strings.Contains(string(got.body), `role="status"`) {
		t.Errorf("no notice in\n%s", got.body)
	}
	if got := send(t, addr, request("GET", "/ops?done=<b>&n=%3Cb%3E&text=call+555")); strings.Contains(string(got.body), `role="`) {
		t.Errorf("an address makes the page say\n%s", text(got.body))
	}
}

// What does not work leaves the page there, with the reason and what was typed.
func TestOpsFormErrors(t *testing.T) {
	b := &backend{err: errors.New("images.qualities: [175]: want 1 to 100\ntimeout: fast: want a duration")}
	addr := startBackend(t, b, nil)
	none := startAdmin(t, AdminOptions{})
	for _, c := range []struct {
		name, addr, raw string
		status          int
		says            string
	}{
		{"a refused configuration", addr, form("/ops/reload", "", samePage), 409, "That did not work: images.qualities: [175]: want 1 to 100 timeout: fast: want a duration"},
		{"nothing typed", addr, form("/ops/purge", "url=", samePage), 400, "got 0 of them"},
		{"two things typed", addr, form("/ops/purge", "url=/typed-url&prefix=/typed-prefix", samePage), 400, "got 2 of them"},
		{"an unknown button", addr, form("/ops/dead", "do=burn&all=true", samePage), 400, "want retry or drop"},
		{"no letter", addr, form("/ops/dead", "do=retry", samePage), 400, "want exactly one of"},
		{"a failure", addr, form("/ops/dead", "do=retry&all=true", samePage), 500, "That did not work"},
		{"no form", addr, form("/ops/purge", "all=%zz", samePage), 400, "the form cannot be read"},
		{"JSON", addr, post("/ops/purge", `{"all":true}`, samePage), 415, "Content-Type must be"},
		{"no purger", none, form("/ops/purge", "all=true", samePage), 404, textNoPurge},
		{"no queue", none, form("/ops/dead", "do=retry&all=true", samePage), 404, textNoQueue},
		{"no reloader", none, form("/ops/reload", "", samePage), 404, textNoReload},
		{"no browser", addr, form("/ops/purge", "all=true"), 403, "forms are only taken from the page itself"},
		{"typed into the address bar", addr, form("/ops/purge", "all=true", "Sec-Fetch-Site: none"), 403, "forms are only taken"},
		{"another site", addr, form("/ops/purge", "all=true", "Sec-Fetch-Site: cross-site"), 403, "asked for by another site"},
		{"another origin", addr, form("/ops/purge", "all=true", "Origin: https://evil.example"), 403, "asked for by another site"},
		{"rebound", addr, strings.Replace(form("/ops/purge", "all=true", "Origin: http://evil.example"), "Host: h", "Host: evil.example", 1), 403, "Host: localhost"},
		{"GET", addr, request("GET", "/ops/purge"), 405, "Method Not Allowed"},
	} {
		got := send(t, c.addr, c.raw)
		if shown := text(got.body); got.StatusCode != c.status || !strings.Contains(shown, c.says) {
			t.Errorf("%s: %d, no %q in\n%s", c.name, got.StatusCode, c.says, shown)
		}
		if c.name == "two things typed" && (!strings.Contains(string(got.body), `value="/typed-url"`) || !strings.Contains(string(got.body), `value="/typed-prefix"`) || !strings.Contains(string(got.body), `href="../metrics"`)) {
			t.Errorf("what was typed is gone, or the links lead nowhere:\n%s", got.body)
		}
		told := b.told()
		if acted := strings.Contains(told, "purge") || strings.Contains(told, "retry") || strings.Contains(told, "reload"); acted != (c.status == 409 || c.status == 500) {
			t.Errorf("%s: told %q", c.name, told)
		}
	}
	// An older browser says where its page is from, and nothing else.
	b.err = nil
	if got := send(t, addr, form("/ops/purge", "all=true", "Origin: http://h")); got.StatusCode != 303 {
		t.Errorf("%d %s", got.StatusCode, text(got.body))
	}
	if referrer := send(t, addr, request("GET", "/ops")).Header.Get("Referrer-Policy"); referrer != "same-origin" {
		t.Errorf("with Referrer-Policy: %s a browser posts forms with Origin: null", referrer)
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0 s", 0: "0.0 s", 9990 * time.Millisecond: "10.0 s", 10 * time.Second: "10 s", 119 * time.Second: "119 s", 2 * time.Minute: "2 min",
		119 * time.Minute: "119 min", 2 * time.Hour: "2 h 0 min", 47*time.Hour + 59*time.Minute: "47 h 59 min", 49 * time.Hour: "2 d 1 h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
