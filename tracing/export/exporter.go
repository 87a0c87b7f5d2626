// Package export sends the spans of package tracing to a collector, as OTLP over HTTP. A collector that is away, slow or
// refuses costs spans and nothing else: what waits for it is bounded, what does not fit is counted and dropped, nobody
// ever waits, and the log has one line for each change.
package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Options configures an Exporter.
type Options struct {
	// Endpoint is the url that spans are posted to, with its path.
	Endpoint string
	// Headers are sent with every post; they may be secret.
	Headers map[string]string
	// Timeout bounds sending one batch, all tries together.
	Timeout time.Duration
	// Version, Instance and Role say who made the spans: service.version, service.instance.id and imgopt.role.
	Version, Instance, Role string
	// Clean is given every text of every span before it leaves the process, and returns it without secrets.
	Clean func(string) string
	// Log gets a line when spans begin to be lost, and when that is over.
	Log *slog.Logger
}

const (
	// defaultQueue is how many spans may wait, or be under way, to the collector. One takes about 2 KiB.
	// OTEL_BSP_MAX_QUEUE_SIZE is another number.
	defaultQueue = 2048
	// maxPause is the longest pause between two tries to send a batch, unless the collector asks for a longer one; the
	// first is a tenth of it.
	maxPause = 5 * time.Second
	// maxText bounds an attribute, in characters. OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT is another number.
	maxText = 1024
)

// Exporter sends spans. Make one with New, end it with Close.
type Exporter struct {
	provider *sdk.TracerProvider
	queue    *queue
	client   *http.Client
}

// New starts an Exporter. It does not wait for the collector.
func New(o Options) (*Exporter, error) {
	client, err := newClient(o.Timeout, os.Getenv)
	if err != nil {
		return nil, err
	}
	// What the environment says to the library it was asked for already (package config), or the client has it: TLS. What is
	// left is OTEL_EXPORTER_OTLP_COMPRESSION.
	sender, err := otlptracehttp.New(context.Background(),
		otlptracehttp.WithEndpointURL(o.Endpoint), otlptracehttp.WithHeaders(o.Headers), otlptracehttp.WithTimeout(o.Timeout),
		otlptracehttp.WithTLSClientConfig(nil), otlptracehttp.WithHTTPClient(client),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: maxPause / 10, MaxInterval: maxPause, MaxElapsedTime: o.Timeout,
		}))
	if err != nil {
		return nil, fmt.Errorf("starting to send traces: %w", err)
	}
	who, err := resource.New(context.Background(),
		resource.WithAttributes(
			semconv.ServiceName("imgopt"), semconv.ServiceVersion(o.Version), semconv.ServiceInstanceID(o.Instance),
			attribute.String("imgopt.role", o.Role)),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv()) // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, errors.Join(fmt.Errorf("describing the service for traces: %w", err), sender.Shutdown(context.Background()))
	}
	limits := sdk.NewSpanLimits()
	if limits.AttributeValueLengthLimit < 0 {
		limits.AttributeValueLengthLimit = maxText
	}
	q := newQueue(sender, queueSize(os.Getenv), o)
	return &Exporter{
		provider: sdk.NewTracerProvider(
			// Who begins a trace has decided already; who goes on with one does what was decided.
			sdk.WithSampler(sdk.ParentBased(sdk.AlwaysSample())),
			sdk.WithResource(who), sdk.WithRawSpanLimits(limits), sdk.WithSpanProcessor(q)),
		queue: q, client: client,
	}, nil
}

// queueSize reads OTEL_BSP_MAX_QUEUE_SIZE.
func queueSize(env func(string) string) int {
	if n, err := strconv.Atoi(env("OTEL_BSP_MAX_QUEUE_SIZE")); err == nil && n > 0 {
		return n
	}
	return defaultQueue
}

// Provider is what Tracers are made with.
func (e *Exporter) Provider() trace.TracerProvider { return e.provider }

// Stats counts spans since New.
type Stats struct {
	// Exported is how many the collector has taken.
	Exported uint64
	// Overflowed is how many were dropped because too many waited, Failed how many because they could not be sent.
	Overflowed, Failed uint64
	// Waiting is how many wait or are under way now.
	Waiting int
}

// Stats returns the counts.
func (e *Exporter) Stats() Stats { return e.queue.stats() }

// Close sends what waits, until ctx ends, and drops the rest. Spans that end later are dropped.
func (e *Exporter) Close(ctx context.Context) error {
	err := e.queue.ending(ctx, func() error { return e.provider.Shutdown(context.Background()) })
	e.client.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("sending the last traces: %w", err)
	}
	return nil
}
