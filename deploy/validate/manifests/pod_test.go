package manifests

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	podsecurity "k8s.io/pod-security-admission/api"
	podpolicy "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"imgopt/deploy/validate/internal/lab"
)

// checkDeployment holds the pod, its configuration and what selects it against each other.
func checkDeployment(t *testing.T, all []*object, name, containerName string) {
	t.Helper()
	d := one[*appsv1.Deployment](t, all, "")
	if !strings.Contains(d.Name, name) {
		t.Errorf("the Deployment is %s", d.Name)
	}
	pod := d.Spec.Template
	evaluator, err := podpolicy.NewEvaluator(podpolicy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range evaluator.EvaluatePod(podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}, &pod.ObjectMeta, &pod.Spec) {
		if !r.Allowed {
			t.Errorf("the restricted Pod Security Standard forbids: %s %s", r.ForbiddenReason, r.ForbiddenDetail)
		}
	}
	c := container(t, d, containerName)
	s := c.SecurityContext
	if s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
		t.Error("the root filesystem can be written")
	}
	if pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks || pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
		t.Error("the pod gets variables of Services or a token")
	}

	config, env := configuration(t, all, d, c), environment(t, c)
	checkConfiguration(t, config, env)
	keys := []string{"listen", "adminListen"}
	if env["IMGOPT_ROLE"] == "worker" {
		keys = keys[1:] // it has no public port
	}
	if len(c.Ports) != len(keys) {
		t.Fatalf("the ports %+v are not those of %q", c.Ports, keys)
	}
	for i, key := range keys {
		address, err := netip.ParseAddrPort("0.0.0.0" + config[key].(string))
		if err != nil || int32(address.Port()) != c.Ports[i].ContainerPort {
			t.Errorf("%s is %v, the container's port is %d", key, config[key], c.Ports[i].ContainerPort)
		}
	}
	admin := c.Ports[len(keys)-1].Name
	for kind, probe := range map[string]*corev1.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe, "/healthz ": c.StartupProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != strings.TrimSpace(kind) || probe.HTTPGet.Port.StrVal != admin {
			t.Errorf("the probe of %s: %+v", kind, probe)
		}
	}
	grace, err := time.ParseDuration(config["shutdownTimeout"].(string))
	if err != nil || time.Duration(*pod.Spec.TerminationGracePeriodSeconds)*time.Second < grace+3*time.Second {
		t.Errorf("terminationGracePeriodSeconds %d is too short for shutdownTimeout %v", *pod.Spec.TerminationGracePeriodSeconds, grace)
	}
	if _, off := env["IMGOPT_CACHE_DISK_PATH"]; !off {
		checkVolumes(t, pod.Spec, c, config)
	}

	podLabels := labels.Set(pod.Labels)
	for _, o := range all {
		switch x := o.typed.(type) {
		case *corev1.Service:
			if !labels.SelectorFromSet(x.Spec.Selector).Matches(podLabels) {
				t.Errorf("%v does not select the pods", o)
			}
			found := false
			for _, p := range allPorts(pod.Spec) {
				found = found || p.Name == x.Spec.Ports[0].TargetPort.StrVal
			}
			if !found || x.Spec.Ports[0].TargetPort.StrVal == admin {
				t.Errorf("%v leads to port %v", o, x.Spec.Ports[0].TargetPort)
			}
		case *policyv1.PodDisruptionBudget:
			if !labels.SelectorFromSet(x.Spec.Selector.MatchLabels).Matches(podLabels) {
				t.Errorf("%v does not select the pods", o)
			}
		case *networkingv1.NetworkPolicy:
			if !labels.SelectorFromSet(x.Spec.PodSelector.MatchLabels).Matches(podLabels) {
				t.Errorf("%v does not select the pods", o)
			}
		}
	}
}

func allPorts(pod corev1.PodSpec) (ports []corev1.ContainerPort) {
	for _, c := range append(slices.Clone(pod.InitContainers), pod.Containers...) {
		ports = append(ports, c.Ports...)
	}
	return ports
}

// checkVolumes makes sure that the disk cache fits into its volume, and that into the pod's allowance.
func checkVolumes(t *testing.T, pod corev1.PodSpec, c corev1.Container, config map[string]any) {
	t.Helper()
	cache, _ := config["cache"].(map[string]any)
	disk, _ := cache["disk"].(map[string]any)
	if disk == nil {
		return
	}
	for _, m := range c.VolumeMounts {
		if m.MountPath != disk["path"] {
			continue
		}
		for _, v := range pod.Volumes {
			if v.Name != m.Name || v.EmptyDir == nil {
				continue
			}
			size, ephemeral := v.EmptyDir.SizeLimit.Value(), c.Resources.Limits.StorageEphemeral().Value()
			if limit := bytesOf(t, disk["max"].(string)); limit == 0 || limit >= size || size >= ephemeral {
				t.Errorf("cache.disk.max %v, sizeLimit %v, ephemeral-storage %v: each must be less than the next", limit, size, ephemeral)
			}
		}
		return
	}
	t.Errorf("nothing is mounted at cache.disk.path %v", disk["path"])
}

func bytesOf(t *testing.T, size string) int64 {
	t.Helper()
	var n int64
	for _, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if number, ok := strings.CutSuffix(size, unit); ok {
			for _, digit := range number {
				n = n*10 + int64(digit-'0')
			}
			return n << (10 * (1 + slices.Index([]string{"KiB", "MiB", "GiB", "TiB"}, unit)))
		}
	}
	t.Fatalf("a size this test cannot read: %s", size)
	return 0
}

// configuration returns the imgopt.yaml that the pod mounts where --config says.
func configuration(t *testing.T, all []*object, d *appsv1.Deployment, c corev1.Container) map[string]any {
	t.Helper()
	if !slices.Equal(c.Args, []string{"serve", "--config=/etc/imgopt/imgopt.yaml"}) {
		t.Errorf("args %q", c.Args)
	}
	for _, m := range c.VolumeMounts {
		for _, v := range d.Spec.Template.Spec.Volumes {
			if m.MountPath == "/etc/imgopt" && v.Name == m.Name && v.ConfigMap != nil {
				var config map[string]any
				if err := yaml.UnmarshalStrict([]byte(one[*corev1.ConfigMap](t, all, v.ConfigMap.Name).Data["imgopt.yaml"]), &config); err != nil {
					t.Fatal(err)
				}
				return config
			}
		}
	}
	t.Fatal("no ConfigMap is mounted at /etc/imgopt")
	return nil
}

// valkeyURL is what a Secret with Valkey's url may hold.
const valkeyURL = "valkeys://imgopt:p%40ss@valkey-0:6379,valkey-1:6379"

// environment returns the container's variables of imgopt. What comes from a Secret is Valkey's url, and Valkey's url
// comes from nowhere else; what comes from a ConfigMap of somebody else's is left out.
func environment(t *testing.T, c corev1.Container) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, e := range c.Env {
		secret := e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil
		if secret != (e.Name == "IMGOPT_STORAGE_URL") {
			t.Errorf("%s comes from a Secret? %v", e.Name, secret)
		}
		switch {
		case secret:
			env[e.Name] = valkeyURL
		case e.ValueFrom == nil && strings.HasPrefix(e.Name, "IMGOPT_"):
			env[e.Name] = e.Value
		}
	}
	return env
}

// checkConfiguration asks the real imgopt what it thinks of a configuration. A build that it names stands for any.
func checkConfiguration(t *testing.T, config map[string]any, env map[string]string) {
	t.Helper()
	program := lab.Imgopt(t)
	config = mapsClone(config)
	if config["nextDir"] != nil {
		config["nextDir"] = filepath.Join(lab.Root(t), "config", "testdata", "next", "basepath")
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "imgopt.yaml")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "config", "--check", "--config="+file)
	cmd.Env = []string{"IMGOPT_PORT=tcp://10.0.0.1:80"} // as a Service named imgopt makes it
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("imgopt refuses the configuration: %v\n%s\n%s", err, out, text)
	}
}

func mapsClone(m map[string]any) map[string]any {
	c := map[string]any{}
	for k, v := range m {
		c[k] = v
	}
	return c
}

func container(t *testing.T, d *appsv1.Deployment, name string) corev1.Container {
	t.Helper()
	for _, c := range append(slices.Clone(d.Spec.Template.Spec.InitContainers), d.Spec.Template.Spec.Containers...) {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("%s has no container %s", d.Name, name)
	return corev1.Container{}
}
