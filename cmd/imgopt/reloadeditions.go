package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"imgopt/jobs"
)

// editions are the edition in force and earlier ones that still answer what they were asked before.
type editions struct {
	current atomic.Pointer[edition]

	mu      sync.Mutex // held while current changes, too
	earlier []*edition
	past    jobCounters // of those that are closed

	retiring sync.WaitGroup
	// stay ends when the process stops, hurry when it has no time left for the earlier ones.
	stay, hurry   context.Context
	stop, hurryUp context.CancelFunc
}

func newEditions() *editions {
	s := &editions{}
	s.hurry, s.hurryUp = context.WithCancel(context.Background())
	s.stay, s.stop = context.WithCancel(s.hurry)
	return s
}

// inForce is nil until there is a first one.
func (s *editions) inForce() *edition { return s.current.Load() }

// servePublic and serveAdmin answer with the edition in force.
func (s *editions) servePublic(ctx *fasthttp.RequestCtx) { s.inForce().servePublic(ctx) }
func (s *editions) serveAdmin(ctx *fasthttp.RequestCtx)  { s.inForce().serveAdmin(ctx) }

// swap puts an edition in force. The one before is closed when nobody uses it any more.
func (s *editions) swap(e *edition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.current.Swap(e)
	if before == nil {
		return
	}
	s.earlier = append(s.earlier, before)
	s.retiring.Go(func() { s.retire(before) })
}

// retireGrace is the time an edition gets beyond that of a request or a job.
const retireGrace = 5 * time.Second

// retire closes an edition that is not in force any more.
func (s *editions) retire(e *edition) {
	limit := e.config.Timeout + retireGrace
	waiting, cancel := context.WithTimeout(s.hurry, limit)
	defer cancel()
	e.users.end(waiting)
	if e.works() && !e.sharesQueue(s.inForce()) {
		// Processes that are reloaded later have put jobs into its queue, and may yet.
		lasting, cancel := context.WithTimeout(s.stay, limit)
		defer cancel()
		<-lasting.Done()
	}

	counted := countersOf(e.optimizer.Stats(context.Background()))
	working, cancel := context.WithTimeout(s.hurry, limit)
	defer cancel()
	if err := e.close(working); err != nil {
		e.service.log.Warn("not all was finished that was under way before the last reload", "error", err)
	}
	counted = counted.atLeast(countersOf(e.optimizer.Stats(context.Background())))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.earlier = slices.DeleteFunc(s.earlier, func(o *edition) bool { return o == e })
	s.past = s.past.plus(counted)
}

// close ends all of them, before ctx ends if they can. Nothing may be swapped any more.
func (s *editions) close(ctx context.Context) error {
	s.stop()
	defer context.AfterFunc(ctx, s.hurryUp)()
	var err error
	if e := s.inForce(); e != nil {
		err = e.close(ctx)
	}
	s.retiring.Wait()
	s.hurryUp()
	return err
}

// jobs describes the queue of the edition in force, and the workers of all.
func (s *editions) jobs(ctx context.Context) (jobs.Stats, error) {
	s.mu.Lock()
	now, earlier, past := s.inForce(), slices.Clone(s.earlier), s.past
	s.mu.Unlock()
	stats, err := now.optimizer.Stats(ctx)
	for _, e := range earlier {
		o, failed := e.optimizer.Stats(ctx)
		err = errors.Join(err, failed)
		stats.InFlight += o.InFlight
		stats.InFlightBackground += o.InFlightBackground
		past = past.plus(countersOf(o, failed))
	}
	past.addTo(&stats)
	return stats, err
}

// jobCounters are the counters of an optimizer that are exported: what was counted must not be forgotten with an edition.
type jobCounters [5]uint64

func (jobCounters) of(s *jobs.Stats) [len(jobCounters{})]*uint64 {
	return [...]*uint64{&s.Abandoned, &s.Queue.Reclaimed, &s.Queue.Buried, &s.Queue.StoreErrors, &s.Queue.Corrupt}
}

// countersOf takes what Stats returns; with an error that is less.
func countersOf(s jobs.Stats, _ error) (c jobCounters) {
	for i, n := range c.of(&s) {
		c[i] = *n
	}
	return c
}

func (c jobCounters) addTo(s *jobs.Stats) {
	for i, n := range c.of(s) {
		*n += c[i]
	}
}

func (c jobCounters) plus(o jobCounters) jobCounters {
	for i := range c {
		c[i] += o[i]
	}
	return c
}

func (c jobCounters) atLeast(o jobCounters) jobCounters {
	for i := range c {
		c[i] = max(c[i], o[i])
	}
	return c
}

// users counts those who use something that will end. The zero value has none.
type users struct {
	n    atomic.Int64 // and usersEnded, once it is to end
	once sync.Once
	none chan struct{} // told when the last one has left after the end
}

// usersEnded is far below zero, whatever is added.
const usersEnded = math.MinInt64 / 2

func (u *users) gone() chan struct{} {
	u.once.Do(func() { u.none = make(chan struct{}, 1) })
	return u.none
}

// enter reports false when the end has come.
func (u *users) enter() bool {
	if u.n.Add(1) > 0 {
		return true
	}
	u.leave()
	return false
}

// leave ends one use.
func (u *users) leave() {
	if u.n.Add(-1) == usersEnded {
		select {
		case u.gone() <- struct{}{}:
		default:
		}
	}
}

// end lets nobody enter any more and waits, until ctx ends, for those who have. It may be called once.
func (u *users) end(ctx context.Context) {
	if u.n.Add(usersEnded) == usersEnded {
		return
	}
	select {
	case <-u.gone():
	case <-ctx.Done():
	}
}
