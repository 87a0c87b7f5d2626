package valkeyqueue_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"imgopt/failure"
	"imgopt/jobs"
	"imgopt/jobs/valkeyqueue"
	"imgopt/valkey/valkeytest"
)

// Processes of two versions do not see each other's jobs; an operator sees both.
func TestVersions(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	old := open(t, s.URL(), prefix, func(o *valkeyqueue.Options) { o.Replica = "näme 1"; o.Worker = false })
	now := open(t, s.URL(), prefix, func(o *valkeyqueue.Options) { o.Version = "test 2" })
	enqueue(t, old, item(1, jobs.Background), false)
	none(t, now, jobs.Background)
	none(t, old, jobs.Background) // it does not work
	enqueue(t, now, item(1, jobs.Background), false)
	lease(t, now, jobs.Background, 1)
	enqueue(t, now, item(2, jobs.Background), false)
	enqueue(t, now, item(3, jobs.Interactive), false)

	var all []valkeyqueue.Version
	valkeytest.Eventually(t, 5*time.Second, func() (err error) {
		if all, err = now.Versions(t.Context()); err == nil && (len(all) != 2 || len(all[0].Replicas) != 1 || len(all[1].Replicas) != 1) {
			err = fmt.Errorf("%+v", all)
		}
		return err
	})
	one, two := all[0], all[1]
	if one.Version != "test 1" || one.Own || one.Background.Queued != 1 || len(one.Replicas) != 1 || one.Replicas[0].Worker ||
		!strings.HasPrefix(one.Replicas[0].Name, "n-me-1-") || one.Replicas[0].Name != old.Name() || one.Leased != 0 {
		t.Errorf("the old version: %+v", one)
	}
	if two.Version != "test 2" || !two.Own || two.Background.Queued != 1 || two.Interactive.Queued != 1 || len(two.Replicas) != 1 ||
		!two.Replicas[0].Worker || two.Leased != 1 || two.Replicas[0].Silent > time.Minute {
		t.Errorf("the new version: %+v", two)
	}
}

// The queue of a version that nobody uses any more is deleted by those of another.
func TestOldVersionsAreDeleted(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	old := open(t, s.URL(), prefix)
	for n := range 3 {
		enqueue(t, old, item(n, jobs.Background), false)
	}
	l := lease(t, old, jobs.Background, 0)
	if err := old.Requeue(t.Context(), l, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	registry := prefix + "{queues}"
	valkeytest.Eventually(t, 5*time.Second, func() error {
		if s.Do("ZADD", registry, "XX", "CH", "1", "test 1") != "1" { // it was long ago
			return errors.New("it is not registered yet")
		}
		return nil
	})
	now := open(t, s.URL(), prefix, func(o *valkeyqueue.Options) { o.Version = "test 2" })
	valkeytest.Eventually(t, 5*time.Second, func() error {
		if got := s.Do("ZRANGE", registry, "0", "-1"); got != "test 2" {
			return errors.New(got)
		}
		return nil
	})
	if err := now.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(s.Do("KEYS", "*")) {
		if strings.Contains(name, "}j") || strings.Contains(name, "}d") || strings.Contains(name, "}s") {
			t.Errorf("%q is left", name)
		}
	}
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	q := open(t, s.URL(), newPrefix())
	why := failure.Wrap(http.StatusBadGateway, "retries_exhausted", "text", errors.New("the cause"))
	bury := func(n int) {
		t.Helper()
		enqueue(t, q, item(n, jobs.Background), false)
		l := lease(t, q, jobs.Background, n)
		complete(t, q, l, jobs.Outcome{Failure: why, Dead: true})
	}
	dead := func(want ...int) []valkeyqueue.DeadLetter {
		t.Helper()
		all, err := q.Dead(t.Context(), 10)
		if err != nil || len(all) != len(want) {
			t.Fatalf("dead letters %+v, %v; want %v", all, err, want)
		}
		for i, n := range want {
			if d := all[i]; d.Job.Key != key(n) || d.Job.Attempt != 1 || d.Failure.Error() != why.Error() || d.Job.Spec != item(n, 0).Spec ||
				time.Since(d.At).Abs() > time.Minute {
				t.Errorf("dead letter %+v", d)
			}
		}
		return all
	}
	count := func(n int, err error) func(want int) {
		return func(want int) {
			t.Helper()
			if n != want || err != nil {
				t.Errorf("%d, %v; want %d", n, err, want)
			}
		}
	}
	for n := range 3 {
		bury(n)
	}
	all := dead(2, 1, 0)
	for _, id := range []string{"-", "0-1", "x", "(1-1"} {
		count(q.Drop(t.Context(), id))(0)
		count(q.Retry(t.Context(), id))(0)
	}
	count(q.Drop(t.Context(), all[1].ID))(1)
	dead(2, 0)
	count(q.Retry(t.Context(), all[2].ID))(1)
	dead(2)
	l := lease(t, q, jobs.Background, 0)
	if l.Attempt != 1 || l.Spec != item(0, 0).Spec {
		t.Errorf("retried as %+v", l.Item)
	}
	complete(t, q, l, done)
	bury(3)
	count(q.Retry(t.Context(), ""))(2)
	dead()
	complete(t, q, lease(t, q, jobs.Background, 2), done)
	complete(t, q, lease(t, q, jobs.Background, 3), done)
	bury(4)
	bury(5)
	count(q.Drop(t.Context(), ""))(2)
	dead()
	if st, err := q.Stats(t.Context()); err != nil || st.Buried != 6 {
		t.Errorf("stats %+v, %v", st, err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	a, b := open(t, s.URL(), prefix), open(t, s.URL(), prefix)
	cancel := func(n int, want bool) {
		t.Helper()
		if there, err := b.Cancel(t.Context(), key(n)); there != want || err != nil {
			t.Fatalf("Cancel: %v, %v; want %v", there, err, want)
		}
	}
	cancelled := func(told <-chan jobs.Ending) {
		t.Helper()
		if end := ends(t, told); end.Failure == nil || end.Failure.Error() != jobs.ErrCancelled().Error() {
			t.Errorf("ended with %+v", end)
		}
	}
	cancel(1, false)
	var l jobs.Lease
	for n := range 3 { // queued, leased, delayed
		for _, q := range []*valkeyqueue.Queue{a, b} {
			told, stop := q.Await(key(n))
			defer stop()
			enqueue(t, q, item(n, jobs.Interactive), q == b)
			defer cancelled(told)
		}
		if n > 0 {
			l = lease(t, a, jobs.Interactive, n)
		}
		if n == 2 {
			if err := a.Requeue(t.Context(), l, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		cancel(n, true)
		cancel(n, false)
		if n == 1 {
			if err := a.Extend(t.Context(), l, time.Minute); !errors.Is(err, jobs.ErrLeaseLost) {
				t.Errorf("renewed the lease of a cancelled job: %v", err)
			}
		}
		told, stop := a.Await(key(n))
		defer stop()
		enqueue(t, a, item(n, jobs.Interactive), true) // for a moment it stays cancelled
		cancelled(told)
	}
	none(t, a, jobs.Interactive)
}

// Who would wait for longer than he can is told so. That needs a pace, which needs a lack of workers.
func TestTooLong(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	a, b := open(t, s.URL(), prefix), open(t, s.URL(), prefix)
	n := 0
	add := func() error {
		it := item(n, jobs.Interactive)
		n++
		_, err := a.Enqueue(t.Context(), it)
		return err
	}
	for range 100 { // without a pace nobody is refused
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	var long *jobs.TooLongError
	valkeytest.Eventually(t, 15*time.Second, func() error {
		// nearly nothing gets done, for seconds
		it := item(1_000_000+n, jobs.Interactive)
		it.Deadline = time.Now().Add(5 * time.Second)
		n++
		joined, err := b.Enqueue(t.Context(), it)
		if joined || err != nil && !errors.As(err, &long) {
			t.Fatalf("joined %v, %v", joined, err)
		}
		if err == nil {
			l := lease(t, b, jobs.Interactive, n-101)
			complete(t, b, l, done)
			time.Sleep(50 * time.Millisecond) // that is how long a job takes
			return errors.New("it was taken")
		}
		return nil
	})
	if long.Wait < 4*time.Second || long.Wait > time.Hour {
		t.Errorf("the wait would be %v", long.Wait)
	}
	valkeytest.Eventually(t, 5*time.Second, func() error {
		if f := a.Fleet(); f.Workers != 2 || f.Replicas != 2 || f.Pace <= 0 || f.Wait < 4*time.Second || f.At.IsZero() {
			return fmt.Errorf("%+v", f)
		}
		return nil
	})
	enqueue(t, b, item(99, jobs.Interactive), true) // joins are always taken
	enqueue(t, b, item(2_000_000, jobs.Background), false)
	free := item(2_000_001, jobs.Interactive)
	free.Deadline = time.Time{} // one without a deadline can wait
	enqueue(t, b, free, false)
}
