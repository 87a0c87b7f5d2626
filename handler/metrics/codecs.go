package metrics

import "github.com/prometheus/client_golang/prometheus"

// CodecStats is codec.Stats; a type of its own keeps the C library out of this package.
type CodecStats struct {
	Workers, Busy, Waiting                                 int64
	Encoded, Failed, TimedOut, Crashed, Canceled, Poisoned uint64
	Replaced, Recycled                                     uint64
}

// WatchCodecs shows what the codec processes are doing and have done.
func (m *Metrics) WatchCodecs(stats func() CodecStats) error {
	processes := prometheus.NewDesc("imgopt_codec_processes", "Codec processes, and encodings waiting for one.", []string{"state"}, nil)
	jobs := prometheus.NewDesc("imgopt_codec_jobs_total", "Encodings in codec processes by their end.", []string{"outcome"}, nil)
	replaced := prometheus.NewDesc("imgopt_codec_replaced_total", "Codec processes replaced because they were lost or worn.", []string{"reason"}, nil)
	return m.watch(func(ch chan<- prometheus.Metric) {
		s := stats()
		for state, n := range map[string]int64{"all": s.Workers, "busy": s.Busy, "waiting": s.Waiting} {
			ch <- prometheus.MustNewConstMetric(processes, prometheus.GaugeValue, float64(n), state)
		}
		for outcome, n := range map[string]uint64{
			"encoded": s.Encoded, "failed": s.Failed, "timeout": s.TimedOut, "crashed": s.Crashed, "canceled": s.Canceled, "refused": s.Poisoned,
		} {
			ch <- prometheus.MustNewConstMetric(jobs, prometheus.CounterValue, float64(n), outcome)
		}
		for reason, n := range map[string]uint64{"worn": s.Recycled, "lost": s.Replaced - min(s.Recycled, s.Replaced)} {
			ch <- prometheus.MustNewConstMetric(replaced, prometheus.CounterValue, float64(n), reason)
		}
	}, processes, jobs, replaced)
}
