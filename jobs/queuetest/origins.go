package queuetest

import (
	"errors"
	"fmt"
	"time"

	"imgopt/jobs"
)

// originSlots: one origin's jobs hold no more slots than they may, and those passed over are not lost; each priority
// has its own. A queue that does not know origins says so, and hands out all.
func (s *suite) originSlots() {
	q := s.open()
	applied := q.LimitOrigins(2, 1)
	if applied != s.h.OriginSlots {
		s.Fatalf("LimitOrigins: %v, want %v", applied, s.h.OriginSlots)
	}
	for _, p := range both {
		base, slots := 10*int(p), 2-int(p)
		if !applied {
			slots = 4
		}
		for n := range 4 {
			s.enqueue(q, s.of("a", base+n, p), false)
			s.pause(1)
		}
		var held []jobs.Lease
		for n := range slots {
			held = append(held, s.leaseKey(q, p, base+n))
		}
		s.none(q, p)
		if st := s.stats(q); applied && (st.Interactive.HeldBack+st.Background.HeldBack != 4-slots || st.Interactive.Oldest+st.Background.Oldest <= 0) {
			s.Errorf("%v: stats %+v", p, st)
		}
		for _, l := range held {
			s.complete(q, l)
		}
		for n := slots; n < 4; n++ {
			s.complete(q, s.leaseKey(q, p, base+n))
		}
	}
}

// originArrival: jobs of other origins pass those held back, in the order of arrival; a held back one keeps its place.
func (s *suite) originArrival() {
	for _, p := range both {
		q := s.open()
		q.LimitOrigins(1, 1)
		for n, origin := range []string{"a", "a", "b", "c", "b"} {
			s.enqueue(q, s.of(origin, n, p), false)
			s.pause(1)
		}
		s.enqueue(q, item(5, p), false) // a relative url is of an origin too
		s.enqueue(q, item(6, p), false)
		a, b := s.leaseKey(q, p, 0), s.leaseKey(q, p, 2)
		c := s.leaseKey(q, p, 3)
		own := s.leaseKey(q, p, 5)
		s.none(q, p)
		for _, l := range []jobs.Lease{own, c, b, a} {
			s.complete(q, l)
		}
		for _, n := range []int{1, 4, 6} {
			s.leaseKey(q, p, n)
		}
	}
}

// originSlotsReturn: a slot of the share is free again when the job completes, pauses, or its lease expires. Who waits
// for it is told.
func (s *suite) originSlotsReturn() {
	for _, p := range both {
		q := s.open()
		q.LimitOrigins(1, 1)
		for n := range 4 {
			s.enqueue(q, s.of("a", n, p), false)
			s.pause(1)
		}
		got := make(chan jobs.Lease, 1)
		next := func(n int) jobs.Lease {
			s.Helper()
			l := <-got
			if l.Key != key(n) {
				s.Fatalf("leased %s, want job %d", l.Spec.Href, n)
			}
			return l
		}
		wait := func(ttl time.Duration) {
			go func() { got <- s.lease(q, p, ttl) }()
			s.pause(1)
		}
		first := s.leaseKey(q, p, 0)
		wait(s.long())
		s.complete(q, first)
		second := next(1)
		wait(4 * s.h.Unit)
		if err := q.Requeue(s.ctx, second, time.Now().Add(s.long())); err != nil {
			s.Fatal(err)
		}
		next(2)
		wait(s.long())
		last := next(3) // when the lease of the one before has expired
		s.none(q, p)
		s.complete(q, last)
		s.leaseKey(q, p, 2)
	}
}

// originYields: an interactive job that only its origin holds back holds back background jobs of that origin, not of
// others. One that can be leased holds back all.
func (s *suite) originYields() {
	q := s.open()
	q.LimitOrigins(1, 2)
	s.enqueue(q, s.of("a", 1, jobs.Interactive), false)
	running := s.leaseKey(q, jobs.Interactive, 1)
	s.enqueue(q, s.of("a", 2, jobs.Interactive), false)
	s.enqueue(q, s.of("a", 3, jobs.Background), false)
	s.enqueue(q, s.of("b", 4, jobs.Background), false)
	s.none(q, jobs.Interactive)
	s.complete(q, s.leaseKey(q, jobs.Background, 4))
	s.none(q, jobs.Background)

	s.enqueue(q, s.of("b", 5, jobs.Background), false)
	s.enqueue(q, s.of("c", 6, jobs.Interactive), false)
	s.none(q, jobs.Background)
	s.complete(q, s.leaseKey(q, jobs.Interactive, 6))
	s.complete(q, s.leaseKey(q, jobs.Background, 5))

	s.complete(q, running)
	s.none(q, jobs.Background) // now job 2 may be leased
	s.complete(q, s.leaseKey(q, jobs.Interactive, 2))
	s.complete(q, s.leaseKey(q, jobs.Background, 3))
}

// originPromotion: a background job held back that somebody begins to wait for counts with people's from then on.
func (s *suite) originPromotion() {
	q := s.open()
	q.LimitOrigins(1, 1)
	s.enqueue(q, s.of("a", 1, jobs.Background), false)
	s.enqueue(q, s.of("a", 2, jobs.Background), false)
	first := s.leaseKey(q, jobs.Background, 1)
	s.enqueue(q, s.of("a", 2, jobs.Interactive), true)
	second := s.leaseKey(q, jobs.Interactive, 2)
	// Both slots of the origin are held; one pauses, and is wanted meanwhile.
	if err := q.Requeue(s.ctx, first, time.Now().Add(5*s.h.Unit)); err != nil {
		s.Fatal(err)
	}
	s.enqueue(q, s.of("a", 1, jobs.Interactive), true)
	s.pause(6)
	s.none(q, jobs.Interactive) // the second holds the origin's slot for people
	s.none(q, jobs.Background)
	s.complete(q, second)
	if l := s.leaseKey(q, jobs.Interactive, 1); l.Attempt != 2 || l.Priority != jobs.Interactive {
		s.Errorf("leased %+v", l.Item)
	}
}

// originRoom: one origin fills no more than its share; joins, requeued jobs and leases need none; others have theirs.
func (s *suite) originRoom() {
	q := s.h.Open(s.T, jobs.Limits{Interactive: 8, Background: 12, OriginShare: 0.75})()
	full := func(it jobs.Item) {
		s.Helper()
		if _, err := q.Enqueue(s.ctx, it); !errors.Is(err, jobs.ErrOriginFull) || !errors.Is(err, jobs.ErrFull) {
			s.Fatalf("enqueued beyond the origin's share: %v", err)
		}
	}
	for _, p := range both {
		base, share := 100*int(p), 6+3*int(p)
		for n := range share {
			s.enqueue(q, s.of("a", base+n, p), false)
		}
		full(s.of("a", base+50, p))
		s.enqueue(q, s.of("a", base, p), true)
		s.enqueue(q, s.of("b", base+60, p), false)
		full(s.of("a", base+50, p)) // less than before, even
	}
	full(s.of("a", 100, jobs.Interactive)) // a promotion needs room
	l := s.leaseKey(q, jobs.Interactive, 0)
	full(s.of("a", 50, jobs.Interactive)) // that of the other origin is not given back to this one alone
	s.complete(q, s.leaseKey(q, jobs.Interactive, 1))
	s.enqueue(q, s.of("a", 50, jobs.Interactive), false)
	if err := q.Requeue(s.ctx, l, time.Now()); err != nil {
		s.Fatalf("requeueing beyond the origin's share: %v", err)
	}
	full(s.of("a", 51, jobs.Interactive))
}

// originRoomForSeveral: however many origins want all the room, the next one finds some.
func (s *suite) originRoomForSeveral() {
	q := s.h.Open(s.T, jobs.Limits{Interactive: 64, Background: 64, OriginShare: 0.75})()
	for _, p := range both {
		base, n := 1000*int(p), 0
		queued := 0
		for origin := range 3 {
			for ; ; n++ {
				_, err := q.Enqueue(s.ctx, s.of(fmt.Sprint("greedy", origin), base+n, p))
				if errors.Is(err, jobs.ErrOriginFull) {
					break
				}
				if err != nil {
					s.Fatalf("%v: origin %d: %v", p, origin, err)
				}
				queued++
			}
		}
		if queued > 63 {
			s.Errorf("%v: %d of 64 are taken by three", p, queued)
		}
		s.enqueue(q, s.of("modest", base+n, p), false)
	}
}
