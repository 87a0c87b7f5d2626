// Package observe checks the dashboard, the alerts and what the autoscalers ask for: every query parses, and names
// metrics and labels that imgopt has.
package observe

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"

	"imgopt/deploy/validate/internal/lab"
)

// metric is one line of the table in handler/metrics/doc.go.
type metric struct {
	kind   string
	labels []string
}

var tableRow = regexp.MustCompile(`(?m)^//\t(imgopt_\w+) +(counter|gauge|histogram) +(.*)$`)

// metrics reads the table. The labels end where the column "what" begins.
func metrics(t *testing.T) map[string]metric {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(lab.Root(t), "handler", "metrics", "doc.go"))
	if err != nil {
		t.Fatal(err)
	}
	head := regexp.MustCompile(`(?m)^//\tname.*labels.*what$`).FindString(string(data))
	if head == "" {
		t.Fatal("handler/metrics/doc.go: the table's head is not found")
	}
	from, to := strings.Index(head, "labels"), strings.Index(head, "what")
	all := map[string]metric{}
	for _, row := range tableRow.FindAllStringSubmatch(string(data), -1) {
		line := row[0]
		if len(line) < to {
			t.Fatalf("a short line: %q", line)
		}
		all[row[1]] = metric{kind: row[2], labels: strings.Fields(line[from:to])}
	}
	if len(all) < 30 {
		t.Fatalf("only %d metrics found in the table", len(all))
	}
	return all
}

// What Prometheus, its operator and client_golang add.
var (
	targetLabels = []string{"namespace", "pod", "instance", "job"}
	others       = []string{"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_start_time_seconds", "go_goroutines"}
)

// check parses a query and compares what it names with the table.
func check(t *testing.T, where, query string, known map[string]metric) {
	t.Helper()
	// Grafana's and prometheus-adapter's own words.
	query = strings.NewReplacer("$__rate_interval", "1m", "$namespace", ".*", "$pod", ".*",
		"<<.GroupBy>>", "namespace,pod", "<<.LabelMatchers>>", `namespace="x",pod=~"a|b"`).Replace(query)
	expr, err := parser.ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %v\n%s", where, err, query)
		return
	}
	notSummed(t, where, expr)
	labels := map[string]bool{}
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		allowed := slices.Clone(targetLabels)
		if !slices.Contains(others, s.Name) {
			m, of := find(known, s.Name)
			if of == "" {
				t.Errorf("%s: imgopt has no metric %s", where, s.Name)
				return nil
			}
			allowed = append(allowed, m.labels...)
			if of == "_bucket" {
				allowed = append(allowed, "le")
			}
			rated := len(path) > 1 && within(path, "rate", "increase")
			if counts := m.kind != "gauge"; counts != rated {
				t.Errorf("%s: %s is a %s: is it in rate() or increase()? %v", where, s.Name, m.kind, rated)
			}
		}
		for _, l := range allowed {
			labels[l] = true
		}
		for _, matcher := range s.LabelMatchers {
			if matcher.Name != "__name__" && !slices.Contains(allowed, matcher.Name) {
				t.Errorf("%s: %s has no label %s", where, s.Name, matcher.Name)
			}
		}
		return nil
	})
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok {
			for _, l := range a.Grouping {
				if !labels[l] {
					t.Errorf("%s: sums by %s, which none of its metrics has", where, l)
				}
			}
		}
		return nil
	})
}

// find returns the metric that a series belongs to, and the suffix of a histogram's ("none" for other metrics).
func find(known map[string]metric, series string) (metric, string) {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if m, ok := known[strings.TrimSuffix(series, suffix)]; ok && m.kind == "histogram" && strings.HasSuffix(series, suffix) {
			return m, suffix
		}
	}
	if m, ok := known[series]; ok && m.kind != "histogram" {
		return m, "none"
	}
	return metric{}, ""
}

func within(path []parser.Node, functions ...string) bool {
	return slices.ContainsFunc(path, func(n parser.Node) bool {
		call, ok := n.(*parser.Call)
		return ok && slices.Contains(functions, call.Func.Name)
	})
}

// query is one of the dashboard's.
type query struct{ panel, expr string }

type panel struct {
	ID          int
	Type, Title string
	Description string
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct{ Expr, LegendFormat string }
	FieldConfig struct{ Defaults struct{ Unit string } }
}

type dashboard struct {
	UID, Title  string
	Panels      []panel
	Annotations struct {
		List []struct{ Name, Expr string }
	}
	Templating struct {
		List []struct {
			Name  string
			Query any
		}
	}
}

func readDashboard(t *testing.T) (d dashboard, queries []query) {
	t.Helper()
	if err := json.Unmarshal([]byte(lab.Read(t, "grafana/imgopt.json")), &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			queries = append(queries, query{p.Title, target.Expr})
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			queries = append(queries, query{"annotation " + a.Name, a.Expr})
		}
	}
	if len(queries) < 40 {
		t.Fatalf("only %d queries found", len(queries))
	}
	return d, queries
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	known := metrics(t)
	d, queries := readDashboard(t)
	for _, q := range queries {
		check(t, q.panel, q.expr, known)
	}
	seen := map[int]string{}
	bottom := 0
	for _, p := range d.Panels {
		if before, twice := seen[p.ID]; twice {
			t.Errorf("%q and %q have the same id", before, p.Title)
		}
		seen[p.ID] = p.Title
		if p.Type != "row" && (p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0) {
			t.Errorf("%q lacks a description, a unit or a query", p.Title)
		}
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 || p.GridPos.Y < bottom-8 {
			t.Errorf("%q lies outside the grid: %+v", p.Title, p.GridPos)
		}
		bottom = max(bottom, p.GridPos.Y+p.GridPos.H)
	}
	// Whatever the service measures can be seen.
	text := lab.Read(t, "grafana/imgopt.json")
	for name := range known {
		if name != "imgopt_build_info" && !strings.Contains(text, name) {
			t.Errorf("no panel shows %s", name)
		}
	}
	for _, v := range d.Templating.List {
		switch v.Name {
		case "datasource":
		case "namespace", "pod":
			q, _ := v.Query.(map[string]any)
			if !strings.HasPrefix(fmt.Sprint(q["query"]), "label_values(imgopt_build_info") {
				t.Errorf("variable %s: %v", v.Name, v.Query)
			}
		default:
			t.Errorf("variable %s is not known here", v.Name)
		}
	}
}

type rules struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []struct {
			Alert       string            `json:"alert"`
			Expr        string            `json:"expr"`
			For         string            `json:"for"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"rules"`
	} `json:"groups"`
}

func TestAlerts(t *testing.T) {
	t.Parallel()
	known := metrics(t)
	var plain rules
	if err := yaml.UnmarshalStrict([]byte(lab.Read(t, "prometheus/rules.yaml")), &plain); err != nil {
		t.Fatal(err)
	}
	for _, g := range plain.Groups {
		for _, r := range g.Rules {
			check(t, r.Alert, r.Expr, known)
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s lacks a severity, a summary or a description", r.Alert)
			}
		}
	}
	var operator struct {
		Spec rules `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(lab.Read(t, "kubernetes/monitoring/prometheusrule.yaml")), &operator); err != nil {
		t.Fatal(err)
	}
	if a, b := fmt.Sprint(plain), fmt.Sprint(operator.Spec); a != b {
		t.Errorf("kubernetes/monitoring/prometheusrule.yaml has other rules than prometheus/rules.yaml:\n%s\n%s", b, a)
	}
}

// What the autoscalers ask for.
func TestScaling(t *testing.T) {
	t.Parallel()
	known := metrics(t)
	type rule struct {
		SeriesQuery string `json:"seriesQuery"`
		Resources   struct {
			Overrides map[string]struct {
				Resource string `json:"resource"`
			} `json:"overrides"`
		} `json:"resources"`
		Name struct {
			As string `json:"as"`
		} `json:"name"`
		MetricsQuery string `json:"metricsQuery"`
	}
	var adapter struct {
		Rules struct {
			Default  bool   `json:"default"`
			Custom   []rule `json:"custom"`
			External []rule `json:"external"`
		} `json:"rules"`
	}
	if err := yaml.UnmarshalStrict([]byte(lab.Read(t, "kubernetes/hpa/prometheus-adapter.yaml")), &adapter); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{} // type of the HPA's metric, by name
	for kind, rules := range map[string][]rule{"Pods": adapter.Rules.Custom, "External": adapter.Rules.External} {
		for _, r := range rules {
			series := r.SeriesQuery // a list of series, no value
			if name, _, _ := strings.Cut(series, "{"); known[name].kind == "counter" {
				series = "rate(" + series + "[2m])"
			}
			check(t, r.Name.As+" seriesQuery", series, known)
			check(t, r.Name.As+" metricsQuery", r.MetricsQuery, known)
			names[r.Name.As] = kind
			if _, ofPods := r.Resources.Overrides["pod"]; ofPods != (kind == "Pods") || r.Resources.Overrides["namespace"].Resource != "namespace" {
				t.Errorf("%s is of %+v", r.Name.As, r.Resources.Overrides)
			}
		}
	}
	for file, want := range map[string]int{"hpa/horizontalpodautoscaler.yaml": 1, "split/hpa/web.yaml": 2, "split/hpa/worker.yaml": 2} {
		var hpa struct {
			Spec struct {
				Metrics []struct {
					Type           string
					Pods, External struct {
						Metric struct{ Name string }
					}
				}
			}
		}
		if err := yaml.Unmarshal([]byte(lab.Read(t, "kubernetes/"+file)), &hpa); err != nil {
			t.Fatal(err)
		}
		if len(hpa.Spec.Metrics) != want {
			t.Errorf("%s has %d metrics, want %d", file, len(hpa.Spec.Metrics), want)
		}
		for _, m := range hpa.Spec.Metrics {
			if name := m.Pods.Metric.Name + m.External.Metric.Name; m.Type != "Resource" && names[name] != m.Type {
				t.Errorf("%s asks for %q (%s), which prometheus-adapter does not make", file, name, m.Type)
			}
		}
	}
	for file, want := range map[string]int{"keda/scaledobject.yaml": 2, "split/keda/web.yaml": 2, "split/keda/worker.yaml": 3} {
		var keda struct {
			Spec struct {
				Triggers []struct {
					Metadata struct{ Query string }
				}
			}
		}
		if err := yaml.Unmarshal([]byte(lab.Read(t, "kubernetes/"+file)), &keda); err != nil {
			t.Fatal(err)
		}
		if len(keda.Spec.Triggers) != want {
			t.Errorf("%s has %d triggers, want %d", file, len(keda.Spec.Triggers), want)
		}
		for _, trigger := range keda.Spec.Triggers {
			check(t, file, trigger.Metadata.Query, known)
		}
	}
}

// common are what every process says of the queue that all share: added up, they would be many times too large.
var common = []string{"imgopt_jobs_queued", "imgopt_jobs_oldest_wait_seconds", "imgopt_queue_leased", "imgopt_queue_workers", "imgopt_queue_dead_letters"}

// notSummed fails if the query adds up what is common, except where it stands in for those that have a queue each: after
// "or", beside the largest.
func notSummed(t *testing.T, where string, expr parser.Expr) {
	t.Helper()
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		a, ok := n.(*parser.AggregateExpr)
		if !ok || a.Op != parser.SUM && a.Op != parser.COUNT {
			return nil
		}
		alternative := slices.ContainsFunc(path, func(n parser.Node) bool {
			b, ok := n.(*parser.BinaryExpr)
			return ok && b.Op == parser.LOR && b.RHS == parser.Expr(a)
		})
		for _, selectors := range parser.ExtractSelectors(a.Expr) {
			for _, m := range selectors {
				if m.Name == "__name__" && slices.Contains(common, m.Value) && !alternative {
					t.Errorf("%s: %s of %s, which is the same in every process", where, a.Op, m.Value)
				}
			}
		}
		return nil
	})
}
