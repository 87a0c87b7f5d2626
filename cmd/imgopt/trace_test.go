package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"imgopt/tracing/tracingtest"
	"imgopt/valkey/valkeytest"
)

// traced are flags for a service that sends its spans to a collector.
func traced(c *tracingtest.Collector, flags ...string) []string {
	return append([]string{"--tracing.endpoint=" + c.URL, "--transform.workers=1"}, flags...)
}

// stop ends a service as its operator does: what it has recorded is sent.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if code := p.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// tree is spans by their parents.
type tree struct {
	t     *testing.T
	spans []tracingtest.Span
}

// one returns the only span with the name below parent ("" for a root) that the condition, if any, is true of.
func (tr tree) one(parent, name string, is ...func(tracingtest.Span) bool) tracingtest.Span {
	tr.t.Helper()
	var found []tracingtest.Span
	for _, s := range tr.spans {
		if s.Parent == parent && s.Name == name && (len(is) == 0 || is[0](s)) {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		tr.t.Fatalf("%d spans %q below %q, want one, in\n%s", len(found), name, parent, tracingtest.Describe(tr.spans))
	}
	return found[0]
}

// below are the names of the spans below one, in the order of their beginning.
func (tr tree) below(s tracingtest.Span) (names []string) {
	for _, child := range tr.spans {
		if child.Parent == s.ID {
			names = append(names, child.Name)
		}
	}
	return names
}

// of keeps the spans of one trace.
func (tr tree) of(trace string) tree {
	return tree{tr.t, slices.DeleteFunc(slices.Clone(tr.spans), func(s tracingtest.Span) bool { return s.Trace != trace })}
}

// nested expects each span to lie within its parent, but for slack: clocks of two processes, or one that is set.
func (tr tree) nested(slack time.Duration) {
	tr.t.Helper()
	for _, child := range tr.spans {
		for _, parent := range tr.spans {
			if child.Parent == parent.ID && (child.Start.Before(parent.Start.Add(-slack)) || child.End.After(parent.End.Add(slack))) {
				tr.t.Errorf("%q from %v to %v is not within %q from %v to %v",
					child.Name, child.Start, child.End, parent.Name, parent.Start, parent.End)
			}
		}
	}
}

// has expects attributes of a span.
func has(t *testing.T, s tracingtest.Span, want map[string]any) {
	t.Helper()
	for name, value := range want {
		if got := s.Attributes[name]; got != value {
			t.Errorf("%s: %s is %v, want %v", s.Name, name, got, value)
		}
	}
}

// One process: a miss is one trace of all that was done for it, a hit is one span.
func TestTrace(t *testing.T) {
	t.Parallel()
	c := tracingtest.New(t)
	image := testImage(t, "photo-640.jpg")
	o := newOrigin(t, image)
	p := startService(t, traced(c, "--origin="+o.URL, "--cache.disk.path="+t.TempDir(), "--tracing.headers=x-scope=s3cret", `--images.localPatterns=[{"pathname": "/**"}]`)...)
	const href = "/photo.jpg?token=s3cret&v=2"
	for range 2 {
		if r := get(t, p.image(href, 64), "Accept", "image/webp", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"); r.status != http.StatusOK {
			t.Fatalf("%v", r)
		}
	}
	get(t, p.public+"/nothing")
	get(t, p.public+"/_next/image?url=%2Fa%3Ftoken%3Ds3cret&w=1&q=75")
	p.stop(t)

	// A request that nobody is to be trusted with begins a trace, with a link to what it says.
	said := func(s tracingtest.Span) bool {
		return slices.Equal(s.Links, []string{"0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"})
	}
	spans := tree{t, c.Spans()}
	miss := spans.one("", "GET /_next/image", func(s tracingtest.Span) bool { return s.Attributes["imgopt.cache"] == "miss" && said(s) })
	hit := spans.one("", "GET /_next/image", func(s tracingtest.Span) bool { return s.Attributes["imgopt.cache"] == "hit" && said(s) })
	if miss.Trace == hit.Trace || miss.Trace == "0af7651916cd43dd8448eb211c80319c" || len(spans.of(hit.Trace).spans) != 1 {
		t.Errorf("the traces are %s and %s", miss.Trace, hit.Trace)
	}
	server := map[string]any{
		"http.request.method": "GET", "http.route": "/_next/image", "http.response.status_code": int64(200), "url.scheme": "http",
		"url.path": "/_next/image", "network.protocol.version": "1.1", "server.address": "127.0.0.1",
		"imgopt.width": int64(64), "imgopt.quality": int64(75), "imgopt.format": "image/webp",
		"imgopt.href": "/photo.jpg?token=xxxxx&v=2", "url.query": "url=%2Fphoto.jpg%3Ftoken%3Dxxxxx%26v%3D2&w=64&q=75",
	}
	has(t, miss, server)
	has(t, hit, server)
	if miss.Kind != "server" || miss.Failed || miss.Resource["service.name"] != "imgopt" || miss.Resource["imgopt.role"] != "all" {
		t.Errorf("%+v", miss)
	}

	of := spans.of(miss.Trace)
	job := of.one(miss.ID, "job")
	of.one(job.ID, "queue")
	attempt := of.one(job.ID, "attempt")
	has(t, attempt, map[string]any{"imgopt.job.attempt": int64(1), "imgopt.job.kind": "miss", "imgopt.job.priority": "interactive"})
	fetch := of.one(attempt.ID, "fetch")
	has(t, fetch, map[string]any{"http.response.status_code": int64(200), "imgopt.source.size": int64(len(image)), "imgopt.href": "/photo.jpg?token=xxxxx&v=2"})
	hop := of.one(fetch.ID, "GET")
	has(t, hop, map[string]any{"http.response.status_code": int64(200), "url.full": o.URL + "/photo.jpg?token=xxxxx&v=2"})
	if hop.Kind != "client" || !slices.Contains(hop.Events, "connected") || !slices.Contains(hop.Events, "first byte") {
		t.Errorf("%+v", hop)
	}
	has(t, of.one(attempt.ID, "transform"), map[string]any{"imgopt.source.type": "image/jpeg", "imgopt.output.type": "image/webp", "imgopt.source.size": int64(len(image))})
	transformed := of.one(attempt.ID, "transform")
	if cpu, ok := transformed.Attributes["imgopt.codec.cpu"].(float64); !ok || cpu <= 0 {
		t.Errorf("the codec took %v", cpu)
	}
	if got := of.below(transformed); !slices.Equal(got, []string{"decode and resize", "encode"}) {
		t.Errorf("a transformation is %v", got)
	}
	want := []string{"look up disk", "fetch", "wait for codec", "transform", "store disk", "store memory"}
	if got := of.below(attempt); !slices.Equal(got, want) {
		t.Errorf("an attempt is %v, want %v", got, want)
	}
	of.nested(time.Millisecond)

	has(t, spans.one("", "GET"), map[string]any{"http.response.status_code": int64(404), "url.path": "/nothing", "imgopt.reason": "not_found"})
	has(t, spans.one("", "GET /_next/image", func(s tracingtest.Span) bool { return len(s.Links) == 0 }), map[string]any{
		"http.response.status_code": int64(400), "imgopt.href": "/a?token=xxxxx",
	})
	if h := o.last.Load().Header; h.Get("Traceparent")+h.Get("Tracestate") != "" {
		t.Errorf("the origin got %v", h)
	}
	for _, h := range c.Headers() {
		if h.Get("X-Scope") != "s3cret" {
			t.Errorf("the collector got %v", h)
		}
	}
	log := p.stderr.String()
	if strings.Contains(log, "s3cret") || strings.Contains(tracingtest.Describe(spans.spans), "s3cret") {
		t.Error("a secret is in the log or in a span")
	}
	for _, s := range []tracingtest.Span{miss, hit} {
		if !strings.Contains(log, `"trace_id":"`+s.Trace+`"`) {
			t.Errorf("trace %s is not in the log", s.Trace)
		}
	}
}

// Whoever stands in front is trusted, and so is the frontend.
func TestTraceParent(t *testing.T) {
	t.Parallel()
	c := tracingtest.New(t)
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	elsewhere := newOrigin(t, testImage(t, "photo-640.jpg"))
	p := startService(t, traced(c, "--origin="+o.URL, "--tracing.trustParent", "--tracing.propagateToOrigin", "--tracing.sampleRatio=0",
		"--images.dangerouslyAllowLocalIP", `--images.remotePatterns=[{"hostname": "127.0.0.1"}]`)...)
	const parent, other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-aaf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	get(t, p.image("/a.jpg", 64), "Traceparent", parent, "Tracestate", "shop=7")
	sent := o.last.Load().Header.Get("Traceparent")
	get(t, p.image("/b.jpg", 64), "Traceparent", other)
	get(t, p.image("/c.jpg", 64))
	if h := o.last.Load().Header.Get("Traceparent"); h != "" {
		t.Errorf("the origin got %q with what is not recorded", h)
	}
	get(t, p.image(elsewhere.URL+"/d.jpg", 64), "Traceparent", parent)
	if h := elsewhere.last.Load().Header.Get("Traceparent"); h != "" {
		t.Errorf("another host got %q", h)
	}
	p.stop(t)
	spans := tree{t, c.Spans()}
	recorded := spans.one("b7ad6b7169203331", "GET /_next/image", func(s tracingtest.Span) bool { return s.Attributes["imgopt.href"] == "/a.jpg" })
	if recorded.Trace != "0af7651916cd43dd8448eb211c80319c" || recorded.State != "shop=7" {
		t.Errorf("%+v", recorded)
	}
	for _, s := range spans.spans {
		if s.Trace != recorded.Trace {
			t.Errorf("%+v was not to be recorded", s)
		}
	}
	hop := spans.one(spans.one(spans.one(spans.one(recorded.ID, "job").ID, "attempt").ID, "fetch").ID, "GET")
	if want := "00-" + hop.Trace + "-" + hop.ID + "-01"; !strings.HasPrefix(sent, want[:53]) {
		t.Errorf("the origin got %q, want %q", sent, want)
	}
	if log := p.stderr.String(); !strings.Contains(log, `"trace_id":"aaf7651916cd43dd8448eb211c80319c"`) {
		t.Error("a request that is not recorded cannot be found by the trace that it belongs to")
	}
}

// Requests for one image while it is made have a link to the span that makes it; its revalidation is a trace of its own,
// with a link to the request that found it stale.
func TestTraceLinks(t *testing.T) {
	t.Parallel()
	c := tracingtest.New(t)
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	p := startService(t, traced(c, "--origin="+o.URL, "--images.minimumCacheTTL=1")...)
	o.pause()
	var answers []<-chan outcome
	for range 3 {
		answers = append(answers, asking(p.image("/a.jpg", 64)))
	}
	eventually(t, "all wait", func() bool { return p.metric(t, "imgopt_http_waiting") == 3 })
	// Waiting is counted a moment before they join.
	eventually(t, "two have joined", func() bool { return p.metric(t, `imgopt_jobs_coalesced_total{kind="miss"}`) == 2 })
	o.resume()
	for _, a := range answers {
		wait(t, a)
	}
	eventually(t, "the image is stale", func() bool {
		return get(t, p.image("/a.jpg", 64)).header.Get("X-Nextjs-Cache") == "STALE"
	})
	eventually(t, "it is revalidated", func() bool {
		return p.metric(t, `imgopt_cache_revalidations_total{outcome="unchanged"}`) > 0
	})
	p.stop(t)
	spans := tree{t, c.Spans()}
	var attempt tracingtest.Span
	var joined []tracingtest.Span
	for _, s := range spans.spans {
		switch s.Name {
		case "attempt":
			attempt = s
		case "job":
			if s.Attributes["imgopt.coalesced"] == true {
				joined = append(joined, s)
			}
		}
	}
	if len(joined) != 2 {
		t.Fatalf("%d joined, want 2:\n%s", len(joined), tracingtest.Describe(spans.spans))
	}
	for _, s := range joined {
		if !slices.Equal(s.Links, []string{attempt.Ref()}) || s.Trace == attempt.Trace {
			t.Errorf("links %v, want to %s", s.Links, attempt.Ref())
		}
	}
	revalidation := spans.one("", "revalidate", func(s tracingtest.Span) bool { return len(s.Links) == 1 })
	cause := slices.IndexFunc(spans.spans, func(s tracingtest.Span) bool { return s.Ref() == revalidation.Links[0] })
	if cause < 0 || spans.spans[cause].Attributes["imgopt.cache"] != "stale" {
		t.Errorf("the cause of the revalidation is %v in\n%s", revalidation.Links, tracingtest.Describe(spans.spans))
	}
	has(t, spans.one(revalidation.ID, "fetch"), map[string]any{"imgopt.source.size": int64(len(testImage(t, "photo-640.jpg")))})
}

// Two processes and a real server between them: one request is one trace.
func TestTraceFleet(t *testing.T) {
	t.Parallel()
	valkeytest.Need(t)
	c := tracingtest.New(t)
	server := valkeytest.Start(t, valkeytest.Options{})
	o := newOrigin(t, testImage(t, "photo-640.jpg"))
	flags := traced(c, "--origin="+o.URL, "--storage.type=valkey", "--storage.url="+server.URL())
	worker := startProcess(t, "imgopt", append([]string{"serve", "--role=worker", "--adminListen=127.0.0.1:0", "--log.format=json"}, flags...)...)
	worker.admin = "http://" + worker.logged(t, listening("admin")).Address
	webs := [2]*process{}
	for i := range webs {
		webs[i] = startService(t, append(flags, "--role=web")...)
	}
	if r := get(t, webs[0].image("/a.jpg", 64)); r.status != http.StatusOK {
		t.Fatalf("%v", r)
	}
	// The other web process joins a job that the worker is doing for the first.
	o.pause()
	first := asking(webs[0].image("/b.jpg", 64))
	eventually(t, "the worker fetches", func() bool { return o.fetches.Load() == 2 })
	second := asking(webs[1].image("/b.jpg", 64))
	eventually(t, "the other one has joined", func() bool {
		return webs[1].metric(t, `imgopt_jobs_coalesced_total{kind="miss"}`) == 1
	})
	o.resume()
	wait(t, first)
	wait(t, second)
	for _, p := range []*process{webs[0], webs[1], worker} {
		p.stop(t)
	}

	spans := tree{t, c.Spans()}
	request := spans.one("", "GET /_next/image", func(s tracingtest.Span) bool { return s.Attributes["imgopt.href"] == "/a.jpg" })
	of := spans.of(request.Trace)
	job := of.one(request.ID, "job")
	attempt := of.one(job.ID, "attempt")
	queue := of.one(job.ID, "queue")
	fetch := of.one(attempt.ID, "fetch")
	of.one(fetch.ID, "GET")
	of.one(attempt.ID, "transform")
	of.one(attempt.ID, "store valkey")
	of.one(of.one(job.ID, "load result").ID, "look up valkey")
	for _, s := range of.spans {
		want := "worker"
		if s.ID == request.ID || s.ID == job.ID || s.Name == "load result" || strings.HasPrefix(s.Name, "look up") && s.Parent != attempt.ID {
			want = "web"
		}
		if s.Resource["imgopt.role"] != want {
			t.Errorf("%q is from role %v, want %s", s.Name, s.Resource["imgopt.role"], want)
		}
	}
	if queue.End.After(attempt.Start.Add(time.Millisecond)) {
		t.Errorf("the attempt began at %v, before the queue's end at %v", attempt.Start, queue.End)
	}
	// When a job was enqueued the worker only knows as well as the way to the server takes.
	of.nested(5 * time.Second)

	leader := spans.one("", "GET /_next/image", func(s tracingtest.Span) bool {
		return s.Attributes["imgopt.href"] == "/b.jpg" && s.Attributes["imgopt.coalesced"] == false
	})
	joiner := spans.one("", "GET /_next/image", func(s tracingtest.Span) bool {
		return s.Attributes["imgopt.href"] == "/b.jpg" && s.Attributes["imgopt.coalesced"] == true
	})
	link := spans.one(joiner.ID, "job").Links
	if want := []string{spans.one(leader.ID, "job").Ref()}; !slices.Equal(link, want) {
		t.Errorf("the one that joined has links %v, want %v", link, want)
	}
}

// Whatever the collector does, requests do not notice and the service stops in time.
func TestTraceCollectorFails(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"away":    nil,
		"failing": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
		"silent":  func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tracingtest.New(t)
			endpoint := c.URL
			if c.Answer(answer); answer == nil {
				endpoint = "http://127.0.0.1:9" // discard
			}
			p := startService(t, "--tracing.endpoint="+endpoint, "--tracing.timeout=1s", "--origin="+imagesOrigin(t), "--transform.workers=1")
			const requests = 600 // more than a batch
			for range requests {
				if r := get(t, p.image("/photo-640.jpg", 64)); r.status != http.StatusOK {
					t.Fatalf("%v", r)
				}
			}
			dropped := func(reason string) float64 {
				return p.metric(t, `imgopt_trace_spans_dropped_total{reason="`+reason+`"}`)
			}
			eventually(t, "spans are dropped", func() bool { return dropped("failed") > 0 })
			if n := p.metric(t, "imgopt_trace_spans_exported_total"); n != 0 {
				t.Errorf("%v spans were sent", n)
			}
			p.stop(t)
			if n := strings.Count(p.stderr.String(), "traces cannot be sent"); n != 1 {
				t.Errorf("%d lines in the log say that traces cannot be sent, want 1", n)
			}
		})
	}
}

// What is recorded can be changed without a restart, where it goes cannot.
func TestTraceReload(t *testing.T) {
	t.Parallel()
	c := tracingtest.New(t)
	const text = "tracing: {endpoint: %q, sampleRatio: %d}\n"
	f := newConfigFile(t, fmt.Sprintf(text, c.URL, 0))
	p := startService(t, f.flag(), "--origin="+imagesOrigin(t), "--transform.workers=1")
	get(t, p.public+"/before")
	f.write(t, fmt.Sprintf(text, "http://127.0.0.1:9", 1))
	status, answer := p.reload(t)
	if status != http.StatusOK || !slices.Equal(answer.Changed, []string{"tracing.sampleRatio"}) || !slices.Equal(answer.NeedRestart, []string{"tracing.endpoint"}) {
		t.Fatalf("%d %+v", status, answer)
	}
	get(t, p.public+"/after")
	p.stop(t)
	if spans := c.Spans(); len(spans) != 1 || spans[0].Attributes["url.path"] != "/after" {
		t.Errorf("recorded:\n%s", tracingtest.Describe(spans))
	}
}
