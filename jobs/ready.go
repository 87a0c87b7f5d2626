package jobs

import (
	"container/heap"
	"time"
)

// origin is what a schedule knows of the jobs of one origin, for as long as there are any.
type origin struct {
	name   string
	jobs   int // in whatever state
	tracks [priorities]track
}

// track holds an origin's jobs of one priority.
type track struct {
	origin      *origin
	priority    Priority
	first, last *entry // the ready ones, in order of arrival
	ready       int
	queued      int // not leased: ready or delayed
	leased      int
	pos         int // place in open, -1 if it is not there
}

// originOf returns what is known of an item's origin, and begins to know it if need be. The caller adds a job or
// calls forget.
func (s *schedule) originOf(item *Item) *origin {
	name := item.Spec.Origin()
	if o := s.origins[name]; o != nil {
		return o
	}
	o := s.spare // the only job of an origin is the usual case where jobs are few: no new memory for each
	s.spare = nil
	if o == nil {
		o = new(origin)
	}
	*o = origin{name: name} // a part of the first job's href: that stays as long as the origin has jobs
	for p := range o.tracks {
		o.tracks[p] = track{origin: o, priority: Priority(p), pos: -1}
	}
	s.origins[name] = o
	return o
}

// forget drops an origin without jobs.
func (s *schedule) forget(o *origin) {
	if o.jobs == 0 {
		delete(s.origins, o.name)
		o.name = "" // a job's href hangs on it
		s.spare = o
	}
}

// track returns the track of an entry's priority.
func (e *entry) track() *track { return &e.origin.tracks[e.item.Priority] }

// push adds an entry at the end.
func (t *track) push(e *entry) {
	e.prev, e.next = t.last, nil
	if t.last == nil {
		t.first = e
	} else {
		t.last.next = e
	}
	t.last = e
	t.ready++
}

// remove takes an entry out.
func (t *track) remove(e *entry) {
	if e.prev == nil {
		t.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		t.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
	t.ready--
}

// room tells whether one more job may be queued. One origin may fill a share of the queue by itself; of several
// that all want more, each gets less, as what an origin may hold is proportional to the room that is left. So there
// always is room for an origin that comes later, which a fixed bound for each does not give (it is the dynamic
// threshold that shared-memory switches use: Choudhury and Hahne, 1998). An origin without queued jobs needs no share.
func (s *schedule) room(o *origin, p Priority) error {
	if s.queued[p] >= s.limits[p] {
		return ErrFull
	}
	own, left := o.tracks[p].queued+1, s.limits[p]-s.queued[p]-1
	const rounding = 1e-9
	if own > 1 && s.roomShare < 1 && float64(own)*(1-s.roomShare) > float64(left)*s.roomShare+rounding {
		return ErrOriginFull
	}
	return nil
}

// limitOrigins bounds how many jobs of an origin are leased at once.
func (s *schedule) limitOrigins(interactive, background int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.perOrigin = [priorities]int{Interactive: interactive, Background: background}
	for _, o := range s.origins {
		s.review(o)
	}
}

// heldBack tells whether the origin's ready jobs of that priority have to wait for those that are leased. Background
// jobs also wait while the origin has people's jobs that do: whatever the origin can take is theirs.
func (s *schedule) heldBack(t *track) bool {
	if limit := s.perOrigin[t.priority]; limit > 0 && t.leased >= limit {
		return true
	}
	return t.priority == Background && t.origin.tracks[Interactive].ready > 0
}

// review puts the tracks of an origin where they belong after a change, and wakes leasers that may go on.
func (s *schedule) review(o *origin) {
	people := len(s.open[Interactive])
	for p := range o.tracks {
		t, open := &o.tracks[p], &s.open[p]
		leasable := t.ready > 0 && !s.heldBack(t)
		switch {
		case leasable && t.pos < 0:
			heap.Push(open, t)
			s.notify()
		case leasable:
			heap.Fix(open, t.pos) // its first job may be another one
		case t.pos >= 0:
			heap.Remove(open, t.pos)
		}
	}
	if people > 0 && len(s.open[Interactive]) == 0 && len(s.open[Background]) > 0 {
		s.notify() // background leasers were held back by it
	}
}

// pick returns the next entry to lease, or nil: of the jobs not held back, the one that has been ready longest.
func (s *schedule) pick(p Priority) *entry {
	if len(s.open[p]) == 0 || p == Background && len(s.open[Interactive]) > 0 {
		return nil
	}
	return s.open[p][0].first
}

// class counts the jobs of one priority. It looks at every origin that has jobs.
func (s *schedule) class(p Priority, now time.Time) ClassStats {
	c := ClassStats{Queued: s.queued[p], Delayed: s.queued[p]}
	var oldest *entry
	for _, o := range s.origins {
		t := &o.tracks[p]
		c.Delayed -= t.ready
		if t.first == nil {
			continue
		}
		if s.heldBack(t) {
			c.HeldBack += t.ready
		}
		if oldest == nil || t.first.seq < oldest.seq {
			oldest = t.first
		}
	}
	if oldest != nil {
		c.Oldest = max(0, now.Sub(oldest.readyAt))
	}
	return c
}

// openTracks orders the tracks that have a job to lease by how long their first one has been ready.
type openTracks []*track

func (h openTracks) Len() int           { return len(h) }
func (h openTracks) Less(i, j int) bool { return h[i].first.seq < h[j].first.seq }
func (h openTracks) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}
func (h *openTracks) Push(x any) {
	t := x.(*track)
	t.pos = len(*h)
	*h = append(*h, t)
}
func (h *openTracks) Pop() any {
	old := *h
	t := old[len(old)-1]
	t.pos = -1
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return t
}
