package codec

import (
	"fmt"
	"math"
	"runtime"

	"golang.org/x/sys/unix"
)

// launcher starts processes on one thread that lives as long as the pool. A process inherits the scheduling
// priority of the thread that forks it, and the kernel's "kill me when my parent dies" watches that very thread:
// both need a thread that is ours alone.
type launcher struct {
	ended    func() // called whenever a process has ended
	requests chan func()
	done     chan struct{}
}

// newLauncher lowers the thread's priority by nice. It never gets it back, and is thrown away at the end. ended is called
// when a process has ended, whatever the reason.
func newLauncher(nice int, ended func()) (*launcher, error) {
	// Descriptors that the service itself was started with are not to reach the codecs. (Go marks its own.) A kernel
	// before 5.11 does not know the call; then they stay.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	l := &launcher{ended: ended, requests: make(chan func()), done: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(l.done)
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if nice > 0 {
			if err := lowerPriority(nice); err != nil {
				started <- err
				return
			}
		}
		started <- nil
		for start := range l.requests {
			start()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("lowering the codecs' scheduling priority by %d: %w", nice, err)
	}
	return l, nil
}

func lowerPriority(by int) error {
	// The raw system call returns 20 minus the nice value, so that it is never negative.
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return err
	}
	return unix.Setpriority(unix.PRIO_PROCESS, 0, min(20-raw+by, 19))
}

// start starts a process and waits until it is ready. Only the first part needs the launcher's thread, so that many
// processes become ready at the same time.
func (l *launcher) start(s *Settings) (p *process, err error) {
	finished := make(chan struct{})
	l.requests <- func() {
		defer close(finished)
		p, err = spawn(s, l.ended)
	}
	<-finished
	if err != nil {
		return nil, err
	}
	if err := p.awaitReady(); err != nil {
		return nil, err
	}
	return p, nil
}

// close ends the thread; processes that still run are killed by the kernel.
func (l *launcher) close() {
	close(l.requests)
	<-l.done
}
