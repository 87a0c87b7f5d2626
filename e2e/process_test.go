//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"imgopt/testkit"
	"imgopt/testkit/child"
)

// process is a server this test started, with its log.
type process struct {
	*child.Process
	name string
	log  string
}

// startProcess runs argv in dir with nothing in its environment but env.
func startProcess(name, dir string, env []string, argv ...string) (*process, error) {
	logs, err := filepath.Abs(filepath.Join("results", "logs"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, err
	}
	p := &process{name: name, log: filepath.Join(logs, name+".log")}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, out, out
	if p.Process, err = child.Start(cmd); err != nil {
		return nil, err
	}
	return p, nil
}

// stop ends it: politely, then not.
func (p *process) stop() { _ = p.Stop(15 * time.Second) }

// ready waits until the process answers the path with 200.
func (p *process) ready(ctx context.Context, addr, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		resp, err := Request{Target: path}.Do(ctx, addr)
		if err == nil && resp.Status == 200 {
			return nil
		}
		select {
		case <-p.Ended():
			return fmt.Errorf("%s ended: %v\n%s", p.name, p.State(), tail(p.log))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready (%v, %v)\n%s", p.name, resp, err, tail(p.log))
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// tail returns the end of a log.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// freeAddr returns a loopback address nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// cleanEnv is the whole environment of a started server: imgopt must need nothing more.
func cleanEnv(home string, more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + os.TempDir()}, more...)
}

// nextDir returns the build of a variant.
func nextDir(variant string) (string, error) {
	dir, err := filepath.Abs(filepath.Join("next", ".next-"+variant))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, "e2e-stamp")); err != nil {
		return "", fmt.Errorf("no build of the variant %s: run e2e/setup first: %w", variant, err)
	}
	return dir, nil
}

// startNext starts `next start` on a variant, in a copy of its build (Next.js writes its image cache there), and
// returns its address. The header limit is raised so that Next.js can take part in the tests of long urls.
func startNext(t testing.TB, variant, name string) (*process, string, error) {
	dist, err := nextDir(variant)
	if err != nil {
		return nil, "", err
	}
	app := filepath.Join(t.TempDir(), "app")
	if err := testkit.CopyTree(filepath.Join(app, filepath.Base(dist)), dist); err != nil {
		return nil, "", fmt.Errorf("copy the build: %w", err)
	}
	for _, shared := range []string{"node_modules", "app", "public", ".assets", "package.json", "next.config.mjs", "variants.mjs"} {
		if err := os.Symlink(filepath.Join(filepath.Dir(dist), shared), filepath.Join(app, shared)); err != nil {
			return nil, "", err
		}
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	_, port, _ := net.SplitHostPort(addr)
	ca, err := authority()
	if err != nil {
		return nil, "", err
	}
	env := cleanEnv(app, "NODE_ENV=production", "NEXT_TELEMETRY_DISABLED=1", "E2E_VARIANT="+variant,
		"NODE_OPTIONS=--max-http-header-size=65536", "NODE_EXTRA_CA_CERTS="+ca.file)
	p, err := startProcess(name, app, env, "node", "node_modules/next/dist/bin/next", "start", "-H", "127.0.0.1", "-p", port)
	if err != nil {
		return nil, "", err
	}
	t.Cleanup(p.stop)
	return p, addr, nil
}

// imgopt is a running imgopt and where to reach it.
type imgopt struct {
	*process
	addr, admin string
}

// imgoptBinary is the program under test: $IMGOPT_BIN, or what `make build` makes.
func imgoptBinary() (string, error) {
	path := os.Getenv("IMGOPT_BIN")
	if path == "" {
		path = "../bin/imgopt"
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the program under test is missing; build it (make build), or set E2E_SUBJECT=next: %w", err)
	}
	return path, nil
}

// startImgopt starts `imgopt serve` with a generated configuration: fresh caches, free ports, and the lines of more.
func startImgopt(t testing.TB, name, origin string, more ...string) (*imgopt, error) {
	bin, err := imgoptBinary()
	if err != nil {
		return nil, err
	}
	dir := t.TempDir()
	s := &imgopt{}
	if s.addr, err = freeAddr(); err != nil {
		return nil, err
	}
	if s.admin, err = freeAddr(); err != nil {
		return nil, err
	}
	config := append([]string{
		"listen: " + strconv.Quote(s.addr),
		"adminListen: " + strconv.Quote(s.admin),
		"origin: " + strconv.Quote(origin),
	}, more...)
	if !slices.ContainsFunc(more, func(line string) bool { return strings.HasPrefix(line, "cache:") }) {
		config = append(config, "cache: {disk: {path: "+strconv.Quote(filepath.Join(dir, "cache"))+"}}")
	}
	file := filepath.Join(dir, "imgopt.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(config, "\n")+"\n"), 0o644); err != nil {
		return nil, err
	}
	ca, err := authority()
	if err != nil {
		return nil, err
	}
	if s.process, err = startProcess(name, dir, cleanEnv(dir, "SSL_CERT_FILE="+ca.file), bin, "serve", "--config", file); err != nil {
		return nil, err
	}
	t.Cleanup(s.stop)
	return s, s.ready(t.Context(), s.admin, "/healthz")
}

// exitCode waits for the end of the process and returns its exit code.
func (p *process) exitCode(within time.Duration) (int, error) {
	select {
	case <-p.Ended():
	case <-time.After(within):
		return 0, fmt.Errorf("%s still runs after %v", p.name, within)
	}
	var exit *exec.ExitError
	if errors.As(p.Wait(), &exit) {
		return exit.ExitCode(), nil
	}
	return 0, p.Wait()
}
