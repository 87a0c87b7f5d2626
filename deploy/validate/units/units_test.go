// Package units checks the systemd units of deploy/sidecar with systemd's own tools, and their configuration with imgopt.
package units

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imgopt/deploy/validate/internal/lab"
)

// units writes the units with programs that are there.
func units(t *testing.T) (files []string) {
	t.Helper()
	dir := t.TempDir()
	for name, program := range map[string]string{"imgopt.service": "/usr/local/bin/imgopt", "shop.service": "/usr/bin/node"} {
		file := filepath.Join(dir, name)
		text := lab.Replace(t, lab.Read(t, "sidecar/systemd/"+name), program+" ", "/bin/true ")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

func TestVerify(t *testing.T) {
	t.Parallel()
	analyze := lab.Need(t, "systemd-analyze")
	out, err := exec.Command(analyze, append([]string{"verify", "--man=no", "--recursive-errors=no"}, units(t)...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// The exposure that systemd computes stays low: 0 is nothing, 10 everything.
func TestSecurity(t *testing.T) {
	t.Parallel()
	analyze := lab.Need(t, "systemd-analyze")
	for _, file := range units(t) {
		most := map[string]string{"imgopt.service": "16", "shop.service": "36"}[filepath.Base(file)] // tenths
		if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold="+most, file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(file), err, out)
		}
	}
}

// The codec processes' own sandbox needs these system calls, which no group of systemd 252 has.
func TestSystemCalls(t *testing.T) {
	t.Parallel()
	unit := lab.Read(t, "sidecar/systemd/imgopt.service")
	filter := ""
	for _, line := range strings.Split(unit, "\n") {
		if rest, ok := strings.CutPrefix(line, "SystemCallFilter="); ok {
			filter += " " + rest
		}
	}
	for _, call := range []string{"@system-service", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp"} {
		if !strings.Contains(filter+" ", " "+call+" ") {
			t.Errorf("SystemCallFilter lacks %s", call)
		}
	}
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "imgopt.yaml")
	text := lab.Replace(t, lab.Read(t, "sidecar/systemd/imgopt.yaml"), "nextDir: /srv/shop", "nextDir: "+filepath.Join(lab.Root(t), "config/testdata/next/basepath"))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(lab.Imgopt(t), "config", "--check", "--config="+file)
	cmd.Env = []string{} // not what the test itself is told by variables
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("imgopt refuses it: %v\n%s", err, out)
	}
}
