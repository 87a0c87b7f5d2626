package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestStandardVariables takes OpenTelemetry's own variables where no key is given.
func TestStandardVariables(t *testing.T) {
	off := Tracing{Headers: []string{}, Timeout: 10 * time.Second, SampleRatio: 1}
	with := func(change func(*Tracing)) Tracing {
		c := off
		change(&c)
		return c
	}
	endpoint := func(s string) Tracing { return with(func(c *Tracing) { c.Endpoint = s }) }
	ratio := func(r float64) Tracing { return with(func(c *Tracing) { c.SampleRatio = r }) }
	for _, tt := range []struct {
		env  string
		file string
		want Tracing
	}{
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "", endpoint("http://c:4318/v1/traces")},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318/otlp/", "", endpoint("http://c:4318/otlp/v1/traces")},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t/x OTEL_EXPORTER_OTLP_ENDPOINT=http://c", "", endpoint("http://t/x")},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t:4318", "", endpoint("http://t:4318/")},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=", "", off},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_SDK_DISABLED=True", "", off},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_TRACES_EXPORTER=none", "", off},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_TRACES_EXPORTER=console,otlp", "", endpoint("http://c/v1/traces")},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c", "endpoint: ''", off},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_SDK_DISABLED=true", "endpoint: http://k", endpoint("http://k")},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c IMGOPT_TRACING_ENDPOINT=http://k:1/p", "", endpoint("http://k:1/p")},
		{"OTEL_EXPORTER_OTLP_TIMEOUT=2500 OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=", "", with(func(c *Tracing) { c.Timeout = 2500 * time.Millisecond })},
		{"OTEL_EXPORTER_OTLP_TIMEOUT=2500", "timeout: 3s", with(func(c *Tracing) { c.Timeout = 3 * time.Second })},
		{"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20s3cret%2C1,,X-Scope=shop", "", with(func(c *Tracing) { c.Headers = []string{"authorization=Bearer s3cret,1", "X-Scope=shop"} })},
		{"OTEL_TRACES_SAMPLER=always_off", "", ratio(0)},
		{"OTEL_TRACES_SAMPLER=parentbased_always_on OTEL_TRACES_SAMPLER_ARG=0.5", "", ratio(1)},
		{"OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=0.25", "", ratio(0.25)},
		{"OTEL_TRACES_SAMPLER=traceidratio", "", ratio(1)},
		{"OTEL_TRACES_SAMPLER=xray OTEL_TRACES_SAMPLER_ARG=endpoint=http://x", "", ratio(1)},
		{"OTEL_TRACES_SAMPLER=always_off", "sampleRatio: 0.75", ratio(0.75)},
	} {
		s := Sources{Env: strings.Split(strings.ReplaceAll(tt.env, " ", "\n"), "\n")}
		if tt.file != "" {
			s.File = writeFile(t, "tracing:\n  "+tt.file+"\n")
		}
		c, _ := mustLoad(t, s)
		if !reflect.DeepEqual(c.Tracing, tt.want) {
			t.Errorf("%s, %s:\ngot  %+v\nwant %+v", tt.env, tt.file, c.Tracing, tt.want)
		}
	}
}

// TestStandardVariableNamed expects a variable to be named as the origin of its value, and as what is wrong, without a secret.
func TestStandardVariableNamed(t *testing.T) {
	c, p := mustLoad(t, Sources{Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c", "OTEL_EXPORTER_OTLP_HEADERS=a=b"}})
	if got := p.Of("tracing.endpoint"); got != (Origin{Kind: FromEnv, Name: "OTEL_EXPORTER_OTLP_ENDPOINT"}) {
		t.Errorf("the endpoint's origin: %+v", got)
	}
	if got := c.Tracing.HeaderMap(); !reflect.DeepEqual(got, map[string]string{"a": "b"}) {
		t.Errorf("headers: %v", got)
	}
	for env, want := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=c:4318":                         `OTEL_EXPORTER_OTLP_ENDPOINT: tracing.endpoint: "c:4318/v1/traces": must be http://host[:port][/path] or https://host[:port][/path]; secrets are given in tracing.headers`,
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://user:s3cret@host": `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: tracing.endpoint: "http://redacted@host/": must be http://host[:port][/path] or https://host[:port][/path]; secrets are given in tracing.headers`,
		"OTEL_EXPORTER_OTLP_TIMEOUT=soon":                            `OTEL_EXPORTER_OTLP_TIMEOUT: tracing.timeout: "soon": must be a duration from 1ms to 1m, such as 7s, 500ms or 1m30s`,
		"OTEL_EXPORTER_OTLP_HEADERS=s3cret":                          `OTEL_EXPORTER_OTLP_HEADERS: tracing.headers[0]: must be name=value`,
	} {
		if _, _, err := Load(Sources{Env: []string{env}}); err == nil || err.Error() != want {
			t.Errorf("%s\ngot  %v\nwant %s", env, err, want)
		}
	}
}

func TestTracesURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://c:4318": "http://c:4318/v1/traces", "http://c:4318/": "http://c:4318/", "https://c/otlp/v1/traces": "https://c/otlp/v1/traces", "": "",
	} {
		if got := (Tracing{Endpoint: in}).TracesURL(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
