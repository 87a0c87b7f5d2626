package codec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"imgopt/transform"
)

// readyWithin bounds the start of a process. It takes some 30 ms; a machine under full load gets time. One that a signal
// has stopped will never be ready, and is given up when it is found so, startEvery.
const (
	readyWithin = 10 * time.Second
	startEvery  = 50 * time.Millisecond
)

// reapWithin bounds the wait for the end of a process that was killed. The kernel ends one at once unless it is stuck
// in the kernel itself; then its memory is given up rather than the service.
const reapWithin = 5 * time.Second

// reapGrace is how long a job waits for the end of a process it has killed. The kernel takes back some 10 MB a
// millisecond.
const reapGrace = 100 * time.Millisecond

// process is one codec process. It runs one job at a time; its owner calls its methods one after the other.
type process struct {
	*link
	cmd          *exec.Cmd
	stderr       *note
	restrictions string
	gone         chan struct{} // closed when the process has ended and has been waited for
	doomed       bool          // it was killed, or is to be
	jobs         int
	firstRSS     int64
	born         time.Time
	failed       int // starts in vain that came before it
	restedAt     time.Time
	restedCPU    time.Duration
}

// spawn starts a process, which is not ready yet. It must be called on the launcher's thread: the new process inherits
// its scheduling priority, and is killed by the kernel when that thread ends. ended is called when it has ended.
func spawn(s *Settings, ended func()) (_ *process, err error) {
	p := &process{born: time.Now()}
	defer func() {
		if err != nil {
			p.free()
		}
	}()
	settings, err := json.Marshal(childSettings{Options: s.Options, MaxData: s.MaxData})
	if err != nil {
		return nil, fmt.Errorf("writing a codec's settings: %w", err)
	}
	if p.stderr, err = newNote(); err != nil {
		return nil, err
	}
	l, theirs, err := newLink(s.MaxSource, s.MaxResult)
	if err != nil {
		return nil, err
	}
	p.link = l
	cmd := exec.Command(s.Command[0], s.Command[1:]...)
	cmd.Args[0] = "imgopt"
	cmd.Env = childEnv(string(settings))
	cmd.Stderr = p.stderr.file
	cmd.ExtraFiles = []*os.File{theirs, p.source.file, p.result.file}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	_ = theirs.Close() // or the end of the process would not end the conversation
	if err != nil {
		return nil, fmt.Errorf("starting a codec process: %w", err)
	}
	p.cmd, p.gone = cmd, make(chan struct{})
	go func() { // ends with the process; free waits for it
		_ = cmd.Wait() // a killed process is an error here; ProcessState tells
		close(p.gone)
		ended()
	}()
	return p, nil
}

// awaitReady waits until the process has restricted itself and takes jobs; where it does not, the process is freed.
func (p *process) awaitReady() error {
	ready, err := p.greeting(readyWithin, p.watch)
	if err != nil {
		state, _ := p.ending(err)
		err = fmt.Errorf("starting a codec process: it did not become ready (%s; %w): %s", state, err, p.stderr)
		p.free()
		return err
	}
	p.restrictions = ready.message
	p.rest()
	return nil
}

// childEnv is all that a codec process gets to see of the environment: nothing of the service's secrets, the
// library path where one is needed, and what keeps its own memory small (one allocator arena, one Go thread).
func childEnv(settings string) []string {
	env := []string{settingsEnv + "=" + settings, "MALLOC_ARENA_MAX=1", "GOMAXPROCS=1", "GOGC=50", "GOTRACEBACK=none"}
	if path, ok := os.LookupEnv("LD_LIBRARY_PATH"); ok {
		env = append(env, "LD_LIBRARY_PATH="+path)
	}
	return env
}

// run encodes one image. Its errors are a *transform.CodecError, the context's, or one of those in ending.go, after
// which, as after a time limit that this side had to enforce, the process is doomed.
func (p *process) run(ctx context.Context, src []byte, spec transform.Spec, limit time.Duration, oom *oomKills) ([]byte, reply, error) {
	if err := p.takes(ctx, src); err != nil {
		return nil, reply{}, err
	}
	p.jobs++
	s := p.start(oom)
	out, rep, err := p.ask(ctx, src, spec, enforced(limit), p.watch)
	p.rest()
	if rep, err = p.settle(s, rep, err, oom); err != nil {
		return nil, rep, err
	}
	return out, rep, nil
}

// runAll makes several results. It calls got with each, in order, whose errors are those of run. If it returns one, that
// is about the result after the last one of got, and the process is doomed.
func (p *process) runAll(ctx context.Context, src []byte, specs []transform.Spec, limit time.Duration, oom *oomKills, got func(out []byte, rep reply, err error)) (reply, error) {
	if err := p.takes(ctx, src); err != nil {
		return reply{}, err
	}
	s := p.start(oom)
	err := p.askAll(ctx, src, specs, enforced(limit), p.watch, func(out []byte, rep reply) {
		p.jobs++
		rep, err := p.settle(s, rep, nil, oom)
		s = p.start(oom) // the next one is being made
		got(out, rep, err)
	})
	p.rest()
	if err == nil {
		return reply{}, nil
	}
	p.jobs++
	return p.settle(s, reply{}, err, oom)
}

// takes returns an error for what a process is not even asked.
func (p *process) takes(ctx context.Context, src []byte) error {
	if len(src) > len(p.source.data) {
		return &transform.CodecError{Message: fmt.Sprintf("source of %d bytes, at most %d", len(src), len(p.source.data))}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("encoding: %w", context.Cause(ctx))
	}
	return nil
}

// enforced is how long this side waits for a result.
func enforced(limit time.Duration) time.Duration {
	if limit > 0 {
		return limit + slack
	}
	return 0
}

// started is how things stood when a result began to be made.
type started struct {
	at    time.Time
	cpu   time.Duration
	kills kernelKills
}

func (p *process) start(oom *oomKills) started {
	return started{at: time.Now(), cpu: p.cpu(), kills: oom.recent()}
}

// settle says what an answer, or its absence, means: nil where there is a result.
func (p *process) settle(s started, rep reply, err error, oom *oomKills) (reply, error) {
	wall, cpu := time.Since(s.at), time.Duration(0)
	switch {
	case err == nil:
		// A codec that was taken over may claim anything.
		rep.cpu = min(max(rep.cpu, 0), 2*wall)
	case errors.Is(err, errNotSent):
		return rep, p.goneNow(err)
	case errors.Is(err, errBroken):
		return rep, p.lost(err, wall, s.kills, oom)
	case errors.Is(err, errStopped):
		p.kill()
		return rep, err
	case errors.Is(err, errLimit):
		cpu = p.cpu() - s.cpu
		p.kill()
		rep.status, rep.message = replyTimedOut, "killed"
	default: // the context's
		p.kill()
		return rep, err
	}
	switch rep.status {
	case replyOK:
		return rep, nil
	case replyTimedOut:
		if !p.doomed {
			cpu = p.cpu() - s.cpu
		}
		if stoodStill(cpu, wall) {
			return rep, fmt.Errorf("%w: %s of processor time in %s", errStarved, cpu, wall.Round(time.Millisecond))
		}
		return rep, &transform.CodecError{Message: rep.message, TimedOut: true}
	default:
		return rep, &transform.CodecError{Message: rep.message}
	}
}

// kill ends the process without waiting for the end.
func (p *process) kill() {
	p.doomed = true
	if p.cmd != nil {
		_ = p.cmd.Process.Kill() // fails where it has ended by itself
	}
}

// awaitEnd waits for the end of a process, but not for ever.
func (p *process) awaitEnd(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.gone:
		return true
	case <-timer.C:
		return false
	}
}

// free ends the process and gives everything back.
func (p *process) free() {
	p.kill()
	if p.gone != nil && !p.awaitEnd(reapWithin) {
		return // its memory is still its own
	}
	if p.link != nil {
		p.link.close()
	}
	if p.stderr != nil {
		p.stderr.close()
	}
}

// ended reports whether the process has ended. Anybody may ask.
func (p *process) ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// dead reports whether the process has ended, or is going to.
func (p *process) dead() bool { return p.doomed || p.ended() }

// check reports why a process cannot be given a job: it has ended, it is stopped, it speaks or works without being asked.
func (p *process) check() error {
	switch {
	case p.dead():
		return p.goneNow(nil)
	case p.stopped():
		p.kill()
		return errStopped
	case !p.quiet():
		return p.goneNow(errUnasked)
	}
	if err := p.restless(); err != nil {
		p.kill()
		return err
	}
	return nil
}

// watch is check for a process that works, or starts.
func (p *process) watch() error {
	switch {
	case p.dead():
		return errBroken // somebody else holds its socket open
	case p.stopped():
		return errStopped
	}
	return nil
}

// stopped reports whether a signal has stopped the process (SIGSTOP and its like). It costs one system call.
func (p *process) stopped() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, &info, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == nil && info.Signo == int32(unix.SIGCHLD)
}

// cpu is the processor time that the process has used; 0 when it has ended. The clock's number is what
// clock_getcpuclockid(3) makes of a process id.
func (p *process) cpu() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(int32(^p.cmd.Process.Pid)<<3|2, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// worn reports whether the process has done enough jobs, or grown enough, to be replaced.
func (p *process) worn(s *Settings) bool {
	if s.MaxJobs > 0 && p.jobs >= s.MaxJobs {
		return true
	}
	if s.MaxGrowth <= 0 {
		return false
	}
	rss := residentMemory(p.cmd.Process.Pid)
	if p.firstRSS == 0 {
		p.firstRSS = rss
	}
	return rss-p.firstRSS > s.MaxGrowth
}

// residentMemory is a process's private resident memory in bytes, or 0: the shared areas are not counted.
func residentMemory(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	var size, resident, shared int64
	if _, err := fmt.Sscan(string(b), &size, &resident, &shared); err != nil {
		return 0
	}
	return (resident - shared) * int64(os.Getpagesize())
}
