package fetch

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"imgopt/tracing"
)

// TestTrace has what a fetch leaves in a trace, and what it does not send.
func TestTrace(t *testing.T) {
	var got []string // traceparents; requests do not overlap
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Traceparent")+r.Header.Get("Tracestate"))
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/found", http.StatusFound)
		case "/found":
			_, _ = w.Write([]byte("image"))
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	for _, tt := range []struct {
		name      string
		r         Request
		recorded  bool
		propagate bool
		sent      int // requests, of which
		told      int // have a traceparent
		spans     string
		failed    string // the reason on the span of the fetch
	}{
		{"absolute", Request{Href: server.URL + "/moved", Absolute: true}, true, true, 2, 0, "GET 302, GET 200, fetch 200", ""},
		{"relative", Request{Href: "/found"}, true, false, 1, 0, "GET 200, fetch 200", ""},
		{"relative, told", Request{Href: "/found"}, true, true, 1, 1, "GET 200, fetch 200", ""},
		{"relative, not recorded", Request{Href: "/found"}, false, true, 1, 0, "", ""},
		{"failing", Request{Href: "/gone"}, true, true, 1, 1, "GET 503, fetch 503", "origin_status"},
		{"nobody there", Request{Href: "http://127.0.0.1:1/", Absolute: true}, true, true, 0, 0, "GET , fetch ", "upstream_connection"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got = nil
			c := newTestClient(t, func(o *Options) {
				o.Origins, o.AllowLocalIP, o.MaxRedirects, o.PropagateTrace = []string{server.URL}, true, 3, tt.propagate
			})
			recorder := tracetest.NewSpanRecorder()
			tracer := tracing.New(sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)), tracing.Options{SampleRatio: 1})
			ctx := t.Context()
			if tt.recorded {
				ctx, _ = tracer.Server(context.Background(), tracer.Accept(nil, []byte("shop=7")), "request", time.Now())
			}
			_, err := c.Fetch(ctx, tt.r)
			if (err != nil) != (tt.failed != "") {
				t.Fatal(err)
			}
			told := len(got) - len(slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s != "" }))
			if len(got) != tt.sent || told != tt.told {
				t.Errorf("the server got %q", got)
			}
			var spans []string
			for _, s := range recorder.Ended() {
				status := ""
				for _, a := range s.Attributes() {
					if a.Key == "http.response.status_code" {
						status = a.Value.String()
					}
				}
				spans = append(spans, s.Name()+" "+status)
				if tt.told > 0 && s.Name() == "GET" && !strings.HasPrefix(got[0], "00-"+s.SpanContext().TraceID().String()+"-"+s.SpanContext().SpanID().String()) {
					t.Errorf("the server got %q", got)
				}
				if s.Name() == "fetch" && s.Status().Description != tt.failed {
					t.Errorf("the fetch has status %+v, want %q", s.Status(), tt.failed)
				}
			}
			if all := strings.Join(spans, ", "); all != tt.spans {
				t.Errorf("spans %q, want %q", all, tt.spans)
			}
		})
	}
}
