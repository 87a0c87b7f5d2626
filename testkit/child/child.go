// Package child starts the programs of tests and benchmarks. What it starts leads a process group of its own (a session,
// if cmd asks for one), so that ending it ends what it has started too and nothing else, and does not outlive its parent, however that ends.
package child

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a program that runs or has run.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// Start starts cmd. The kernel kills it when the thread that started it ends (Pdeathsig), which is why a goroutine stays
// on that thread for as long as the program runs.
func Start(cmd *exec.Cmd) (*Process, error) {
	session := cmd.SysProcAttr != nil && cmd.SysProcAttr.Setsid
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !session, Setsid: session, Pdeathsig: syscall.SIGKILL}
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		<-p.ended
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	return p, nil
}

// PID returns the id of the process and of its group.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when it has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Alive reports whether it still runs.
func (p *Process) Alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Wait waits until it has ended and returns how, as exec.Cmd.Wait does.
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}

// State is how it ended; nil before.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// Signal sends a signal to the process itself. It returns an error if it has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signalling %s: %w", p.cmd.Path, err)
	}
	return nil
}

// Stop ends the group: it asks the leader's group to end, and kills what is left of it when that has ended or the grace is
// over. It returns how the process ended.
func (p *Process) Stop(grace time.Duration) error {
	p.signalGroup(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(grace):
	}
	return p.Kill()
}

// Kill ends the group at once, paused or not, and waits until the process is gone.
func (p *Process) Kill() error {
	p.signalGroup(syscall.SIGKILL)
	return p.Wait()
}

// signalGroup signals the group; that it has ended is as good.
func (p *Process) signalGroup(sig syscall.Signal) { _ = syscall.Kill(-p.PID(), sig) }
