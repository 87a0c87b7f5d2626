package metrics

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"imgopt/cache"
	"imgopt/handler"
)

// Build is what runs.
type Build struct {
	// Version is imgopt's, Libvips the library's.
	Version, Libvips string
}

// Metrics are all metrics of a process. Its methods are safe for concurrent use, cheap, and never fail.
type Metrics struct {
	registry prometheus.Registerer

	requests  *prometheus.CounterVec
	durations map[cache.State]prometheus.Observer
	bytes     map[cache.State]prometheus.Counter
	answered  map[answered]prometheus.Counter
	inFlight  prometheus.Gauge
	coalesced prometheus.Counter
	gone      prometheus.Counter

	acceptErrors *prometheus.CounterVec

	fetches       *prometheus.HistogramVec
	fetchFailures *prometheus.CounterVec
	fetchBytes    prometheus.Counter

	transforms                  *prometheus.HistogramVec
	sourceBytes                 *prometheus.CounterVec
	outputBytes                 *prometheus.CounterVec
	fallbacks                   *prometheus.CounterVec
	passthroughs, revalidations *prometheus.CounterVec
	poisoned                    prometheus.Counter

	jobWaits *prometheus.HistogramVec
	jobs     *prometheus.HistogramVec
	joined   *prometheus.CounterVec
	refused  *prometheus.CounterVec
	retries  prometheus.Counter
	budget   prometheus.Counter

	reloadOK, reloadedAt prometheus.Gauge
	reloadFailures       prometheus.Counter

	reasons, fetchReasons, refusals, outcomes values
}

// answered is what nearly all requests come to, so that counting them takes no look-up of labels.
type answered struct {
	reason string
	state  cache.State
}

// Durations in seconds. Hits take microseconds, encodings milliseconds to seconds; a job's budget is 30 s.
var (
	requestBuckets = []float64{.000025, .0001, .0005, .0025, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	workBuckets    = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 7.5, 10, 30}
)

// New registers the metrics, and those of the Go runtime and the process, with r.
func New(r prometheus.Registerer, b Build) (*Metrics, error) {
	m := &Metrics{registry: r}
	var all []prometheus.Collector
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		all = append(all, c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		all = append(all, c)
		return c
	}
	histograms := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		all = append(all, h)
		return h
	}

	m.requests = counters("imgopt_http_requests_total", "Answered requests of the public listener.", "status", "reason", "cache")
	durations := histograms("imgopt_http_request_duration_seconds", "Time from a request's header to the beginning of its answer.", requestBuckets, "cache")
	bytes := counters("imgopt_http_response_bytes_total", "Body bytes sent by the public listener.", "cache")
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{Name: "imgopt_http_requests_in_flight", Help: "Requests being answered."})
	m.coalesced = counter("imgopt_http_requests_coalesced_total", "Requests answered with work done for another request.")
	m.gone = counter("imgopt_http_clients_gone_total", "Clients that left before their request was answered.")
	m.acceptErrors = counters("imgopt_listener_accept_errors_total", "Connections that a listener failed to accept.", "listener")
	m.fetches = histograms("imgopt_fetch_duration_seconds", "Time of one attempt to fetch a source.", workBuckets, "outcome")
	m.fetchFailures = counters("imgopt_fetch_failures_total", "Attempts to fetch a source that failed.", "reason")
	m.fetchBytes = counter("imgopt_fetch_bytes_total", "Bytes of sources fetched, after decoding of their content encoding.")
	m.transforms = histograms("imgopt_transform_duration_seconds", "Time of one encoding, waiting for a free codec included.", workBuckets, "format", "outcome")
	m.sourceBytes = counters("imgopt_transform_source_bytes_total", "Bytes of sources encoded.", "format")
	m.outputBytes = counters("imgopt_transform_output_bytes_total", "Bytes of variants made.", "format")
	m.passthroughs = counters("imgopt_transform_passthroughs_total", "Sources sent unchanged because of their type or because they are animated.", "format")
	m.revalidations = counters("imgopt_cache_revalidations_total", "Stale entries revalidated in the background.", "outcome")
	m.fallbacks = counters("imgopt_transform_fallbacks_total", "Sources sent unchanged because they could not be encoded.", "reason")
	m.poisoned = counter("imgopt_sources_poisoned_total", "Sources that crashed two codec processes.")
	m.jobWaits = histograms("imgopt_job_wait_seconds", "Time from a job's acceptance to its first attempt.", workBuckets, "kind")
	m.jobs = histograms("imgopt_job_duration_seconds", "Time from a job's acceptance to its end.", workBuckets, "kind", "outcome")
	m.joined = counters("imgopt_jobs_coalesced_total", "Calls that joined a job that was there already.", "kind")
	m.refused = counters("imgopt_jobs_refused_total", "Calls turned away before any work.", "reason")
	m.retries = counter("imgopt_job_retries_total", "Attempts after a job's first.")
	m.budget = counter("imgopt_job_retry_budget_exhausted_total", "Attempts not repeated because all jobs together had used up their retries.")

	m.reloadFailures = counter("imgopt_reload_failures_total", "Configurations that were refused when they were read again.")
	m.reloadOK = prometheus.NewGauge(prometheus.GaugeOpts{Name: "imgopt_reload_successful", Help: "Whether the configuration last read is in force: 1, or 0 when it was refused."})
	m.reloadedAt = prometheus.NewGauge(prometheus.GaugeOpts{Name: "imgopt_reload_success_timestamp_seconds", Help: "When the configuration in force was read, in seconds since 1970."})
	m.Reloaded(nil) // the process would not run with one that was refused

	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "imgopt_build_info", Help: "What runs; always 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "libvips": b.Libvips, "go": runtime.Version()},
	})
	info.Set(1)
	all = append(all, m.inFlight, info, m.reloadOK, m.reloadedAt,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}

	// A rate of something that was never there before shows nothing.
	m.acceptErrors.WithLabelValues("public")
	m.acceptErrors.WithLabelValues("admin")
	m.durations = map[cache.State]prometheus.Observer{}
	m.bytes = map[cache.State]prometheus.Counter{}
	m.answered = map[answered]prometheus.Counter{}
	for _, s := range []cache.State{cache.Hit, cache.Stale, cache.Miss, ""} {
		m.durations[s] = durations.WithLabelValues(cacheLabel(s))
		m.bytes[s] = bytes.WithLabelValues(cacheLabel(s))
		if s != "" {
			m.answered[answered{"ok", s}] = m.requests.WithLabelValues("2xx", "ok", cacheLabel(s))
			m.answered[answered{"not_modified", s}] = m.requests.WithLabelValues("3xx", "not_modified", cacheLabel(s))
		}
	}
	return m, nil
}

func cacheLabel(s cache.State) string {
	switch s {
	case cache.Hit:
		return "hit"
	case cache.Stale:
		return "stale"
	case cache.Miss:
		return "miss"
	default:
		return "none"
	}
}

// RequestStarted counts a request in flight.
func (m *Metrics) RequestStarted() { m.inFlight.Inc() }

// RequestDone counts an answered request. It makes Metrics a handler.Observer.
func (m *Metrics) RequestDone(o handler.Outcome) {
	m.inFlight.Dec()
	if c, ok := m.answered[answered{o.Reason, o.State}]; ok {
		c.Inc()
	} else {
		if o.Reason == handler.ReasonClientGone {
			m.gone.Inc()
		}
		m.requests.WithLabelValues(statusClass(o.Status), m.reasons.bounded(o.Reason), cacheLabel(o.State)).Inc()
	}
	if d, ok := m.durations[o.State]; ok {
		d.Observe(o.Duration.Seconds())
		m.bytes[o.State].Add(float64(o.Bytes))
	}
	if o.Coalesced {
		m.coalesced.Inc()
	}
}

func statusClass(status int) string {
	switch {
	case status < 300:
		return "2xx"
	case status < 400:
		return "3xx"
	case status < 500:
		return "4xx"
	default:
		return "5xx"
	}
}

// maxValues is how many values a label takes.
const maxValues = 64

// values bounds the values of a label: the set is meant to be small and fixed, and stays so if it is not.
type values struct {
	mu   sync.RWMutex
	seen map[string]struct{}
}

// bounded returns v, or "other" when there are too many.
func (s *values) bounded(v string) string {
	if v == "" {
		return "none"
	}
	s.mu.RLock()
	_, ok := s.seen[v]
	s.mu.RUnlock()
	if ok {
		return v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[v]; ok {
		return v
	}
	if len(s.seen) >= maxValues-1 {
		return "other"
	}
	if s.seen == nil {
		s.seen = map[string]struct{}{}
	}
	s.seen[v] = struct{}{}
	return v
}

func seconds(d time.Duration) float64 { return max(d, 0).Seconds() }
