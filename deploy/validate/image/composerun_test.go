package image

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"imgopt/deploy/validate/internal/lab"
)

// application counts how often each of its images is fetched. All are the same photo.
type application struct {
	*httptest.Server
	mu      sync.Mutex
	fetched map[string]int
}

func newApplication(t *testing.T) *application {
	t.Helper()
	photo, err := os.ReadFile(filepath.Join(lab.Root(t), "testdata", "images", "photo-640.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	a := &application{fetched: map[string]int{}}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.fetched[r.URL.Path]++
		a.mu.Unlock()
		w.Header().Set("Content-Type", "image/jpeg")
		_, _ = w.Write(photo)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *application) count(path string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fetched[path]
}

// What the Compose file starts, without its containers: its nginx with its configuration, its two imgopts and its Valkey
// with the variables and arguments that it gives them. An image is fetched once for both, made by one and found by the
// other; a purge of one reaches the other; and without Valkey both go on.
func TestComposeRuns(t *testing.T) {
	t.Parallel()
	program := lab.Imgopt(t)
	project, err := load(t, "APP="+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	app := newApplication(t)
	store := "127.0.0.1:" + lab.FreePort(t)
	command := project.Services["valkey"].Command
	if len(command) == 0 || command[0] != "valkey-server" {
		t.Fatalf("valkey is started with %q", command)
	}
	valkey := lab.Valkey(t, store, command[1:]...)

	names := []string{"imgopt-1", "imgopt-2"}
	public, admin := map[string]string{}, map[string]string{}
	for _, name := range names {
		public[name], admin[name] = "127.0.0.1:"+lab.FreePort(t), "127.0.0.1:"+lab.FreePort(t)
		p := lab.Start(t, append(variables(t, project.Services[name], app.URL, store), "TMPDIR="+t.TempDir(),
			"IMGOPT_LISTEN="+public[name], "IMGOPT_ADMIN_LISTEN="+admin[name], "IMGOPT_TRANSFORM_WORKERS=1"), program, "serve")
		lab.Ready(t, p, "http://"+admin[name]+"/readyz")
	}
	front := "127.0.0.1:" + lab.FreePort(t)
	lab.Nginx(t, lab.Replace(t, lab.Read(t, "docker/nginx.conf"), "server imgopt-1:3000 ", "server "+public["imgopt-1"]+" ",
		"server imgopt-2:3000 ", "server "+public["imgopt-2"]+" ", "frontend:3000", strings.TrimPrefix(app.URL, "http://"), "listen 8080", "listen "+front), front)

	// Both are asked for the same at once, and the proxy, too.
	everyone := append([]string{front}, public["imgopt-1"], public["imgopt-2"])
	const images = 12
	var asking sync.WaitGroup
	for n := range images {
		for _, address := range everyone {
			asking.Go(func() { get(t, address, image(n)) })
		}
	}
	asking.Wait()
	for n := range images {
		if got := app.count(path(n)); got != 1 {
			t.Errorf("%s was fetched %d times", path(n), got)
		}
		for _, address := range everyone {
			if state := get(t, address, image(n)); state != "HIT" {
				t.Errorf("%s has %s: %s", address, path(n), state)
			}
		}
	}

	cmd := exec.Command(program, "purge", "--admin=http://"+admin["imgopt-1"], "--url="+path(0))
	cmd.Env = []string{"TMPDIR=" + t.TempDir()}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("imgopt purge: %v\n%s", err, out)
	}
	lab.Eventually(t, "the other forgets what was purged", func() bool {
		get(t, public["imgopt-2"], image(0))
		return app.count(path(0)) == 2
	})
	if got := app.count(path(1)); got != 1 {
		t.Errorf("more than one image was purged: %d fetches of another", got)
	}

	// Nobody notices that Valkey goes, but who asks.
	const away = `"name":"valkey"`
	if err := valkey.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-valkey.Ended
	for n := range 2 * images {
		get(t, front, image(n))
	}
	for _, name := range names {
		if report := body(t, "http://"+admin[name]+"/readyz"); !strings.Contains(report, away) {
			t.Errorf("%s does not tell that Valkey is away: %s", name, report)
		}
	}
	lab.Valkey(t, store, command[1:]...)
	for _, name := range names {
		lab.Eventually(t, name+" uses Valkey again", func() bool { return !strings.Contains(body(t, "http://"+admin[name]+"/readyz"), away) })
	}
}

// variables are those of the Compose file, with this machine's addresses and folders. The build is left out: there is
// none here.
func variables(t *testing.T, s types.ServiceConfig, app, store string) (env []string) {
	t.Helper()
	for name, value := range s.Environment {
		switch name {
		case "IMGOPT_NEXT_DIR":
			continue
		case "IMGOPT_ORIGIN":
			*value = app
		case "IMGOPT_CACHE_DISK_PATH":
			*value = t.TempDir()
		case "IMGOPT_CACHE_DISK_MAX":
			*value = "64MiB"
		case "IMGOPT_STORAGE_URL":
			*value = lab.Replace(t, *value, "valkey:6379", store)
		}
		env = append(env, name+"="+*value)
	}
	return env
}

func path(n int) string { return fmt.Sprintf("/photo-%d.jpg", n) }

func image(n int) string { return "/_next/image?url=" + path(n) + "&w=64&q=75" }

// get asks for an image and returns its X-Nextjs-Cache. Anything else than an image is an error.
func get(t *testing.T, address, target string) string {
	resp, err := http.Get("http://" + address + target)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("%s%s: %d %s %v %.100s", address, target, resp.StatusCode, resp.Header.Get("Content-Type"), err, data)
	}
	return resp.Header.Get("X-Nextjs-Cache")
}

func body(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v %s", url, resp.StatusCode, err, data)
	}
	return string(data)
}
