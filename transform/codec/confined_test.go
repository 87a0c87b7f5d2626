package codec

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imgopt/transform"
)

// insideEnv tells the test binary that it was started by TestConfined.
const insideEnv = "IMGOPT_TEST_INSIDE"

// setpriv is a container's usual user: no privileges, and no way to get any.
var setpriv = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--no-new-privs"}

// readOnly makes a world of its own without a place to write: a read-only root, /tmp and /dev/shm that nobody can
// enter. $1 is a folder with the test binary and its libraries, the rest a command that is given the binary's name.
const readOnly = `set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 none /mnt
cp -r "$1"/. /mnt
mount -o remount,ro /mnt
for d in /tmp /var/tmp /dev/shm; do [ ! -d $d ] || mount -t tmpfs -o mode=000,ro none $d; done
mount -o remount,bind,ro /
shift
cd /
exec "$@"`

// forbidden is what unshare and mount say where root is not allowed to use them, as in most containers.
var forbidden = regexp.MustCompile(`(?m)^(unshare|mount|setpriv): .*(not permitted|permission denied)`)

// The pool works where a container gives it nothing: as a user without privileges, on a read-only root, without
// /tmp and /dev/shm.
func TestConfined(t *testing.T) {
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil { // another user must get there
			t.Fatal(err)
		}
	}
	copyFile(t, "/proc/self/exe", filepath.Join(dir, "codec.test"))
	libraries, _ := filepath.Glob(filepath.Join(os.Getenv("LD_LIBRARY_PATH"), "libvips*.so.*"))
	for _, l := range libraries {
		copyFile(t, l, filepath.Join(dir, "lib", filepath.Base(l)))
	}
	inside := []string{"-test.run=^TestInside$", "-test.v", "-test.timeout=60s"}
	libraryPath := "/mnt/lib:" + dir + "/lib"
	for name, command := range map[string][]string{
		"unprivileged":             append(append([]string{}, setpriv...), filepath.Join(dir, "codec.test")),
		"and nowhere to write":     append(append([]string{"unshare", "-m", "sh", "-c", readOnly, "sh", dir}, setpriv...), "/mnt/codec.test"),
		"root and no where either": {"unshare", "-m", "sh", "-c", readOnly, "sh", dir, "/mnt/codec.test"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(command[0]); err != nil {
				if os.Getenv("CI") != "" {
					t.Fatal(err)
				}
				t.Skipf("%s is not installed", command[0])
			}
			// With sudo the sandbox is the same; where there is none either, nothing that can be installed would help, so that
			// it is no failure in CI. Run as another user than root, every other test here shows most of it.
			if os.Getuid() != 0 {
				if out, err := exec.Command("sudo", "-n", "true").CombinedOutput(); err != nil {
					t.Skipf("only root may give up root's privileges, or mount, and sudo does not help (%v): %s", err, out)
				}
				command = append([]string{"sudo", "-n", "env", insideEnv + "=" + name, "LD_LIBRARY_PATH=" + libraryPath}, command...)
			}
			cmd := exec.CommandContext(t.Context(), command[0], append(command[1:], inside...)...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), insideEnv + "=" + name, "LD_LIBRARY_PATH=" + libraryPath}
			out, err := cmd.CombinedOutput()
			if forbidden.Match(out) {
				t.Skipf("this machine does not permit it: %s", out)
			}
			if err != nil || !bytes.Contains(out, []byte("--- PASS: TestInside")) {
				t.Fatalf("%v: %s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestInside(t *testing.T) {
	world := os.Getenv(insideEnv)
	if world == "" {
		t.Skip("TestConfined runs it")
	}
	if !strings.HasPrefix(world, "root") {
		status := procFile(t, os.Getpid(), "status")
		if os.Getuid() == 0 || field(t, status, "CapEff:") != "0000000000000000" || field(t, status, "CapBnd:") != "0000000000000000" || field(t, status, "NoNewPrivs:") != "1" {
			t.Fatalf("this is not unprivileged: %s", status)
		}
	}
	if world != "unprivileged" {
		for _, dir := range []string{"/", "/tmp", "/dev/shm", "/mnt", "."} {
			if f, err := os.CreateTemp(dir, ""); err == nil {
				t.Errorf("a file could be made: %s", f.Name())
			}
		}
	}
	p := pool(t, settings(t))
	t.Logf("uid %d: %s", os.Getuid(), p.Restrictions())
	src := pngOf(t, picture(200, 150))
	for _, output := range []string{transform.JPEG, transform.PNG, transform.WebP, transform.AVIF} {
		for range 3 {
			if _, err := p.Encode(t.Context(), src, transform.Spec{Output: output, Width: 96, Quality: 75}); err != nil {
				t.Errorf("%s: %v", output, err)
			}
		}
		for _, pid := range p.victims() {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
	if st := p.Stats(); st.Encoded != 12 || st.Crashed != 0 || st.Replaced == 0 {
		t.Errorf("%+v", st)
	}
}
