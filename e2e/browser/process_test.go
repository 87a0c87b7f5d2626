//go:build e2e

package browser

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"imgopt/testkit/child"
)

// patience is how long something may take that happens at once on a machine with nothing else to do.
const patience = time.Minute

// need returns where a program is, or skips the test; in CI it fails instead.
func need(t testing.TB, programs ...string) string {
	t.Helper()
	for _, program := range programs {
		if path, err := exec.LookPath(program); err == nil {
			return path
		}
	}
	missing(t, programs[0]+" is not installed: run scripts/test-deps")
	return ""
}

func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// repository returns a path inside the repository.
func repository(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// imgoptBinary is the program under test: $IMGOPT_BIN, or what `make build` makes.
func imgoptBinary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("IMGOPT_BIN")
	if path == "" {
		path = repository(t, "bin/imgopt")
	}
	if _, err := os.Stat(path); err != nil {
		missing(t, "bin/imgopt is not built: run make build")
	}
	return path
}

// process is a program that a test has started, and what it prints.
type process struct {
	*child.Process
	name string

	mu  sync.Mutex
	out bytes.Buffer
}

// Write collects what the program prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// output is what the program has printed so far.
func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// run starts a program in dir, with nothing in its environment but PATH and env, until the end of the test.
func run(t testing.TB, dir string, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{name: filepath.Base(program)}
	cmd := exec.Command(program, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + os.TempDir()}, env...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = p, p
	var err error
	if p.Process, err = child.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Stop(5 * time.Second)
		if t.Failed() {
			out := p.output()
			t.Logf("%s printed:\n%s", p.name, out[max(0, len(out)-3000):])
		}
	})
	return p
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// ready waits until a url answers 200.
func (p *process) ready(t testing.TB, url string) {
	t.Helper()
	eventually(t, p.name+" answers "+url, func() bool {
		if !p.Alive() {
			t.Fatalf("%s has ended (%v):\n%s", p.name, p.State(), p.output())
		}
		resp, err := http.Get(url)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// freeAddr returns a loopback address nobody listens on.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// replace replaces text in a recipe, and fails when it is not there exactly once: a recipe that changed must not make
// a test pass by default.
func replace(t testing.TB, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if n := strings.Count(text, pairs[i]); n != 1 {
			t.Fatalf("the recipe has %q %d times, not once:\n%s", pairs[i], n, text)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}
