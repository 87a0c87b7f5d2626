// Package lab gives the tests of deploy/ what they need around them: the repository's files, other programs, and
// processes that end when the test does.
package lab

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a test waits for what should happen at once, on a machine that may be busy.
const Patience = 30 * time.Second

// Root returns the repository's directory.
func Root(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("the test binary does not know where its source is")
	}
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "..")
}

// Read returns a file of deploy/.
func Read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(Root(t), "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Need returns where a program is, or skips the test; in CI it fails instead.
func Need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	missing(t, program+" is not installed: run deploy/validate/install")
	return ""
}

// Imgopt returns the path of the built imgopt: $IMGOPT_BIN, or bin/imgopt.
func Imgopt(t testing.TB) string {
	t.Helper()
	path := os.Getenv("IMGOPT_BIN")
	if path == "" {
		path = filepath.Join(Root(t), "bin", "imgopt")
	}
	if _, err := os.Stat(path); err != nil {
		missing(t, "bin/imgopt is not built: run make build")
	}
	return path
}

func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// starter runs functions on one thread that lives as long as the tests do: the kernel kills what was started when
// the thread that did it ends, so nothing is left behind by tests that are killed.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// Process is a program that a test has started. It leads a process group of its own.
type Process struct {
	Cmd   *exec.Cmd
	Ended chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

// Write collects what the program prints.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// Output is what the program has printed so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// Start runs a program until the end of the test.
func Start(t testing.TB, env []string, program string, args ...string) *Process {
	t.Helper()
	p := &Process{Cmd: exec.Command(program, args...), Ended: make(chan struct{})}
	p.Cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	p.Cmd.Dir = t.TempDir()
	p.Cmd.Stdout, p.Cmd.Stderr = p, p
	p.Cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	starter() <- func() { started <- p.Cmd.Start() }
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.Cmd.Wait()
		close(p.Ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-p.Cmd.Process.Pid, syscall.SIGKILL)
		<-p.Ended
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(program), p.Output())
		}
	})
	return p
}

// Eventually waits until ok.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, Patience)
		}
	}
}

// Listening waits until something accepts connections at address.
func Listening(t testing.TB, p *Process, address string) {
	t.Helper()
	Eventually(t, "listening on "+address, func() bool {
		select {
		case <-p.Ended:
			t.Fatalf("%s has ended: %s", filepath.Base(p.Cmd.Path), p.Output())
		default:
		}
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// Ready waits until a url answers 200.
func Ready(t testing.TB, p *Process, url string) {
	t.Helper()
	Listening(t, p, strings.TrimPrefix(strings.SplitN(url, "/", 4)[2], "http://"))
	Eventually(t, url, func() bool {
		resp, err := http.Get(url)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// FreePort returns a TCP port that nobody listens on, on any of the loopback addresses.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// Replace replaces text in a configuration and fails when it is not there: a recipe that changed must not make a test
// pass by default.
func Replace(t testing.TB, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the configuration does not contain %q", pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}
