package queuetest

import (
	"errors"
	"net/http"
	"time"

	"imgopt/failure"
	"imgopt/jobs"
)

// order: first come, first served, in each priority.
func (s *suite) order() {
	q := s.open()
	for _, p := range both {
		base := 100 * int(p)
		for n := range 10 {
			s.enqueue(q, item(base+n, p), false)
			s.pause(1)
		}
		for n := range 10 {
			s.complete(q, s.leaseKey(q, p, base+n))
		}
		s.none(q, p)
	}
}

// item: what goes in comes out.
func (s *suite) item() {
	q := s.open()
	for _, p := range both {
		in := item(1, p)
		in.Kind = jobs.Revalidate
		in.Spec = jobs.Spec{Href: "https://example.com/ä\xff\n?a=\"b\"", Absolute: true, Width: 3840, Quality: 100, Format: "image/avif"}
		if p == jobs.Interactive {
			in.Deadline = time.Now().Add(s.long())
		}
		s.enqueue(q, in, false)
		out := s.lease(q, p, s.long())
		if out.Attempt != 1 {
			s.Errorf("%v: first attempt is number %d", p, out.Attempt)
		}
		want := in.Job
		want.Attempt = 1
		if out.Job != want {
			s.Errorf("%v: leased %+v, want %+v", p, out.Job, want)
		}
		if !s.same(out.EnqueuedAt, in.EnqueuedAt) || !s.same(out.Deadline, in.Deadline) {
			s.Errorf("%v: times %v, %v; want %v, %v", p, out.EnqueuedAt, out.Deadline, in.EnqueuedAt, in.Deadline)
		}
		s.complete(q, out)
	}
}

// joins: an id that is queued or leased is not added again.
func (s *suite) joins() {
	q := s.open()
	for _, first := range both {
		for _, second := range both {
			n := 10*int(first) + int(second)
			s.enqueue(q, item(n, first), false)
			s.enqueue(q, item(n, second), true)
			l := s.leaseKey(q, min(first, second), n)
			s.enqueue(q, item(n, second), true)
			s.none(q, jobs.Interactive)
			s.none(q, jobs.Background)
			s.complete(q, l)
			s.none(q, jobs.Interactive)
			s.none(q, jobs.Background)
		}
	}
}

// deadlines: who comes later may wait longer.
func (s *suite) deadlines() {
	q := s.open()
	now := time.Now()
	for n, order := range [][]int{{100, 200}, {200, 100}} {
		for i, units := range order {
			it := item(n, jobs.Interactive)
			it.Deadline = now.Add(time.Duration(units) * s.h.Unit)
			s.enqueue(q, it, i > 0)
		}
		l := s.leaseKey(q, jobs.Interactive, n)
		if want := now.Add(200 * s.h.Unit); !s.same(l.Deadline, want) {
			s.Errorf("deadlines %v: leased with %v", order, l.Deadline.Sub(now))
		}
	}
}

// promotion: somebody begins to wait for a background job.
func (s *suite) promotion() {
	q := s.open()
	s.enqueue(q, item(1, jobs.Background), false)
	s.enqueue(q, item(2, jobs.Background), false)
	wanted := item(2, jobs.Interactive)
	wanted.Kind, wanted.Deadline = jobs.Miss, time.Now().Add(s.long())
	s.enqueue(q, wanted, true)
	if st := s.stats(q); st.Interactive.Queued != 1 || st.Background.Queued != 1 {
		s.Errorf("queued %+v", st)
	}
	l := s.leaseKey(q, jobs.Interactive, 2)
	if l.Priority != jobs.Interactive || l.Kind != jobs.Miss || !s.same(l.Deadline, wanted.Deadline) {
		s.Errorf("promoted job is %+v", l.Item)
	}
	s.complete(q, l)
	s.leaseKey(q, jobs.Background, 1)
	s.none(q, jobs.Background)
}

// promotionDelayed: a promoted job keeps its pause.
func (s *suite) promotionDelayed() {
	q := s.open()
	s.enqueue(q, item(1, jobs.Background), false)
	l := s.lease(q, jobs.Background, s.long())
	if err := q.Requeue(s.ctx, l, time.Now().Add(10*s.h.Unit)); err != nil {
		s.Fatal(err)
	}
	s.enqueue(q, item(1, jobs.Interactive), true)
	s.none(q, jobs.Interactive)
	s.none(q, jobs.Background)
	if l := s.leaseKey(q, jobs.Interactive, 1); l.Attempt != 2 {
		s.Errorf("attempt %d, want 2", l.Attempt)
	}
}

// limits: each priority has its own room, which leases leave and requeued jobs do not need.
func (s *suite) limits() {
	q := s.h.Open(s.T, jobs.Limits{Interactive: 2, Background: 3})()
	for _, p := range both {
		base, room := 100*int(p), 2+int(p)
		for n := range room {
			s.enqueue(q, item(base+n, p), false)
		}
		if _, err := q.Enqueue(s.ctx, item(base+50, p)); !errors.Is(err, jobs.ErrFull) {
			s.Fatalf("%v: enqueued beyond the limit: %v", p, err)
		}
		s.enqueue(q, item(base, p), true)
		if p == jobs.Background {
			s.enqueue(q, item(0, p), true)
		}
	}
	if _, err := q.Enqueue(s.ctx, item(100, jobs.Interactive)); !errors.Is(err, jobs.ErrFull) {
		s.Fatalf("promoted beyond the limit: %v", err)
	}
	l := s.leaseKey(q, jobs.Interactive, 0)
	s.enqueue(q, item(60, jobs.Interactive), false)
	if err := q.Requeue(s.ctx, l, time.Now()); err != nil {
		s.Fatalf("requeueing into a full queue: %v", err)
	}
	if st := s.stats(q); st.Interactive.Queued != 3 {
		s.Errorf("%d interactive jobs queued, want 3", st.Interactive.Queued)
	}
}

// yields: background jobs are not leased while an interactive one is ready.
func (s *suite) yields() {
	q := s.open()
	s.enqueue(q, item(1, jobs.Background), false)
	s.enqueue(q, item(2, jobs.Interactive), false)
	s.none(q, jobs.Background)

	got := make(chan jobs.Lease, 1)
	go func() { got <- s.lease(q, jobs.Background, s.long()) }()
	s.pause(1)
	second := s.leaseKey(q, jobs.Interactive, 2)
	if l := <-got; l.Key != key(1) {
		s.Errorf("leased %s", l.Spec.Href)
	}
	// A delayed interactive job holds nothing back.
	if err := q.Requeue(s.ctx, second, time.Now().Add(s.long())); err != nil {
		s.Fatal(err)
	}
	s.enqueue(q, item(3, jobs.Background), false)
	s.leaseKey(q, jobs.Background, 3)
}

// completeForgets: a job that ended is not there any more, except for those who are content with how it ended.
func (s *suite) completeForgets() {
	q := s.open()
	for _, p := range both {
		for range 3 {
			it := item(1, p)
			it.Anew = true
			s.enqueue(q, it, false)
			l := s.leaseKey(q, p, 1)
			if l.Attempt != 1 {
				s.Errorf("attempt %d of a new job", l.Attempt)
			}
			s.complete(q, l)
		}
	}
	if st := s.stats(q); st.Interactive.Queued != 0 || st.Background.Queued != 0 || st.Leased != 0 {
		s.Errorf("stats %+v", st)
	}
}

// withdraw: what nobody wants any more is dropped, but neither what is leased nor what was submitted.
func (s *suite) withdraw() {
	q := s.open()
	check := func(n int, want bool) {
		s.Helper()
		if dropped, err := q.Withdraw(s.ctx, key(n)); err != nil || dropped != want {
			s.Errorf("Withdraw(%d): %v, %v; want %v", n, dropped, err, want)
		}
	}
	check(0, false)

	s.enqueue(q, item(1, jobs.Interactive), false)
	check(1, true)
	check(1, false)
	s.none(q, jobs.Interactive)
	s.enqueue(q, item(1, jobs.Interactive), false)
	l := s.leaseKey(q, jobs.Interactive, 1)
	check(1, false)
	if err := q.Requeue(s.ctx, l, time.Now().Add(s.long())); err != nil {
		s.Fatal(err)
	}
	check(1, true)

	s.enqueue(q, item(2, jobs.Background), false)
	check(2, false)
	s.enqueue(q, item(2, jobs.Interactive), true)
	check(2, false)
	s.none(q, jobs.Interactive)
	s.complete(q, s.leaseKey(q, jobs.Background, 2))

	s.enqueue(q, item(3, jobs.Interactive), false)
	s.enqueue(q, item(3, jobs.Background), true)
	check(3, false)
	s.complete(q, s.leaseKey(q, jobs.Background, 3))
}

func (s *suite) dead() {
	q := s.open()
	for _, p := range both {
		s.enqueue(q, item(int(p), p), false)
		l := s.lease(q, p, s.long())
		why := failure.Wrap(http.StatusBadGateway, "retries_exhausted", "text", errors.New("the cause"))
		if err := q.Complete(s.ctx, l, jobs.Outcome{Failure: why, Dead: true}); err != nil {
			s.Fatal(err)
		}
		s.none(q, p)
		again := item(int(p), p)
		again.Anew = true
		s.enqueue(q, again, false) // a dead letter is not a job
		s.complete(q, s.leaseKey(q, p, int(p)))
	}
	if st := s.stats(q); st.Buried != 2 {
		s.Errorf("%d buried, want 2", st.Buried)
	}
}

func (s *suite) close() {
	q := s.open()
	got := make(chan error, len(both))
	for _, p := range both {
		go func() {
			_, err := q.Lease(s.ctx, p, s.long())
			got <- err
		}()
	}
	s.pause(1)
	if err := q.Close(); err != nil {
		s.Fatalf("Close: %v", err)
	}
	for range both {
		if err := <-got; !errors.Is(err, jobs.ErrClosed) {
			s.Errorf("Lease ended with %v", err)
		}
	}
	for _, p := range both {
		if _, err := q.Enqueue(s.ctx, item(1, p)); !errors.Is(err, jobs.ErrClosed) {
			s.Errorf("Enqueue after Close: %v", err)
		}
	}
	if err := q.Close(); err != nil {
		s.Errorf("second Close: %v", err)
	}
}
