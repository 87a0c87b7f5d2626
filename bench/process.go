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
	"syscall"
	"time"

	"imgopt/testkit/child"
)

// process is a program that this one started, with its output. It stays in the benchmark's session: sched_autogroup shares
// the CPU between sessions, and everything that is compared has to be in one.
type process struct {
	*child.Process
	name string
	log  *os.File
}

// launch is how a program is started.
type launch struct {
	dir  string
	env  []string // beside PATH
	argv []string
	// session gives it a session, and so a scheduling group, of its own.
	session bool
}

// command is the program with a clean environment. All that it starts ends with ctx.
func (l launch) command(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, l.argv[0], l.argv[1:]...)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	cmd.Dir = l.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()}, l.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: l.session}
	return cmd
}

// startProcess runs a program with a clean environment and its output in a file. It ends at the latest with ctx.
func startProcess(ctx context.Context, l launch) (*process, error) {
	log, err := os.CreateTemp("", "imgopt-bench-*.log")
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", l.argv[0], err)
	}
	p := &process{name: filepath.Base(l.argv[0]), log: log}
	cmd := l.command(ctx)
	cmd.Stdout, cmd.Stderr = log, log
	if p.Process, err = child.Start(cmd); err != nil {
		p.forget()
		return nil, err
	}
	return p, nil
}

func (p *process) forget() {
	_ = os.Remove(p.log.Name())
	_ = p.log.Close()
}

// stop ends the process and what it has started, politely first. It reports a process that had to be killed, or that
// failed; ending by the signal is no failure.
func (p *process) stop() error {
	defer p.forget()
	_ = p.Signal(syscall.SIGTERM) // it may have ended
	polite := true
	select {
	case <-p.Ended():
	case <-time.After(20 * time.Second):
		polite = false
	}
	ended := p.Kill() // and what it left behind
	if !polite {
		return fmt.Errorf("%s: did not end when told to", p.name)
	}
	if status, ok := p.State().Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGTERM {
		return nil
	}
	// 143 is what Node.js programs say of the same.
	if ended != nil && p.State().ExitCode() != 128+int(syscall.SIGTERM) {
		return fmt.Errorf("ending %s: %w: %s", p.name, ended, p.tail())
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
		case <-p.Ended():
			err = fmt.Errorf("it ended: %w", errors.Join(p.Wait(), err))
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(2 * time.Millisecond):
			if time.Now().Before(deadline) {
				continue
			}
		}
		return errors.Join(fmt.Errorf("%s: %w: %s", p.name, err, p.tail()), p.stop())
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
