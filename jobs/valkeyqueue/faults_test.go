package valkeyqueue_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"imgopt/jobs"
	"imgopt/jobs/valkeyqueue"
	"imgopt/valkey/valkeytest"
)

func wantUnavailable(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, jobs.ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
}

// Without a server nothing waits and nothing fails but with ErrUnavailable; when it comes all is well.
func TestNoServerAtFirst(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	s.Kill()
	log := &valkeytest.Log{}
	q := openDown(t, s.URL(), newPrefix(), func(o *valkeyqueue.Options) { o.Log = log.Logger() })
	got := make(chan jobs.Lease, 1)
	go func() { l, _ := q.Lease(t.Context(), jobs.Interactive, time.Minute); got <- l }()
	began := time.Now()
	for range 100 {
		_, err := q.Enqueue(t.Context(), item(1, jobs.Interactive))
		wantUnavailable(t, err)
		_, err = q.Withdraw(t.Context(), key(1))
		wantUnavailable(t, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("200 calls took %v", took)
	}
	if st, err := q.Stats(t.Context()); err != nil || st.Interactive.Queued != 0 {
		t.Errorf("stats %+v, %v", st, err)
	}
	s.Restart()
	waitUp(t, q)
	enqueue(t, q, item(2, jobs.Interactive), false)
	if l := <-got; l.Key != key(2) {
		t.Errorf("leased %+v", l)
	}
	if log.String() != "" {
		t.Errorf("log: %s", log) // the client's log tells
	}
}

// A server that has lost everything: who waits is told that his job is lost, and enqueues it again.
func TestServerForgets(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*valkeytest.Server){
		"flushed":   func(s *valkeytest.Server) { s.Do("FLUSHALL") },
		"restarted": func(s *valkeytest.Server) { s.Kill(); s.Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := valkeytest.Start(t, valkeytest.Options{})
			prefix := newPrefix()
			web := open(t, s.URL(), prefix, func(o *valkeyqueue.Options) { o.Worker = false })
			worker := open(t, s.URL(), prefix)
			for n := range 2 {
				told, cancel := web.Await(key(n))
				defer cancel()
				enqueue(t, web, item(n, jobs.Interactive), false)
				old := lease(t, worker, jobs.Interactive, n)
				lose(s)
				waitUp(t, web)
				waitUp(t, worker)
				if end := ends(t, told); !end.Lost {
					t.Errorf("ended with %+v", end)
				}
				valkeytest.Eventually(t, 10*time.Second, func() error {
					_, err := web.Enqueue(t.Context(), item(n, jobs.Interactive))
					return err
				})
				l := lease(t, worker, jobs.Interactive, n)
				if err := worker.Complete(t.Context(), old, jobs.Outcome{}); !errors.Is(err, jobs.ErrLeaseLost) {
					t.Errorf("the old worker completed the new job: %v", err)
				}
				complete(t, worker, l, done)
				if end := ends(t, told); !bytes.Equal(end.Ref, done.Ref) {
					t.Errorf("ended with %+v", end)
				}
			}
		})
	}
}

// A server that comes back with what it had: leases are still in force, and those who wait still do.
func TestServerComesBack(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{Persist: true})
	prefix := newPrefix()
	web, worker := open(t, s.URL(), prefix), open(t, s.URL(), prefix)
	told, cancel := web.Await(key(1))
	defer cancel()
	queued, cancel := web.Await(key(2))
	defer cancel()
	enqueue(t, web, item(1, jobs.Interactive), false)
	enqueue(t, web, item(2, jobs.Interactive), false)
	l := lease(t, worker, jobs.Interactive, 1)
	s.Kill()
	waitFor(t, worker, false)
	// The end of the job is remembered until the server can be told.
	err := worker.Complete(t.Context(), l, done)
	wantUnavailable(t, err)
	wantUnavailable(t, worker.Extend(t.Context(), l, time.Minute))
	s.Restart()
	if end := ends(t, told); !bytes.Equal(end.Ref, done.Ref) {
		t.Errorf("ended with %+v", end)
	}
	waitUp(t, worker)
	complete(t, worker, lease(t, worker, jobs.Interactive, 2), done)
	if end := ends(t, queued); !bytes.Equal(end.Ref, done.Ref) {
		t.Errorf("ended with %+v", end)
	}
}

// A server that hangs for longer than a replica may be silent: nobody is taken for dead, a lease that it hands out after
// the call was given up is found, and so is a job that was enqueued by such a call.
func TestPaused(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	a := open(t, s.URL(), prefix, valkeyqueue.Impatient)
	b := open(t, s.URL(), prefix, valkeyqueue.Impatient, func(o *valkeyqueue.Options) { o.Worker = false })
	valkeytest.Eventually(t, 10*time.Second, func() error { // on a busy machine its time limit is short
		_, err := a.Enqueue(t.Context(), item(1, jobs.Background))
		return err
	})
	l := lease(t, a, jobs.Background, 1)
	s.Pause()
	got := make(chan jobs.Lease, 1)
	go func() { l, _ := a.Lease(t.Context(), jobs.Interactive, time.Minute); got <- l }()
	began := time.Now()
	_, err := b.Enqueue(t.Context(), item(2, jobs.Interactive))
	wantUnavailable(t, err)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Enqueue took %v", took)
	}
	waitFor(t, a, false)
	waitFor(t, b, false)
	s.Continue()
	waitUp(t, a)
	waitUp(t, b)
	complete(t, a, l, done) // it is not another's, and was not taken back
	// Nobody waits for job 2: it is withdrawn, unless a worker was quicker. Job 3 is leased for the first time, even if
	// the call that the server had got before did so too.
	enqueue(t, b, item(3, jobs.Interactive), false)
	for {
		l := <-got
		if l.Attempt != 1 {
			t.Errorf("attempt %d of %s", l.Attempt, l.Spec.Href)
		}
		complete(t, a, l, done)
		if l.Key == key(3) {
			break
		}
		go func() { l, _ := a.Lease(t.Context(), jobs.Interactive, time.Minute); got <- l }()
	}
	valkeytest.Eventually(t, 10*time.Second, func() error {
		all, err := b.Versions(t.Context())
		if err == nil && (all[0].Interactive.Queued != 0 || all[0].Leased != 0) {
			err = errors.New("something is left")
		}
		return err
	})
}

// A lease whose answer was lost is given back, uncounted.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	a, b := open(t, s.URL(), prefix), open(t, s.URL(), prefix)
	enqueue(t, a, item(1, jobs.Background), false)
	l := lease(t, a, jobs.Background, 1)
	valkeyqueue.Forget(a, l)
	l = lease(t, b, jobs.Background, 1)
	if l.Attempt != 1 {
		t.Errorf("attempt %d", l.Attempt)
	}
	complete(t, b, l, done)
}

// A full server refuses jobs and serves everything else.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix, log := newPrefix(), &valkeytest.Log{}
	a := open(t, s.URL(), prefix, func(o *valkeyqueue.Options) { o.Log = log.Logger() })
	b := open(t, s.URL(), prefix)
	told, cancel := b.Await(key(1))
	defer cancel()
	enqueue(t, b, item(1, jobs.Interactive), false)
	enqueue(t, b, item(2, jobs.Background), false)
	enqueue(t, b, item(3, jobs.Interactive), false)
	s.SetMaxMemory(1<<20, "noeviction")
	for n := range 10 {
		_, err := a.Enqueue(t.Context(), item(10+n, jobs.Interactive))
		wantUnavailable(t, err)
	}
	if up, _ := a.Up(); !up {
		t.Error("it is taken to be down")
	}
	l := lease(t, a, jobs.Interactive, 1)
	if err := a.Extend(t.Context(), l, time.Minute); err != nil {
		t.Error(err)
	}
	complete(t, a, l, done)
	if end := ends(t, told); !bytes.Equal(end.Ref, done.Ref) {
		t.Errorf("ended with %+v", end)
	}
	if dropped, err := b.Withdraw(t.Context(), key(3)); !dropped || err != nil {
		t.Errorf("Withdraw: %v, %v", dropped, err)
	}
	l = lease(t, a, jobs.Background, 2)
	if err := a.Requeue(t.Context(), l, time.Now()); err != nil {
		t.Error(err)
	}
	complete(t, a, lease(t, a, jobs.Background, 2), done)
	s.SetMaxMemory(0, "noeviction")
	enqueue(t, a, item(20, jobs.Interactive), false)
	if log.Count("\n") != 2 || log.Count("takes no jobs") != 1 || log.Count("takes jobs again") != 1 {
		t.Errorf("log: %s", log)
	}
}

// Damaged records are dropped and counted, and those who wait are told. Whatever is damaged, the next job is done.
func TestDamage(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	for field, readable := range map[string]bool{
		"i": false, "k": false, "s": false, "p": false, "h": false, "e": false, // without these there is no job
		"a": true, "n": true, "x": true, "u": true, "w": true,
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			prefix := newPrefix()
			a, b := open(t, s.URL(), prefix), open(t, s.URL(), prefix)
			told, cancel := b.Await(key(1))
			defer cancel()
			enqueue(t, b, item(1, jobs.Interactive), false)
			s.Do("HSET", recordOf(s, prefix, 1), field, "\xff?")
			enqueue(t, b, item(2, jobs.Interactive), false)
			if readable {
				complete(t, a, lease(t, a, jobs.Interactive, 1), done)
			}
			complete(t, a, lease(t, a, jobs.Interactive, 2), done)
			none(t, a, jobs.Interactive)
			if end := ends(t, told); end.Lost == readable {
				t.Errorf("ended with %+v", end)
			}
			st, err := a.Stats(t.Context())
			if err != nil || (st.Corrupt == 0) != readable {
				t.Errorf("stats %+v, %v", st, err)
			}
		})
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := valkeytest.StartCluster(t, 3, 0, false, valkeytest.Options{})
	for i := range 4 { // in different places of it
		prefix := newPrefix() + strings.Repeat("x", i)
		change := func(o *valkeyqueue.Options) { o.Version = "test " + prefix }
		passOn(t, open(t, cluster.URL(), prefix, change), open(t, cluster.URL(), prefix, change))
	}
}

// passOn has one process do another's jobs, in all ways.
func passOn(t *testing.T, web, worker *valkeyqueue.Queue) {
	t.Helper()
	const one, two = 1_000_001, 1_000_002
	told, cancel := web.Await(key(one))
	defer cancel()
	enqueue(t, web, item(one, jobs.Interactive), false)
	l := lease(t, worker, jobs.Interactive, one)
	if err := worker.Requeue(t.Context(), l, time.Now().Add(testBeat)); err != nil {
		t.Fatal(err)
	}
	l = lease(t, worker, jobs.Interactive, one)
	if err := worker.Extend(t.Context(), l, time.Minute); err != nil {
		t.Fatal(err)
	}
	complete(t, worker, l, done)
	if end := ends(t, told); !bytes.Equal(end.Ref, done.Ref) {
		t.Errorf("ended with %+v", end)
	}
	enqueue(t, web, item(two, jobs.Interactive), false)
	if dropped, err := web.Withdraw(t.Context(), key(two)); err != nil || !dropped {
		t.Errorf("Withdraw: %v, %v", dropped, err)
	}
	if _, err := web.Versions(t.Context()); err != nil {
		t.Error(err)
	}
}

// Of a fail-over nobody who waits need know more than that a job is lost.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	s := valkeytest.Sentinels(t, valkeytest.Options{})
	prefix := newPrefix()
	web, worker := open(t, s.URL(), prefix, valkeyqueue.Impatient), open(t, s.URL(), prefix, valkeyqueue.Impatient)
	var working, asking sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer working.Wait()
	defer cancel()
	for _, p := range []jobs.Priority{jobs.Interactive, jobs.Background} {
		working.Go(func() {
			for {
				l, err := worker.Lease(ctx, p, time.Minute)
				if err != nil {
					return
				}
				if err := worker.Complete(context.Background(), l, done); err != nil && !errors.Is(err, jobs.ErrUnavailable) && !errors.Is(err, jobs.ErrLeaseLost) {
					t.Errorf("Complete: %v", err)
				}
			}
		})
	}
	var mu sync.Mutex
	served, local, lost, enough := 0, 0, 0, false
	count := func(what *int) (stop bool) {
		mu.Lock()
		defer mu.Unlock()
		*what++
		return enough
	}
	reached := func(most int) func() error {
		return func() error {
			mu.Lock()
			defer mu.Unlock()
			if served < most {
				return errors.New("it does not go on")
			}
			return nil
		}
	}
	for i := range 8 {
		asking.Go(func() {
			for n := i; ; n += 8 {
				told, cancel := web.Await(key(n))
				what := &served
				for again := true; again; {
					again = false
					if _, err := web.Enqueue(ctx, item(n, jobs.Interactive)); err != nil {
						wantUnavailable(t, err)
						what = &local
						time.Sleep(10 * time.Millisecond) // that is how long it takes to do it oneself
					} else if end := ends(t, told); end.Lost {
						count(&lost)
						again = true
					}
				}
				cancel()
				if count(what) {
					return
				}
			}
		})
	}
	valkeytest.Eventually(t, 10*time.Second, reached(100))
	first := s.Primary()
	first.Kill()
	s.Failover(first)
	waitUp(t, web)
	waitUp(t, worker)
	mu.Lock()
	most := served + 100
	mu.Unlock()
	valkeytest.Eventually(t, 10*time.Second, reached(most))
	mu.Lock()
	enough = true
	mu.Unlock()
	asking.Wait()
	t.Logf("%d jobs done through the queue, %d without it, %d lost and done again", served, local, lost)
	cancel()
	working.Wait()
	passOn(t, web, worker)
}
