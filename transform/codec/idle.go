package codec

import (
	"errors"
	"fmt"
	"time"
)

// What a process does between jobs is looked at as well: one that dies, stops, speaks or works then is replaced before
// a job needs it.

// errBusyIdle says that a process used a CPU while it had nothing to do.
var errBusyIdle = errors.New("codec process worked without a job")

// idleEvery is how often processes at rest are looked at. One that has died is noticed at once.
const idleEvery = 500 * time.Millisecond

// What a process at rest may use of a CPU: Go's runtime and the allocators tidy up for some milliseconds after a job,
// and for less than one now and then later.
const (
	idleWork  = 50 * time.Millisecond
	idleShare = 50 // one part of so many of the time, beyond that
)

// rest notes when and with how much processor time used the process has begun to have nothing to do.
func (p *process) rest() { p.restedAt, p.restedCPU = time.Now(), p.cpu() }

// restless returns an error for a process at rest that has used a CPU.
func (p *process) restless() error {
	idle, used := time.Since(p.restedAt), p.cpu()-p.restedCPU
	if used <= idleWork+idle/idleShare {
		return nil
	}
	return fmt.Errorf("%w: %s of processor time in %s", errBusyIdle, used.Round(time.Millisecond), idle.Round(time.Millisecond))
}

// watchIdle looks at the processes at rest, now and then and whenever one has ended, until the pool closes.
func (p *Pool) watchIdle() {
	ticker := time.NewTicker(idleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.closing:
			return
		case <-p.ends:
		case <-ticker.C:
		}
		p.sweep()
	}
}

// processEnded makes watchIdle look. One call that is pending stands for all.
func (p *Pool) processEnded() {
	select {
	case p.ends <- struct{}{}:
	default:
	}
}

// sweep takes each process at rest in its hands for some microseconds. While calls wait there is none.
func (p *Pool) sweep() {
	for range len(p.idle) {
		select {
		case proc := <-p.idle:
			p.keepIf(proc, proc.check())
		default:
			return
		}
	}
}

// keepIf gives back a process that was found fit, and replaces one that was not.
func (p *Pool) keepIf(proc *process, err error) {
	if err == nil {
		p.idle <- proc
		return
	}
	p.note(err)
	p.release(proc)
}

// youth is how long a process has to live for its end to be an accident. What ends sooner, without a job, will end
// again: its slot's next start waits longer and longer.
const youth = 10 * time.Second

// failures is the number of starts in a row that gave the slot of this process nothing, itself included if it is dead.
func (p *process) failures() int {
	if p.jobs > 0 || time.Since(p.born) > youth {
		return 0
	}
	return p.failed + 1
}

// pause is how long a slot waits after so many starts in vain. The first is taken for an accident.
func pause(failures int) time.Duration {
	const first, longest = 10 * time.Millisecond, 5 * time.Second
	if failures < 2 {
		return 0
	}
	return min(first<<min(failures-2, 20), longest)
}
