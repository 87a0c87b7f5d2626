package metrics

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"imgopt/cache"
	"imgopt/failure"
	"imgopt/fetch"
	"imgopt/jobs"
	"imgopt/transform"
)

// Fetched counts an attempt to fetch a source. It is part of optimizer.Observer.
func (m *Metrics) Fetched(_ jobs.Kind, d time.Duration, src *fetch.Source, err error) {
	outcome := "ok"
	switch {
	case err != nil:
		f := failure.From(err)
		outcome = "error"
		if f.Timeout {
			outcome = "timeout"
		}
		m.fetchFailures.WithLabelValues(m.fetchReasons.bounded(f.Reason)).Inc()
	case src.NotModified:
		outcome = "not_modified"
	default:
		m.fetchBytes.Add(float64(len(src.Body)))
	}
	m.fetches.WithLabelValues(outcome).Observe(seconds(d))
}

// Encoded counts an encoding, or the fallback to the source that a failure of the codec leads to. It makes Metrics
// an optimizer.Observer.
func (m *Metrics) Encoded(plan transform.Plan, d time.Duration, in, out int, err error) {
	format := formatLabel(plan.Output)
	outcome := "ok"
	var codec *transform.CodecError
	switch {
	case errors.As(err, &codec):
		outcome = "fallback"
		if codec.Crashed && !codec.Poisoned {
			m.poisoned.Inc()
		}
		m.fallbacks.WithLabelValues(fallbackReason(codec)).Inc()
	case err != nil:
		outcome = "error"
	default:
		m.sourceBytes.WithLabelValues(format).Add(float64(in))
		m.outputBytes.WithLabelValues(format).Add(float64(out))
	}
	m.transforms.WithLabelValues(format, outcome).Observe(seconds(d))
}

// PassedThrough counts a source that is served unchanged by rule. It is part of optimizer.Observer.
func (m *Metrics) PassedThrough(plan transform.Plan) {
	m.passthroughs.WithLabelValues(formatLabel(plan.Source)).Inc()
}

// Revalidated counts a background revalidation by its outcome: changed, unchanged or failed. It is part of
// optimizer.Observer.
func (m *Metrics) Revalidated(outcome string) { m.revalidations.WithLabelValues(outcome).Inc() }

func fallbackReason(e *transform.CodecError) string {
	switch {
	case e.Poisoned:
		return "poisoned"
	case e.Crashed:
		return "crashed"
	case e.TimedOut:
		return "timeout"
	default:
		return "codec"
	}
}

// formatLabel is the subtype of a media type we know. The type may be a client's own words.
func formatLabel(contentType string) string {
	contentType, _, _ = strings.Cut(contentType, ";")
	switch contentType {
	case "image/avif", "image/webp", "image/jpeg", "image/png", "image/gif", "image/tiff", "image/jp2":
		return strings.TrimPrefix(contentType, "image/")
	default:
		return "other"
	}
}

// Job counts what happens to jobs: it is what jobs.Options.Observe wants.
func (m *Metrics) Job(e jobs.Event) {
	switch e.Type {
	case jobs.Coalesced:
		m.joined.WithLabelValues(e.Kind.String()).Inc()
	case jobs.Refused:
		m.refused.WithLabelValues(m.refusals.bounded(failure.From(e.Err).Reason)).Inc()
	case jobs.Started:
		if e.Attempt <= 1 {
			m.jobWaits.WithLabelValues(e.Kind.String()).Observe(seconds(e.Wait))
		}
	case jobs.Retried:
		m.retries.Inc()
	case jobs.BudgetExhausted:
		m.budget.Inc()
	case jobs.Finished:
		m.jobs.WithLabelValues(e.Kind.String(), m.outcomes.bounded(e.Outcome)).Observe(seconds(e.Total))
	}
}

// WatchJobs exports the state of the queue and the workers whenever metrics are read. What stats returns with an
// error is exported as far as it goes.
func (m *Metrics) WatchJobs(stats func(context.Context) (jobs.Stats, error)) error {
	queued := prometheus.NewDesc("imgopt_jobs_queued", "Jobs waiting for a slot, or for their next attempt.", []string{"priority"}, nil)
	oldest := prometheus.NewDesc("imgopt_jobs_oldest_wait_seconds", "How long the first job that is ready has waited.", []string{"priority"}, nil)
	inFlight := prometheus.NewDesc("imgopt_jobs_in_flight", "Jobs being worked on by this process.", []string{"priority"}, nil)
	slots := prometheus.NewDesc("imgopt_jobs_slots", "Jobs that this process can work on at once.", []string{"priority"}, nil)
	wait := prometheus.NewDesc("imgopt_jobs_estimated_wait_seconds", "How long a job enqueued now would wait for a slot.", nil, nil)
	utilization := prometheus.NewDesc("imgopt_jobs_utilization", "Share of the interactive slots in use over about ten seconds, 0 to 1.", nil, nil)
	saturated := prometheus.NewDesc("imgopt_saturated_seconds", "For how long people's requests have been refused for want of capacity; 0 when they are not.", nil, nil)
	abandoned := prometheus.NewDesc("imgopt_jobs_abandoned_total", "Jobs dropped before they began because nobody waited for them any more.", nil, nil)
	reclaimed := prometheus.NewDesc("imgopt_jobs_reclaimed_total", "Jobs taken over from a process that died or lost its lease.", nil, nil)
	buried := prometheus.NewDesc("imgopt_jobs_buried_total", "Dead letters.", nil, nil)
	failures := prometheus.NewDesc("imgopt_jobs_store_errors_total", "Jobs that could not be stored, or stored ones that could not be read.", nil, nil)
	return m.watch(func(ch chan<- prometheus.Metric) {
		ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
		defer cancel()
		s, err := stats(ctx)
		interactive, background := jobs.Interactive.String(), jobs.Background.String()
		gauge(ch, inFlight, float64(s.InFlight), interactive)
		gauge(ch, inFlight, float64(s.InFlightBackground), background)
		gauge(ch, slots, float64(s.Capacity), interactive)
		gauge(ch, slots, float64(s.CapacityBackground), background)
		gauge(ch, wait, seconds(s.EstimatedWait))
		gauge(ch, utilization, s.Utilization)
		gauge(ch, saturated, seconds(s.SaturatedFor))
		count(ch, abandoned, s.Abandoned)
		if err != nil {
			return // zeros would be lies
		}
		q := s.Queue
		gauge(ch, queued, float64(q.Interactive.Queued), interactive)
		gauge(ch, queued, float64(q.Background.Queued), background)
		gauge(ch, oldest, seconds(q.Interactive.Oldest), interactive)
		gauge(ch, oldest, seconds(q.Background.Oldest), background)
		count(ch, reclaimed, q.Reclaimed)
		count(ch, buried, q.Buried)
		count(ch, failures, q.StoreErrors+q.Corrupt)
	}, queued, oldest, inFlight, slots, wait, utilization, saturated, abandoned, reclaimed, buried, failures)
}

// statsTimeout is how long reading metrics waits for the queue.
const statsTimeout = 2 * time.Second

// Tier is one tier of the cache.
type Tier struct {
	// Name is memory, disk or valkey.
	Name string
	// Stats reads the tier's counters.
	Stats func() cache.Stats
	// Remote says that the tier is on a server: only that knows what is held there and removed to make room, and it
	// holds it once for all replicas.
	Remote bool
}

// WatchCache exports the counters of the tiers whenever metrics are read.
func (m *Metrics) WatchCache(tiers ...Tier) error {
	names := map[string]bool{}
	for _, t := range tiers {
		if t.Name == "" || t.Stats == nil || names[t.Name] {
			return errors.New("metrics: every tier of the cache needs a name of its own and its counters")
		}
		names[t.Name] = true
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"tier"}, labels...), nil)
	}
	lookups := desc("imgopt_cache_lookups_total", "Look-ups in a tier of the cache.", "result")
	entries := desc("imgopt_cache_entries", "Entries held by a tier of the cache.")
	bytes := desc("imgopt_cache_bytes", "Bytes held by a tier of the cache, overhead included.")
	maxBytes := desc("imgopt_cache_max_bytes", "Limit of imgopt_cache_bytes.")
	evictions := desc("imgopt_cache_evictions_total", "Entries removed to make room.")
	rejected := desc("imgopt_cache_rejected_total", "Entries that were too large to be kept.")
	failures := desc("imgopt_cache_errors_total", "Failures of a tier's medium.")
	corrupt := desc("imgopt_cache_corrupt_total", "Damaged entries found.")
	return m.watch(func(ch chan<- prometheus.Metric) {
		for _, t := range tiers {
			s := t.Stats()
			if !t.Remote {
				gauge(ch, entries, float64(s.Entries), t.Name)
				gauge(ch, bytes, float64(s.Bytes), t.Name)
				gauge(ch, maxBytes, float64(s.MaxBytes), t.Name)
				count(ch, evictions, s.Evictions, t.Name)
			}
			count(ch, lookups, s.Hits, t.Name, "hit")
			count(ch, lookups, s.Misses, t.Name, "miss")
			count(ch, rejected, s.Rejected, t.Name)
			count(ch, failures, s.Errors, t.Name)
			count(ch, corrupt, s.Corrupt, t.Name)
		}
	}, lookups, entries, bytes, maxBytes, evictions, rejected, failures, corrupt)
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func count(ch chan<- prometheus.Metric, d *prometheus.Desc, v uint64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// watch registers a collector that reads its metrics when it is asked for them.
func (m *Metrics) watch(collect func(chan<- prometheus.Metric), descs ...*prometheus.Desc) error {
	if err := m.registry.Register(watcher{descs, collect}); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

type watcher struct {
	descs   []*prometheus.Desc
	collect func(chan<- prometheus.Metric)
}

// Describe implements prometheus.Collector.
func (w watcher) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range w.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (w watcher) Collect(ch chan<- prometheus.Metric) { w.collect(ch) }
