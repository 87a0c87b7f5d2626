// Package queuetest is the conformance suite of jobs.Queue: every implementation must pass it.
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"imgopt/jobs"
)

// Harness is what the suite needs to know of an implementation.
type Harness struct {
	// Run runs one test. Implementations without a server run it in a testing/synctest bubble, where the
	// suite's pauses take no time; others call f as it is.
	Run func(t *testing.T, f func(*testing.T))
	// Open returns a function that opens an empty store: the first call, and further calls where Shared, return
	// queues as several processes would have them. The harness closes them when the test ends.
	Open func(t *testing.T, l jobs.Limits) func() jobs.Queue
	// Shared says that several queues can be opened on one store.
	Shared bool
	// Durable says that submitted jobs outlast all queues.
	Durable bool
	// OriginSlots says that Lease applies LimitOrigins, OriginRoom that Enqueue applies Limits.OriginShare.
	OriginSlots, OriginRoom bool
	// Unit is a short time the implementation can tell from none: leases and delays are multiples of it.
	Unit time.Duration
	// Tolerance is by how much times in a leased item may differ from those enqueued, because they went by another
	// clock. 0: not at all.
	Tolerance time.Duration
	// Host returns the host of the suite's origin of that name: an implementation that cannot tell all origins apart
	// chooses hosts it can, and none that it takes for that of a relative url. nil: the name itself.
	Host func(name string) string
}

// Roomy are limits that no test of the suite reaches by accident.
var Roomy = jobs.Limits{Interactive: 1000, Background: 1000}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	tests := []struct {
		name string
		f    func(*suite)
	}{
		{"order", (*suite).order},
		{"item", (*suite).item},
		{"joins", (*suite).joins},
		{"deadlines", (*suite).deadlines},
		{"promotion", (*suite).promotion},
		{"promotion of a delayed job", (*suite).promotionDelayed},
		{"limits", (*suite).limits},
		{"background yields", (*suite).yields},
		{"lease waits", (*suite).leaseWaits},
		{"lease ends with its context", (*suite).leaseContext},
		{"each job leased once", (*suite).leasedOnce},
		{"lease expires", (*suite).expires},
		{"lease renewed", (*suite).renewed},
		{"a lost lease changes nothing", (*suite).lost},
		{"requeue", (*suite).requeue},
		{"complete forgets", (*suite).completeForgets},
		{"withdraw", (*suite).withdraw},
		{"dead letters", (*suite).dead},
		{"close", (*suite).close},
		{"origins: slots", (*suite).originSlots},
	}
	if h.OriginSlots {
		tests = append(tests, []struct {
			name string
			f    func(*suite)
		}{
			{"origins: arrival", (*suite).originArrival},
			{"origins: slots come back", (*suite).originSlotsReturn},
			{"origins: background yields", (*suite).originYields},
			{"origins: promotion", (*suite).originPromotion},
		}...)
	}
	if h.OriginRoom {
		tests = append(tests, []struct {
			name string
			f    func(*suite)
		}{
			{"origins: room", (*suite).originRoom},
			{"origins: room for several", (*suite).originRoomForSeveral},
		}...)
	}
	if h.Shared {
		tests = append(tests, []struct {
			name string
			f    func(*suite)
		}{
			{"shared: work", (*suite).sharedWork},
			{"shared: joins", (*suite).sharedJoins},
			{"shared: each job leased once", (*suite).sharedOnce},
			{"shared: lease expires", (*suite).sharedExpires},
			{"shared: close hands back", (*suite).sharedClose},
		}...)
	}
	if h.Durable {
		tests = append(tests, struct {
			name string
			f    func(*suite)
		}{"durable", (*suite).durable})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h.Run(t, func(t *testing.T) {
				test.f(&suite{T: t, h: h, ctx: t.Context()})
			})
		})
	}
}

// suite is one running test.
type suite struct {
	*testing.T
	h   Harness
	ctx context.Context
}

func (s *suite) open() jobs.Queue { return s.h.Open(s.T, Roomy)() }

// long is a lease that does not expire during a test.
func (s *suite) long() time.Duration { return 1000 * s.h.Unit }

// pause lets n units pass.
func (s *suite) pause(n int) { time.Sleep(time.Duration(n) * s.h.Unit) }

func key(n int) jobs.Key {
	return jobs.KeyOf("queuetest", jobs.Spec{Href: fmt.Sprintf("/%d.png", n), Width: 64, Quality: 75})
}

func item(n int, p jobs.Priority) jobs.Item {
	return jobs.Item{
		Job: jobs.Job{
			Key:      key(n),
			Kind:     jobs.Prewarm,
			Spec:     jobs.Spec{Href: fmt.Sprintf("/%d.png", n), Width: 64, Quality: 75, Format: "image/webp"},
			Priority: p,
		},
		EnqueuedAt: time.Now(),
	}
}

// same tells whether two times are the same, as well as the implementation can keep them.
func (s *suite) same(a, b time.Time) bool {
	return a.IsZero() == b.IsZero() && a.Sub(b).Abs() <= s.h.Tolerance
}

// of returns the n-th job as one whose source is at that origin.
func (s *suite) of(origin string, n int, p jobs.Priority) jobs.Item {
	if s.h.Host != nil {
		origin = s.h.Host(origin)
	}
	it := item(n, p)
	it.Spec.Href, it.Spec.Absolute = fmt.Sprintf("https://%s/%d.png", origin, n), true
	return it
}

// enqueue adds a job and checks whether it joined.
func (s *suite) enqueue(q jobs.Queue, it jobs.Item, wantJoined bool) {
	s.Helper()
	joined, err := q.Enqueue(s.ctx, it)
	if err != nil || joined != wantJoined {
		s.Fatalf("Enqueue(%s): joined %v, error %v; want joined %v", it.Spec.Href, joined, err, wantJoined)
	}
}

// lease leases a job that must be there, within a generous time.
func (s *suite) lease(q jobs.Queue, p jobs.Priority, ttl time.Duration) jobs.Lease {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 50*s.h.Unit)
	defer cancel()
	l, err := q.Lease(ctx, p, ttl)
	if err != nil {
		s.Fatalf("Lease(%v): %v", p, err)
	}
	return l
}

// leaseKey leases a job and checks which it is.
func (s *suite) leaseKey(q jobs.Queue, p jobs.Priority, n int) jobs.Lease {
	s.Helper()
	l := s.lease(q, p, s.long())
	if l.Key != key(n) {
		s.Fatalf("leased %s, want /%d.png", l.Spec.Href, n)
	}
	return l
}

// none checks that no job can be leased for some time.
func (s *suite) none(q jobs.Queue, p jobs.Priority) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 3*s.h.Unit)
	defer cancel()
	if l, err := q.Lease(ctx, p, s.long()); !errors.Is(err, context.DeadlineExceeded) {
		s.Fatalf("Lease(%v) returned %s, %v; want none", p, l.Spec.Href, err)
	}
}

func (s *suite) complete(q jobs.Queue, l jobs.Lease) {
	s.Helper()
	if err := q.Complete(s.ctx, l, jobs.Outcome{}); err != nil {
		s.Fatalf("Complete(%s): %v", l.Spec.Href, err)
	}
}

func (s *suite) stats(q jobs.Queue) jobs.QueueStats {
	s.Helper()
	st, err := q.Stats(s.ctx)
	if err != nil {
		s.Fatalf("Stats: %v", err)
	}
	return st
}

var both = []jobs.Priority{jobs.Interactive, jobs.Background}
