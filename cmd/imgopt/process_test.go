package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what should happen at once, on a machine that may be busy.
const patience = 30 * time.Second

// process is an imgopt that a test started. It leads a process group of its own.
type process struct {
	cmd    *exec.Cmd
	stderr lines
	ended  chan struct{}
	err    error // how it ended; read after ended is closed

	public, admin string // where the listeners are, as http://host:port; "" for one that is turned off
}

// starter runs functions on one thread that lives as long as the tests do: the kernel kills what was started when
// the thread that did it ends, so no service is left behind by tests that are killed.
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

// startProcess runs a program with a folder for temporary files in its environment and little else. At the end of the
// test it is killed, if it still runs, and must not have panicked or raced.
func startProcess(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, args...), stderr: lines{changed: make(chan struct{})}, ended: make(chan struct{})}
	p.cmd.Env = environment("TMPDIR=" + t.TempDir())
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	starter() <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		for _, bad := range []string{"panic: ", "fatal error: ", "DATA RACE"} {
			if strings.Contains(p.stderr.String(), bad) {
				t.Errorf("the process wrote %q", bad)
			}
		}
		if t.Failed() {
			t.Logf("standard error of %v:\n%s", args, p.stderr.String())
		}
	})
	return p
}

// environment is that of a started program: nothing of the tests' own but what the race detector and the coverage of
// Go itself look at.
func environment(vars ...string) []string {
	env := append([]string{}, vars...)
	for _, name := range []string{"GORACE", "GOCOVERDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// startService starts `imgopt serve` on free ports and waits until it is ready. Of a flag that is given here as well,
// the one of the test counts.
func startService(t *testing.T, flags ...string) *process {
	t.Helper()
	return startServiceOf(t, "imgopt", flags...)
}

// startServiceOf is startService for another program than the test binary.
func startServiceOf(t *testing.T, program string, flags ...string) *process {
	t.Helper()
	flags = append([]string{"serve", "--listen=127.0.0.1:0", "--adminListen=127.0.0.1:0", "--log.format=json"}, flags...)
	p := startProcess(t, program, flags...)
	p.public = "http://" + p.logged(t, listening("public")).Address
	if !slices.Contains(flags, noAdmin) {
		p.admin = "http://" + p.logged(t, listening("admin")).Address
		eventually(t, "the service is ready", func() bool { return get(t, p.admin+"/readyz").status == http.StatusOK })
	}
	return p
}

// noAdmin turns the admin listener off.
const noAdmin = "--adminListen="

func listening(what string) func(logLine) bool {
	return func(l logLine) bool { return l.Msg == "listening" && l.What == what }
}

// logLine is what the tests look at in a line of the service's log.
type logLine struct {
	Level, Msg, What, Address, Error string
}

// logged waits for a line of the log.
func (p *process) logged(t *testing.T, wanted func(logLine) bool) logLine {
	t.Helper()
	deadline := time.After(patience)
	for seen, ended := 0, false; ; {
		all, changed := p.stderr.since(seen)
		seen += len(all)
		for _, text := range all {
			var l logLine
			if json.Unmarshal([]byte(text), &l) == nil && wanted(l) {
				return l
			}
		}
		if ended {
			t.Fatalf("imgopt ended without the expected line in its log: %v", p.err)
		}
		select {
		case <-changed:
		case <-p.ended:
			ended = true // and its last lines are still to be read
		case <-deadline:
			t.Fatalf("the expected line has not been logged for %v", patience)
		}
	}
}

// signal sends a signal to the process alone.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// kill ends the process as a crash would.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.ended
}

// exitCode waits for the end of the process.
func (p *process) exitCode(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("imgopt still runs after %v", patience)
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		t.Fatal(p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// lines collects what is written to it.
type lines struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed at the next write
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// since returns the complete lines but for the first n, and what is closed when there may be more.
func (l *lines) since(n int) ([]string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.SplitAfter(l.text.String(), "\n")
	return all[n : len(all)-1], l.changed
}
