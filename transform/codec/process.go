package codec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"imgopt/transform"
)

// readyWithin bounds the start of a process. It takes some 20 ms; a machine under full load gets time.
const readyWithin = 10 * time.Second

// process is one codec process. It runs one job at a time; its owner calls its methods one after the other.
type process struct {
	cmd            *exec.Cmd
	control        *net.UnixConn
	source, result *area
	stderr         *head
	restrictions   string
	gone           chan struct{} // closed when the process has ended and has been waited for
	seq            uint64
	jobs           int
	firstRSS       int64
	packet         [maxMessage]byte
}

// errCrashed says that a process ended, or stopped making sense, in the middle of a job.
var errCrashed = errors.New("codec process crashed")

// errGone says that a process had ended before it got the job, which therefore is not to blame.
var errGone = errors.New("codec process was gone")

// A process that SIGKILL ends (the kernel short of memory, or somebody's hand) takes a job for a moment longer. What
// ends within that moment by that signal had not begun.
const (
	dying          = 50 * time.Millisecond
	killedByOthers = "signal: killed"
)

// pipeDelay is how long a dead process's standard error may stay open in somebody else's hands.
const pipeDelay = time.Second

// startProcess must be called on the launcher's thread: the new process inherits its scheduling priority, and is
// killed by the kernel when that thread ends.
func startProcess(s *Settings) (_ *process, err error) {
	p := &process{stderr: &head{}}
	defer func() {
		if err != nil {
			p.free()
		}
	}()
	if p.source, err = newArea("imgopt-source", s.MaxSource); err != nil {
		return nil, err
	}
	if p.result, err = newArea("imgopt-result", s.MaxResult); err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("creating a codec's socket: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "codec-control")
	ours := os.NewFile(uintptr(pair[0]), "codec")
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		_ = theirs.Close()
		return nil, fmt.Errorf("using a codec's socket: %w", err)
	}
	p.control = conn.(*net.UnixConn)

	settings, err := json.Marshal(childSettings{Options: s.Options, MaxData: s.MaxData})
	if err != nil {
		_ = theirs.Close()
		return nil, fmt.Errorf("writing a codec's settings: %w", err)
	}
	p.cmd = exec.Command(s.Command[0], s.Command[1:]...)
	p.cmd.Args[0] = "imgopt"
	p.cmd.Env = childEnv(string(settings))
	p.cmd.Stderr = p.stderr
	p.cmd.ExtraFiles = []*os.File{theirs, p.source.file, p.result.file}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = pipeDelay
	err = p.cmd.Start()
	_ = theirs.Close() // or the end of the process would not end the conversation
	if err != nil {
		p.cmd = nil
		return nil, fmt.Errorf("starting a codec process: %w", err)
	}
	p.gone = make(chan struct{})
	go func() { // ends with the process; kill waits for it
		defer close(p.gone)
		_ = p.cmd.Wait() // a killed process is an error here; ProcessState tells
	}()
	ready, err := p.read(time.Now().Add(readyWithin))
	if err != nil || ready.status != replyReady {
		p.kill()
		return nil, fmt.Errorf("starting a codec process: it did not become ready (%w): %s", errors.Join(err, errCrashed), p.stderr)
	}
	p.restrictions = ready.message
	return p, nil
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

// run encodes one image. After errCrashed or a time limit that this side had to enforce the process is dead.
func (p *process) run(ctx context.Context, src []byte, spec transform.Spec, limit time.Duration) ([]byte, reply, error) {
	if len(src) > len(p.source.data) {
		return nil, reply{}, &transform.CodecError{Message: fmt.Sprintf("source of %d bytes, at most %d", len(src), len(p.source.data))}
	}
	p.seq++
	p.jobs++
	copy(p.source.data, src)
	defer p.source.trim(len(src))

	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = p.control.SetReadDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-interrupted // or it would move the deadline of the next job
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, reply{}, fmt.Errorf("encoding: %w", err)
	}
	if _, err := p.control.Write(request{seq: p.seq, source: len(src), spec: spec}.append(p.packet[:0])); err != nil {
		state := p.kill()
		return nil, reply{}, fmt.Errorf("%w (%s; %w)", errGone, state, err)
	}
	handed := time.Now()
	rep, err := p.readUnder(ctx, limit)
	switch {
	case ctx.Err() != nil && err != nil:
		p.kill()
		return nil, rep, fmt.Errorf("encoding: %w", context.Cause(ctx))
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.kill()
		return nil, rep, &transform.CodecError{Message: "killed", TimedOut: true}
	case err != nil && time.Since(handed) < dying && p.kill() == killedByOthers:
		return nil, rep, fmt.Errorf("%w (%w)", errGone, err)
	case err != nil:
		return nil, rep, p.crashed(err)
	case rep.seq != p.seq:
		return nil, rep, p.crashed(fmt.Errorf("%w: answer %d to question %d", ErrProtocol, rep.seq, p.seq))
	}
	switch rep.status {
	case replyOK:
		defer p.result.trim(rep.result)
		out := make([]byte, rep.result)
		copy(out, p.result.data)
		return out, rep, nil
	case replyTimedOut:
		return nil, rep, &transform.CodecError{Message: rep.message, TimedOut: true}
	case replyCodecError, replyTooLarge:
		return nil, rep, &transform.CodecError{Message: rep.message}
	default:
		return nil, rep, p.crashed(fmt.Errorf("%w: status %d", ErrProtocol, rep.status))
	}
}

// readUnder reads the reply within the limit, unless the context ends first (which moves the deadline).
func (p *process) readUnder(ctx context.Context, limit time.Duration) (reply, error) {
	deadline := time.Time{}
	if limit > 0 {
		deadline = time.Now().Add(limit + slack)
	}
	if err := p.control.SetReadDeadline(deadline); err != nil {
		return reply{}, err
	}
	if ctx.Err() != nil { // it may have ended before the deadline was set, which then undid its work
		_ = p.control.SetReadDeadline(time.Unix(1, 0))
	}
	return p.receive()
}

func (p *process) read(deadline time.Time) (reply, error) {
	if err := p.control.SetReadDeadline(deadline); err != nil {
		return reply{}, err
	}
	return p.receive()
}

func (p *process) receive() (reply, error) {
	n, err := p.control.Read(p.packet[:])
	if err != nil {
		return reply{}, err
	}
	if n == 0 {
		return reply{}, io.EOF
	}
	return parseReply(p.packet[:n], len(p.result.data))
}

// crashed kills what is left of the process and describes its end.
func (p *process) crashed(cause error) error {
	state := p.kill()
	return fmt.Errorf("%w (%s; %w): %s", errCrashed, state, cause, p.stderr)
}

// kill ends the process, waits for it and says how it ended. The areas stay usable until free.
func (p *process) kill() string {
	if p.gone == nil {
		return "not running"
	}
	_ = p.cmd.Process.Kill() // fails where it has ended by itself
	<-p.gone
	return p.cmd.ProcessState.String()
}

// free ends the process and gives everything back.
func (p *process) free() {
	p.kill()
	if p.control != nil {
		_ = p.control.Close()
	}
	for _, a := range []*area{p.source, p.result} {
		if a != nil {
			a.close()
		}
	}
}

// dead reports whether the process has ended.
func (p *process) dead() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
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

// head keeps the first bytes a process wrote to standard error: what comes after a first complaint follows from it.
// It is written by one goroutine of os/exec, which has ended when Wait returns, and read only after that.
type head struct{ b []byte }

const headSize = 1024

func (h *head) Write(b []byte) (int, error) {
	h.b = append(h.b, b[:min(len(b), headSize-len(h.b))]...)
	return len(b), nil
}

func (h *head) String() string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(h.b), "?")), " ")
}
