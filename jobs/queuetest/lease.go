package queuetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"imgopt/jobs"
)

// leaseWaits: a waiting worker gets a job as soon as there is one.
func (s *suite) leaseWaits() {
	q := s.open()
	for _, p := range both {
		got := make(chan jobs.Lease, 1)
		go func() { got <- s.lease(q, p, s.long()) }()
		s.pause(2)
		s.enqueue(q, item(int(p), p), false)
		if l := <-got; l.Key != key(int(p)) {
			s.Errorf("leased %s", l.Spec.Href)
		}
	}
}

func (s *suite) leaseContext() {
	q := s.open()
	ctx, cancel := context.WithCancel(s.ctx)
	got := make(chan error, 1)
	go func() {
		_, err := q.Lease(ctx, jobs.Interactive, s.long())
		got <- err
	}()
	s.pause(1)
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		s.Errorf("error %v, want the context's", err)
	}
	s.enqueue(q, item(1, jobs.Interactive), false)
	if _, err := q.Lease(ctx, jobs.Interactive, s.long()); !errors.Is(err, context.Canceled) {
		s.Errorf("leased with an ended context: %v", err)
	}
	s.leaseKey(q, jobs.Interactive, 1)
}

// leasedOnce: many workers, many jobs.
func (s *suite) leasedOnce() {
	q := s.open()
	s.drainWith(q, q, q, q)
}

// drainWith enqueues jobs in the first queue, works on them in all, and checks that each was leased once.
func (s *suite) drainWith(queues ...jobs.Queue) {
	const count = 60
	for n := range count {
		s.enqueue(queues[0], item(n, jobs.Background), false)
	}
	var mu sync.Mutex
	seen := map[jobs.Key]int{}
	ctx, cancel := context.WithTimeout(s.ctx, 500*s.h.Unit)
	defer cancel()
	var wg sync.WaitGroup
	for _, q := range queues {
		wg.Go(func() {
			for {
				l, err := q.Lease(ctx, jobs.Background, s.long())
				if err != nil {
					return
				}
				if err := q.Complete(s.ctx, l, jobs.Outcome{}); err != nil {
					s.Errorf("Complete: %v", err)
				}
				mu.Lock()
				seen[l.Key]++
				if len(seen) == count {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for n := range count {
		if seen[key(n)] != 1 {
			s.Errorf("job %d was leased %d times", n, seen[key(n)])
		}
	}
	for _, q := range queues {
		s.none(q, jobs.Background)
	}
}

// expires: the job of a worker that shows no sign of life is another's.
func (s *suite) expires() {
	for _, p := range both {
		q := s.open()
		s.enqueue(q, item(1, p), false)
		first := s.lease(q, p, 4*s.h.Unit)
		s.none(q, p)
		second := s.leaseKey(q, p, 1)
		if second.Attempt != 2 || second.Token == first.Token {
			s.Errorf("second lease is attempt %d, token %q after %q", second.Attempt, second.Token, first.Token)
		}
		if st := s.stats(q); st.Reclaimed != 1 || st.Leased != 1 {
			s.Errorf("stats %+v", st)
		}
	}
}

func (s *suite) renewed() {
	for _, p := range both {
		q := s.open()
		s.enqueue(q, item(1, p), false)
		l := s.lease(q, p, 4*s.h.Unit)
		for range 4 {
			s.pause(2)
			if err := q.Extend(s.ctx, l, 4*s.h.Unit); err != nil {
				s.Fatalf("Extend: %v", err)
			}
		}
		s.none(q, p)
		s.complete(q, l)
		if err := q.Extend(s.ctx, l, s.long()); !errors.Is(err, jobs.ErrLeaseLost) {
			s.Errorf("extending a completed job: %v", err)
		}
	}
}

// lost: whoever lost a lease cannot end, renew or requeue the job of its successor.
func (s *suite) lost() {
	q := s.open()
	for _, p := range both {
		s.enqueue(q, item(int(p), p), false)
		old := s.lease(q, p, s.h.Unit)
		s.pause(3)
		check := func(when string) {
			s.Helper()
			if err := q.Complete(s.ctx, old, jobs.Outcome{}); !errors.Is(err, jobs.ErrLeaseLost) {
				s.Errorf("%s: Complete: %v", when, err)
			}
			if err := q.Requeue(s.ctx, old, time.Now()); !errors.Is(err, jobs.ErrLeaseLost) {
				s.Errorf("%s: Requeue: %v", when, err)
			}
			if err := q.Extend(s.ctx, old, s.long()); !errors.Is(err, jobs.ErrLeaseLost) {
				s.Errorf("%s: Extend: %v", when, err)
			}
		}
		check("expired")
		l := s.leaseKey(q, p, int(p))
		check("leased again")
		s.complete(q, l)
		check("completed")
	}
}

// requeue: not before its time, with the attempts, priority and deadline it is given.
func (s *suite) requeue() {
	q := s.open()
	for _, p := range both {
		n := int(p)
		s.enqueue(q, item(n, p), false)
		l := s.lease(q, p, s.long())
		l.Deadline = time.Now().Add(s.long())
		if err := q.Requeue(s.ctx, l, time.Now().Add(10*s.h.Unit)); err != nil {
			s.Fatal(err)
		}
		st := s.stats(q)
		class := map[jobs.Priority]jobs.ClassStats{jobs.Interactive: st.Interactive, jobs.Background: st.Background}[p]
		if class.Queued != 1 || class.Delayed != 1 || st.Leased != 0 {
			s.Errorf("%v: stats %+v", p, st)
		}
		s.enqueue(q, item(n, p), true)
		s.none(q, p)
		before := time.Now()
		l = s.leaseKey(q, p, n)
		if l.Attempt != 2 || l.Deadline.IsZero() {
			s.Errorf("%v: second lease is %+v", p, l.Item)
		}
		if waited := time.Since(before); waited > 20*s.h.Unit {
			s.Errorf("%v: leased %v after its time", p, waited)
		}
		// Handed back uncounted, and with the other priority.
		l.Attempt--
		l.Priority = jobs.Interactive
		if err := q.Requeue(s.ctx, l, time.Now()); err != nil {
			s.Fatal(err)
		}
		if l = s.leaseKey(q, jobs.Interactive, n); l.Attempt != 2 {
			s.Errorf("%v: attempt %d after an uncounted one, want 2", p, l.Attempt)
		}
		s.complete(q, l)
	}
}
