package manifests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"imgopt/deploy/validate/internal/lab"
)

func chartDir(t *testing.T) string {
	return filepath.Join(lab.Root(t), "deploy", "helm", "imgopt")
}

// template is helm template, in the namespace shop.
func template(t *testing.T, release string, values map[string]any) (string, error) {
	t.Helper()
	c, err := loader.Load(chartDir(t))
	if err != nil {
		t.Fatal(err)
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = chartutil.KubeVersion{Version: "v1.36.3", Major: "1", Minor: "36"}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: release, Namespace: "shop", IsInstall: true}, capabilities)
	if err != nil {
		return "", err
	}
	files, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return "", err
	}
	var names []string
	for name := range files {
		if filepath.Ext(name) == ".yaml" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out strings.Builder
	for _, name := range names {
		out.WriteString("---\n# Source: " + name + "\n" + files[name] + "\n")
	}
	return out.String(), nil
}

func readValues(t *testing.T, name string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(data, &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// The chart with every file of values in testdata.
func TestChart(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.values.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files of values, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".values.yaml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			values := readValues(t, filepath.Base(file))
			text, err := template(t, name, values)
			if err != nil {
				t.Fatal(err)
			}
			all := parse(t, name, text)
			conforms(t, name, text)
			enabled := func(part string) bool {
				m, _ := values[part].(map[string]any)
				on, _ := m["enabled"].(bool)
				return on
			}
			checkRoles(t, all, enabled("valkey"), enabled("split"))
			for _, o := range all {
				if l := o.meta.Labels; l["app.kubernetes.io/name"] != "imgopt" || l["app.kubernetes.io/instance"] != name || l["app.kubernetes.io/managed-by"] != "Helm" {
					t.Errorf("%v has the labels %v", o, l)
				}
				switch x := o.typed.(type) {
				case *gatewayv1.HTTPRoute:
					route := values["httpRoute"].(map[string]any)
					basePath, _ := route["basePath"].(string)
					s := one[*corev1.Service](t, all, "")
					checkRoute(t, x, basePath, s.Name, s.Spec.Ports[0].Port)
				}
			}
			for _, m := range lint.All(chartDir(t), values, "shop", true).Messages {
				if m.Severity >= support.WarningSev && !strings.Contains(m.Error(), "icon is recommended") {
					t.Errorf("helm lint: %v", m)
				}
			}
		})
	}
}

// With the least values the chart says what deploy/kubernetes/base says.
func TestChartEqualsBase(t *testing.T) {
	t.Parallel()
	text, err := template(t, "imgopt", readValues(t, "least.values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	chart, base := parse(t, "chart", text), parse(t, "base", kustomize(t, []string{"kubernetes/base"}, nil))
	a, b := one[*appsv1.Deployment](t, chart, ""), one[*appsv1.Deployment](t, base, "")
	ca, cb := configuration(t, chart, a, container(t, a, "imgopt")), configuration(t, base, b, container(t, b, "imgopt"))
	delete(cb, "images") // {} there, as a place to write
	if x, y := marshal(t, ca), marshal(t, cb); x != y {
		t.Errorf("configuration: the chart has\n%s\nthe base has\n%s", x, y)
	}
	neutral := func(d *appsv1.Deployment) string {
		spec := d.Spec.Template.Spec.DeepCopy()
		for i := range spec.TopologySpreadConstraints {
			spec.TopologySpreadConstraints[i].LabelSelector = nil
		}
		for i := range spec.Volumes {
			if c := spec.Volumes[i].ConfigMap; c != nil {
				c.Name = "config"
			}
		}
		spec.Containers[0].Image = "imgopt"
		return marshal(t, spec)
	}
	if x, y := neutral(a), neutral(b); x != y {
		t.Errorf("pod: the chart has\n%s\nthe base has\n%s", x, y)
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	data, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// What the chart's schema refuses, with words that name the value.
func TestChartRefuses(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		values string
		want   string
	}{
		"no origin":            {`config: {origin: []}`, "origin"},
		"an unknown value":     {`{config: {origin: [http://f:3000]}, replica: 3}`, "replica"},
		"a local admin":        {`config: {origin: [http://f:3000], adminListen: "127.0.0.1:9090"}`, "adminListen"},
		"no limits":            {`{config: {origin: [http://f:3000]}, resources: {limits: {cpu: null}}}`, "cpu"},
		"a scaler":             {`{config: {origin: [http://f:3000]}, autoscaling: {type: vpa}}`, "type"},
		"a route to no one":    {`{config: {origin: [http://f:3000]}, httpRoute: {enabled: true}}`, "parentRefs"},
		"a url in clear":       {`config: {origin: [http://f:3000], storage: {url: "valkey://:secret@v:6379"}}`, "url"},
		"a storage of its own": {`config: {origin: [http://f:3000], storage: {type: valkey}}`, "type"},
		"a role":               {`config: {origin: [http://f:3000], role: worker}`, "role"},
		"no secret":            {`{config: {origin: [http://f:3000]}, valkey: {enabled: true}}`, "valkey.secret"},
		"roles alone":          {`{config: {origin: [http://f:3000]}, split: {enabled: true}}`, "valkey.enabled"},
		"no limits of workers": {`{config: {origin: [http://f:3000]}, split: {worker: {resources: {limits: {memory: null}}}}}`, "memory"},
		"a strange time":       {`config: {origin: [http://f:3000], shutdownTimeout: 1500ms}`, "shutdownTimeout"},
	} {
		var values map[string]any
		if err := yaml.UnmarshalStrict([]byte(x.values), &values); err != nil {
			t.Fatal(err)
		}
		if _, err := template(t, "imgopt", values); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
