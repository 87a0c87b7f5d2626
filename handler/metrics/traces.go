package metrics

import "github.com/prometheus/client_golang/prometheus"

// TraceStats is export.Stats.
type TraceStats struct {
	// Exported, Overflowed and Failed are spans since the start: taken by the collector; dropped because too many waited;
	// dropped because they could not be sent.
	Exported, Overflowed, Failed uint64
	// Waiting is how many wait or are under way now.
	Waiting int
}

// WatchTraces exports what became of the spans whenever metrics are read.
func (m *Metrics) WatchTraces(stats func() TraceStats) error {
	exported := prometheus.NewDesc("imgopt_trace_spans_exported_total", "Spans that the collector has taken.", nil, nil)
	dropped := prometheus.NewDesc("imgopt_trace_spans_dropped_total", "Spans that were dropped: because too many waited (overflow), or because they could not be sent (failed).", []string{"reason"}, nil)
	waiting := prometheus.NewDesc("imgopt_trace_spans_waiting", "Spans that wait for the collector or are under way to it.", nil, nil)
	return m.watch(func(ch chan<- prometheus.Metric) {
		s := stats()
		count(ch, exported, s.Exported)
		count(ch, dropped, s.Overflowed, "overflow")
		count(ch, dropped, s.Failed, "failed")
		gauge(ch, waiting, float64(s.Waiting))
	}, exported, dropped, waiting)
}
