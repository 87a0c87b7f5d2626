package observe

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imgopt/deploy/validate/internal/lab"
)

// promtool's own checks, and its tests of the alerts (testdata/rules_test.yaml): each fires when it should, and only then.
func TestPromtool(t *testing.T) {
	t.Parallel()
	promtool := lab.Need(t, "promtool")
	rules := filepath.Join(lab.Root(t), "deploy", "prometheus", "rules.yaml")
	if out, err := exec.Command(promtool, "check", "rules", "--lint=all", "--lint-fatal", rules).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
	dir := t.TempDir()
	for from, to := range map[string]string{rules: "rules.yaml", "testdata/rules_test.yaml": "rules_test.yaml"} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(promtool, "test", "rules", "rules_test.yaml")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool test rules: %v\n%s", err, out)
	}
}

// unseen are panels of what did not happen in TestLive: their metrics have no values before.
var unseen = []string{"Work shared", "What is not an image", "Refused", "Why fetches fail", "Revalidations", "Restarts", "Codec processes replaced", "Served as they are"}

// A real Prometheus scrapes a real imgopt at work and answers every query of the dashboard.
func TestLive(t *testing.T) {
	t.Parallel()
	imgopt, prometheus := lab.Imgopt(t), lab.Need(t, "prometheus")
	_, queries := readDashboard(t)

	// With Valkey, for the panels of what is shared.
	valkey := "127.0.0.1:" + lab.FreePort(t)
	lab.Valkey(t, valkey, "--save", "")
	public, admin := "127.0.0.1:"+lab.FreePort(t), "127.0.0.1:"+lab.FreePort(t)
	images := filepath.Join(lab.Root(t), "testdata", "images")
	service := lab.Start(t, []string{"TMPDIR=" + t.TempDir()}, imgopt, "serve", "--origin=file://"+images, "--listen="+public, "--adminListen="+admin,
		"--cache.disk.path="+t.TempDir(), "--storage.type=valkey", "--storage.url=valkey://"+valkey, "--transform.workers=1", "--log.access=false")
	lab.Ready(t, service, "http://"+admin+"/readyz")

	dir, address := t.TempDir(), "127.0.0.1:"+lab.FreePort(t)
	config := fmt.Sprintf(`
global: {scrape_interval: 500ms}
rule_files: [%s]
scrape_configs:
  - job_name: shop/imgopt
    static_configs: [{targets: ["%s"], labels: {namespace: shop, pod: imgopt-0}}]
`, filepath.Join(lab.Root(t), "deploy", "prometheus", "rules.yaml"), admin)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	server := lab.Start(t, nil, prometheus, "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+address)
	lab.Ready(t, server, "http://"+address+"/-/ready")

	ask := func(expr string) (result []any) {
		t.Helper()
		expr = strings.NewReplacer("$__rate_interval", "30s", "$namespace", ".*", "$pod", ".*").Replace(expr)
		resp, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(expr))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer struct {
			Status, Error string
			Data          struct{ Result []any }
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Status != "success" {
			t.Fatalf("%s: %s %s %v", expr, answer.Status, answer.Error, err)
		}
		return answer.Data.Result
	}
	request := 0
	work := func() { // a new image, and one that is there
		widths := []int{32, 48, 64, 96, 128, 256, 384, 640, 750, 828, 1080, 1200, 1920, 2048, 3840}
		for _, n := range []int{request, 0} {
			accept := []string{"image/webp", "image/png"}[n%2]
			name := []string{"64x64.png", "65x65.png", "63x63.png", "photo-640.jpg"}[n/2%4]
			r, _ := http.NewRequest("GET", fmt.Sprintf("http://%s/_next/image?url=/%s&w=%d&q=75", public, name, widths[n/8%len(widths)]), nil)
			r.Header.Set("Accept", accept)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: %d", name, resp.StatusCode)
			}
		}
		request++
		time.Sleep(100 * time.Millisecond) // less than a scrape interval: Prometheus is to see the counters grow
	}
	// A rate needs two values, and its series must have been there before what it counts.
	work()
	lab.Eventually(t, "Prometheus sees the work", func() bool {
		work()
		return len(ask(`rate(imgopt_http_requests_total{cache="hit"}[30s]) > 0`)) > 0 && len(ask(`rate(imgopt_transform_output_bytes_total[30s]) > 0`)) > 0
	})
	for _, q := range queries {
		if got := ask(q.expr); len(got) == 0 && !contains(unseen, q.panel) {
			t.Errorf("%s: nothing to show for %s", q.panel, q.expr)
		}
	}
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if strings.HasSuffix(s, a) {
			return true
		}
	}
	return false
}
