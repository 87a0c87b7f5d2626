package metrics

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"imgopt/cache"
)

// watchShared gives the metrics what is there with Valkey.
func watchShared(t *testing.T, m *Metrics) {
	t.Helper()
	since := time.Unix(1_800_000_000, 250e6)
	if err := errors.Join(
		m.WatchValkey(func() ValkeyStats {
			return ValkeyStats{Partly: true, Since: since, Commands: 1, Failures: 2, Refused: 3, Connects: 4, InFlight: 5}
		}),
		m.WatchSharedQueue(func(context.Context) (SharedQueueStats, error) {
			return SharedQueueStats{Leased: 6, Workers: 7, DeadLetters: 8, CompletionsPending: 9, Lost: 10, Relocated: 11, Unshared: 12}, nil
		}),
		m.WatchPurges(func() PurgeStats {
			return PurgeStats{Records: 13, Pending: 14, Purges: 15, Learned: 16, Errors: 17, Synced: since}
		}),
	); err != nil {
		t.Fatal(err)
	}
}

// lines returns what is exported, as text, one series to a line.
func lines(t *testing.T, r prometheus.Gatherer) []string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Split(b.String(), "\n")
}

func TestShared(t *testing.T) {
	r, m := everything(t)
	m.Reloaded(errors.New("no"))
	m.Reloaded(errors.New("no"))
	got := lines(t, r)
	for _, want := range []string{
		`imgopt_valkey_up 0.5`,
		`imgopt_valkey_changed_timestamp_seconds 1.80000000025e+09`,
		`imgopt_valkey_commands_total 1`,
		`imgopt_valkey_failures_total 2`,
		`imgopt_valkey_refused_total 3`,
		`imgopt_valkey_connects_total 4`,
		`imgopt_valkey_commands_in_flight 5`,
		`imgopt_queue_leased 6`,
		`imgopt_queue_workers 7`,
		`imgopt_queue_dead_letters 8`,
		`imgopt_queue_completions_pending 9`,
		`imgopt_queue_lost_total 10`,
		`imgopt_queue_relocated_total 11`,
		`imgopt_queue_unshared_total 12`,
		`imgopt_purge_records 13`,
		`imgopt_purges_pending 14`,
		`imgopt_purges_total{source="here"} 15`,
		`imgopt_purges_total{source="elsewhere"} 16`,
		`imgopt_purge_errors_total 17`,
		`imgopt_purges_synced_timestamp_seconds 1.80000000025e+09`,
		`imgopt_reload_successful 0`,
		`imgopt_reload_failures_total 2`,
		`imgopt_cache_lookups_total{result="hit",tier="valkey"} 41`,
		`imgopt_cache_errors_total{tier="valkey"} 42`,
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s", want)
		}
	}
	// What only the server knows is not made up.
	for _, line := range got {
		for _, name := range []string{"imgopt_cache_entries", "imgopt_cache_bytes", "imgopt_cache_max_bytes", "imgopt_cache_evictions_total"} {
			if strings.HasPrefix(line, name+"{") && strings.Contains(line, "valkey") {
				t.Error(line)
			}
		}
	}
}

// The states of the connection, and of a queue that cannot be asked.
func TestSharedAway(t *testing.T) {
	r := prometheus.NewRegistry()
	m, err := New(r, Build{})
	if err != nil {
		t.Fatal(err)
	}
	state := ValkeyStats{Up: true}
	away := errors.New("away")
	if err := errors.Join(
		m.WatchValkey(func() ValkeyStats { return state }),
		m.WatchSharedQueue(func(ctx context.Context) (SharedQueueStats, error) {
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("no deadline")
			}
			return SharedQueueStats{Leased: 1, Relocated: 2}, away
		}),
		m.WatchPurges(func() PurgeStats { return PurgeStats{} }),
	); err != nil {
		t.Fatal(err)
	}
	got := lines(t, r)
	for _, want := range []string{
		"imgopt_valkey_up 1", "imgopt_valkey_changed_timestamp_seconds 0", "imgopt_queue_relocated_total 2", "imgopt_purges_synced_timestamp_seconds 0",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, name := range []string{"imgopt_queue_leased", "imgopt_queue_workers", "imgopt_queue_dead_letters"} {
		if n, err := testutil.GatherAndCount(r, name); err != nil || n != 0 {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	state, away = ValkeyStats{}, nil
	got = lines(t, r)
	for _, want := range []string{"imgopt_valkey_up 0", "imgopt_queue_leased 1"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s", want)
		}
	}
}

// Starting counts as reading the configuration, and so does every time it was put in force.
func TestReloaded(t *testing.T) {
	before := float64(time.Now().Add(-time.Second).Unix())
	r := prometheus.NewRegistry()
	m, err := New(r, Build{})
	if err != nil {
		t.Fatal(err)
	}
	first := testutil.ToFloat64(m.reloadedAt)
	if ok := testutil.ToFloat64(m.reloadOK); ok != 1 || first < before {
		t.Errorf("%v, at %v", ok, first)
	}
	m.Reloaded(errors.New("refused"))
	if ok, at := testutil.ToFloat64(m.reloadOK), testutil.ToFloat64(m.reloadedAt); ok != 0 || at != first {
		t.Errorf("after a refusal: %v, at %v instead of %v", ok, at, first)
	}
	m.Reloaded(nil)
	if ok, at := testutil.ToFloat64(m.reloadOK), testutil.ToFloat64(m.reloadedAt); ok != 1 || at < first {
		t.Errorf("afterwards: %v, at %v", ok, at)
	}
	if n := testutil.ToFloat64(m.reloadFailures); n != 1 {
		t.Errorf("%v failures", n)
	}
}

func TestSharedNeedsItsSources(t *testing.T) {
	m, err := New(prometheus.NewRegistry(), Build{})
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range []error{m.WatchValkey(nil), m.WatchSharedQueue(nil), m.WatchPurges(nil), m.WatchCache(Tier{Name: "valkey", Remote: true})} {
		if err == nil {
			t.Errorf("%d: no error", i)
		}
	}
	if err := m.WatchCache(Tier{Name: "valkey", Remote: true, Stats: func() cache.Stats { return cache.Stats{} }}); err != nil {
		t.Error(err)
	}
}
