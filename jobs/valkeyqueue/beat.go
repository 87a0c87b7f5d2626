package valkeyqueue

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"imgopt/jobs"
	"imgopt/valkey"
)

const (
	// doubtFor is how long after a failed call what it may have done is looked for: a server that hung can still carry
	// it out when it goes on.
	doubtFor = 15 * time.Second
	// ownEvery is how often this process's leases are compared with the server's without a reason.
	ownEvery = 10 * time.Second
	// maxUnsent bounds the completions that wait for the server, maxRegrets the jobs to withdraw from. They are a few
	// hundred bytes each.
	maxUnsent  = 1024
	maxRegrets = 4096
	// waitingFor is when this process is taken to have forgotten a job that it never withdrew from.
	waitingFor = 10 * time.Minute
)

// completion is the end of a job of which the server does not know yet.
type completion struct {
	lease   jobs.Lease
	outcome []byte
	args    []string
	until   time.Time
}

// remember keeps a completion until the server can be told, unless there are too many: then the job is done again. mu is
// held.
func (q *Queue) remember(c completion) {
	if len(q.unsent) < maxUnsent {
		q.unsent = append(q.unsent, c)
		return
	}
	delete(q.leases, c.lease.Token)
}

// beatSoon has the next beat come at once.
func (q *Queue) beatSoon() {
	select {
	case q.beatNow <- struct{}{}:
	default:
	}
}

// beats shows that this process lives and learns what the others do, until the queue is closed.
func (q *Queue) beats() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due dues
	failed := false
	for {
		changed := q.o.Client.Changed()
		if q.o.Client.Health().State == valkey.Down {
			q.setUp(false)
		} else {
			switch err := q.beatOnce(changed, &due); {
			case err == nil && failed:
				failed = false
				q.o.Log.Info("the job queue in valkey works again")
			case err == nil, failed, errors.Is(err, valkey.ErrDown), errors.Is(err, context.Canceled):
				// that the server is away its client says
			default:
				failed = true
				q.o.Log.Error("the job queue in valkey fails: every process works for itself", "error", err)
			}
		}
		timer.Reset(q.o.Beat - rand.N(q.o.Beat/4+1))
		select {
		case <-q.ctx.Done():
			return
		case <-changed:
		case <-q.beatNow:
		case <-timer.C:
		}
	}
}

// dues is when something was done last that not every beat does.
type dues struct{ own, registered time.Time }

// beatOnce beats, and does what is due. It ends when the server goes, which its client may know long before the time
// limit of a call is over.
func (q *Queue) beatOnce(changed <-chan struct{}, due *dues) error {
	ctx, cancel := context.WithCancel(q.ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			changed = q.o.Client.Changed()
			if q.o.Client.Health().State == valkey.Down {
				cancel()
			}
		}
	})
	if err := q.beat(ctx); err != nil {
		return err
	}
	q.settle(ctx)
	now := time.Now()
	if (q.inDoubt(now) || now.Sub(due.own) > ownEvery) && q.handBackUnknown(ctx) == nil {
		due.own = now
	}
	if (due.registered.IsZero() || now.Sub(due.registered) > registerEvery) && q.register(ctx) == nil {
		due.registered = now
	}
	return nil
}

// Up implements jobs.Remote.
func (q *Queue) Up() (bool, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.up, q.changed
}

func (q *Queue) setUp(up bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.up != up {
		q.up = up
		close(q.changed)
		q.changed = make(chan struct{})
	}
}

// beat is one beat.
func (q *Queue) beat(ctx context.Context) error {
	worker := "0"
	if q.o.Worker {
		worker = "1"
	}
	m, err := q.run(ctx, scripts.tick, callWithin, "showing that this process lives", q.replica, worker,
		strconv.FormatInt(deadAfter*q.o.Beat.Milliseconds(), 10))
	var list []string
	if err == nil {
		list, err = texts(m)
	}
	t := tick{at: time.Now()}
	var known, reclaimed int
	if err == nil && len(list) < 6 {
		err = errTorn
	}
	if err == nil {
		known, err = number(list[0], 1, err)
		t.replicas, err = number(list[1], 1<<30, err)
		t.workers, err = number(list[2], 1<<30, err)
		reclaimed, err = number(list[3], 1<<30, err)
		if list[4] != "" && err == nil {
			t.pace, err = strconv.ParseFloat(list[4], 64)
		}
	}
	if err == nil {
		t.dead, err = number(list[5], 1<<30, err)
	}
	if err == nil {
		t.classes, err = parseClasses(list[6:])
	}
	if err != nil {
		q.setUp(false)
		return err
	}
	q.reclaimed.Add(uint64(reclaimed))
	q.mu.Lock()
	q.last = t
	if known == 0 {
		q.notify(jobs.Interactive)
		q.notify(jobs.Background)
	}
	q.mu.Unlock()
	q.setUp(true)
	return nil
}

// settle tells the server what it could not be told before.
func (q *Queue) settle(ctx context.Context) {
	q.mu.Lock()
	now := time.Now()
	unsent := q.unsent
	q.unsent = nil
	var regrets []jobs.Key
	for key, since := range q.regrets {
		switch w := q.watches[key]; {
		case !w.idle():
			delete(q.regrets, key) // it was enqueued again, or is about to be
		case now.Sub(since) >= time.Second && len(regrets) < 100:
			regrets = append(regrets, key)
		}
	}
	for key, since := range q.waiting {
		if now.Sub(since) > waitingFor && q.watches[key].idle() {
			delete(q.waiting, key)
		}
	}
	for key := range q.regrets {
		if len(q.regrets) <= maxRegrets {
			break
		}
		delete(q.regrets, key)
	}
	q.mu.Unlock()

	for i, c := range unsent {
		if now.After(c.until) {
			q.release(c.lease.Token)
			continue
		}
		err := q.fenced(ctx, scripts.complete, "completing a job", c.lease, c.args)
		if err != nil && !errors.Is(err, jobs.ErrLeaseLost) {
			q.mu.Lock()
			for _, c := range unsent[i:] {
				q.remember(c)
			}
			q.mu.Unlock()
			return
		}
		if err == nil {
			q.completed(c.lease, c.outcome)
		}
	}
	if len(regrets) > 0 {
		_, _ = q.withdraw(ctx, regrets) // a failure is remembered
	}
}

func (q *Queue) inDoubt(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return now.Before(q.doubt)
}

// handBackUnknown gives back, uncounted, jobs that were leased to this process by a call whose answer was lost.
func (q *Queue) handBackUnknown(ctx context.Context) error {
	m, err := q.run(ctx, scripts.mine, callWithin, "looking for own leases", q.replica)
	if err != nil {
		return err
	}
	list, err := texts(m)
	if err != nil {
		return err
	}
	for ; len(list) >= 2; list = list[2:] {
		key, token := list[0], list[1]
		q.mu.Lock()
		known := q.asking[token] || q.leases[token] != nil
		q.mu.Unlock()
		if known {
			continue
		}
		if _, err := q.run(ctx, scripts.handback, callWithin, "handing back a job", key, token); err != nil {
			return err
		}
	}
	return nil
}
