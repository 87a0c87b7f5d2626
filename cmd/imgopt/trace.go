package main

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"

	"imgopt/config"
	"imgopt/handler"
	"imgopt/handler/metrics"
	"imgopt/tracing"
	"imgopt/tracing/export"
)

// traceGrace is the time for sending the last spans when everything else has stopped.
const traceGrace = 2 * time.Second

// openTraces starts what sends spans; nil if tracing is off. A collector that is away keeps nothing from starting.
func openTraces(c *config.Config, log *slog.Logger) (*export.Exporter, error) {
	if c.Tracing.Endpoint == "" {
		return nil, nil
	}
	// What the library has to say beside what the exporter counts and logs.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Debug("a trace was not sent as it should be", "error", err)
	}))
	e, err := export.New(export.Options{
		Endpoint: c.Tracing.TracesURL(),
		Headers:  c.Tracing.HeaderMap(),
		Timeout:  c.Tracing.Timeout,
		Version:  version,
		Instance: replicaName(),
		Role:     c.Role,
		Clean:    handler.Loggable,
		Log:      log,
	})
	if err != nil {
		return nil, err
	}
	log.Info("traces are sent", "to", c.Tracing.TracesURL(), "ratio", c.Tracing.SampleRatio)
	return e, nil
}

// tracer returns the one of a configuration, nil if tracing is off.
func (s *service) tracer(c *config.Config) *tracing.Tracer {
	if s.traces == nil {
		return nil
	}
	return tracing.New(s.traces.Provider(), tracing.Options{SampleRatio: c.Tracing.SampleRatio, TrustParent: c.Tracing.TrustParent})
}

// watchTraces exports what became of the spans.
func (s *service) watchTraces() error {
	if s.traces == nil {
		return nil
	}
	return s.metrics.WatchTraces(func() metrics.TraceStats { return metrics.TraceStats(s.traces.Stats()) })
}

// closeTraces sends what there still is. Its time is not a part of the grace period, which may be over.
func (s *service) closeTraces() error {
	if s.traces == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), traceGrace)
	defer cancel()
	return s.traces.Close(ctx)
}
