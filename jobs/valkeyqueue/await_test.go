package valkeyqueue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"imgopt/failure"
	"imgopt/jobs"
	"imgopt/jobs/valkeyqueue"
	"imgopt/valkey/valkeytest"
)

var done = jobs.Outcome{Ref: []byte("there\x00\xff")}

// All replicas that wait for a job learn how it ended, whoever did it; a second Await of one process as well.
func TestEverybodyIsTold(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	a, b, c := open(t, s.URL(), prefix), open(t, s.URL(), prefix), open(t, s.URL(), prefix)
	broken := &failure.Error{Status: http.StatusBadGateway, Reason: "upstream", Text: "text", Retryable: true, Timeout: true,
		RetryAfter: 3 * time.Second, Cause: errors.New("the cause")}
	for n, outcome := range []jobs.Outcome{done, {}, {Failure: broken, Dead: true}, {Failure: failure.New(http.StatusNotFound, "not_found", "x")}} {
		var all []<-chan jobs.Ending
		for i, q := range []*valkeyqueue.Queue{a, b, c, a} {
			told, cancel := q.Await(key(n))
			defer cancel()
			all = append(all, told)
			enqueue(t, q, item(n, jobs.Interactive), i > 0)
		}
		l := lease(t, b, jobs.Interactive, n)
		complete(t, b, l, outcome)
		for i, told := range all {
			end := ends(t, told)
			switch want := outcome.Failure; {
			case end.Lost || !bytes.Equal(end.Ref, outcome.Ref) || (end.Failure == nil) != (want == nil):
				t.Errorf("job %d: Await %d got %+v", n, i, end)
			case want != nil:
				got := *end.Failure
				if got.Status != want.Status || got.Reason != want.Reason || got.Text != want.Text || got.Retryable != want.Retryable ||
					got.Timeout != want.Timeout || got.RetryAfter != want.RetryAfter {
					t.Errorf("job %d: Await %d got %+v", n, i, got)
				}
				if want.Cause != nil && got.Cause.Error() != want.Cause.Error() {
					t.Errorf("job %d: the cause became %v", n, got.Cause)
				}
			}
			silent(t, told)
		}
	}
}

// Who asks a moment after a job ended gets the same answer, unless he wants it anew or the failure is the request's own.
func TestKeptOutcomes(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	brief := func(o *valkeyqueue.Options) { o.ResultTTL, o.ErrorTTL = 3*time.Second, 3*time.Second }
	a, b := open(t, s.URL(), prefix, brief), open(t, s.URL(), prefix, brief)
	server := failure.New(http.StatusGatewayTimeout, "deadline", "late")
	client := failure.New(http.StatusNotFound, "not_found", "none")
	for n, tt := range []struct {
		outcome jobs.Outcome
		kept    bool
	}{{done, true}, {jobs.Outcome{Failure: server}, true}, {jobs.Outcome{Failure: client}, false}} {
		enqueue(t, a, item(n, jobs.Interactive), false)
		complete(t, a, lease(t, a, jobs.Interactive, n), tt.outcome)
		told, cancel := b.Await(key(n))
		defer cancel()
		enqueue(t, b, item(n, jobs.Interactive), tt.kept)
		if !tt.kept {
			silent(t, told)
			complete(t, a, lease(t, a, jobs.Interactive, n), tt.outcome)
		}
		if end := ends(t, told); !bytes.Equal(end.Ref, tt.outcome.Ref) || (end.Failure == nil) != (tt.outcome.Failure == nil) {
			t.Errorf("job %d: got %+v", n, end)
		}
		none(t, a, jobs.Interactive)

		// a background job, and one that is wanted anew, are done
		if n > 0 {
			enqueue(t, b, item(n, jobs.Background), false)
			complete(t, a, lease(t, a, jobs.Background, n), tt.outcome)
		}
		anew := item(n, jobs.Interactive)
		anew.Anew = true
		enqueue(t, b, anew, false)
		silent(t, told)
		complete(t, a, lease(t, a, jobs.Interactive, n), done)
		if end := ends(t, told); end.Failure != nil || !bytes.Equal(end.Ref, done.Ref) {
			t.Errorf("job %d: got %+v", n, end)
		}
	}
	valkeytest.Eventually(t, 20*time.Second, func() error {
		joined, err := b.Enqueue(t.Context(), item(0, jobs.Interactive))
		if err == nil && joined {
			err = errors.New("the outcome is still kept")
		}
		return err
	})
}

// An outcome may say how long it is to be kept.
func TestOutcomeKeptForItsTime(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	brief := func(o *valkeyqueue.Options) { o.ErrorTTL = time.Millisecond }
	a, b := open(t, s.URL(), prefix, brief), open(t, s.URL(), prefix, brief)
	late := jobs.Outcome{Failure: failure.New(http.StatusBadGateway, "retries_exhausted", "busy")}
	long := late
	long.Keep = time.Hour
	for n, outcome := range []jobs.Outcome{long, late} {
		enqueue(t, a, item(n, jobs.Interactive), false)
		complete(t, a, lease(t, a, jobs.Interactive, n), outcome)
	}
	valkeytest.Eventually(t, 20*time.Second, func() error {
		joined, err := b.Enqueue(t.Context(), item(1, jobs.Interactive))
		if err == nil && joined {
			err = errors.New("the other outcome is still kept")
		}
		return err
	})
	told, cancel := b.Await(key(0))
	defer cancel()
	enqueue(t, b, item(0, jobs.Interactive), true)
	if end := ends(t, told); end.Failure == nil || end.Failure.Status != http.StatusBadGateway {
		t.Errorf("got %+v", end)
	}
}

// The worker of a background job learns that somebody in another process waits for it.
func TestWorkerLearnsOfJoin(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	worker, other := open(t, s.URL(), prefix), open(t, s.URL(), prefix)
	joined := make(chan jobs.Key, 10)
	worker.OnJoin(func(k jobs.Key) { joined <- k })
	other.OnJoin(func(k jobs.Key) { t.Errorf("%v: told to who asks", k) })
	for n := range 2 {
		enqueue(t, worker, item(n, jobs.Background), false)
	}
	l := lease(t, worker, jobs.Background, 0)
	enqueue(t, worker, item(0, jobs.Interactive), true) // it knows
	enqueue(t, other, item(0, jobs.Background), true)   // nobody waits
	enqueue(t, other, item(0, jobs.Interactive), true)
	if k := <-joined; k != key(0) {
		t.Errorf("told of %v", k)
	}
	enqueue(t, other, item(1, jobs.Interactive), true) // nobody works on it
	complete(t, worker, l, done)
	complete(t, worker, lease(t, worker, jobs.Interactive, 1), done)
	select {
	case k := <-joined:
		t.Errorf("told of %v, too", k)
	default:
	}
}

// 1,000 concurrent requests for one image at three processes: it is made once.
func TestOneLeaseForAThousand(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	var all []*valkeyqueue.Queue
	for range 3 {
		all = append(all, open(t, s.URL(), prefix))
	}
	var working, asking sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer working.Wait()
	defer cancel()
	var mu sync.Mutex
	leased, created := 0, 0
	for _, q := range all {
		working.Go(func() {
			for {
				l, err := q.Lease(ctx, jobs.Interactive, time.Minute)
				if err != nil {
					return
				}
				mu.Lock()
				leased++
				mu.Unlock()
				// on a busy machine it may be told later
				if err := q.Complete(t.Context(), l, done); err != nil && !errors.Is(err, jobs.ErrUnavailable) {
					t.Errorf("Complete: %v", err)
				}
			}
		})
	}
	for i := range 1000 {
		asking.Go(func() {
			q := all[i%3]
			told, cancel := q.Await(key(1))
			defer cancel()
			for {
				joined, err := q.Enqueue(ctx, item(1, jobs.Interactive))
				if errors.Is(err, jobs.ErrUnavailable) {
					continue // a busy machine: as many as may be are under way
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if !joined {
					created++
				}
				mu.Unlock()
				break
			}
			if end := ends(t, told); !bytes.Equal(end.Ref, done.Ref) {
				t.Errorf("got %+v", end)
			}
		})
	}
	asking.Wait()
	if leased != 1 || created > 1 {
		t.Errorf("leased %d times, created %d times", leased, created)
	}
}

// Nobody who waits is dropped because another does not wait any more.
func TestWithdrawIsPerReplica(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	a, b := open(t, s.URL(), prefix), open(t, s.URL(), prefix)
	withdraw := func(q *valkeyqueue.Queue, want bool) {
		t.Helper()
		if dropped, err := q.Withdraw(t.Context(), key(1)); err != nil || dropped != want {
			t.Fatalf("Withdraw: %v, %v; want %v", dropped, err, want)
		}
	}
	enqueue(t, a, item(1, jobs.Interactive), false)
	enqueue(t, b, item(1, jobs.Interactive), true)
	withdraw(a, false)
	withdraw(a, false)
	withdraw(b, true)
	none(t, a, jobs.Interactive)

	// Somebody waits for a job that was leased as a background one: its retry is for people.
	enqueue(t, a, item(1, jobs.Background), false)
	l := lease(t, a, jobs.Background, 1)
	enqueue(t, b, item(1, jobs.Interactive), true)
	if err := a.Requeue(t.Context(), l, time.Now()); err != nil {
		t.Fatal(err)
	}
	l = lease(t, a, jobs.Interactive, 1)
	if l.Deadline.IsZero() {
		t.Error("it has no deadline")
	}
	withdraw(b, false)
	complete(t, a, l, done)
}

// A job that nobody awaits any more, and nobody withdrew from because the server was away, is withdrawn from later.
func TestForgottenWithdraw(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	a, b := open(t, s.URL(), prefix), open(t, s.URL(), prefix)
	_, cancel := a.Await(key(1))
	enqueue(t, a, item(1, jobs.Interactive), false)
	enqueue(t, a, item(2, jobs.Interactive), false) // without Await there is nothing to go by
	cancel()
	valkeytest.Eventually(t, 10*time.Second, func() error {
		if strings.Contains(s.Do("KEYS", prefix+"*}j*"), recordOf(s, prefix, 1)) {
			return errors.New("it is still there")
		}
		return nil
	})
	complete(t, b, lease(t, b, jobs.Interactive, 2), done)
}

// Close takes back what only that process waits for, and what it has leased goes on elsewhere.
func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	a, b := open(t, s.URL(), prefix), open(t, s.URL(), prefix)
	told, cancel := b.Await(key(2))
	defer cancel()
	enqueue(t, a, item(1, jobs.Interactive), false) // leased, wanted by nobody else
	enqueue(t, b, item(2, jobs.Interactive), false) // leased, wanted by b
	lease(t, a, jobs.Interactive, 1)
	lease(t, a, jobs.Interactive, 2)
	enqueue(t, a, item(3, jobs.Interactive), false) // queued, wanted by nobody else
	enqueue(t, a, item(4, jobs.Interactive), false) // queued, submitted by b
	enqueue(t, b, item(4, jobs.Background), true)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	l := lease(t, b, jobs.Interactive, 2)
	if l.Attempt != 1 {
		t.Errorf("attempt %d of a job handed back", l.Attempt)
	}
	none(t, b, jobs.Interactive)
	complete(t, b, l, done)
	if end := ends(t, told); !bytes.Equal(end.Ref, done.Ref) {
		t.Errorf("got %+v", end)
	}
	complete(t, b, lease(t, b, jobs.Background, 4), done)
	none(t, b, jobs.Background)
	all, err := b.Versions(t.Context())
	if err != nil || len(all) != 1 || len(all[0].Replicas) != 1 || all[0].Leased != 0 || all[0].Interactive.Queued != 0 {
		t.Errorf("left: %+v, %v", all, err)
	}
	if b.Peers() != 0 {
		valkeytest.Eventually(t, 5*time.Second, func() error {
			if n := b.Peers(); n != 0 {
				return errors.New("it still counts as a peer")
			}
			return nil
		})
	}
}

// Those who wait in the process that works on a job learn of its end when another does it in the end.
func TestWorkMovesOn(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	a, b := open(t, s.URL(), prefix), open(t, s.URL(), prefix)
	for n, lose := range []func(l jobs.Lease){
		func(l jobs.Lease) {
			if err := a.Requeue(t.Context(), l, time.Now()); err != nil {
				t.Error(err)
			}
		},
		func(l jobs.Lease) {
			valkeytest.Eventually(t, 10*time.Second, func() error { // its lease expires
				if err := a.Extend(t.Context(), l, 10*time.Millisecond); !errors.Is(err, jobs.ErrLeaseLost) {
					return fmt.Errorf("not yet: %w", err)
				}
				return nil
			})
		},
	} {
		enqueue(t, b, item(n, jobs.Background), false)
		l := lease(t, a, jobs.Background, n)
		told, cancel := a.Await(key(n)) // and does not enqueue it: it runs here
		defer cancel()
		lose(l)
		l = leaseAny(t, b, n)
		if n == 1 { // not before the look: what is kept is told as well
			valkeytest.Eventually(t, 10*time.Second, func() error {
				if !strings.Contains(s.Do("HGETALL", recordOf(s, prefix, n)), a.Name()) {
					return errors.New("it does not wait yet")
				}
				return nil
			})
		}
		complete(t, b, l, done)
		if end := ends(t, told); !bytes.Equal(end.Ref, done.Ref) {
			t.Errorf("%d: ended with %+v", n, end)
		}
	}
}

// leaseAny leases a job, whether it is for people or not.
func leaseAny(t testing.TB, q jobs.Queue, n int) jobs.Lease {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan jobs.Lease, 2)
	var leasing sync.WaitGroup
	defer leasing.Wait()
	defer cancel()
	for _, p := range []jobs.Priority{jobs.Interactive, jobs.Background} {
		leasing.Go(func() {
			if l, err := q.Lease(ctx, p, time.Minute); err == nil {
				got <- l
			}
		})
	}
	select {
	case l := <-got:
		if l.Key != key(n) {
			t.Fatalf("leased %s, want /%d.png", l.Spec.Href, n)
		}
		return l
	case <-time.After(20 * time.Second):
		t.Fatal("no lease")
		panic("unreachable")
	}
}

// recordOf returns the name of a job's record.
func recordOf(s *valkeytest.Server, prefix string, n int) string {
	base, _, _ := strings.Cut(s.Do("KEYS", prefix+"*}m"), "}m")
	k := key(n)
	return base + "}j" + string(k[:])
}
