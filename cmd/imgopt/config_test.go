package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// imgopt config --json is for programs: the configuration, the origin of each value, and the Next.js build.
func TestConfigJSON(t *testing.T) {
	t.Parallel()
	const build = "../../config/testdata/next/basepath"
	run := func(args ...string) ([]byte, error) {
		cmd := exec.Command("imgopt", append([]string{"config"}, args...)...)
		cmd.Env = environment()
		return cmd.CombinedOutput()
	}
	out, err := run("--json", "--nextDir="+build, "--timeout=1m", "--origin=http://a:1", "--origin=http://b:2")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Config struct {
			Timeout, BasePath string
			Origin            []string
			MaxAttempts       int
			Transform         struct{ Mozjpeg bool }
			TrailingSlash     bool
		}
		Origins map[string]struct{ Layer, Name string }
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := got.Config
	if c.Timeout != "1m0s" || c.BasePath != "/docs" || strings.Join(c.Origin, " ") != "http://a:1 http://b:2" || c.MaxAttempts != 3 || !c.Transform.Mozjpeg {
		t.Errorf("config: %+v", c)
	}
	if !c.TrailingSlash {
		t.Error("the build's trailingSlash is not there")
	}
	for key, name := range map[string]string{
		"timeout": "--timeout", "origin": "--origin", "maxAttempts": "", "basePath": filepath.Join(build, "required-server-files.json"),
	} {
		if o, ok := got.Origins[key]; !ok || o.Name != name {
			t.Errorf("origins: %s comes from %+v, want %q", key, o, name)
		}
	}

	// What it prints is a configuration file.
	var printed struct{ Config json.RawMessage }
	if err := json.Unmarshal(out, &printed); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "imgopt.json")
	if err := os.WriteFile(file, printed.Config, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run("--check", "--config="+file); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
