package codec

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"imgopt/transform"
)

// How a process was lost decides whether its source is to blame.
//
//   - It ended by itself, by a signal of its own making (SIGSEGV, SIGABRT, …), with an exit code, or it stopped making
//     sense: errCrashed. The source is tried once more; a second time it is refused (poison.go).
//   - SIGKILL, while the kernel's count of processes it killed for want of memory went up: errCrashed as well. One
//     image that makes the kernel kill two codecs would make it kill every codec, and one day the service.
//   - SIGKILL or another signal that a codec does not send itself, and no such count: errLost. That was a person or a
//     supervisor. The source is tried again and not marked; after maxLost times it is refused all the same, because
//     code that has taken a codec over can signal itself.
//   - It was stopped (SIGSTOP): errStopped, which is the same.
//   - It was dead, or stopped, before it got the source: errGone or errStopped, and no mark.
//   - The time limit was reached and it had used next to no processor time: errStarved. The machine stood still, or
//     this process did; once more.
var (
	errCrashed = errors.New("codec process crashed")
	errLost    = errors.New("codec process was killed from outside")
	errStopped = errors.New("codec process was stopped from outside")
	errGone    = errors.New("codec process was gone")
	errStarved = errors.New("codec process got no processor time")
	errUnasked = errors.New("it spoke without being asked")
)

// dying is how long after a job was handed over a SIGKILL is taken to have met an idle process, where the kernel does
// not tell whether it was the kernel's.
const dying = 50 * time.Millisecond

// endsWithin is how long a process that has closed its socket gets to end by itself. The kernel closes it on the way
// out, after the memory was given back, so that little is left to do, but a process of low priority does it, perhaps on
// a machine that is busy. What still runs then is no dying process.
const endsWithin = 2 * time.Second

// ending says how the process ended, and whether by itself: it gets endsWithin for that before it is killed, unless
// what it said, or did not say in time (cause), shows that it is alive.
func (p *process) ending(cause error) (state string, itself bool) {
	alive := slices.ContainsFunc([]error{ErrProtocol, errUnasked, errStopped, os.ErrDeadlineExceeded}, func(sign error) bool {
		return errors.Is(cause, sign)
	})
	itself = !p.doomed && !alive && p.awaitEnd(endsWithin)
	p.kill()
	if itself {
		return p.cmd.ProcessState.String(), true
	}
	return "killed by the service", false
}

// goneNow explains why a process cannot take the job that it was going to get.
func (p *process) goneNow(cause error) error {
	state, _ := p.ending(cause)
	if cause == nil {
		return fmt.Errorf("%w (%s): %s", errGone, state, p.stderr)
	}
	return fmt.Errorf("%w (%s; %w): %s", errGone, state, cause, p.stderr)
}

// lost explains the end of a conversation wall after a job was handed over; kills is the kernel's count then.
func (p *process) lost(cause error, wall time.Duration, kills kernelKills, oom *oomKills) error {
	state, itself := p.ending(cause)
	blame := errCrashed
	if status, ok := p.endStatus(); itself && ok && status.Signaled() && fromOutside(status.Signal()) {
		now := oom.now()
		switch known := kills.known && now.known; {
		case status.Signal() != syscall.SIGKILL, known && now.n == kills.n, !known && wall < dying:
			blame = errLost
		case known:
			state += ", the kernel was short of memory"
		}
	}
	return fmt.Errorf("%w (%s; %w): %s", blame, state, cause, p.stderr)
}

// endStatus is how the process ended, if it has.
func (p *process) endStatus() (status syscall.WaitStatus, ended bool) {
	select {
	case <-p.gone:
		status, ended = p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	default:
	}
	return status, ended
}

func fromOutside(s syscall.Signal) bool {
	switch s {
	case syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT:
		return true
	}
	return false
}

// stoodStill tells a process that hardly ran from one that is slow. At the lowest priority beside a busy neighbour a
// codec still gets some percent of a processor.
func stoodStill(cpu, wall time.Duration) bool { return cpu < wall/50 }

// kernelKills is how many processes the kernel has killed for want of memory.
type kernelKills struct {
	n     uint64
	known bool
}

// oomKills reads that number, from /proc/vmstat, which needs no privilege and counts the kills of memory cgroups too.
type oomKills struct {
	mu   sync.Mutex
	last kernelKills
	at   time.Time
	path string
}

// recent is the number as it was at most a second ago, so that it costs next to nothing per job.
func (o *oomKills) recent() kernelKills {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.at) > time.Second {
		o.read()
	}
	return o.last
}

func (o *oomKills) now() kernelKills {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.read()
	return o.last
}

func (o *oomKills) read() {
	o.last, o.at = kernelKills{}, time.Now()
	b, err := os.ReadFile(o.path)
	if err != nil {
		return
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
			n, err := strconv.ParseUint(string(bytes.TrimSpace(rest)), 10, 64)
			o.last = kernelKills{n: n, known: err == nil}
		}
	}
}

// How often one job is begun again.
const (
	maxCrashes = 2  // crashes, the second of which is the last
	maxLost    = 6  // processes lost to somebody outside
	maxGone    = 16 // processes that were dead before they got the job
)

// attempts counts how one job's processes were lost.
type attempts struct{ crashed, lost, gone, starved int }

// judge decides whether a job that ended with err is to be begun again, and what its error is if not.
func (a *attempts) judge(err error) (again bool, final error) {
	switch {
	case errors.Is(err, errGone):
		if a.gone++; a.gone < maxGone {
			return true, nil
		}
		return false, fmt.Errorf("no codec process stays alive: %w", err)
	case errors.Is(err, errLost), errors.Is(err, errStopped):
		if a.lost++; a.lost < maxLost {
			return true, nil
		}
		return false, &transform.CodecError{Message: err.Error(), Crashed: true}
	case errors.Is(err, errCrashed):
		if a.crashed++; a.crashed < maxCrashes {
			return true, nil
		}
		return false, &transform.CodecError{Message: err.Error(), Crashed: true}
	case errors.Is(err, errStarved):
		if a.starved++; a.starved < 2 {
			return true, nil
		}
		return false, &transform.CodecError{Message: err.Error(), TimedOut: true}
	default:
		return false, err
	}
}
