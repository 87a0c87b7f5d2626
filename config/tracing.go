package config

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/http/httpguts"
)

const tracingHeaders = "tracing.headers"

// tracesPath is where a collector takes traces (https://opentelemetry.io/docs/specs/otlp/#otlphttp-request).
const tracesPath = "/v1/traces"

// TracesURL is Endpoint with its path.
func (t Tracing) TracesURL() string {
	if u, err := url.Parse(t.Endpoint); err == nil && u.Host != "" && u.Path == "" {
		return t.Endpoint + tracesPath
	}
	return t.Endpoint
}

// HeaderMap is Headers by name.
func (t Tracing) HeaderMap() map[string]string {
	m := make(map[string]string, len(t.Headers))
	for _, h := range t.Headers {
		name, value, _ := strings.Cut(h, "=")
		m[name] = value
	}
	return m
}

func checkTracingEndpoint(s string) string {
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	fine := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && !strings.HasSuffix(u.Host, ":") &&
		u.User == nil && !strings.ContainsAny(s, "?#")
	return unless(fine, "must be http://host[:port][/path] or https://host[:port][/path]; secrets are given in tracing.headers")
}

// tracingHeader decodes an element of tracing.headers. What is wrong is said without the value: it is a secret.
func (d *decoder) tracingHeader(path string, n *yaml.Node) string {
	name, value, ok := strings.Cut(n.Value, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" || !ok || value == "" || !httpguts.ValidHeaderFieldValue(value):
		d.report(n, path, "", "must be name=value")
	case !httpguts.ValidHeaderFieldName(name):
		d.report(n, path, "", "must begin with the name of a header")
	case unsettable[strings.ToLower(name)] || strings.EqualFold(name, "content-type") || strings.EqualFold(name, "content-encoding"):
		d.report(n, path, "", "this header cannot be set")
	case value == redacted:
		d.report(n, path, "", "holds %q in place of a secret that \"imgopt config\" left out; put the secret back", redacted)
	}
	return name + "=" + value
}

// standard takes what OpenTelemetry's own variables say of keys (https://opentelemetry.io/docs/specs/otel/configuration/
// sdk-environment-variables/ and …/protocol/exporter/) for their defaults. Whoever runs many services sets these for all of them.
func (l *loader) standard(environ []string) {
	vars := map[string]string{}
	for _, e := range environ {
		// "The SDK MUST interpret an empty value … the same way as when the variable is unset."
		if name, value, _ := strings.Cut(e, "="); strings.HasPrefix(name, "OTEL_") && value != "" {
			vars[name] = strings.TrimSpace(value)
		}
	}
	if len(vars) == 0 {
		return
	}
	// either is the first of two variables that is set: the one for traces wins over the one for everything.
	either := func(what string) (name, value string) {
		for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_" + what, "OTEL_EXPORTER_OTLP_" + what} {
			if vars[name] != "" {
				return name, vars[name]
			}
		}
		return "", ""
	}
	if name, value := either("ENDPOINT"); tracingWanted(vars) {
		if u, err := url.Parse(value); err == nil && name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" && u.Path == "" {
			value += "/" // it is taken as it is
		} else if name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
			value = strings.TrimSuffix(value, "/") + tracesPath
		}
		l.take("tracing.endpoint", name, value)
	}
	if name, value := either("TIMEOUT"); name != "" {
		if _, err := strconv.ParseUint(value, 10, 32); err == nil {
			value += "ms"
		}
		l.take("tracing.timeout", name, value)
	}
	if name, value := either("HEADERS"); name != "" {
		l.takeHeaders(name, value)
	}
	if name, ratio := sampler(vars); ratio != "" {
		l.take("tracing.sampleRatio", name, ratio)
	}
}

// tracingWanted tells whether the endpoint in the variables is for traces.
func tracingWanted(vars map[string]string) bool {
	exporter := cmp.Or(vars["OTEL_TRACES_EXPORTER"], "otlp")
	return !strings.EqualFold(vars["OTEL_SDK_DISABLED"], "true") && slices.Contains(strings.Split(exporter, ","), "otlp")
}

// sampler is the ratio that a standard sampler stands for. Those of vendors, which may be meant for other services, are
// passed over. Whether a parent decides is tracing.trustParent's business.
func sampler(vars map[string]string) (name, ratio string) {
	switch name = "OTEL_TRACES_SAMPLER"; strings.TrimPrefix(vars[name], "parentbased_") {
	case "always_on":
		return name, "1"
	case "always_off":
		return name, "0"
	case "traceidratio":
		return "OTEL_TRACES_SAMPLER_ARG", cmp.Or(vars["OTEL_TRACES_SAMPLER_ARG"], "1")
	}
	return "", ""
}

// take makes the text in a variable the default of a key, unless name is "".
func (l *loader) take(path, name, text string) {
	if name == "" {
		return
	}
	k, d := keys().byPath[path], &decoder{origin: Origin{Kind: FromEnv, Name: name}}
	if n, ok := d.textNode(k, text); ok {
		if v, valid := d.key(k, n); valid {
			l.layers[FromDefault][path] = setting{value: v, origin: d.origin}
		}
	}
	l.errs = append(l.errs, d.errs...)
}

// takeHeaders reads name=value,name=value, the values percent-encoded.
func (l *loader) takeHeaders(name, text string) {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		if plain, err := url.PathUnescape(item); err == nil {
			item = plain
		}
		list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: item})
	}
	d := &decoder{origin: Origin{Kind: FromEnv, Name: name}}
	if v, ok := d.key(keys().byPath[tracingHeaders], list); ok {
		l.layers[FromDefault][tracingHeaders] = setting{value: v, origin: d.origin}
	}
	l.errs = append(l.errs, d.errs...)
}
