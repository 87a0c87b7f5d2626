// Package manifests checks the Kubernetes manifests of deploy/ and what its Helm chart renders as a cluster would:
// decoded strictly into the real API types, validated by the API server's own code or, for custom resources, by their
// definitions with the CEL rules, checked by kubeconform with schemas of the Kubernetes release in go.mod, and held
// against the restricted Pod Security Standard.
package manifests

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"

	envoyv1alpha1 "github.com/envoyproxy/gateway/api/v1alpha1"
	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	traefikv1alpha1 "github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	autoscalingvalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	// The types of the API server, with their defaults and conversions.
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
)

// custom holds the types of custom resources.
var custom = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{gatewayv1.Install, kedav1alpha1.AddToScheme, monitoringv1.AddToScheme,
		traefikv1alpha1.AddToScheme, envoyv1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	s.AddKnownTypes(schema.GroupVersion{Group: "k8s.nginx.org", Version: "v1"}, &VirtualServer{})
	return s
}()

// object is one document of a manifest.
type object struct {
	where string // the file, or what rendered it
	text  []byte
	meta  metav1.PartialObjectMetadata
	typed runtime.Object // as the API has it, with defaults
}

func (o *object) String() string { return o.where + ": " + o.meta.Kind + " " + o.meta.Name }

// parse splits a manifest, decodes every document and validates it.
func parse(t *testing.T, where, text string) (all []*object) {
	t.Helper()
	reader := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := reader.Read()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(withoutComments(document))) == 0 {
			continue
		}
		o := &object{where: where, text: document}
		if err := yaml.Unmarshal(document, &o.meta); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		scheme := legacyscheme.Scheme
		gvk := o.meta.GroupVersionKind()
		if custom.Recognizes(gvk) {
			scheme = custom
		}
		// Strict: an unknown or repeated key is an error.
		decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
		if o.typed, _, err = decoder.Decode(document, nil, nil); err != nil {
			t.Errorf("%v: %v", o, err)
			continue
		}
		o.validate(t)
		all = append(all, o)
	}
}

// validate does what the API server does when the object is created.
func (o *object) validate(t *testing.T) {
	t.Helper()
	if custom.Recognizes(o.meta.GroupVersionKind()) {
		validateCustom(t, o)
		return
	}
	legacyscheme.Scheme.Default(o.typed)
	internal, err := legacyscheme.Scheme.UnsafeConvertToVersion(o.typed.DeepCopyObject(), schema.GroupVersion{Group: o.meta.GroupVersionKind().Group, Version: runtime.APIVersionInternal})
	if err != nil {
		t.Errorf("%v: %v", o, err)
		return
	}
	var errs field.ErrorList
	switch x := internal.(type) {
	case *apps.Deployment:
		x.Namespace = "default"
		errs = appsvalidation.ValidateDeployment(x, corevalidation.PodValidationOptions{})
	case *core.Service:
		x.Namespace = "default"
		errs = corevalidation.ValidateServiceCreate(x)
	case *core.ServiceAccount:
		x.Namespace = "default"
		errs = corevalidation.ValidateServiceAccount(x)
	case *core.ConfigMap:
		x.Namespace = "default"
		errs = corevalidation.ValidateConfigMap(x)
	case *policy.PodDisruptionBudget:
		x.Namespace = "default"
		errs = policyvalidation.ValidatePodDisruptionBudget(x, policyvalidation.PodDisruptionBudgetValidationOptions{})
	case *autoscaling.HorizontalPodAutoscaler:
		x.Namespace = "default"
		errs = autoscalingvalidation.ValidateHorizontalPodAutoscaler(x, autoscalingvalidation.HorizontalPodAutoscalerSpecValidationOptions{})
	case *networking.NetworkPolicy:
		x.Namespace = "default"
		errs = networkingvalidation.ValidateNetworkPolicy(x, networkingvalidation.NetworkPolicyValidationOptions{})
	case *networking.Ingress:
		x.Namespace = "default"
		errs = networkingvalidation.ValidateIngressCreate(x)
	default:
		t.Errorf("%v: nothing here validates a %T", o, x)
	}
	for _, e := range errs {
		t.Errorf("%v: %v", o, e)
	}
}

// one returns the object of a type, and fails if there is none or more than one. With a name, only that counts.
func one[T runtime.Object](t *testing.T, all []*object, name string) T {
	t.Helper()
	var found []T
	for _, o := range all {
		if x, ok := o.typed.(T); ok && (name == "" || o.meta.Name == name) {
			found = append(found, x)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T named %q, want one", len(found), *new(T), name)
	}
	return found[0]
}

// VirtualServer is what the recipe for F5's controller uses of its custom resource (config/crd/bases in that project,
// whose module is not to be had): a misspelt key is found all the same.
type VirtualServer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		IngressClassName string `json:"ingressClassName"`
		Host             string `json:"host"`
		Upstreams        []struct {
			Name                string `json:"name"`
			Service             string `json:"service"`
			Port                int    `json:"port"`
			LBMethod            string `json:"lb-method"`
			Keepalive           int    `json:"keepalive"`
			ConnectTimeout      string `json:"connect-timeout"`
			ReadTimeout         string `json:"read-timeout"`
			NextUpstream        string `json:"next-upstream"`
			NextUpstreamTries   int    `json:"next-upstream-tries"`
			NextUpstreamTimeout string `json:"next-upstream-timeout"`
			MaxFails            int    `json:"max-fails"`
			FailTimeout         string `json:"fail-timeout"`
			Buffering           bool   `json:"buffering"`
			BufferSize          string `json:"buffer-size"`
			Buffers             struct {
				Number int    `json:"number"`
				Size   string `json:"size"`
			} `json:"buffers"`
		} `json:"upstreams"`
		Routes []struct {
			Path    string `json:"path"`
			Matches []struct {
				Conditions []struct {
					Variable string `json:"variable"`
					Value    string `json:"value"`
				} `json:"conditions"`
				Action pass `json:"action"`
			} `json:"matches"`
			Action pass `json:"action"`
		} `json:"routes"`
	} `json:"spec"`
}

type pass struct {
	Pass string `json:"pass"`
}

// DeepCopyObject makes it a runtime.Object.
func (v *VirtualServer) DeepCopyObject() runtime.Object { c := *v; return &c }

func withoutComments(document []byte) []byte {
	var kept [][]byte
	for _, line := range bytes.Split(document, []byte("\n")) {
		if trimmed := bytes.TrimSpace(line); !bytes.HasPrefix(trimmed, []byte("#")) && string(trimmed) != "---" {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, []byte("\n"))
}
