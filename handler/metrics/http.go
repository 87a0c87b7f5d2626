package metrics

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"imgopt/handler"
)

// AcceptFailed counts a connection that could not be accepted by a listener, public or admin. It is what
// handler.ListenOptions.AcceptFailed wants to call.
func (m *Metrics) AcceptFailed(listener string) { m.acceptErrors.WithLabelValues(listener).Inc() }

// WatchHTTP exports what the public application has on its hands whenever metrics are read.
func (m *Metrics) WatchHTTP(load *handler.Load) error {
	waiting := prometheus.NewDesc("imgopt_http_waiting", "Requests that wait for work.", nil, nil)
	connections := prometheus.NewDesc("imgopt_http_connections", "Open connections of the public listener.", nil, nil)
	memory := prometheus.NewDesc("imgopt_http_response_memory_bytes", "Bytes of the large bodies being sent, each counted once.", nil, nil)
	cut := prometheus.NewDesc("imgopt_http_responses_cut_total", "Clients cut off because they did not take their answer in time.", nil, nil)
	return m.watch(func(ch chan<- prometheus.Metric) {
		gauge(ch, waiting, float64(load.Waiting()))
		gauge(ch, connections, float64(load.Connections()))
		used, _, _ := load.ResponseMemory()
		gauge(ch, memory, float64(used))
		count(ch, cut, load.ResponsesCut())
	}, waiting, connections, memory, cut)
}

// Pool is memory that is given out up to a limit.
type Pool struct {
	// Name is sources, decode or responses.
	Name string
	// Stats returns the bytes in use, their limit (0: none) and how many wait for some.
	Stats func() (used, limit int64, waiting int)
}

// WatchMemory exports the pools whenever metrics are read.
func (m *Metrics) WatchMemory(pools ...Pool) error {
	names := map[string]bool{}
	for _, p := range pools {
		if p.Name == "" || p.Stats == nil || names[p.Name] {
			return errors.New("metrics: every pool of memory needs a name of its own and its counters")
		}
		names[p.Name] = true
	}
	used := prometheus.NewDesc("imgopt_memory_bytes", "Bytes in use, or set aside, of a bounded pool of memory.", []string{"pool"}, nil)
	limit := prometheus.NewDesc("imgopt_memory_limit_bytes", "Limit of imgopt_memory_bytes; 0 for none.", []string{"pool"}, nil)
	waiting := prometheus.NewDesc("imgopt_memory_waiting", "How many wait for a pool to have room.", []string{"pool"}, nil)
	return m.watch(func(ch chan<- prometheus.Metric) {
		for _, p := range pools {
			u, l, w := p.Stats()
			gauge(ch, used, float64(u), p.Name)
			gauge(ch, limit, float64(l), p.Name)
			gauge(ch, waiting, float64(w), p.Name)
		}
	}, used, limit, waiting)
}

// WatchFetch exports how many origins are left alone for a while because they failed too often.
func (m *Metrics) WatchFetch(circuitsOpen func() int) error {
	open := prometheus.NewDesc("imgopt_fetch_circuits_open", "Origins left alone for a while because they failed too often.", nil, nil)
	return m.watch(func(ch chan<- prometheus.Metric) { gauge(ch, open, float64(circuitsOpen())) }, open)
}
