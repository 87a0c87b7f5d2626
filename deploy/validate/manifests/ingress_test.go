package manifests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/traefik/traefik/v3/pkg/middlewares/requestdecorator"
	httpmuxer "github.com/traefik/traefik/v3/pkg/muxer/http"
	traefikv1alpha1 "github.com/traefik/traefik/v3/pkg/provider/kubernetes/crd/traefikio/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"imgopt/deploy/validate/internal/lab"
)

// Traefik's own router with the rules of the recipe: what goes where.
func TestTraefikRules(t *testing.T) {
	t.Parallel()
	all := parse(t, "traefik", lab.Read(t, "ingress/kubernetes/traefik.yaml"))
	parser, err := httpmuxer.NewSyntaxParser()
	if err != nil {
		t.Fatal(err)
	}
	mux := httpmuxer.NewMuxer(parser)
	for _, r := range one[*traefikv1alpha1.IngressRoute](t, all, "").Spec.Routes {
		priority := r.Priority
		if priority == 0 {
			priority = httpmuxer.GetRulePriority(r.Match)
		}
		service := r.Services[0].Name
		if err := mux.AddRoute(r.Match, "", priority, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, service) })); err != nil {
			t.Fatal(err)
		}
		for _, m := range r.Middlewares {
			one[*traefikv1alpha1.Middleware](t, all, m.Name)
		}
		if s := r.Services[0].ServersTransport; s != "" {
			one[*traefikv1alpha1.ServersTransport](t, all, s)
		}
	}
	for request, want := range map[string]string{
		"GET /_next/image?url=/a&w=64&q=75":   "imgopt",
		"HEAD /_next/image?url=/a&w=64&q=75":  "imgopt",
		"GET /_next/image/?url=/a&w=64&q=75":  "imgopt",
		"POST /_next/image":                   "frontend",
		"OPTIONS /_next/image/":               "frontend",
		"GET /_next/images":                   "frontend",
		"GET /_next/image/x":                  "frontend",
		"GET /docs/_next/image":               "frontend",
		"GET /_next/static/chunks/a.js?dpl=1": "frontend",
		"GET /":                               "frontend",
		"POST /api":                           "frontend",
	} {
		method, target, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		requestdecorator.New(nil).ServeHTTP(w, httptest.NewRequest(method, "https://shop.example.com"+target, nil), mux.ServeHTTP)
		if got := w.Body.String(); got != want {
			t.Errorf("%s goes to %q, want %q", request, got, want)
		}
	}
}

// HAProxy understands what the recipe for its controller adds to its configuration.
func TestHAProxySnippets(t *testing.T) {
	t.Parallel()
	haproxy := lab.Need(t, "haproxy")
	all := parse(t, "haproxy", lab.Read(t, "ingress/kubernetes/haproxy.yaml"))
	service := one[*corev1.Service](t, all, "imgopt-images")
	a := service.Annotations
	config := fmt.Sprintf(`
defaults
  mode http
  timeout connect 5s
  timeout client 50s
  timeout server 50s
frontend http
  bind 127.0.0.1:8080
  use_backend images if { path /_next/image } { %s }
backend images
  balance %s
  timeout server %s
%s
  server pod 127.0.0.1:1 check
`, a["haproxy.org/route-acl"], a["haproxy.org/load-balance"], a["haproxy.org/timeout-server"], a["haproxy.org/backend-config-snippet"])
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(haproxy, "-c", "-f", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, config)
	}
	for _, path := range one[*networkingv1.Ingress](t, all, "").Spec.Rules[0].HTTP.Paths {
		if s := path.Backend.Service; path.Path != "/" && (s.Name != service.Name || *path.PathType != networkingv1.PathTypeExact) {
			t.Errorf("%s: %v to %s", path.Path, *path.PathType, s.Name)
		}
	}
}

// F5's controller writes the directives of ingress/nginx.conf, which the tests of package proxy run.
func TestF5EqualsNginx(t *testing.T) {
	t.Parallel()
	v := one[*VirtualServer](t, parse(t, "f5", lab.Read(t, "ingress/kubernetes/f5-nginx.yaml")), "")
	plain := lab.Read(t, "ingress/nginx.conf")
	u := v.Spec.Upstreams[0]
	for _, directive := range []string{
		u.LBMethod, fmt.Sprintf("keepalive %d", u.Keepalive),
		"proxy_connect_timeout " + u.ConnectTimeout, "proxy_read_timeout " + u.ReadTimeout,
		"proxy_next_upstream " + u.NextUpstream, fmt.Sprintf("proxy_next_upstream_tries %d", u.NextUpstreamTries),
		"proxy_next_upstream_timeout " + u.NextUpstreamTimeout,
		"proxy_buffer_size " + u.BufferSize, fmt.Sprintf("proxy_buffers %d %s", u.Buffers.Number, u.Buffers.Size),
		"location " + v.Spec.Routes[0].Path + " {",
	} {
		if !strings.Contains(plain, "    "+strings.TrimSuffix(directive, ";")) {
			t.Errorf("ingress/nginx.conf has no %q", directive)
		}
	}
	if !strings.Contains(plain, fmt.Sprintf("max_fails=%d fail_timeout=%s;", u.MaxFails, u.FailTimeout)) {
		t.Errorf("ingress/nginx.conf has not max_fails=%d fail_timeout=%s", u.MaxFails, u.FailTimeout)
	}
	routed := map[string]string{}
	for _, m := range v.Spec.Routes[0].Matches {
		routed[m.Conditions[0].Variable+" "+m.Conditions[0].Value] = m.Action.Pass
	}
	if len(routed) != 2 || routed["$request_method GET"] != "imgopt" || routed["$request_method HEAD"] != "imgopt" || v.Spec.Routes[0].Action.Pass != "frontend" {
		t.Errorf("routes %v, otherwise %s", routed, v.Spec.Routes[0].Action.Pass)
	}
}
