package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"imgopt/deploy/validate/internal/lab"
)

// user is the image's.
const user = 65532

// inImage runs the image's program as the engine would: in its filesystem, as its user, with nothing else in its
// environment.
func inImage(root string, env []string, args ...string) *exec.Cmd {
	cmd := exec.Command("/usr/local/bin/imgopt", args...)
	cmd.Dir = "/"
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: user, Gid: user}, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// rootfs makes the image's filesystem with the script of the Dockerfile.
func rootfs(t *testing.T) string {
	t.Helper()
	bin := filepath.Dir(lab.Imgopt(t))
	// Not below a temporary directory of the test: the image's user has to get there.
	parent, err := os.MkdirTemp("", "image")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(parent, "root")
	cmd := exec.Command("deploy/docker/rootfs", bin, root)
	cmd.Dir = lab.Root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("rootfs: %v\n%s", err, out)
	}
	// What the engine adds: /dev, and /proc, from which imgopt starts its codec processes.
	null := filepath.Join(root, "dev", "null")
	if err := syscall.Mknod(null, syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
		withheld(t, "making a device", err)
	}
	if err := os.Chmod(null, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""); err != nil {
		withheld(t, "mounting /proc", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(filepath.Join(root, "proc"), syscall.MNT_DETACH) })
	return root
}

// withheld skips the test where root may not do what root does, as in most containers. Every other error fails it.
func withheld(t *testing.T, what string, err error) {
	t.Helper()
	if errors.Is(err, fs.ErrPermission) {
		t.Skipf("%s is not permitted to root here: %v", what, err)
	}
	t.Fatalf("%s: %v", what, err)
}

// The image's content is what the program needs, and it is enough: it serves an image, says that it is healthy, and
// says that it is not when it is gone.
func TestRootfs(t *testing.T) {
	t.Parallel()
	if !lab.AsRoot(t) {
		return
	}
	root := rootfs(t)
	var size int64
	if err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if path == filepath.Join(root, "proc") {
			return fs.SkipDir
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			t.Errorf("%s is setuid", path)
		}
		name := strings.TrimPrefix(path, root)
		if info.Mode()&0o111 != 0 && name != "/usr/local/bin/imgopt" && !strings.Contains(name, ".so") {
			t.Errorf("%s can be executed", name)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if size > 80<<20 {
		t.Errorf("%d MiB", size>>20)
	}
	if out, err := inImage(root, nil, "version").CombinedOutput(); err != nil || !strings.Contains(string(out), "libvips") {
		t.Fatalf("imgopt version: %v\n%s", err, out)
	}

	data, err := os.ReadFile(filepath.Join(lab.Root(t), "testdata", "images", "64x64.png"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "app"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "app", "a.png"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	public, admin := "127.0.0.1:"+lab.FreePort(t), "127.0.0.1:"+lab.FreePort(t)
	env := []string{"IMGOPT_ORIGIN=file:///app", "IMGOPT_LISTEN=" + public, "IMGOPT_ADMIN_LISTEN=" + admin,
		"IMGOPT_CACHE_DISK_PATH=/var/cache/imgopt", "IMGOPT_CACHE_DISK_MAX=1GiB", "IMGOPT_TRANSFORM_WORKERS=1"}
	if out, err := inImage(root, env, "health").CombinedOutput(); err == nil || !strings.Contains(string(out), "health") {
		t.Errorf("healthy before it was started: %s", out)
	}
	var log strings.Builder
	service := inImage(root, env, "serve")
	service.Stderr = &log
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = service.Process.Signal(syscall.SIGTERM)
		if err := service.Wait(); err != nil {
			t.Errorf("the end: %v\n%s", err, log.String())
		}
		if out, err := inImage(root, env, "health").CombinedOutput(); err == nil {
			t.Errorf("healthy after its end: %s", out)
		}
	}()
	lab.Eventually(t, "it is healthy", func() bool { return inImage(root, env, "health").Run() == nil })
	lab.Eventually(t, "an image", func() bool {
		r, _ := http.NewRequest("GET", fmt.Sprintf("http://%s/_next/image?url=/a.png&w=64&q=75", public), nil)
		r.Header.Set("Accept", "image/webp")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return err == nil && resp.StatusCode == 200 && resp.Header.Get("Content-Type") == "image/webp" && len(body) > 0
	})
	lab.Eventually(t, "something on the disk", func() bool {
		entries, err := os.ReadDir(filepath.Join(root, "var/cache/imgopt"))
		return err == nil && len(entries) > 0
	})
}

// checkEnvironment asks imgopt what it thinks of a service's variables. A build of the tests stands for the application's.
func checkEnvironment(t *testing.T, s types.ServiceConfig) {
	t.Helper()
	cmd := exec.Command(lab.Imgopt(t), "config", "--check")
	for name, value := range s.Environment {
		if name == "IMGOPT_NEXT_DIR" {
			*value = filepath.Join(lab.Root(t), "config", "testdata", "next", "basepath")
		}
		cmd.Env = append(cmd.Env, name+"="+*value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", s.Name, err, out)
	}
}
