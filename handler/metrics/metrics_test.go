package metrics

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"

	"imgopt/cache"
	"imgopt/failure"
	"imgopt/fetch"
	"imgopt/handler"
	"imgopt/jobs"
	"imgopt/transform"
)

// everything makes metrics that have seen everything once.
func everything(t *testing.T) (*prometheus.Registry, *Metrics) {
	t.Helper()
	r := prometheus.NewRegistry()
	m, err := New(r, Build{Version: "1.2.3", Libvips: "8.18.7"})
	if err != nil {
		t.Fatal(err)
	}
	request := func(o handler.Outcome) { m.RequestStarted(); m.RequestDone(o) }
	request(handler.Outcome{Status: 200, Reason: "ok", State: cache.Hit, Bytes: 100, Duration: time.Millisecond})
	request(handler.Outcome{Status: 200, Reason: "ok", State: cache.Hit, Bytes: 50, Duration: time.Millisecond})
	request(handler.Outcome{Status: 304, Reason: "not_modified", State: cache.Stale})
	request(handler.Outcome{Status: 200, Reason: "ok", State: cache.Miss, Bytes: 10, Coalesced: true})
	request(handler.Outcome{Status: 400, Reason: "url_missing", Bytes: 27})
	request(handler.Outcome{Status: 503, Reason: "queue_full"})
	request(handler.Outcome{Status: 999, Reason: ""})
	request(handler.Outcome{Status: 499, Reason: handler.ReasonClientGone})
	m.RequestStarted()
	m.AcceptFailed("admin")
	if err := m.WatchHTTP(&handler.Load{}); err != nil {
		t.Fatal(err)
	}
	if err := m.WatchMemory(
		Pool{"sources", func() (int64, int64, int) { return 1, 2, 3 }},
		Pool{"decode", func() (int64, int64, int) { return 4, 5, 6 }},
		Pool{"responses", (&handler.Load{}).ResponseMemory},
	); err != nil {
		t.Fatal(err)
	}
	if err := m.WatchFetch(func() int { return 7 }); err != nil {
		t.Fatal(err)
	}

	m.PassedThrough(transform.Plan{Source: "image/gif"})
	m.Revalidated("changed")
	if err := m.WatchCodecs(func() CodecStats {
		return CodecStats{
			Workers: 4, Busy: 1, Encoded: 3, Crashed: 1, Replaced: 6, Recycled: 1, Stopped: 2, BusyTime: 1500 * time.Millisecond, WaitTime: time.Second,
		}
	}); err != nil {
		t.Fatal(err)
	}
	m.Fetched(jobs.Miss, time.Second, &fetch.Source{Body: make([]byte, 1000)}, nil)
	m.Fetched(jobs.Revalidate, time.Second, &fetch.Source{NotModified: true}, nil)
	m.Fetched(jobs.Miss, time.Second, nil, failure.New(404, "upstream_status", "x"))
	m.Fetched(jobs.Miss, time.Second, nil, fmt.Errorf("fetching: %w", context.DeadlineExceeded))
	m.Encoded(transform.Plan{Output: "image/webp"}, time.Second, 1000, 100, nil)
	m.Encoded(transform.Plan{Output: "image/avif;v=1"}, time.Second, 1000, 0, fmt.Errorf("encoding: %w", &transform.CodecError{TimedOut: true}))
	m.Encoded(transform.Plan{Output: "text/x-what-a-client-likes"}, time.Second, 1000, 0, &transform.CodecError{})
	m.Encoded(transform.Plan{Output: "image/png"}, time.Second, 1000, 0, &transform.CodecError{Crashed: true})
	m.Encoded(transform.Plan{Output: "image/png"}, time.Second, 1000, 0, &transform.CodecError{Crashed: true, Poisoned: true})
	m.Encoded(transform.Plan{Output: "image/png"}, time.Second, 1000, 0, context.Canceled)

	m.Job(jobs.Event{Type: jobs.Queued})
	m.Job(jobs.Event{Type: jobs.Coalesced, Kind: jobs.Miss})
	m.Job(jobs.Event{Type: jobs.Refused, Err: failure.New(503, "queue_full", "x")})
	m.Job(jobs.Event{Type: jobs.Started, Kind: jobs.Miss, Attempt: 1, Wait: time.Second})
	m.Job(jobs.Event{Type: jobs.Started, Kind: jobs.Miss, Attempt: 2, Wait: time.Hour})
	m.Job(jobs.Event{Type: jobs.Retried})
	m.Job(jobs.Event{Type: jobs.BudgetExhausted})
	m.Job(jobs.Event{Type: jobs.Finished, Kind: jobs.Prewarm, Outcome: jobs.OutcomeOK, Total: 2 * time.Second})

	if err := m.WatchJobs(func(context.Context) (jobs.Stats, error) {
		return jobs.Stats{InFlight: 1, InFlightBackground: 2, Capacity: 3, CapacityBackground: 4, EstimatedWait: 5 * time.Second,
			Utilization: 0.5, SaturatedFor: 14 * time.Second, Abandoned: 15, Queue: jobs.QueueStats{
				Interactive: jobs.ClassStats{Queued: 6, Oldest: 7 * time.Second}, Background: jobs.ClassStats{Queued: 8, Oldest: 9 * time.Second},
				Reclaimed: 10, Buried: 11, Corrupt: 12, StoreErrors: 13,
			}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := m.WatchCache(
		Tier{Name: "memory", Stats: func() cache.Stats {
			return cache.Stats{Entries: 1, Bytes: 2, MaxBytes: 3, Hits: 4, Misses: 5, Evictions: 6, Rejected: 7, Errors: 8, Corrupt: 9}
		}},
		Tier{Name: "disk", Stats: func() cache.Stats { return cache.Stats{Hits: 40} }},
		Tier{Name: "valkey", Remote: true, Stats: func() cache.Stats { return cache.Stats{Hits: 41, Errors: 42} }},
	); err != nil {
		t.Fatal(err)
	}
	if err := m.WatchTraces(func() TraceStats { return TraceStats{Exported: 1, Overflowed: 2, Failed: 3, Waiting: 4} }); err != nil {
		t.Fatal(err)
	}
	watchShared(t, m)
	return r, m
}

// The table in the package comment is what there is: names, types and labels.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^//\t(imgopt_\w+) +(counter|gauge|histogram) {1,3}(.{23})`).FindAllStringSubmatch(string(doc), -1) {
		labels := strings.Fields(m[3])
		slices.Sort(labels)
		documented[m[1]] = m[2] + " " + strings.Join(labels, " ")
	}
	if len(documented) < 30 {
		t.Fatalf("only %d metrics are documented", len(documented))
	}
	r, _ := everything(t)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exported := map[string]string{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "imgopt_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		exported[f.GetName()] = strings.ToLower(f.GetType().String()) + " " + strings.Join(labels, " ")
	}
	for name, what := range exported {
		if documented[name] != what {
			t.Errorf("%s is %q, documented as %q", name, what, documented[name])
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("%s is documented and does not exist", name)
	}
}

func TestConventions(t *testing.T) {
	r, _ := everything(t)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "imgopt_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestValues(t *testing.T) {
	r, _ := everything(t)
	got := map[string]bool{}
	var b strings.Builder
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.SplitSeq(b.String(), "\n") {
		got[line] = true
	}
	for _, want := range []string{
		`imgopt_http_requests_total{cache="hit",reason="ok",status="2xx"} 2`,
		`imgopt_http_requests_total{cache="stale",reason="not_modified",status="3xx"} 1`,
		`imgopt_http_requests_total{cache="miss",reason="ok",status="2xx"} 1`,
		`imgopt_http_requests_total{cache="none",reason="url_missing",status="4xx"} 1`,
		`imgopt_http_requests_total{cache="none",reason="queue_full",status="5xx"} 1`,
		`imgopt_http_requests_total{cache="none",reason="none",status="5xx"} 1`,
		`imgopt_http_requests_total{cache="none",reason="client_gone",status="4xx"} 1`,
		`imgopt_http_clients_gone_total 1`,
		`imgopt_trace_spans_exported_total 1`,
		`imgopt_trace_spans_dropped_total{reason="overflow"} 2`,
		`imgopt_trace_spans_dropped_total{reason="failed"} 3`,
		`imgopt_trace_spans_waiting 4`,
		`imgopt_http_waiting 0`,
		`imgopt_http_connections 0`,
		`imgopt_http_response_memory_bytes 0`,
		`imgopt_http_responses_cut_total 0`,
		`imgopt_listener_accept_errors_total{listener="public"} 0`,
		`imgopt_listener_accept_errors_total{listener="admin"} 1`,
		`imgopt_memory_bytes{pool="sources"} 1`,
		`imgopt_memory_limit_bytes{pool="sources"} 2`,
		`imgopt_memory_waiting{pool="sources"} 3`,
		`imgopt_memory_bytes{pool="decode"} 4`,
		`imgopt_memory_bytes{pool="responses"} 0`,
		`imgopt_fetch_circuits_open 7`,
		`imgopt_sources_poisoned_total 1`,
		`imgopt_transform_fallbacks_total{reason="poisoned"} 1`,
		`imgopt_codec_processes{state="all"} 4`,
		`imgopt_codec_utilization 0.25`,
		`imgopt_codec_busy_seconds_total 1.5`,
		`imgopt_codec_wait_seconds_total 1`,
		`imgopt_codec_replaced_total{reason="worn"} 1`,
		`imgopt_codec_replaced_total{reason="stopped"} 2`,
		`imgopt_codec_replaced_total{reason="lost"} 3`,
		`imgopt_jobs_utilization 0.5`,
		`imgopt_saturated_seconds 14`,
		`imgopt_jobs_abandoned_total 15`,
		`imgopt_http_requests_in_flight 1`,
		`imgopt_http_requests_coalesced_total 1`,
		`imgopt_http_response_bytes_total{cache="hit"} 150`,
		`imgopt_http_response_bytes_total{cache="none"} 27`,
		`imgopt_http_request_duration_seconds_bucket{cache="hit",le="0.0025"} 2`,
		`imgopt_http_request_duration_seconds_count{cache="none"} 4`,
		`imgopt_fetch_duration_seconds_count{outcome="ok"} 1`,
		`imgopt_fetch_duration_seconds_count{outcome="not_modified"} 1`,
		`imgopt_fetch_duration_seconds_count{outcome="error"} 1`,
		`imgopt_fetch_duration_seconds_count{outcome="timeout"} 1`,
		`imgopt_fetch_failures_total{reason="upstream_status"} 1`,
		`imgopt_fetch_bytes_total 1000`,
		`imgopt_transform_duration_seconds_count{format="webp",outcome="ok"} 1`,
		`imgopt_transform_duration_seconds_count{format="avif",outcome="fallback"} 1`,
		`imgopt_transform_duration_seconds_count{format="other",outcome="fallback"} 1`,
		`imgopt_transform_duration_seconds_count{format="png",outcome="error"} 1`,
		`imgopt_transform_source_bytes_total{format="webp"} 1000`,
		`imgopt_transform_output_bytes_total{format="webp"} 100`,
		`imgopt_transform_fallbacks_total{reason="timeout"} 1`,
		`imgopt_transform_fallbacks_total{reason="crashed"} 1`,
		`imgopt_transform_fallbacks_total{reason="codec"} 1`,
		`imgopt_job_wait_seconds_count{kind="miss"} 1`,
		`imgopt_job_duration_seconds_sum{kind="prewarm",outcome="ok"} 2`,
		`imgopt_job_retries_total 1`,
		`imgopt_job_retry_budget_exhausted_total 1`,
		`imgopt_jobs_coalesced_total{kind="miss"} 1`,
		`imgopt_jobs_refused_total{reason="queue_full"} 1`,
		`imgopt_jobs_in_flight{priority="interactive"} 1`,
		`imgopt_jobs_in_flight{priority="background"} 2`,
		`imgopt_jobs_slots{priority="interactive"} 3`,
		`imgopt_jobs_slots{priority="background"} 4`,
		`imgopt_jobs_estimated_wait_seconds 5`,
		`imgopt_jobs_queued{priority="interactive"} 6`,
		`imgopt_jobs_oldest_wait_seconds{priority="interactive"} 7`,
		`imgopt_jobs_queued{priority="background"} 8`,
		`imgopt_jobs_oldest_wait_seconds{priority="background"} 9`,
		`imgopt_jobs_reclaimed_total 10`,
		`imgopt_jobs_buried_total 11`,
		`imgopt_jobs_store_errors_total 25`,
		`imgopt_cache_entries{tier="memory"} 1`,
		`imgopt_cache_bytes{tier="memory"} 2`,
		`imgopt_cache_max_bytes{tier="memory"} 3`,
		`imgopt_cache_lookups_total{result="hit",tier="memory"} 4`,
		`imgopt_cache_lookups_total{result="miss",tier="memory"} 5`,
		`imgopt_cache_lookups_total{result="hit",tier="disk"} 40`,
		`imgopt_cache_evictions_total{tier="memory"} 6`,
		`imgopt_cache_rejected_total{tier="memory"} 7`,
		`imgopt_cache_errors_total{tier="memory"} 8`,
		`imgopt_cache_corrupt_total{tier="memory"} 9`,
	} {
		if !got[want] {
			t.Errorf("no %s", want)
		}
	}
	if !strings.Contains(b.String(), `imgopt_build_info{go="go1.`) || !strings.Contains(b.String(), `libvips="8.18.7",version="1.2.3"} 1`) {
		t.Error("no build info")
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(b.String(), "\n"+name+" ") {
			t.Errorf("no %s", name)
		}
	}
}

// A queue that cannot be asked shows nothing rather than zeros.
func TestQueueUnavailable(t *testing.T) {
	r := prometheus.NewRegistry()
	m, err := New(r, Build{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.WatchJobs(func(context.Context) (jobs.Stats, error) {
		return jobs.Stats{InFlight: 1}, errors.New("away")
	}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"imgopt_jobs_queued": 0, "imgopt_jobs_in_flight": 2} {
		if n, err := testutil.GatherAndCount(r, name); err != nil || n != want {
			t.Errorf("%s: %d, %v, want %d", name, n, err, want)
		}
	}
}

func TestLabelsAreBounded(t *testing.T) {
	r := prometheus.NewRegistry()
	m, err := New(r, Build{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		m.RequestDone(handler.Outcome{Status: 400, Reason: fmt.Sprint("reason", i)})
	}
	if n, err := testutil.GatherAndCount(r, "imgopt_http_requests_total"); err != nil || n > maxValues+6 {
		t.Errorf("%d series, %v", n, err)
	}
	if c := testutil.ToFloat64(m.requests.WithLabelValues("4xx", "other", "none")); c != 1000-(maxValues-1) {
		t.Errorf("%v others", c)
	}
}

func TestRegisteredTwice(t *testing.T) {
	r, m := everything(t)
	if _, err := New(r, Build{}); err == nil {
		t.Error("no error")
	}
	if err := m.WatchJobs(nil); err == nil {
		t.Error("no error")
	}
	for _, tiers := range [][]Tier{{{Stats: func() cache.Stats { return cache.Stats{} }}}, {{Name: "x"}}} {
		if err := m.WatchCache(tiers...); err == nil {
			t.Errorf("%+v: no error", tiers)
		}
	}
	for _, pools := range [][]Pool{{{"", (&handler.Load{}).ResponseMemory}}, {{"x", nil}}} {
		if err := m.WatchMemory(pools...); err == nil {
			t.Errorf("%+v: no error", pools)
		}
	}
}

// Counting a hit must not cost what serving it does not.
func TestHitAllocations(t *testing.T) {
	_, m := everything(t)
	if n := testing.AllocsPerRun(100, func() {
		m.RequestStarted()
		m.RequestDone(handler.Outcome{Status: 200, Reason: "ok", State: cache.Hit, Bytes: 100, Duration: time.Microsecond})
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHit(b *testing.B) {
	m, err := New(prometheus.NewRegistry(), Build{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.RequestStarted()
		m.RequestDone(handler.Outcome{Status: 200, Reason: "ok", State: cache.Hit, Bytes: 100, Duration: 20 * time.Microsecond})
	}
}
