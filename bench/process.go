package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// process is a program that this one started. It leads a process group of its own, so that stopping it stops what it
// has started too, and nothing else. The group stays in the benchmark's session: sched_autogroup shares the CPU
// between sessions, and everything that is compared has to be in one.
type process struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read after done
}

// starter runs functions on one thread that lives as long as the program: the kernel kills what was started when the
// thread that started it ends (Pdeathsig), so nothing survives a benchmark that is killed.
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

// launch is how a program is started.
type launch struct {
	dir  string
	env  []string // beside PATH
	argv []string
	// session gives it a session, and so a scheduling group, of its own.
	session bool
}

// startProcess runs a program with a clean environment and its output in a file. It ends at the latest with ctx.
func startProcess(ctx context.Context, l launch) (*process, error) {
	log, err := os.CreateTemp("", "imgopt-bench-*.log")
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", l.argv[0], err)
	}
	p := &process{log: log, done: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, l.argv[0], l.argv[1:]...)
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
	p.cmd.WaitDelay = time.Second
	p.cmd.Dir = l.dir
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()}, l.env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !l.session, Setsid: l.session, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	starter() <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		p.forget()
		return nil, fmt.Errorf("starting %s: %w", l.argv[0], err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) forget() {
	_ = os.Remove(p.log.Name())
	_ = p.log.Close()
}

// pid is that of the process, and of its group.
func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process and what it has started, politely first. It reports a process that had to be killed, or that
// failed; ending by the signal is no failure.
func (p *process) stop() error {
	defer p.forget()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	polite := true
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		polite = false
	}
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // what it left behind
	<-p.done
	if !polite {
		return fmt.Errorf("%s: did not end when told to", filepath.Base(p.cmd.Path))
	}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGTERM {
		return nil
	}
	// 143 is what Node.js programs say of the same.
	if p.err != nil && p.cmd.ProcessState.ExitCode() != 128+int(syscall.SIGTERM) {
		return fmt.Errorf("ending %s: %w: %s", filepath.Base(p.cmd.Path), p.err, p.tail())
	}
	return nil
}

// tail is the end of what the process has written.
func (p *process) tail() string {
	b, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// await waits until f returns nil, the process ends, or half a minute has passed. Then it stops the process.
func (p *process) await(ctx context.Context, f func() error) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			err = fmt.Errorf("it ended: %w", errors.Join(p.err, err))
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(2 * time.Millisecond):
			if time.Now().Before(deadline) {
				continue
			}
		}
		return errors.Join(fmt.Errorf("%s: %w: %s", filepath.Base(p.cmd.Path), err, p.tail()), p.stop())
	}
}

// freePort asks the system for a port.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// probe is the client that asks whether something answers, with a connection for each question.
var probe = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}

// dials reports whether something listens.
func dials(address string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// answersAny reports whether a server answers at all.
func answersAny(url string) error {
	resp, err := probe.Get(url)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// answers reports whether a server answers with 200.
func answers(url string) error {
	resp, err := probe.Get(url)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}
