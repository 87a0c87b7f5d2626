package image

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"imgopt/deploy/validate/internal/lab"
)

// load reads the Compose file with those variables.
func load(t *testing.T, env ...string) (*types.Project, error) {
	t.Helper()
	file := filepath.Join(lab.Root(t), "deploy", "docker", "compose.yaml")
	options, err := cli.NewProjectOptions([]string{file}, cli.WithEnv(env), cli.WithResolvedPaths(true), cli.WithInterpolation(true))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(context.Background())
}

func TestCompose(t *testing.T) {
	t.Parallel()
	if _, err := load(t); err == nil || !strings.Contains(err.Error(), "the directory of a built Next.js application") {
		t.Errorf("without APP: %v", err)
	}
	app := t.TempDir()
	p, err := load(t, "APP="+app)
	if err != nil {
		t.Fatal(err)
	}
	if names := p.ServiceNames(); !slices.Equal(slices.Sorted(slices.Values(names)), []string{"frontend", "imgopt-1", "imgopt-2", "nginx", "valkey"}) {
		t.Errorf("services %q", names)
	}
	for _, name := range []string{"imgopt-1", "imgopt-2"} {
		s := p.Services[name]
		if s.Build == nil || filepath.Join(s.Build.Context, s.Build.Dockerfile) != filepath.Join(lab.Root(t), "deploy/docker/Dockerfile") {
			t.Errorf("%s is built by %+v", name, s.Build)
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.MemLimit == 0 || s.CPUS == 0 {
			t.Errorf("%s may do more than it needs", name)
		}
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) <= 25*time.Second {
			t.Errorf("%s is killed before it has finished: %v", name, s.StopGracePeriod)
		}
		if len(s.Volumes) != 2 || s.Volumes[0].Source != app || !s.Volumes[0].ReadOnly || s.Volumes[1].Target != *s.Environment["IMGOPT_CACHE_DISK_PATH"] {
			t.Errorf("%s mounts %+v", name, s.Volumes)
		}
		if on := p.Services["nginx"].DependsOn[name]; on.Condition != types.ServiceConditionHealthy {
			t.Errorf("nginx does not wait for %s", name)
		}
		checkEnvironment(t, s)
		// What is not asked by name alone: it may be away at any time.
		if on := s.DependsOn["valkey"]; on.Condition != types.ServiceConditionStarted {
			t.Errorf("%s starts only with Valkey", name)
		}
	}
	store := p.Services["valkey"]
	if !store.ReadOnly || !slices.Equal(store.CapDrop, []string{"ALL"}) || store.MemLimit == 0 || len(store.Ports) > 0 || store.User == "" {
		t.Errorf("valkey may do more than it needs: %+v", store)
	}
	if !p.Networks["store"].Internal {
		t.Error("Valkey's network leads outside")
	}
	for name, s := range p.Services {
		_, reaches := s.Networks["store"]
		if needs := name == "valkey" || strings.HasPrefix(name, "imgopt-"); reaches != needs {
			t.Errorf("%s reaches Valkey: %v", name, reaches)
		}
		if _, outside := s.Networks["default"]; outside == (name == "valkey") {
			t.Errorf("%s is on the network of all: %v", name, outside)
		}
	}
	for _, s := range p.Services {
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind && v.Source != app {
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s: %v", s.Name, err)
				}
			}
		}
	}
}

// The proxy's configuration is the one that the tests of package proxy run, with other addresses.
func TestComposeNginx(t *testing.T) {
	t.Parallel()
	server := regexp.MustCompile(`(?m)^ +server [-a-z0-9.]+:\d+`)
	body := func(name string) string {
		_, text, _ := strings.Cut(lab.Read(t, name), "\n\n")
		return server.ReplaceAllString(strings.ReplaceAll(text, "    server imgopt-2:3000 max_fails=2 fail_timeout=5s;\n", ""), "server")
	}
	if a, b := body("docker/nginx.conf"), body("ingress/nginx.conf"); a != b {
		t.Errorf("docker/nginx.conf:\n%s\ningress/nginx.conf:\n%s", a, b)
	}
	for _, want := range []string{"server imgopt-1:3000 ", "server imgopt-2:3000 ", "server frontend:3000;"} {
		if !strings.Contains(lab.Read(t, "docker/nginx.conf"), want) {
			t.Errorf("no %q", want)
		}
	}
}
