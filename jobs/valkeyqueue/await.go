package valkeyqueue

import (
	"context"
	"time"

	"imgopt/jobs"
	"imgopt/valkey"
)

// How often the server is asked about a job of which nothing has been heard, in case a message was lost, and about how
// many at once.
const (
	lookAfter = 2 * time.Second
	lookEvery = lookAfter / 4
	lookMost  = 64
)

// watch is what this process knows of a job somebody here waits for. All its methods are called with the queue's mu held.
type watch struct {
	awaits map[*await]struct{}
	// asked is when the server last confirmed that it has the job; zero while it has not.
	asked time.Time
}

// await is one call of Await.
type await struct {
	ends  chan jobs.Ending
	armed bool // the next end is news: nothing has come since the last Enqueue
}

// endsRoom is how many ends one Await has room for. There is one for each Enqueue, so more are not left unread.
const endsRoom = 4

// Await implements jobs.Remote.
func (q *Queue) Await(key jobs.Key) (<-chan jobs.Ending, func()) {
	a := &await{ends: make(chan jobs.Ending, endsRoom)}
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.watches[key]
	if w == nil {
		w = &watch{awaits: make(map[*await]struct{})}
		q.watches[key] = w
	}
	w.awaits[a] = struct{}{}
	return a.ends, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(w.awaits, a)
		if len(w.awaits) == 0 && q.watches[key] == w {
			delete(q.watches, key)
			if !q.waiting[key].IsZero() {
				q.regrets[key] = time.Now() // the server has not been told, maybe because it was away
			}
		}
	}
}

// idle tells that nobody waits for an end.
func (w *watch) idle() bool {
	if w != nil {
		for a := range w.awaits {
			if a.armed {
				return false
			}
		}
	}
	return true
}

// arm notes that the job is about to be enqueued: its end is news, even before the server's answer to that.
func (q *Queue) arm(key jobs.Key) {
	if w := q.watches[key]; w != nil {
		for a := range w.awaits {
			a.armed = true
		}
	}
}

// disarm notes that the job was not enqueued. If it had been before, those who wait for that go on.
func (q *Queue) disarm(key jobs.Key) {
	if w := q.watches[key]; w != nil && w.asked.IsZero() {
		for a := range w.awaits {
			a.armed = false
		}
	}
}

// confirm notes that the server has the job, unless its end is known already.
func (q *Queue) confirm(key jobs.Key) {
	if w := q.watches[key]; !w.idle() {
		w.asked = time.Now()
	}
}

// adopt has the server asked soon about a job of which this process was the worker and is it no more: those who wait here
// may have relied on that, and not have asked the server for it.
func (q *Queue) adopt(key jobs.Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w := q.watches[key]; w != nil && w.asked.IsZero() {
		q.arm(key)
		w.asked = time.Now()
	}
}

// ended tells those who wait how a job ended.
func (q *Queue) ended(key jobs.Key, end jobs.Ending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.waiting, key)
	delete(q.regrets, key)
	w := q.watches[key]
	if w == nil {
		return
	}
	w.asked = time.Time{}
	for a := range w.awaits {
		if !a.armed {
			continue
		}
		a.armed = false
		if end.Lost {
			q.lost.Add(1)
		}
		select {
		case a.ends <- end:
		default: // whoever does not read does not wait
		}
	}
}

// told takes a message.
func (q *Queue) told(message string) {
	if key, ok := decodeJoined(message); ok {
		q.mu.Lock()
		joined := q.onJoin
		q.mu.Unlock()
		if joined != nil {
			joined(key)
		}
		return
	}
	key, end, err := decodeMessage(message)
	if err != nil {
		q.corrupt.Add(1)
		return
	}
	q.ended(key, end)
}

// lookAtAll has all jobs looked at, because messages may have been lost.
func (q *Queue) lookAtAll() {
	q.mu.Lock()
	for _, w := range q.watches {
		if !w.asked.IsZero() {
			w.asked = time.Now().Add(-lookAfter)
		}
	}
	q.mu.Unlock()
	select {
	case q.lookNow <- struct{}{}:
	default:
	}
}

// looks asks for the jobs of which nothing was heard.
func (q *Queue) looks() {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-q.ctx.Done():
			return
		case <-ticker.C:
		case <-q.lookNow:
		}
		for q.look(q.ctx) == lookMost {
		}
	}
}

// look asks for some jobs and returns how many it asked for, 0 if that failed.
func (q *Queue) look(ctx context.Context) int {
	q.mu.Lock()
	if !q.up {
		q.mu.Unlock()
		return 0
	}
	now := time.Now()
	var keys []jobs.Key
	asked := make([]time.Time, 0, lookMost)
	args := []string{q.replica}
	for key, w := range q.watches {
		if len(keys) == lookMost {
			break
		}
		if !w.asked.IsZero() && now.Sub(w.asked) >= lookAfter && !w.idle() {
			keys = append(keys, key)
			asked = append(asked, w.asked)
			args = append(args, string(key[:]))
		}
	}
	q.mu.Unlock()
	if len(keys) == 0 {
		return 0
	}
	m, err := q.run(ctx, scripts.look, callWithin, "looking for jobs", args...)
	if err != nil {
		return 0
	}
	found, err := m.ToArray()
	if err != nil || len(found) != len(keys) {
		return 0
	}
	for i, key := range keys {
		q.seen(key, asked[i], &found[i])
	}
	return len(keys)
}

// seen takes what the server said of one job, unless the job was enqueued again meanwhile.
func (q *Queue) seen(key jobs.Key, asked time.Time, m *valkey.Message) {
	q.mu.Lock()
	w := q.watches[key]
	if w == nil || !w.asked.Equal(asked) {
		q.mu.Unlock()
		return
	}
	if n, err := m.ToInt64(); err == nil && n == 1 {
		w.asked = time.Now()
		q.waiting[key] = w.asked
		q.mu.Unlock()
		return
	}
	q.mu.Unlock()
	end := jobs.Ending{Lost: true}
	if outcome, err := m.AsBytes(); err == nil {
		if end, err = decodeOutcome(outcome); err != nil {
			q.corrupt.Add(1)
			end = jobs.Ending{Lost: true}
		}
	}
	q.ended(key, end)
}
