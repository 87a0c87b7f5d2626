package jobs

import (
	"context"
	"time"
)

// Options.Concurrency lets a process have many more jobs than CPUs, so that slow origins do not leave the CPUs idle.
// Where others could do them, jobs that only wait for a CPU here are better left in the queue: each process takes about
// two jobs for each of its CPUs, one to work on and one to go on with. Those that are fetched for long do not count.

const (
	crowdPerCPU = 2
	// fetchedSoon is how long a job is expected to need a CPU at any moment. After that its origin is slow.
	fetchedSoon = 100 * time.Millisecond
	// crowdPoll is how often it is looked whether there is room again: a small part of what a job takes.
	crowdPoll = 2 * time.Millisecond
)

// awaitRoom waits until this process should take another job.
func (d *Dispatcher[R]) awaitRoom(ctx context.Context) {
	for ctx.Err() == nil && d.shared.up() && d.crowded() {
		waitUntil(ctx, nil, time.Now().Add(crowdPoll))
	}
}

// crowded tells whether as many jobs as make sense need a CPU here, or will soon.
func (d *Dispatcher[R]) crowded() bool {
	if d.opt.CPUs == 0 {
		return false
	}
	now, n := time.Now(), int(d.taken.Load())
	d.mu.Lock()
	defer d.mu.Unlock()
	for a := range d.running {
		if a.past || now.Sub(a.began) < fetchedSoon {
			n++
		}
	}
	return n >= crowdPerCPU*d.opt.CPUs
}
