package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ValkeyStats is the state of the connection to Valkey; a type of its own keeps its client out of this package.
type ValkeyStats struct {
	// Up says that all of it can be used, Partly that some nodes of a cluster can.
	Up, Partly bool
	// Since is when that began.
	Since time.Time
	// Commands were sent. Failures of them were not answered, or too late; Refused were not sent at all, because Valkey
	// was known to be away.
	Commands, Failures, Refused uint64
	// Connects counts connections made.
	Connects uint64
	// InFlight is how many commands are under way.
	InFlight int
}

// WatchValkey exports the state of the connection to Valkey whenever metrics are read.
func (m *Metrics) WatchValkey(stats func() ValkeyStats) error {
	if stats == nil {
		return errors.New("metrics: the state of Valkey is missing")
	}
	up := prometheus.NewDesc("imgopt_valkey_up", "Whether Valkey can be used: 1 all of it, 0.5 some nodes of a cluster, 0 nothing.", nil, nil)
	changed := prometheus.NewDesc("imgopt_valkey_changed_timestamp_seconds", "When imgopt_valkey_up last changed, in seconds since 1970.", nil, nil)
	commands := prometheus.NewDesc("imgopt_valkey_commands_total", "Commands sent to Valkey.", nil, nil)
	failures := prometheus.NewDesc("imgopt_valkey_failures_total", "Commands that Valkey did not answer, or not in time.", nil, nil)
	refused := prometheus.NewDesc("imgopt_valkey_refused_total", "Commands not sent because Valkey was known to be away.", nil, nil)
	connects := prometheus.NewDesc("imgopt_valkey_connects_total", "Connections made to Valkey.", nil, nil)
	inFlight := prometheus.NewDesc("imgopt_valkey_commands_in_flight", "Commands that wait for Valkey's answer.", nil, nil)
	return m.watch(func(ch chan<- prometheus.Metric) {
		s := stats()
		state := 0.0
		switch {
		case s.Up:
			state = 1
		case s.Partly:
			state = 0.5
		}
		gauge(ch, up, state)
		timestamp(ch, changed, s.Since)
		count(ch, commands, s.Commands)
		count(ch, failures, s.Failures)
		count(ch, refused, s.Refused)
		count(ch, connects, s.Connects)
		gauge(ch, inFlight, float64(s.InFlight))
	}, up, changed, commands, failures, refused, connects, inFlight)
}

// SharedQueueStats is what a queue that several processes share holds, and what that has meant for this one.
type SharedQueueStats struct {
	// Leased is how many jobs are being worked on by all processes, Workers how many processes work, and DeadLetters
	// how many dead letters there are. They are the same in every process.
	Leased, Workers, DeadLetters int
	// CompletionsPending is how many jobs ended here that the queue could not be told of yet.
	CompletionsPending int
	// Lost counts the jobs this process waited for that the queue's server has forgotten.
	Lost uint64
	// Relocated counts the jobs that this process did on its own because the queue could not take them.
	Relocated uint64
	// Unshared counts the jobs that ended here while the queue could not be told.
	Unshared uint64
}

// WatchSharedQueue exports the state of the shared queue whenever metrics are read, beside WatchJobs. When stats
// returns an error, what only the queue knows is left out.
func (m *Metrics) WatchSharedQueue(stats func(context.Context) (SharedQueueStats, error)) error {
	if stats == nil {
		return errors.New("metrics: the state of the shared queue is missing")
	}
	leased := prometheus.NewDesc("imgopt_queue_leased", "Jobs of the shared queue being worked on, by all processes.", nil, nil)
	workers := prometheus.NewDesc("imgopt_queue_workers", "Processes that work on jobs of the shared queue.", nil, nil)
	dead := prometheus.NewDesc("imgopt_queue_dead_letters", "Dead letters that the shared queue keeps.", nil, nil)
	pending := prometheus.NewDesc("imgopt_queue_completions_pending", "Jobs done here that the shared queue could not be told of yet.", nil, nil)
	lost := prometheus.NewDesc("imgopt_queue_lost_total", "Jobs waited for here that the shared queue's server has forgotten.", nil, nil)
	relocated := prometheus.NewDesc("imgopt_queue_relocated_total", "Jobs done without the shared queue because it could not take them.", nil, nil)
	unshared := prometheus.NewDesc("imgopt_queue_unshared_total", "Jobs done here while the shared queue could not be told.", nil, nil)
	return m.watch(func(ch chan<- prometheus.Metric) {
		ctx, cancel := context.WithTimeout(context.Background(), statsTimeout)
		defer cancel()
		s, err := stats(ctx)
		gauge(ch, pending, float64(s.CompletionsPending))
		count(ch, lost, s.Lost)
		count(ch, relocated, s.Relocated)
		count(ch, unshared, s.Unshared)
		if err != nil {
			return // zeros would be lies
		}
		gauge(ch, leased, float64(s.Leased))
		gauge(ch, workers, float64(s.Workers))
		gauge(ch, dead, float64(s.DeadLetters))
	}, leased, workers, dead, pending, lost, relocated, unshared)
}

// PurgeStats is cache.PurgeStats without what no metric needs.
type PurgeStats struct {
	// Records is how many different purges are remembered, Pending how many of them the other replicas do not have yet.
	Records, Pending int
	// Purges counts those asked for here, Learned those that came from elsewhere.
	Purges, Learned uint64
	// Errors counts failures of the folder and the shared log.
	Errors uint64
	// Synced is when the shared log was last in step; zero if never, or if there is none.
	Synced time.Time
}

// WatchPurges exports what is known of purges whenever metrics are read.
func (m *Metrics) WatchPurges(stats func() PurgeStats) error {
	if stats == nil {
		return errors.New("metrics: the state of the purges is missing")
	}
	purges := prometheus.NewDesc("imgopt_purges_total", "Purges that this process has learned of, by where they were asked for.", []string{"source"}, nil)
	records := prometheus.NewDesc("imgopt_purge_records", "Different purges that are remembered.", nil, nil)
	pending := prometheus.NewDesc("imgopt_purges_pending", "Purges that hold here and that the other replicas do not know yet.", nil, nil)
	failures := prometheus.NewDesc("imgopt_purge_errors_total", "Failures to store purges or to share them.", nil, nil)
	synced := prometheus.NewDesc("imgopt_purges_synced_timestamp_seconds", "When the purges of all replicas were last known here, in seconds since 1970; 0 if never.", nil, nil)
	return m.watch(func(ch chan<- prometheus.Metric) {
		s := stats()
		count(ch, purges, s.Purges, "here")
		count(ch, purges, s.Learned, "elsewhere")
		gauge(ch, records, float64(s.Records))
		gauge(ch, pending, float64(s.Pending))
		count(ch, failures, s.Errors)
		timestamp(ch, synced, s.Synced)
	}, purges, records, pending, failures, synced)
}

// Reloaded counts an attempt to read the configuration again: refused with err, or in force when err is nil. That the
// process began with one counts as well: see New.
func (m *Metrics) Reloaded(err error) {
	if err != nil {
		m.reloadFailures.Inc()
		m.reloadOK.Set(0)
		return
	}
	m.reloadOK.Set(1)
	m.reloadedAt.SetToCurrentTime()
}

// timestamp exports a point of time; the zero one is 0.
func timestamp(ch chan<- prometheus.Metric, d *prometheus.Desc, t time.Time) {
	if t.IsZero() {
		gauge(ch, d, 0)
		return
	}
	gauge(ch, d, float64(t.UnixMilli())/1000)
}
