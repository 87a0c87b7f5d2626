package lab

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// again is set for a test that was run once more by AsRoot.
const again = "IMGOPT_TEST_AS_ROOT"

// AsRoot reports whether the test is root and goes on. Where it is not but may become it without a password, as on
// GitHub's machines, the test is run once more as root, fails if that fails, and is done. Elsewhere it is skipped: in CI,
// too, as no program that can be installed would help.
func AsRoot(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() == 0 {
		return true
	}
	if os.Getenv(again) != "" {
		t.Fatal("sudo has not made it root")
	}
	if out, err := exec.Command("sudo", "-n", "true").CombinedOutput(); err != nil {
		t.Skipf("only root can do this, and sudo does not help (%v): %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// sudo takes most of the environment away.
	args := []string{"-n", "env", again + "=1"}
	for _, name := range []string{"PATH", "CI", "IMGOPT_BIN", "LD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			args = append(args, name+"="+value)
		}
	}
	args = append(args, self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=10m")
	cmd := exec.CommandContext(t.Context(), "sudo", args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as root: %v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("as root: %s", out)
	}
	t.Logf("as root: %s", out)
	return false
}
