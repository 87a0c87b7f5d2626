//go:build e2e

package fleet

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// metrics are the values of all series, by their text.
type metrics map[string]float64

func (r *replica) metrics() metrics {
	r.t.Helper()
	a, err := r.client.get("http://" + r.admin + "/metrics")
	if err != nil || a.status != http.StatusOK {
		r.t.Fatalf("metrics of %s: %v %v", r.name, a, err)
	}
	m := metrics{}
	for text := range strings.Lines(string(a.body)) {
		if strings.HasPrefix(text, "#") {
			continue
		}
		text = strings.TrimSpace(text)
		at := strings.LastIndexByte(text, ' ')
		v, err := strconv.ParseFloat(text[at+1:], 64)
		if err != nil {
			r.t.Fatalf("metric %q: %v", text, err)
		}
		m[text[:at]] = v
	}
	return m
}

// sum adds the series of one name that have all the given labels, as they are written: `reason="x"`.
func (m metrics) sum(name string, labels ...string) float64 {
	total := 0.0
	for series, v := range m {
		base, rest, _ := strings.Cut(series, "{")
		if base == name && !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(rest, l) }) {
			total += v
		}
	}
	return total
}

// total is the sum over several replicas.
func total(replicas []*replica, name string, labels ...string) float64 {
	sum := 0.0
	for _, r := range replicas {
		sum += r.metrics().sum(name, labels...)
	}
	return sum
}

// encodes is how many images the replicas have made since they were started.
func encodes(replicas []*replica) int {
	return int(total(replicas, "imgopt_transform_duration_seconds_count"))
}
