// Package tracingtest has a collector of traces for tests: a real receiver of OTLP over HTTP.
package tracingtest

import (
	"cmp"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a span as it was received.
type Span struct {
	Name, Trace, ID, Parent string
	// State is the tracestate.
	State string
	// Kind is server, client, internal, producer or consumer.
	Kind string
	// Attributes and Resource hold strings, bools, int64s and float64s.
	Attributes, Resource map[string]any
	Events               []string
	// Links are trace-span, in hexadecimal.
	Links      []string
	Failed     bool
	Status     string // its description
	Start, End time.Time
}

// Ref is what a link to the span looks like.
func (s Span) Ref() string { return s.Trace + "-" + s.ID }

// Collector receives spans.
type Collector struct {
	// URL is where it listens, without a path.
	URL string

	server *httptest.Server
	answer atomic.Pointer[http.HandlerFunc]

	mu      sync.Mutex
	spans   []Span
	headers []http.Header
	changed chan struct{} // closed with the next batch
}

// New starts a collector that ends with the test.
func New(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{changed: make(chan struct{})}
	c.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer := c.answer.Load(); answer != nil {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the client has gone
			(*answer)(w, r)
			return
		}
		if err := c.receive(r); err != nil {
			t.Errorf("a post to the collector: %v", err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf") // an empty ExportTraceServiceResponse
	}))
	c.URL = c.server.URL
	t.Cleanup(c.server.Close)
	return c
}

// Answer has every post answered by f, until it is nil again.
func (c *Collector) Answer(f http.HandlerFunc) {
	if f == nil {
		c.answer.Store(nil)
		return
	}
	c.answer.Store(&f)
}

func (c *Collector) receive(r *http.Request) error {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		return fmt.Errorf("%s %s with %q", r.Method, r.URL, r.Header.Get("Content-Type"))
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = unzipped
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var request collectorpb.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &request); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers = append(c.headers, r.Header)
	for _, resource := range request.GetResourceSpans() {
		who := values(resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, read(s, who))
			}
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

func read(s *tracepb.Span, resource map[string]any) Span {
	out := Span{
		Name: s.GetName(), Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
		Parent: hex.EncodeToString(s.GetParentSpanId()), State: s.GetTraceState(),
		Kind:       strings.ToLower(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_")),
		Attributes: values(s.GetAttributes()), Resource: resource,
		Failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, Status: s.GetStatus().GetMessage(),
		Start: time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())),
	}
	for _, e := range s.GetEvents() {
		out.Events = append(out.Events, e.GetName())
	}
	for _, l := range s.GetLinks() {
		out.Links = append(out.Links, hex.EncodeToString(l.GetTraceId())+"-"+hex.EncodeToString(l.GetSpanId()))
	}
	return out
}

func values(list []*commonpb.KeyValue) map[string]any {
	out := make(map[string]any, len(list))
	for _, kv := range list {
		switch v := kv.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			out[kv.GetKey()] = v.StringValue
		case *commonpb.AnyValue_BoolValue:
			out[kv.GetKey()] = v.BoolValue
		case *commonpb.AnyValue_IntValue:
			out[kv.GetKey()] = v.IntValue
		case *commonpb.AnyValue_DoubleValue:
			out[kv.GetKey()] = v.DoubleValue
		}
	}
	return out
}

// Spans returns what was received so far, in the order of their beginning.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Clone(c.spans)
	slices.SortStableFunc(all, func(a, b Span) int { return cmp.Compare(a.Start.UnixNano(), b.Start.UnixNano()) })
	return all
}

// Headers returns the headers of all posts so far.
func (c *Collector) Headers() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.headers)
}

// patience is how long a test waits for spans, on a machine that may be busy.
const patience = 60 * time.Second

// Await waits until enough says that what was received is enough, and returns it.
func (c *Collector) Await(t testing.TB, what string, enough func([]Span) bool) []Span {
	t.Helper()
	late := time.After(patience)
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		spans := c.Spans()
		if enough(spans) {
			return spans
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s: not within %v; there is\n%s", what, patience, Describe(spans))
		}
	}
}

// Describe writes spans for people.
func Describe(spans []Span) string {
	var b strings.Builder
	for _, s := range spans {
		fmt.Fprintf(&b, "%s %s<-%s %s %q %s %v links %v\n", s.Trace, s.ID, s.Parent, s.Kind, s.Name, s.End.Sub(s.Start), s.Attributes, s.Links)
	}
	return b.String()
}
