package manifests

import (
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"code.dny.dev/ssrf"
	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/prometheus/prometheus/promql/parser"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"imgopt/deploy/validate/internal/lab"
)

// kustomize builds a kustomization that has those resources and components of deploy/.
func kustomize(t *testing.T, resources, components []string) string {
	t.Helper()
	disk := filesys.MakeFsInMemory()
	root := filepath.Join(lab.Root(t), "deploy")
	for _, part := range []string{"kubernetes", "sidecar"} {
		if err := filepath.WalkDir(filepath.Join(root, part), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return disk.WriteFile("/"+strings.TrimPrefix(path, root+"/"), data)
		}); err != nil {
			t.Fatal(err)
		}
	}
	main, err := yaml.Marshal(map[string]any{"resources": resources, "components": components, "namespace": "shop",
		"images": []map[string]string{{"name": "imgopt", "newName": "example/imgopt", "newTag": "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile("/kustomization.yaml", main); err != nil {
		t.Fatal(err)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, "/")
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every file that is a manifest, as it is written.
func TestFiles(t *testing.T) {
	t.Parallel()
	root := filepath.Join(lab.Root(t), "deploy")
	seen := 0
	for _, dir := range []string{"ingress/kubernetes", "kubernetes", "sidecar/kubernetes"} {
		if err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
				return err
			}
			name := strings.TrimPrefix(path, root+"/")
			text := lab.Read(t, name)
			if !strings.Contains(text, "\nkind: ") || strings.HasSuffix(name, "kustomization.yaml") || strings.HasSuffix(name, ".patch.yaml") {
				return nil // imgopt's own configuration, values for another chart, a kustomization or its patch (built below)
			}
			seen++
			parse(t, name, text)
			conforms(t, name, text)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if seen < 22 {
		t.Errorf("only %d manifests found", seen)
	}
}

func TestKustomize(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct{ resources, components []string }{
		"base":       {[]string{"kubernetes/base"}, nil},
		"everything": {[]string{"kubernetes"}, nil},
		"keda":       {[]string{"kubernetes/base", "kubernetes/monitoring"}, []string{"kubernetes/keda"}},
		"valkey":     {[]string{"kubernetes/base"}, []string{"kubernetes/valkey", "kubernetes/hpa"}},
		"split":      {[]string{"kubernetes/base"}, []string{"kubernetes/split"}},
		"split-hpa":  {[]string{"kubernetes/base", "kubernetes/monitoring"}, []string{"kubernetes/split", "kubernetes/split/hpa"}},
		"split-keda": {[]string{"kubernetes/base"}, []string{"kubernetes/split", "kubernetes/split/keda"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := kustomize(t, x.resources, x.components)
			all := parse(t, name, text)
			conforms(t, name, text)
			checkRoles(t, all, slices.ContainsFunc(x.components, func(c string) bool { return c != "kubernetes/hpa" && c != "kubernetes/keda" }),
				slices.Contains(x.components, "kubernetes/split"))
			for _, o := range all {
				if o.meta.Namespace != "shop" {
					t.Errorf("%v has the namespace %q", o, o.meta.Namespace)
				}
			}
		})
	}
}

// The routes name the ports that the Services have, and give up after imgopt does.
func TestRoutes(t *testing.T) {
	t.Parallel()
	all := append(parse(t, "base", kustomize(t, []string{"kubernetes/base"}, nil)), parse(t, "route", lab.Read(t, "ingress/kubernetes/gateway-api.yaml"))...)
	port := one[*corev1.Service](t, all, "imgopt").Spec.Ports[0]
	route := one[*gatewayv1.HTTPRoute](t, all, "")
	checkRoute(t, route, "", "imgopt", port.Port)
	sidecar := parse(t, "sidecar", kustomize(t, []string{"sidecar/kubernetes"}, nil))
	for _, rule := range route.Spec.Rules {
		backend := rule.BackendRefs[0]
		if p := one[*corev1.Service](t, sidecar, string(backend.Name)).Spec.Ports[0].Port; p != *backend.Port {
			t.Errorf("the sidecar's Service %s has port %d, the route asks for %d", backend.Name, p, *backend.Port)
		}
	}
}

func checkRoute(t *testing.T, route *gatewayv1.HTTPRoute, basePath, service string, port int32) {
	t.Helper()
	images := route.Spec.Rules[0]
	want := []string{"GET " + basePath + "/_next/image", "HEAD " + basePath + "/_next/image", "GET " + basePath + "/_next/image/", "HEAD " + basePath + "/_next/image/"}
	var got []string
	for _, m := range images.Matches {
		if m.Path == nil || m.Path.Type == nil || *m.Path.Type != gatewayv1.PathMatchExact || m.Method == nil {
			t.Errorf("a match that is not exact: %+v", m)
			continue
		}
		got = append(got, string(*m.Method)+" "+*m.Path.Value)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("matches %q, want %q", got, want)
	}
	if b := images.BackendRefs[0]; string(b.Name) != service || *b.Port != gatewayv1.PortNumber(port) {
		t.Errorf("images go to %s:%d, want %s:%d", b.Name, *b.Port, service, port)
	}
	if limit, err := time.ParseDuration(string(*images.Timeouts.BackendRequest)); err != nil || limit <= 30*time.Second {
		t.Errorf("backendRequest %v is not longer than imgopt's own budget of 30 s", limit)
	}
}

// The pod with both.
func TestSidecar(t *testing.T) {
	t.Parallel()
	text := kustomize(t, []string{"sidecar/kubernetes"}, nil)
	all := parse(t, "sidecar", text)
	conforms(t, "sidecar", text)
	checkDeployment(t, all, "frontend", "imgopt")
	d := one[*appsv1.Deployment](t, all, "")
	imgopt, frontend := container(t, d, "imgopt"), container(t, d, "frontend")
	if imgopt.RestartPolicy == nil || *imgopt.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("imgopt is not a sidecar")
	}
	// Processors are shared out by the requests: codecs must not starve pages.
	if a, b := imgopt.Resources.Requests.Cpu().MilliValue(), frontend.Resources.Requests.Cpu().MilliValue(); a*10 > b {
		t.Errorf("processor requests: %dm for imgopt, %dm for the application", a, b)
	}
}

// checkNetworkPolicy holds the ranges against those of imgopt's own guard.
func checkNetworkPolicy(t *testing.T, p *networkingv1.NetworkPolicy) {
	t.Helper()
	text := func(prefixes []netip.Prefix) (all []string) {
		for _, x := range prefixes {
			all = append(all, x.String())
		}
		slices.Sort(all)
		return all
	}
	want := map[string][]string{"0.0.0.0/0": text(ssrf.IPv4DeniedPrefixes), ssrf.IPv6GlobalUnicast.String(): text(ssrf.IPv6DeniedPrefixes)}
	found := 0
	for _, rule := range p.Spec.Egress {
		for _, peer := range rule.To {
			if peer.IPBlock == nil || len(peer.IPBlock.Except) == 0 { // without exceptions: Valkey's addresses
				continue
			}
			except := slices.Sorted(slices.Values(peer.IPBlock.Except))
			if w, ok := want[peer.IPBlock.CIDR]; !ok || !slices.Equal(except, w) {
				t.Errorf("%s except %q, want %q", peer.IPBlock.CIDR, except, w)
			}
			found++
		}
	}
	if found != len(want) {
		t.Errorf("%d blocks of addresses, want %d", found, len(want))
	}
}

// The ranges are those of the version that imgopt's guard has.
func TestGuardVersion(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Version}}", "code.dny.dev/ssrf").Output()
	if err != nil {
		t.Fatal(err)
	}
	main, err := os.ReadFile(filepath.Join(lab.Root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(main), "\t"+string(out)) {
		t.Errorf("the service's go.mod has not %s", out)
	}
}

// checkScaling makes sure that an autoscaler scales the Deployment, keeps two replicas and is not contradicted by it.
func checkScaling(t *testing.T, all []*object) {
	t.Helper()
	d := one[*appsv1.Deployment](t, all, "")
	for _, o := range all {
		target, least := "", int32(0)
		adapter := lab.Read(t, "kubernetes/hpa/prometheus-adapter.yaml")
		custom, external, _ := strings.Cut(adapter, "\n  external:\n")
		switch x := o.typed.(type) {
		case *autoscalingv2.HorizontalPodAutoscaler:
			target, least = x.Spec.ScaleTargetRef.Name, *x.Spec.MinReplicas
			for _, m := range x.Spec.Metrics {
				made, name := custom, ""
				switch {
				case m.Pods != nil:
					name = m.Pods.Metric.Name
				case m.External != nil:
					made, name = external, m.External.Metric.Name
				case m.Resource != nil && m.Resource.Name == corev1.ResourceCPU:
					if d.Spec.Template.Spec.Containers[0].Resources.Requests.Cpu().IsZero() {
						t.Errorf("%v asks for a share of a request that there is not", o)
					}
					continue
				}
				if name == "" || !strings.Contains(made, "name: {as: "+name+"}") {
					t.Errorf("%v asks for %q, which prometheus-adapter does not make", o, name)
				}
			}
		case *kedav1alpha1.ScaledObject:
			target, least = x.Spec.ScaleTargetRef.Name, *x.Spec.MinReplicaCount
			if err := kedav1alpha1.ValidateTriggers(x.Spec.Triggers); err != nil {
				t.Errorf("%v: %v", o, err)
			}
			for _, trigger := range x.Spec.Triggers {
				checkQuery(t, o, trigger.Metadata["query"])
			}
		default:
			continue
		}
		if target != d.Name || least < 2 {
			t.Errorf("%v scales %s, to no fewer than %d", o, target, least)
		}
		if strings.Contains(string(deployment(all, d.Name).text), "\n  replicas:") {
			t.Errorf("%v and the Deployment both say how many replicas there are", o)
		}
	}
}

// checkQuery parses a query of KEDA's. Package observe has checked the metrics of the recipes that it must be like.
func checkQuery(t *testing.T, o *object, query string) {
	t.Helper()
	expr, err := parser.ParseExpr(query)
	if err != nil {
		t.Errorf("%v: %v\n%s", o, err, query)
		return
	}
	recipes := lab.Read(t, "kubernetes/keda/scaledobject.yaml") + lab.Read(t, "kubernetes/split/keda/web.yaml") + lab.Read(t, "kubernetes/split/keda/worker.yaml")
	for _, selectors := range parser.ExtractSelectors(expr) {
		for _, m := range selectors {
			if m.Name == "__name__" && !strings.Contains(recipes, m.Value+"{") {
				t.Errorf("%v asks for %s", o, m.Value)
			}
		}
	}
}

func deployment(all []*object, name string) *object {
	return all[slices.IndexFunc(all, func(o *object) bool { return o.meta.Kind == "Deployment" && o.meta.Name == name })]
}
