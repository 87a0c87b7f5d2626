package manifests

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"imgopt/deploy/validate/internal/lab"
)

// The two Deployments of the component split, run: their imgopt.yaml and their variables, with this machine's addresses.
// web is not ready before it has seen a worker, has its images made there, and stays ready without one.
func TestSplitRuns(t *testing.T) {
	t.Parallel()
	program := lab.Imgopt(t)
	store := "127.0.0.1:" + lab.FreePort(t)
	// The user that the README allows what is needed, and nothing else.
	rights := regexp.MustCompile(`(?m)^user imgopt on >PASSWORD (.+)$`).FindStringSubmatch(lab.Read(t, "README.md"))
	if rights == nil {
		t.Fatal("the README does not say what imgopt needs of Valkey")
	}
	lab.Valkey(t, store, append([]string{"--save", "", "--user", "default", "off", "--user", "imgopt", "on", ">secret"}, strings.Fields(rights[1])...)...)
	photo, err := os.ReadFile(filepath.Join(lab.Root(t), "testdata", "images", "photo-640.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/jpeg")
		_, _ = w.Write(photo)
	}))
	t.Cleanup(app.Close)

	all := parse(t, "split", kustomize(t, []string{"kubernetes/base"}, []string{"kubernetes/split"}))
	start := func(name string) (p *lab.Process, public, admin string) {
		public, admin = "127.0.0.1:"+lab.FreePort(t), "127.0.0.1:"+lab.FreePort(t)
		d := one[*appsv1.Deployment](t, all, name)
		c := container(t, d, "imgopt")
		file := filepath.Join(t.TempDir(), "imgopt.yaml")
		for _, v := range d.Spec.Template.Spec.Volumes {
			if v.ConfigMap != nil {
				text := one[*corev1.ConfigMap](t, all, v.ConfigMap.Name).Data["imgopt.yaml"]
				if err := os.WriteFile(file, []byte(lab.Replace(t, text, "/var/cache/imgopt", t.TempDir(), "shutdownDelay: 5s", "shutdownDelay: 0s")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		env := []string{"TMPDIR=" + t.TempDir(), "IMGOPT_ORIGIN=" + app.URL, "IMGOPT_LISTEN=" + public, "IMGOPT_ADMIN_LISTEN=" + admin}
		for key, value := range environment(t, c) {
			if key == "IMGOPT_STORAGE_URL" {
				value = "valkey://imgopt:secret@" + store
			}
			env = append(env, key+"="+value)
		}
		p = lab.Start(t, env, program, "serve", "--config="+file)
		lab.Listening(t, p, admin)
		return p, public, admin
	}
	ask := func(address, target string) (int, string) {
		resp, err := http.Get("http://" + address + target)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		return resp.StatusCode, resp.Header.Get("Content-Type") + " " + string(data)
	}

	web, public, admin := start("imgopt")
	lab.Eventually(t, "web is not ready for want of a worker alone", func() bool {
		status, report := ask(admin, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(report, "no worker") && !strings.Contains(report, `"valkey"`)
	})
	worker, nobody, workerAdmin := start("imgopt-worker")
	for _, address := range []string{workerAdmin, admin} {
		lab.Eventually(t, "ready", func() bool { status, _ := ask(address, "/readyz"); return status == http.StatusOK })
	}
	if status, report := ask(nobody, "/"); status != 0 {
		t.Errorf("the worker has a public listener: %d %s", status, report)
	}
	const image = "/_next/image?url=/photo.jpg&w=64&q=75"
	if status, got := ask(public, image); status != http.StatusOK || !strings.HasPrefix(got, "image/jpeg ") {
		t.Errorf("an image: %d %.200s", status, got)
	}
	for _, p := range []*lab.Process{web, worker} {
		if out := p.Output(); strings.Contains(out, "NOPERM") || strings.Contains(out, `"level":"WARN"`) {
			t.Errorf("something is not allowed: %s", out)
		}
	}
	if err := worker.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-worker.Ended
	if status, got := ask(public, image); status != http.StatusOK {
		t.Errorf("the same without a worker: %d %.200s", status, got)
	}
	if status, report := ask(admin, "/readyz"); status != http.StatusOK {
		t.Errorf("web is no longer ready without a worker: %d %s", status, report)
	}
}
