package export

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"

	"imgopt/tracing"
	"imgopt/tracing/tracingtest"
	"imgopt/valkey/valkeytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(log *valkeytest.Log) Options {
	return Options{
		Timeout: 10 * time.Second, Version: "v1", Instance: "i", Role: "web", Log: log.Logger(),
		Clean: func(s string) string { return strings.ReplaceAll(s, "s3cret", "xxxxx") },
	}
}

// record makes n spans.
func record(p *sdk.TracerProvider, n int) {
	tracer := tracing.New(p, tracing.Options{SampleRatio: 1})
	for i := range n {
		_, s := tracer.Server(context.Background(), tracer.Accept(nil, nil), "span", time.Now())
		s.Set(attribute.String("url", "http://s3cret/"), attribute.Int("i", i), attribute.String("not text", "a\xffb"))
		s.Event("event", attribute.String("url", "http://s3cret/"))
		s.Fail("s3cret")
		s.End()
	}
}

func TestExport(t *testing.T) {
	for _, coding := range []string{"", "gzip"} {
		t.Run(coding, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", coding)
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
			c := tracingtest.New(t)
			var log valkeytest.Log
			o := options(&log)
			o.Endpoint, o.Headers = c.URL+"/v1/traces", map[string]string{"X-Scope": "shop"}
			e, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			record(e.provider, 3)
			if err := e.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			record(e.provider, 1) // too late
			spans := c.Spans()
			if len(spans) != 3 || e.Stats().Exported != 3 || e.Stats().Failed != 0 {
				t.Fatalf("%d spans, %+v", len(spans), e.Stats())
			}
			s := spans[0]
			if s.Attributes["url"] != "http://xxxxx/" || s.Attributes["not text"] != "a\ufffdb" || s.Status != "xxxxx" || !s.Failed {
				t.Errorf("%+v", s)
			}
			for name, want := range map[string]any{
				"service.name": "imgopt", "service.version": "v1", "service.instance.id": "i", "imgopt.role": "web",
				"deployment.environment.name": "test", "telemetry.sdk.language": "go",
			} {
				if s.Resource[name] != want {
					t.Errorf("%s is %v, want %v", name, s.Resource[name], want)
				}
			}
			if h := c.Headers()[0]; h.Get("X-Scope") != "shop" || h.Get("Content-Encoding") != coding {
				t.Errorf("headers %v", h)
			}
		})
	}
}

// A collector that answers nothing sensible costs what was recorded, and time until the limit.
func TestCollectorRefuses(t *testing.T) {
	c := tracingtest.New(t)
	elsewhere := tracingtest.New(t)
	var log valkeytest.Log
	o := options(&log)
	o.Endpoint, o.Timeout = c.URL+"/v1/traces", time.Second
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	flush := func() {
		t.Helper()
		record(e.provider, 1)
		if err := e.provider.ForceFlush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for i, answer := range []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "s3cret", http.StatusBadRequest) },
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/v1/traces", http.StatusPermanentRedirect)
		},
	} {
		c.Answer(answer)
		flush()
		if s := e.Stats(); s.Failed != uint64(i+1) || s.Exported != 0 {
			t.Errorf("answer %d: %+v", i, s)
		}
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "cannot be sent") || strings.Contains(got, "s3cret") {
		t.Errorf("the log has %s", got)
	}
	c.Answer(nil)
	flush()
	flush()
	if got := log.String(); strings.Count(got, "\n") != 2 || !strings.HasSuffix(got, "level=INFO msg=\"traces are sent, and none are dropped\"\n") {
		t.Errorf("the log has %s", got)
	}
	if s := e.Stats(); s.Failed != 3 || s.Exported != 2 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
	if n := len(elsewhere.Headers()); n > 0 {
		t.Error("a redirect was followed")
	}
	if err := e.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// Close takes no longer than it is given, whatever the collector does, and leaves nothing behind.
func TestCloseCutShort(t *testing.T) {
	c := tracingtest.New(t)
	asked := make(chan struct{}, 1)
	c.Answer(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-r.Context().Done()
	})
	var log valkeytest.Log
	o := options(&log)
	o.Endpoint, o.Timeout = c.URL+"/v1/traces", time.Hour
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	record(e.provider, 1500)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-asked
		cancel()
	}()
	if err := e.Close(ctx); err != nil { // or the test does not end
		t.Error(err)
	}
	if s := e.Stats(); s.Failed != 1500 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

// sender is a collector that takes a batch whenever it is told to.
type sender struct{ take chan error }

func (s sender) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return <-s.take }
func (s sender) Shutdown(context.Context) error                        { return nil }

// What waits is bounded, what does not fit is counted, and the log tells once.
func TestOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log valkeytest.Log
		s := sender{take: make(chan error)}
		q := newQueue(s, 10, options(&log))
		p := sdk.NewTracerProvider(sdk.WithSpanProcessor(q))
		expect := func(want Stats) {
			t.Helper()
			synctest.Wait()
			if got := q.stats(); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
		record(p, 25)
		expect(Stats{Overflowed: 15, Waiting: 10})
		time.Sleep(10 * time.Second) // the library collects a batch for a while
		record(p, 5)
		expect(Stats{Overflowed: 20, Waiting: 10})
		s.take <- nil
		expect(Stats{Overflowed: 20, Exported: 10})
		record(p, 4)
		time.Sleep(10 * time.Second)
		s.take <- errors.New("away, said s3cret")
		expect(Stats{Overflowed: 20, Exported: 10, Failed: 4})
		record(p, 6)
		time.Sleep(10 * time.Second)
		s.take <- nil
		expect(Stats{Overflowed: 20, Exported: 16, Failed: 4})
		if err := q.ending(context.Background(), func() error { return p.Shutdown(context.Background()) }); err != nil {
			t.Error(err)
		}
		var messages []string
		for line := range strings.Lines(log.String()) {
			_, message, _ := strings.Cut(line, "msg=")
			messages = append(messages, strings.TrimSpace(message))
		}
		want := `"there are more traces than can be sent; some are dropped"|"traces cannot be sent and are dropped" error="away, said xxxxx"|"traces are sent, and none are dropped"`
		if got := strings.Join(messages, "|"); got != want {
			t.Errorf("the log has\n%s, want\n%s", got, want)
		}
	})
}

func TestQueueSize(t *testing.T) {
	for in, want := range map[string]int{"": 2048, "0": 2048, "-1": 2048, "x": 2048, "7": 7} {
		if got := queueSize(func(string) string { return in }); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

// TestClient has the standard variables for TLS.
func TestClient(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	dir := t.TempDir()
	file := func(name string, blocks ...*pem.Block) string {
		path := filepath.Join(dir, name)
		var b []byte
		for _, block := range blocks {
			b = append(b, pem.EncodeToMemory(block)...)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pair := server.TLS.Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert := file("cert.pem", &pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	key := file("key.pem", &pem.Block{Type: "PRIVATE KEY", Bytes: private})
	empty := file("empty.pem")
	for _, tt := range []struct {
		env  map[string]string
		want string // the beginning of what fails
	}{
		{map[string]string{}, "no trust"},
		{map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": cert}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": cert, "OTEL_EXPORTER_OTLP_CERTIFICATE": empty}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": cert, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": cert, "OTEL_EXPORTER_OTLP_CLIENT_KEY": key}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": empty}, "reading the certificates to trust for traces: there is none in"},
		{map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": dir + "/none"}, "reading the certificates to trust for traces: open"},
		{map[string]string{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": cert}, "reading the client's certificate for traces"},
		{map[string]string{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": cert, "OTEL_EXPORTER_OTLP_CLIENT_KEY": dir + "/none"}, "reading the client's certificate for traces: open"},
	} {
		client, err := newClient(time.Minute, func(name string) string { return tt.env[name] })
		if err == nil {
			var resp *http.Response
			if resp, err = client.Get(server.URL); err == nil {
				_ = resp.Body.Close()
			} else {
				err = fmt.Errorf("no trust: %w", err)
			}
			client.CloseIdleConnections()
		}
		if got := fmt.Sprint(err); tt.want == "" && err != nil || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%v: %v, want %q", tt.env, err, tt.want)
		}
	}
}
