package jobs

import (
	"container/heap"
	"context"
	"strconv"
	"sync"
	"time"
)

type entryState uint8

const (
	entryReady   entryState = iota // in its origin's track
	entryDelayed                   // in the timed heap until at, when it becomes ready
	entryLeased                    // in the timed heap until at, when the lease expires
)

// entry is a job in a schedule.
type entry struct {
	item      Item
	state     entryState
	submitted bool // somebody asked without waiting: it outlives its waiters
	durable   bool // it has a file; only the filesystem queue sets this
	readyAt   time.Time
	at        time.Time
	token     string
	pos       int // place in the timed heap

	origin     *origin
	seq        uint64 // order of becoming ready
	prev, next *entry // in its origin's track
}

// schedule is the order of work inside one process: who is ready, delayed, leased. It is the memory queue, and what
// the filesystem queue knows of its folder.
type schedule struct {
	limits    [priorities]int
	roomShare float64 // of limits, for one origin

	mu        sync.Mutex
	byKey     map[Key]*entry
	origins   map[string]*origin
	spare     *origin                // the one forgotten last
	perOrigin [priorities]int        // leased at once; 0: no limit
	open      [priorities]openTracks // those that have a job to lease
	timed     timedHeap
	arrivals  uint64          // jobs that became ready so far
	queued    [priorities]int // entries not leased
	leases    uint64          // given so far; the next token
	leased    int
	wake      chan struct{} // closed to let waiting leasers look again; nil if none waits
	closed    bool

	reclaimed uint64
	buried    uint64
}

func newSchedule(l Limits) *schedule {
	return &schedule{
		limits:    [priorities]int{Interactive: l.Interactive, Background: l.Background},
		roomShare: l.originShare(),
		byKey:     make(map[Key]*entry),
		origins:   make(map[string]*origin),
	}
}

// asked says how an item gets into the schedule.
type asked struct {
	durable bool      // a file exists, or is about to
	force   bool      // the item was admitted before: no limit applies
	at      time.Time // not ready before this
}

// put adds the item or lets it join the entry with its key, and returns a copy of what is then there.
func (s *schedule) put(item Item, how asked) (held entry, joined bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return entry{}, false, ErrClosed
	}
	s.advance(time.Now())
	p := item.Priority
	e, joined := s.byKey[item.Key]
	switch {
	case joined && p == Interactive && e.item.Priority == Background && e.state != entryLeased:
		if err := s.room(e.origin, Interactive); err != nil {
			return entry{}, true, err
		}
		e.item.Kind, e.item.Deadline, e.item.Trace = item.Kind, item.Deadline, item.Trace
		s.move(e, Interactive)
	case joined:
		if p == Interactive && item.Deadline.After(e.item.Deadline) {
			e.item.Deadline = item.Deadline
		}
	default:
		o := s.originOf(&item)
		if err := s.room(o, p); err != nil && !how.force {
			s.forget(o)
			return entry{}, false, err
		}
		e = &entry{item: item, origin: o}
		s.byKey[item.Key] = e
		o.jobs++
		s.enqueue(e, how.at)
	}
	if p == Background {
		e.submitted = true
		e.durable = e.durable || how.durable
	}
	return *e, joined, nil
}

// take waits for a job and leases it. durable tells that the job has a file, to be leased as well.
func (s *schedule) take(ctx context.Context, p Priority, ttl time.Duration) (l Lease, durable bool, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return Lease{}, false, err
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return Lease{}, false, ErrClosed
		}
		now := time.Now()
		s.advance(now)
		if e := s.pick(p); e != nil {
			s.dequeue(e)
			s.leases++
			s.leased++
			e.track().leased++
			s.review(e.origin)
			e.state, e.token = entryLeased, strconv.FormatUint(s.leases, 10)
			e.item.Attempt++
			s.time(e, now.Add(ttl))
			l, durable = Lease{Item: e.item, Token: e.token}, e.durable
			s.mu.Unlock()
			return l, durable, nil
		}
		if s.wake == nil {
			s.wake = make(chan struct{})
		}
		wake := s.wake
		var next time.Time
		if len(s.timed) > 0 {
			next = s.timed[0].at
		}
		s.mu.Unlock()
		waitUntil(ctx, wake, next)
	}
}

// waitUntil returns when wake is closed, the time has come (unless zero), or ctx ends.
func waitUntil(ctx context.Context, wake <-chan struct{}, at time.Time) {
	var alarm <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		alarm = timer.C
	}
	select {
	case <-wake:
	case <-alarm:
	case <-ctx.Done():
	}
}

// extend moves the lease's end.
func (s *schedule) extend(l Lease, ttl time.Duration) (durable bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.current(l)
	if e == nil {
		return false, ErrLeaseLost
	}
	heap.Remove(&s.timed, e.pos)
	s.time(e, time.Now().Add(ttl))
	return e.durable, nil
}

// remove ends a leased job.
func (s *schedule) remove(l Lease, dead bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.current(l)
	if e == nil {
		return ErrLeaseLost
	}
	heap.Remove(&s.timed, e.pos)
	s.unlease(e)
	s.drop(e)
	if dead {
		s.buried++
	}
	return nil
}

// requeue gives a leased job back.
func (s *schedule) requeue(l Lease, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.current(l)
	if e == nil {
		return ErrLeaseLost
	}
	heap.Remove(&s.timed, e.pos)
	s.unlease(e)
	e.item, e.token = l.Item, ""
	s.enqueue(e, at)
	return nil
}

// withdraw drops a job that is not leased and that only waiters asked for.
func (s *schedule) withdraw(key Key) (dropped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[key]
	switch {
	case e == nil || e.state == entryLeased || e.item.Priority == Background:
		return false
	case e.submitted:
		e.item.Deadline = time.Time{} // nobody's time runs any more
		s.move(e, Background)
		return false
	default:
		s.dequeue(e)
		s.drop(e)
		return true
	}
}

// held tells whether the lease is current, and whether its job has a file.
func (s *schedule) held(l Lease) (durable, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.current(l)
	if e == nil {
		return false, false
	}
	return e.durable, true
}

// has tells whether the schedule holds a job with that key.
func (s *schedule) has(key Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byKey[key] != nil
}

// idle tells that no job waits to be leased.
func (s *schedule) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queued == [priorities]int{}
}

func (s *schedule) stats() QueueStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.advance(now)
	return QueueStats{Interactive: s.class(Interactive, now), Background: s.class(Background, now), Leased: s.leased,
		Reclaimed: s.reclaimed, Buried: s.buried}
}

func (s *schedule) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.notify()
}

// The rest is called with mu held.

// current returns the entry if the lease on it is still in force.
func (s *schedule) current(l Lease) *entry {
	e := s.byKey[l.Key]
	if e == nil || e.state != entryLeased || e.token != l.Token || !time.Now().Before(e.at) {
		return nil
	}
	return e
}

// enqueue makes an entry ready, or delayed if at is in the future.
func (s *schedule) enqueue(e *entry, at time.Time) {
	s.queued[e.item.Priority]++
	e.track().queued++
	if now := time.Now(); at.After(now) {
		e.state = entryDelayed
		s.time(e, at)
	} else {
		s.makeReady(e, now)
	}
}

func (s *schedule) makeReady(e *entry, now time.Time) {
	e.state, e.readyAt = entryReady, now
	s.arrivals++
	e.seq = s.arrivals
	e.track().push(e)
	s.review(e.origin)
}

// dequeue takes an entry that is not leased out of its track or heap.
func (s *schedule) dequeue(e *entry) {
	s.queued[e.item.Priority]--
	e.track().queued--
	if e.state == entryDelayed {
		heap.Remove(&s.timed, e.pos)
		return
	}
	e.track().remove(e)
	s.review(e.origin)
}

// unlease notes that a lease ended.
func (s *schedule) unlease(e *entry) {
	s.leased--
	e.track().leased--
	s.review(e.origin)
}

// drop forgets a job that is neither queued nor leased any more.
func (s *schedule) drop(e *entry) {
	delete(s.byKey, e.item.Key)
	e.origin.jobs--
	s.forget(e.origin)
}

// move changes the priority of an entry that is not leased; it joins the end of the line.
func (s *schedule) move(e *entry, p Priority) {
	at := e.at
	if e.state == entryReady {
		at = time.Time{}
	}
	s.dequeue(e)
	e.item.Priority = p
	s.enqueue(e, at)
}

// time puts an entry into the timed heap.
func (s *schedule) time(e *entry, at time.Time) {
	e.at = at
	heap.Push(&s.timed, e)
	if e.pos == 0 {
		s.notify() // waiting leasers sleep until a later time
	}
}

// advance makes ready what has been delayed until now, and what was leased until now.
func (s *schedule) advance(now time.Time) {
	for len(s.timed) > 0 && !s.timed[0].at.After(now) {
		e := heap.Pop(&s.timed).(*entry)
		if e.state == entryLeased {
			s.unlease(e)
			s.reclaimed++
			s.queued[e.item.Priority]++
			e.track().queued++
		}
		s.makeReady(e, now)
	}
}

// notify lets all waiting leasers look again.
func (s *schedule) notify() {
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	}
}

// timedHeap orders entries by the time at which something happens to them.
type timedHeap []*entry

func (h timedHeap) Len() int           { return len(h) }
func (h timedHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timedHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}
func (h *timedHeap) Push(x any) {
	e := x.(*entry)
	e.pos = len(*h)
	*h = append(*h, e)
}
func (h *timedHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
