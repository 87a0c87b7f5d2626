package main

import (
	"context"
	"errors"
	"time"

	"imgopt/config"
)

// The members of a fleet are reloaded one after the other, or at about the same time. Most settings leave them in the
// same queue. Those that change what a job's result is (origin, images.dangerouslyAllowSVG) part them: jobs of one version
// are done by workers of that version. So workers do those of before for a while, and a process that has no codecs
// goes over when there is a worker to do its jobs.

const (
	// joinWithin is how long a reload waits for the shared queue: less than `imgopt reload` waits for the answer.
	joinWithin = 7 * time.Second
	// joinPoll is how often it is looked for workers.
	joinPoll = 50 * time.Millisecond
)

var errNoWorker = errors.New("origin or images.dangerouslyAllowSVG has changed, and no worker with the new value was seen: " +
	"workers have to be reloaded, or restarted, before processes with role: web")

// join waits until an edition's shared queue can take the place of the one in force.
func (e *edition) join(ctx context.Context, before *edition) error {
	if e.queue == nil {
		return nil
	}
	if up, _ := before.queue.remote.Up(); !up {
		return nil // Valkey is away: waiting for it would mend nothing
	}
	ctx, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	look := time.NewTicker(joinPoll)
	defer look.Stop()
	for {
		up, changed := e.queue.remote.Up()
		if up && e.hasWorkers(before) {
			return nil
		}
		select {
		case <-changed:
		case <-look.C:
		case <-ctx.Done():
			if up {
				return errNoWorker
			}
			return nil // it has gone away meanwhile
		}
	}
}

// hasWorkers tells whether jobs will be done as they were before.
func (e *edition) hasWorkers(before *edition) bool {
	return e.config.Role != config.RoleWeb || e.sharesQueue(before) || e.queue.remote.Peers() > 0 || before.queue.remote.Peers() == 0
}

// works tells whether the edition does jobs of other processes.
func (e *edition) works() bool { return e.queue != nil && e.config.Role != config.RoleWeb }

func (e *edition) sharesQueue(other *edition) bool { return e.version == other.version }
