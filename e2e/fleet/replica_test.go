//go:build e2e

package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"imgopt/testkit"
	"imgopt/testkit/child"
	"imgopt/valkey/valkeytest"
)

// replica is an `imgopt serve` that can be ended and started again: its addresses and its folder stay the same.
type replica struct {
	t           testing.TB
	name        string
	addr, admin string // host:port; addr is "" for a worker
	dir         string
	flags       []string
	client      *client

	mu      sync.Mutex
	process *child.Process // nil before the first start
	killed  bool           // by the test, or cut short, so that how it ended tells nothing
	logs    []string
	started int
}

// flagValue returns the value of a flag.
func flagValue(flags []string, name string) string {
	for _, f := range slices.Backward(flags) {
		if v, ok := strings.CutPrefix(f, "--"+name+"="); ok {
			return v
		}
	}
	return ""
}

// newReplica makes a replica that does not run yet.
func newReplica(t testing.TB, c *client, name string, flags ...string) *replica {
	t.Helper()
	r := &replica{t: t, name: name, dir: t.TempDir(), client: c, admin: freeAddr(t)}
	r.flags = append([]string{
		"--adminListen=" + r.admin, "--log.format=json", "--log.access=false", "--demo=false",
		"--images.qualities=[75]", "--cache.memory=64MiB", "--fetch.timeout=20s",
	}, flags...)
	if flagValue(flags, "role") != "worker" {
		r.addr = freeAddr(t)
		r.flags = append(r.flags, "--listen="+r.addr)
	}
	t.Cleanup(r.cleanup)
	return r
}

// freeAddr returns an address of 127.0.0.1 that a process can be started on again and again.
func freeAddr(t testing.TB) string {
	for {
		port := valkeytest.FreePort(t)
		if _, taken := addresses.LoadOrStore(port, t.Name()); !taken {
			return "127.0.0.1:" + strconv.Itoa(port)
		}
	}
}

// addresses are those that a test has, whether it listens on them now or not.
var addresses sync.Map

// launch starts the process and does not wait.
func (r *replica) launch() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started++
	log := filepath.Join(r.dir, fmt.Sprintf("log-%d", r.started))
	out, err := os.Create(log)
	if err != nil {
		r.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(testkit.Program(r.t, "../../bin/imgopt"), append([]string{"serve"}, r.flags...)...)
	cmd.Env = []string{"TMPDIR=" + r.dir}
	cmd.Stdout, cmd.Stderr = out, out
	if r.process, err = child.Start(cmd); err != nil {
		r.t.Fatalf("%s: %v", r.name, err)
	}
	r.killed = false
	r.logs = append(r.logs, log)
}

// start starts the process and waits until it is ready.
func (r *replica) start() *replica {
	r.t.Helper()
	r.launch()
	r.awaitReady()
	return r
}

// awaitReady waits until /readyz says so.
func (r *replica) awaitReady() time.Duration {
	r.t.Helper()
	return within(r.t, patience, r.name+" is ready", func() error {
		r.mustRun()
		if ready, why := r.ready(); !ready {
			return fmt.Errorf("/readyz: %s", why)
		}
		return nil
	})
}

// startAll starts replicas at the same time and waits until all are ready.
func startAll(replicas ...*replica) {
	for _, r := range replicas {
		r.t.Helper()
		r.launch()
	}
	for _, r := range replicas {
		r.awaitReady()
	}
}

// ready asks /readyz and returns what it said.
func (r *replica) ready() (bool, string) {
	a, err := r.client.get("http://" + r.admin + "/readyz")
	if err != nil {
		return false, err.Error()
	}
	return a.status == http.StatusOK, string(a.body)
}

// degraded tells whether /readyz answers 200 and names Valkey as what it does without.
func (r *replica) degraded() error {
	a, err := r.client.get("http://" + r.admin + "/readyz")
	if err != nil {
		return err
	}
	var report struct {
		Degraded []struct{ Name, Error string }
	}
	if err := json.Unmarshal(a.body, &report); err != nil {
		return fmt.Errorf("/readyz: %w: %s", err, a.body)
	}
	if a.status != http.StatusOK || len(report.Degraded) != 1 || report.Degraded[0].Name != "valkey" {
		return fmt.Errorf("/readyz does not tell of Valkey: %d %s", a.status, a.body)
	}
	return nil
}

// whole tells whether /readyz answers 200 and nothing is missing.
func (r *replica) whole() error {
	ready, text := r.ready()
	if !ready || strings.Contains(text, "degraded") {
		return fmt.Errorf("%s: /readyz: %s", r.name, text)
	}
	return nil
}

// running returns the process that was started last.
func (r *replica) running() *child.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

func (r *replica) pid() int { return r.running().PID() }

func (r *replica) alive() bool { return r.running().Alive() }

func (r *replica) mustRun() {
	r.t.Helper()
	if !r.alive() {
		r.t.Fatalf("%s has ended (%v):\n%s", r.name, r.running().State(), tail(r.log()))
	}
}

// kill ends the process as a crash does, and waits until it is gone.
func (r *replica) kill() {
	r.mu.Lock()
	r.killed = true
	p := r.process
	r.mu.Unlock()
	_ = p.Signal(syscall.SIGKILL) // it may have ended
	_ = p.Wait()
}

// term ends the process politely, waits until it is gone, and returns how long that took.
func (r *replica) term() time.Duration {
	r.t.Helper()
	began := time.Now()
	p := r.running()
	_ = p.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.Ended():
	case <-time.After(patience):
		r.t.Errorf("%s does not end:\n%s", r.name, tail(r.log()))
		r.kill()
	}
	if !r.killed && p.State().ExitCode() != 0 {
		r.t.Errorf("%s ended with %v:\n%s", r.name, p.State(), tail(r.log()))
	}
	return time.Since(began)
}

// cutShort is term for a process that has work which it cannot finish in its grace period; its exit code says so.
func (r *replica) cutShort() {
	r.t.Helper()
	r.mu.Lock()
	r.killed = true
	r.mu.Unlock()
	r.term()
}

// pause stops the process and its codecs, as a machine that hangs.
func (r *replica) pause() { r.group(syscall.SIGSTOP) }

// resume ends a pause.
func (r *replica) resume() { r.group(syscall.SIGCONT) }

func (r *replica) group(sig syscall.Signal) {
	r.t.Helper()
	if err := syscall.Kill(-r.pid(), sig); err != nil {
		r.t.Errorf("%s: %v: %v", r.name, sig, err)
	}
}

// cleanup ends the process. What it wrote must not be the end of a crash.
func (r *replica) cleanup() {
	if r.running() == nil {
		return
	}
	r.client.http.CloseIdleConnections() // for one on which nothing was asked yet a stopping replica waits ten seconds
	if r.alive() {
		_ = syscall.Kill(-r.pid(), syscall.SIGCONT) // a paused one cannot end
	}
	r.term()
	log := r.log()
	for _, bad := range []string{"panic: ", "panic serving", "fatal error: ", "DATA RACE"} {
		if i := strings.Index(log, bad); i >= 0 {
			r.t.Errorf("%s wrote %q:\n%s", r.name, bad, log[max(0, i-500):min(len(log), i+3000)])
		}
	}
	if r.t.Failed() {
		r.t.Logf("the end of %s's log:\n%s", r.name, tail(log))
	}
	if dir := os.Getenv("FLEET_LOGS"); dir != "" {
		name := strings.NewReplacer("/", "-").Replace(r.t.Name()) + "-" + r.name + ".log"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(log), 0o644); err != nil {
			r.t.Error(err)
		}
	}
}

// log is everything that was written since the first start.
func (r *replica) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all bytes.Buffer
	for _, name := range r.logs {
		b, err := os.ReadFile(name)
		if err != nil {
			r.t.Error(err)
		}
		all.Write(b)
	}
	return all.String()
}

func tail(log string) string { return log[max(0, len(log)-4000):] }

// line is one line of a log.
type line struct {
	Level, Msg, Error, Reason string
	text                      string
}

// lines returns the lines written after the first `from` bytes.
func (r *replica) lines(from int) []line {
	var all []line
	log := r.log()
	for text := range strings.Lines(log[min(from, len(log)):]) {
		l := line{text: strings.TrimSpace(text)}
		if err := json.Unmarshal([]byte(l.text), &l); err != nil {
			l.Level, l.Msg = "?", l.text
		}
		all = append(all, l)
	}
	return all
}

// children lists the codec processes: the children of the process that are no zombies.
func (r *replica) children() []int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", r.pid())) // the pattern is valid
	var pids []int
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for field := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(field); err == nil && alive(pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// alive tells whether a process exists and is no zombie.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return after != "" && after[0] != 'Z'
}
