package valkeytest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"imgopt/testkit/child"
)

// binaryEnv names another server program to test with, for example a redis-server of version 7.
const binaryEnv = "IMGOPT_TEST_VALKEY_SERVER"

// Need skips the test where there is no server to start, or fails it in CI.
func Need(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath(program()); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not on the PATH: scripts/valkey installs it", program())
	}
	t.Skipf("%s is not on the PATH: scripts/valkey installs it", program())
}

func program() string {
	if name := os.Getenv(binaryEnv); name != "" {
		return name
	}
	return "valkey-server"
}

// startWithin is how long a server may take to answer; an idle machine needs a fiftieth of a second.
const startWithin = 20 * time.Second

// process is one server process. Its folder and port stay the same when it is started again.
type process struct {
	dir  string
	port int
	args []string // in place of a configuration file

	mu      sync.Mutex
	running *child.Process // or has run
	out     *lockedBuffer
}

// start runs the server.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.Command(program(), p.args...)
	out := &lockedBuffer{}
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, out, out
	cmd.Env = []string{"TZ=UTC", "LC_ALL=C"}
	running, err := child.Start(cmd)
	if err != nil {
		return err
	}
	p.running, p.out = running, out
	return nil
}

// current returns the process that was started last.
func (p *process) current() *child.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

// signal sends a signal unless the process has ended.
func (p *process) signal(sig syscall.Signal) { _ = p.current().Signal(sig) }

// kill ends the process, paused or not, and waits until it is gone.
func (p *process) kill() { _ = p.current().Kill() }

// ended tells whether the process is gone.
func (p *process) ended() bool { return !p.current().Alive() }

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// launch gives a server a folder and a free port and starts it; args makes its command line from the port. A port
// that somebody else took in the moment between is no reason to fail.
func launch(t testing.TB, args func(dir string, port int) []string, answers func(port int) error) *process {
	t.Helper()
	Need(t)
	var last error
	for range 5 {
		p := &process{dir: t.TempDir(), port: FreePort(t)}
		p.args = args(p.dir, p.port)
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.kill)
		if last = p.wait(answers); last == nil {
			return p
		}
		p.kill()
	}
	t.Fatalf("a server for the test does not start: %v", last)
	return nil
}

// wait waits until the server answers.
func (p *process) wait(answers func(port int) error) error {
	deadline := time.Now().Add(startWithin)
	for {
		err := answers(p.port)
		switch {
		case err == nil:
			return nil
		case p.ended():
			return fmt.Errorf("it ended: %s", p.output())
		case time.Now().After(deadline):
			return fmt.Errorf("no answer within %v: %w\n%s", startWithin, err, p.output())
		}
		time.Sleep(5 * time.Millisecond) // a process has no other way to be waited for
	}
}

// FreePort returns a port of 127.0.0.1 on which nothing listens. It lies below the ports that the kernel gives to
// outgoing connections, so that a server can be started again on it.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 200 {
		port := 20_000 + rand.IntN(12_000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// writeFile writes a server's file.
func writeFile(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// lockedBuffer collects the end of a process's output.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

const maxOutput = 64 << 10

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > maxOutput {
		l.b.Reset()
	}
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(l.b.String())
}
