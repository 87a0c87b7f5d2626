package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// 1,000 requests for the same image, which is not there yet, at once: one fetch, one encoding, 1,000 equal answers.
func TestThousandCold(t *testing.T) {
	t.Parallel()
	const clients = 1000
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	o.pause()
	p := startService(t, "--origin="+o.URL, "--fetch.timeout=1m", "--timeout=2m")
	pending := make([]<-chan outcome, clients)
	for i := range pending {
		pending[i] = asking(p.image("/a.jpg", 64), "Accept", "image/webp")
	}
	// None is answered before all are there.
	eventually(t, "all requests are in flight", func() bool { return p.metric(t, "imgopt_http_requests_in_flight") == clients })
	o.resume()

	first := wait(t, pending[0])
	if want, ok := nextSum(t, "photo-640.jpg", 64, "image/webp"); first.status != http.StatusOK || ok && first.sum() != want {
		t.Fatalf("the first answer: %v", first)
	}
	first.header.Del("Date")
	for i, done := range pending[1:] {
		r := wait(t, done)
		r.header.Del("Date")
		if r.status != first.status || r.sum() != first.sum() || fmt.Sprint(r.header) != fmt.Sprint(first.header) {
			t.Fatalf("answer %d: %v, the first was %v", i+1, r, first)
		}
	}
	if n := o.fetches.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	for series, want := range map[string]float64{
		`imgopt_codec_jobs_total{outcome="encoded"}`:                                1,
		`imgopt_http_requests_coalesced_total`:                                      clients - 1,
		`imgopt_http_requests_total{cache="miss",reason="ok",status="2xx"}`:         clients,
		`imgopt_job_duration_seconds_count{kind="miss",outcome="ok"}`:               1,
		`imgopt_transform_duration_seconds_count{format="webp",outcome="ok"}`:       1,
		`imgopt_http_requests_total{cache="none",reason="queue_full",status="5xx"}`: 0,
	} {
		if got := p.metric(t, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
}

// The longest url that is allowed, every character of it percent-encoded, with as many cookies as browsers send.
func TestLongRequest(t *testing.T) {
	t.Parallel()
	const longest = 3072
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	p := startService(t, "--origin="+o.URL)
	href := "/" + strings.Repeat("a", longest-len("/.jpg")) + ".jpg"
	var encoded strings.Builder
	for _, c := range []byte(href) {
		fmt.Fprintf(&encoded, "%%%02X", c)
	}
	cookies := strings.Repeat("session=0123456789abcdef; ", 8<<10/26+1)[:8<<10]

	r := get(t, p.public+"/_next/image?url="+encoded.String()+"&w=64&q=75", "Accept", "image/webp", "Cookie", cookies)
	if r.status != http.StatusOK || r.header.Get("Content-Type") != "image/webp" {
		t.Fatalf("%v", r)
	}
	asked := o.last.Load()
	if asked.URL.Path != href {
		t.Errorf("the origin was asked for %d bytes, want the %d given: %.60s", len(asked.URL.Path), len(href), asked.URL.Path)
	}
	if cookie := asked.Header.Get("Cookie"); cookie != "" {
		t.Errorf("the origin got cookies: %.60s", cookie)
	}

	tooLong := get(t, p.public+"/_next/image?url="+encoded.String()+url.QueryEscape("x")+"&w=64&q=75", "Cookie", cookies)
	if tooLong.status != http.StatusBadRequest || string(tooLong.body) != `"url" parameter is too long` {
		t.Errorf("one character more: %v", tooLong)
	}
}
