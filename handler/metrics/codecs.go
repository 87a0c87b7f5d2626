package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// CodecStats is codec.Stats; a type of its own keeps the C library out of this package. The fields are the same, so
// that one converts into the other.
type CodecStats struct {
	Workers, Busy, Waiting                                 int64
	Encoded, Failed, TimedOut, Crashed, Canceled, Poisoned uint64
	Replaced, Recycled, Stopped                            uint64
	BusyTime, WaitTime                                     time.Duration
}

// WatchCodecs shows what the codec processes are doing and have done.
func (m *Metrics) WatchCodecs(stats func() CodecStats) error {
	processes := prometheus.NewDesc("imgopt_codec_processes", "Codec processes, and encodings waiting for one.", []string{"state"}, nil)
	utilization := prometheus.NewDesc("imgopt_codec_utilization", "Share of the codec processes that are busy, 0 to 1.", nil, nil)
	busy := prometheus.NewDesc("imgopt_codec_busy_seconds_total", "Time codec processes have been busy, all together.", nil, nil)
	wait := prometheus.NewDesc("imgopt_codec_wait_seconds_total", "Time encodings have waited for a codec process, all together.", nil, nil)
	jobs := prometheus.NewDesc("imgopt_codec_jobs_total", "Encodings in codec processes by their end.", []string{"outcome"}, nil)
	replaced := prometheus.NewDesc("imgopt_codec_replaced_total", "Codec processes replaced because they were lost, stopped or worn.", []string{"reason"}, nil)
	return m.watch(func(ch chan<- prometheus.Metric) {
		s := stats()
		for state, n := range map[string]int64{"all": s.Workers, "busy": s.Busy, "waiting": s.Waiting} {
			gauge(ch, processes, float64(n), state)
		}
		gauge(ch, utilization, min(float64(s.Busy)/float64(max(s.Workers, 1)), 1))
		ch <- prometheus.MustNewConstMetric(busy, prometheus.CounterValue, seconds(s.BusyTime))
		ch <- prometheus.MustNewConstMetric(wait, prometheus.CounterValue, seconds(s.WaitTime))
		for outcome, n := range map[string]uint64{
			"encoded": s.Encoded, "failed": s.Failed, "timeout": s.TimedOut, "crashed": s.Crashed, "canceled": s.Canceled, "refused": s.Poisoned,
		} {
			count(ch, jobs, n, outcome)
		}
		// The counters are read one after the other: what is new in one may not be in the other yet.
		known := s.Recycled + s.Stopped
		for reason, n := range map[string]uint64{"worn": s.Recycled, "stopped": s.Stopped, "lost": s.Replaced - min(known, s.Replaced)} {
			count(ch, replaced, n, reason)
		}
	}, processes, utilization, busy, wait, jobs, replaced)
}
