package queuetest

import (
	"errors"
	"slices"
	"time"

	"imgopt/jobs"
)

// sharedWork: what one process submits another does.
func (s *suite) sharedWork() {
	open := s.h.Open(s.T, Roomy)
	a, b := open(), open()
	want := item(1, jobs.Background)
	s.enqueue(a, want, false)
	l := s.leaseKey(b, jobs.Background, 1)
	if l.Spec != want.Spec || l.Kind != want.Kind || !s.same(l.EnqueuedAt, want.EnqueuedAt) {
		s.Errorf("leased %+v, want %+v", l.Item, want)
	}
	s.pause(3)
	if st := s.stats(a); st.Background.Queued != 0 {
		s.Errorf("the first still counts a job the other took: %+v", st)
	}
	s.none(a, jobs.Background)
	// A retry may be made by either.
	if err := b.Requeue(s.ctx, l, time.Now().Add(2*s.h.Unit)); err != nil {
		s.Fatal(err)
	}
	l = s.leaseKey(a, jobs.Background, 1)
	if l.Attempt != 2 {
		s.Errorf("attempt %d, want 2", l.Attempt)
	}
	s.complete(a, l)
	s.none(b, jobs.Background)
}

func (s *suite) sharedJoins() {
	open := s.h.Open(s.T, Roomy)
	a, b := open(), open()
	s.enqueue(a, item(1, jobs.Background), false)
	s.enqueue(b, item(1, jobs.Background), true)
	l := s.leaseKey(b, jobs.Background, 1)
	s.enqueue(a, item(1, jobs.Background), true)
	s.complete(b, l)
	s.none(a, jobs.Background)
	s.enqueue(a, item(1, jobs.Background), false)
	s.leaseKey(a, jobs.Background, 1)
}

func (s *suite) sharedOnce() {
	open := s.h.Open(s.T, Roomy)
	s.drainWith(open(), open(), open())
}

func (s *suite) sharedExpires() {
	open := s.h.Open(s.T, Roomy)
	a, b := open(), open()
	s.enqueue(a, item(1, jobs.Background), false)
	old := s.lease(a, jobs.Background, 4*s.h.Unit)
	s.none(b, jobs.Background)
	l := s.leaseKey(b, jobs.Background, 1)
	if l.Attempt != 2 {
		s.Errorf("attempt %d, want 2", l.Attempt)
	}
	if err := a.Extend(s.ctx, old, s.long()); !errors.Is(err, jobs.ErrLeaseLost) {
		s.Errorf("renewed a lost lease: %v", err)
	}
	if err := a.Complete(s.ctx, old, jobs.Outcome{}); !errors.Is(err, jobs.ErrLeaseLost) {
		s.Errorf("completed a lost lease: %v", err)
	}
	s.complete(b, l)
}

func (s *suite) sharedClose() {
	open := s.h.Open(s.T, Roomy)
	a, b := open(), open()
	s.enqueue(a, item(1, jobs.Background), false)
	s.enqueue(a, item(2, jobs.Background), false)
	s.leaseKey(a, jobs.Background, 1)
	if err := a.Close(); err != nil {
		s.Fatal(err)
	}
	var got []int
	for range 2 {
		l := s.lease(b, jobs.Background, s.long())
		if l.Attempt != 1 {
			s.Errorf("attempt %d of a job handed back", l.Attempt)
		}
		for n := range 3 {
			if l.Key == key(n) {
				got = append(got, n)
			}
		}
	}
	if slices.Sort(got); !slices.Equal(got, []int{1, 2}) {
		s.Errorf("leased %v", got)
	}
}

// durable: submitted jobs outlast the queue, with their attempts and pauses; interactive ones do not.
func (s *suite) durable() {
	open := s.h.Open(s.T, Roomy)
	q := open()
	for n := range 5 {
		s.enqueue(q, item(n, jobs.Background), false)
		s.pause(1)
	}
	s.enqueue(q, item(10, jobs.Interactive), false)
	s.enqueue(q, item(11, jobs.Interactive), false)
	s.enqueue(q, item(11, jobs.Background), true)
	running := s.leaseKey(q, jobs.Interactive, 10)
	s.enqueue(q, item(10, jobs.Background), true) // made durable while it runs
	s.complete(q, s.leaseKey(q, jobs.Interactive, 11))

	retried := s.leaseKey(q, jobs.Background, 0)
	if err := q.Requeue(s.ctx, retried, time.Now().Add(10*s.h.Unit)); err != nil {
		s.Fatal(err)
	}
	s.complete(q, s.leaseKey(q, jobs.Background, 1))
	s.enqueue(q, item(12, jobs.Interactive), false)
	if err := q.Close(); err != nil {
		s.Fatal(err)
	}

	q = open()
	if st := s.stats(q); st.Background.Queued != 5 || st.Interactive.Queued != 0 {
		s.Errorf("after reopening: %+v", st)
	}
	for _, n := range []int{2, 3, 4, 10} {
		if l := s.leaseKey(q, jobs.Background, n); l.Attempt != 1 {
			s.Errorf("job %d: attempt %d, want 1", n, l.Attempt)
		}
	}
	if l := s.leaseKey(q, jobs.Background, 0); l.Attempt != 2 {
		s.Errorf("attempt %d, want 2", l.Attempt)
	}
	s.none(q, jobs.Background)
	_ = running
}
