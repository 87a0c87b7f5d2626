package manifests

import (
	"maps"
	"slices"
	"strings"
	"testing"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// checkRoles checks each Deployment with what belongs to it, and that everything belongs to one. shared says that there is
// Valkey, split that there are two Deployments.
func checkRoles(t *testing.T, all []*object, shared, split bool) {
	t.Helper()
	names := map[string]string{} // role: Deployment
	belongs := map[*object]string{}
	var configs []string
	for _, o := range all {
		d, ok := o.typed.(*appsv1.Deployment)
		if !ok {
			continue
		}
		env := environment(t, container(t, d, "imgopt"))
		role := env["IMGOPT_ROLE"]
		if names[role] != "" {
			t.Fatalf("%s and %s have the same role, %q", names[role], d.Name, role)
		}
		names[role] = d.Name
		if got := env["IMGOPT_STORAGE_TYPE"] == "valkey" && env["IMGOPT_STORAGE_URL"] == valkeyURL; got != shared {
			t.Errorf("%v shares Valkey: %v", o, got)
		}
		part := partOf(all, d)
		for _, p := range part {
			if before, taken := belongs[p]; taken && mayBelong(p) {
				t.Errorf("%v belongs to %s and to %s", p, before, d.Name)
			}
			belongs[p] = d.Name
		}
		checkDeployment(t, part, "imgopt", "imgopt")
		checkScaling(t, part)
		checkRole(t, part, d, role, shared)
		configs = append(configs, marshal(t, configuration(t, part, d, container(t, d, "imgopt"))))
	}
	want := []string{""}
	if split {
		want = []string{"web", "worker"}
		// What parts them would part their queues.
		if len(configs) != 2 || configs[0] != configs[1] {
			t.Errorf("the roles have different configurations: %q", configs)
		}
	}
	if got := slices.Sorted(maps.Keys(names)); !slices.Equal(got, want) {
		t.Fatalf("roles %q, want %q", got, want)
	}
	each := map[string]int{}
	for _, o := range all {
		switch kind := o.meta.Kind; kind {
		case "PodDisruptionBudget", "NetworkPolicy", "HorizontalPodAutoscaler", "ScaledObject":
			each[kind]++
		}
	}
	for kind, n := range each {
		if n != len(names) {
			t.Errorf("%d Deployments have %d of the kind %s", len(names), n, kind)
		}
	}
	for _, o := range all {
		if belongs[o] == "" {
			t.Errorf("%v belongs to no Deployment", o)
		}
		if m, ok := o.typed.(*monitoringv1.PodMonitor); ok {
			for _, d := range all {
				if x, ok := d.typed.(*appsv1.Deployment); ok && !labels.SelectorFromSet(m.Spec.Selector.MatchLabels).Matches(labels.Set(x.Spec.Template.Labels)) {
					t.Errorf("%v does not select the pods of %s", o, x.Name)
				}
			}
		}
	}
}

// mayBelong tells whether an object belongs to one Deployment at most.
func mayBelong(o *object) bool {
	return selector(o) != nil || target(o) != ""
}

// selector returns what an object selects pods by, or nil.
func selector(o *object) map[string]string {
	switch x := o.typed.(type) {
	case *corev1.Service:
		return x.Spec.Selector
	case *policyv1.PodDisruptionBudget:
		return x.Spec.Selector.MatchLabels
	case *networkingv1.NetworkPolicy:
		return x.Spec.PodSelector.MatchLabels
	}
	return nil
}

// target returns the Deployment that an object scales, or "".
func target(o *object) string {
	switch x := o.typed.(type) {
	case *autoscalingv2.HorizontalPodAutoscaler:
		return x.Spec.ScaleTargetRef.Name
	case *kedav1alpha1.ScaledObject:
		return x.Spec.ScaleTargetRef.Name
	}
	return ""
}

// partOf returns a Deployment, what selects its pods or scales it, and what belongs to no Deployment in particular.
func partOf(all []*object, d *appsv1.Deployment) (part []*object) {
	for _, o := range all {
		if x, ok := o.typed.(*appsv1.Deployment); ok && x != d {
			continue
		}
		if s := selector(o); s != nil && !labels.SelectorFromSet(s).Matches(labels.Set(d.Spec.Template.Labels)) {
			continue
		}
		if name := target(o); name != "" && name != d.Name {
			continue
		}
		part = append(part, o)
	}
	return part
}

// checkRole holds a Deployment's network and size against what its role does.
func checkRole(t *testing.T, part []*object, d *appsv1.Deployment, role string, shared bool) {
	t.Helper()
	services := 0
	for _, o := range part {
		switch x := o.typed.(type) {
		case *corev1.Service:
			services++
		case *networkingv1.NetworkPolicy:
			http := slices.ContainsFunc(x.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool {
				return slices.ContainsFunc(r.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.StrVal == "http" })
			})
			if http == (role == "worker") {
				t.Errorf("%v lets requests for images in: %v", o, http)
			}
			if got := reaches(x, 6379); got != shared {
				t.Errorf("%v allows Valkey: %v", o, got)
			}
			if origin := reaches(x, 3000); origin == (role == "web") {
				t.Errorf("%v allows the origin: %v", o, origin)
			}
			if role != "web" {
				checkNetworkPolicy(t, x)
			} else if strings.Contains(string(o.text), "0.0.0.0/0") {
				t.Errorf("%v lets pods fetch that do not", o)
			}
		}
	}
	if (services > 0) == (role == "worker") {
		t.Errorf("%d Services for %q", services, role)
	}
	c := container(t, d, "imgopt")
	if role == "web" && c.Resources.Limits.Memory().Value() > 512<<20 {
		t.Errorf("%s has memory for codecs: %v", d.Name, c.Resources.Limits.Memory())
	}
	if role == "worker" && d.Spec.MinReadySeconds == 0 {
		t.Errorf("%s is replaced as fast as what needs it", d.Name)
	}
}

// reaches tells whether a policy has a rule for that port, beside the one for all ports of public addresses.
func reaches(p *networkingv1.NetworkPolicy, port int32) bool {
	return slices.ContainsFunc(p.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
		return slices.ContainsFunc(r.Ports, func(x networkingv1.NetworkPolicyPort) bool { return x.EndPort == nil && x.Port.IntVal == port })
	})
}
