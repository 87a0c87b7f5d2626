package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
	"imgopt/jobs"
	"imgopt/jobs/queuetest"
)

// shelf passes results between the processes of a test.
type shelf struct {
	mu     sync.Mutex
	m      map[jobs.Key]string
	broken bool // what is put there cannot be had
	loads  int
}

func (s *shelf) Publish(_ context.Context, j jobs.Job, result string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[j.Key] = result
	return []byte("shelf"), nil
}

func (s *shelf) Load(_ context.Context, j jobs.Job, ref []byte) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	if r, ok := s.m[j.Key]; ok && !s.broken && string(ref) == "shelf" {
		return r, nil
	}
	return "", errors.New("nothing there")
}

// fleet is several dispatchers on one hub.
type fleet struct {
	*hub
	shelf *shelf
	rigs  []*rig
}

// member adds a dispatcher.
func (f *fleet) member(t *testing.T, work jobs.Work[string], change ...func(*jobs.Options)) *rig {
	t.Helper()
	r := startWith(t, change, func(o jobs.Options) (*jobs.Dispatcher[string], error) {
		q, err := jobs.NewFailover(&hubView{f.hub}, queuetest.Roomy, o.Workless)
		if err != nil {
			return nil, err
		}
		return jobs.NewShared(o, q, work, f.shelf)
	})
	f.rigs = append(f.rigs, r)
	return r
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{hub: newHub(t), shelf: &shelf{m: map[jobs.Key]string{}}}
	t.Cleanup(func() { _ = f.Memory.Close() })
	return f
}

func web(o *jobs.Options) { o.Workless = true }

// good checks that all answers are the job's.
func good(t *testing.T, n int, answers ...<-chan answer) {
	t.Helper()
	for _, ch := range answers {
		if a := <-ch; a.err != nil || a.result != job(n).Spec.Href {
			t.Errorf("job %d: %q, %v", n, a.result, a.err)
		}
	}
}

// TestFleetOnce: whoever asks wherever, the job is done once and all get its result.
func TestFleetOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, g := newFleet(t), newGate()
		a, b, c := f.member(t, g.work), f.member(t, g.work), f.member(t, g.work, web)
		var answers []<-chan answer
		for range 100 {
			answers = append(answers, a.do(t.Context(), job(1)), b.do(t.Context(), job(1)), c.do(t.Context(), job(1)))
		}
		synctest.Wait()
		close(g.open)
		good(t, 1, answers...)
		if n := len(g.began()); n != 1 {
			t.Errorf("%d attempts", n)
		}
		if f.shelf.loads > 2 {
			t.Errorf("%d loads", f.shelf.loads)
		}
	})
}

// TestFleetFailure: a failure reaches those who wait elsewhere as it is.
func TestFleetFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(t)
		want := failure.New(404, "upstream_status", "not there")
		f.member(t, func(context.Context, jobs.Job) (string, error) { return "", want })
		w := f.member(t, nil, web)
		a := <-w.do(t.Context(), job(1))
		wantFailure(t, a.err, 404, "upstream_status", "not there")
	})
}

// leaveAlone is the failure of an upstream that asked to be left alone.
type leaveAlone struct{ d time.Duration }

func (e leaveAlone) Error() string                     { return "busy" }
func (e leaveAlone) UpstreamRetryAfter() time.Duration { return e.d }

// TestFleetFailureKept: a failure is remembered for as long as the upstream asked to be left alone, within reason.
func TestFleetFailureKept(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{0: 0, 20 * time.Second: 20 * time.Second, time.Hour: 30 * time.Second} {
		bubble(t, func(t *testing.T) {
			f := newFleet(t)
			a := f.member(t, func(context.Context, jobs.Job) (string, error) {
				return "", &failure.Error{Status: 503, Reason: "upstream", Cause: leaveAlone{asked}}
			})
			if got := <-a.do(t.Context(), job(1)); got.err == nil {
				t.Error("no failure")
			}
			synctest.Wait()
			if f.keep != want {
				t.Errorf("asked for %v: kept for %v, want %v", asked, f.keep, want)
			}
		})
	}
}

// TestFleetGoesDown: while the server is away every process does its own work, what was begun before included, and
// together again when it is back.
func TestFleetGoesDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, g, later := newFleet(t), newGate(), newGate()
		work := func(ctx context.Context, j jobs.Job) (string, error) {
			if j.Key == job(3).Key {
				return later.work(ctx, j)
			}
			return g.work(ctx, j)
		}
		a, b := f.member(t, work), f.member(t, work)
		first := []<-chan answer{a.do(t.Context(), job(1)), b.do(t.Context(), job(1))}
		synctest.Wait()
		f.set(true)
		synctest.Wait()
		if n := len(g.began()); n != 2 { // the one that had begun, and the other process's own
			t.Errorf("%d attempts while the server is away", n)
		}
		more := []<-chan answer{a.do(t.Context(), job(2)), b.do(t.Context(), job(2))}
		synctest.Wait()
		close(g.open)
		good(t, 1, first...)
		good(t, 2, more...)
		if n := len(g.began()); n != 4 {
			t.Errorf("%d attempts", n)
		}
		f.set(false)
		synctest.Wait()
		together := []<-chan answer{a.do(t.Context(), job(3)), b.do(t.Context(), job(3))}
		synctest.Wait()
		close(later.open)
		good(t, 3, together...)
		if n := len(later.began()); n != 1 {
			t.Errorf("%d attempts after it came back", n)
		}
	})
}

// TestFleetWebGoesDown: a process that does no work waits a moment for the server, and then says so.
func TestFleetWebGoesDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(t)
		w := f.member(t, nil, web)
		waiting := w.do(t.Context(), job(1))
		synctest.Wait()
		f.set(true)
		for _, a := range []answer{<-waiting, <-w.do(t.Context(), job(2))} {
			if e := wantFailure(t, a.err, 503, "queue_unavailable", ""); e.RetryAfter <= 0 {
				t.Error("no Retry-After")
			}
		}
		if _, err := w.Submit(t.Context(), background(3)); err == nil {
			t.Error("a job was submitted to nobody")
		}
	})
}

// TestFleetWebWaits: one that is away for a moment costs nobody an answer.
func TestFleetWebWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, g := newFleet(t), newGate()
		f.peers = 1
		close(g.open)
		f.set(true)
		w := f.member(t, nil, web)
		waiting := w.do(t.Context(), job(1))
		time.Sleep(2 * time.Second)
		f.set(false)
		f.member(t, g.work)
		good(t, 1, waiting)
	})
}

// TestFleetNobodyWorks: after a while without any worker nothing is enqueued; with one it is again.
func TestFleetNobodyWorks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, g := newFleet(t), newGate()
		close(g.open)
		w := f.member(t, nil, web)
		first := w.do(t.Context(), job(1))
		time.Sleep(6 * time.Second)
		if e := wantFailure(t, (<-w.do(t.Context(), job(2))).err, 503, "queue_unavailable", ""); e.RetryAfter <= 0 {
			t.Error("no Retry-After")
		}
		f.hub.mu.Lock()
		f.peers = 1
		f.hub.mu.Unlock()
		f.member(t, g.work)
		good(t, 1, first)
		good(t, 2, w.do(t.Context(), job(2)))
	})
}

// TestFleetLost: a server that has lost its memory is told again.
func TestFleetLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, g := newFleet(t), newGate()
		w := f.member(t, nil, web)
		waiting := w.do(t.Context(), job(1))
		synctest.Wait()
		if dropped, err := f.Memory.Withdraw(t.Context(), job(1).Key); !dropped || err != nil {
			t.Fatal("not queued")
		}
		f.tell(job(1).Key, jobs.Ending{Lost: true})
		f.member(t, g.work)
		close(g.open)
		good(t, 1, waiting)
	})
}

// TestFleetLostWhileRunning: what runs here brings its end itself.
func TestFleetLostWhileRunning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, g := newFleet(t), newGate()
		a := f.member(t, g.work)
		waiting := a.do(t.Context(), job(1))
		synctest.Wait()
		f.tell(job(1).Key, jobs.Ending{Lost: true})
		synctest.Wait()
		close(g.open)
		good(t, 1, waiting)
		if n := len(g.began()); n != 1 {
			t.Errorf("%d attempts", n)
		}
	})
}

// TestFleetNoResult: a result that cannot be had is made anew, and at last here; who cannot make it says so.
func TestFleetNoResult(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(t)
		f.shelf.broken = true
		here := 0
		a := f.member(t, func(_ context.Context, j jobs.Job) (string, error) { here++; return j.Spec.Href, nil },
			func(o *jobs.Options) { o.Concurrency = 1 })
		// Its one slot is taken for a while, so that the other one gets the job.
		f.kept[job(1).Key] = jobs.Ending{Ref: []byte("elsewhere")}
		good(t, 1, a.do(t.Context(), job(1)))
		if here != 1 {
			t.Errorf("made %d times here", here)
		}
		w := f.member(t, nil, web)
		wantFailure(t, (<-w.do(t.Context(), job(2))).err, 503, "queue_unavailable", "")
	})
}

// TestFleetTooLong: the wait that all processes together would need is said to the client.
func TestFleetTooLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(t)
		f.long = 12 * time.Second
		w := f.member(t, nil, web)
		if e := wantFailure(t, (<-w.do(t.Context(), job(1))).err, 503, "queue_wait", ""); e.RetryAfter != 12*time.Second {
			t.Errorf("Retry-After %v", e.RetryAfter)
		}
		if s := w.stats(); s.SaturatedFor <= 0 {
			t.Error("not saturated")
		}
	})
}

// TestFleetAbandoned: the last who leaves, wherever, ends a job that nobody has begun.
func TestFleetAbandoned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, g := newFleet(t), newGate()
		a, b := f.member(t, nil, web), f.member(t, nil, web)
		one, leave := context.WithCancel(t.Context())
		left, stays := a.do(one, job(1)), b.do(t.Context(), job(1))
		synctest.Wait()
		leave()
		if x := <-left; !errors.Is(x.err, context.Canceled) {
			t.Errorf("left with %v", x.err)
		}
		synctest.Wait()
		f.member(t, g.work)
		close(g.open)
		good(t, 1, stays)
	})
}

// TestFleetLeaving: a process that stops takes no more jobs where others do, and what it holds goes back to them.
func TestFleetLeaving(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, g := newFleet(t), newGate()
		f.peers = 1
		a := f.member(t, g.work, func(o *jobs.Options) { o.Concurrency = 1 })
		w := f.member(t, nil, web)
		first := w.do(t.Context(), job(1))
		synctest.Wait() // a has begun
		stopping, end := context.WithTimeout(t.Context(), 5*time.Second)
		defer end()
		closed := make(chan error, 1)
		go func() { closed <- a.Close(stopping) }()
		synctest.Wait()
		second := w.do(t.Context(), job(2))
		synctest.Wait()
		if n := len(g.began()); n != 1 {
			t.Errorf("%d attempts: it takes jobs while it stops", n)
		}
		if err := <-closed; err == nil {
			t.Error("nothing was cut short")
		}
		b := newGate()
		close(b.open)
		f.member(t, b.work)
		good(t, 1, first)
		good(t, 2, second)
	})
}

// TestFleetRetriesElsewhere: an attempt that failed may be repeated by another process.
func TestFleetRetriesElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(t)
		tries := 0
		work := func(_ context.Context, j jobs.Job) (string, error) {
			if tries++; tries < 3 {
				return "", flaky(502)
			}
			return fmt.Sprint(j.Attempt), nil
		}
		f.member(t, work)
		f.member(t, work)
		w := f.member(t, nil, web)
		if a := <-w.do(t.Context(), job(1)); a.err != nil || a.result != "3" {
			t.Errorf("%q, %v", a.result, a.err)
		}
	})
}

func TestWorklessAlone(t *testing.T) {
	q, err := jobs.NewMemory(queuetest.Roomy)
	if err != nil {
		t.Fatal(err)
	}
	o := jobs.Defaults(1)
	o.Workless = true
	if _, err := jobs.New(o, q, func(context.Context, jobs.Job) (string, error) { return "", nil }); err == nil {
		t.Error("a queue that nobody works on")
	}
}

// TestFleetShares: a process leaves to others what it cannot begin with soon, but not for jobs whose origin is slow.
func TestFleetShares(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, busy, slow := newFleet(t), newGate(), newGate()
		var mu sync.Mutex
		began := 0
		work := func(ctx context.Context, j jobs.Job) (string, error) {
			mu.Lock()
			began++
			mu.Unlock()
			if j.Kind == jobs.Miss {
				jobs.LeaveOrigin(ctx)
				return busy.work(ctx, j)
			}
			return slow.work(ctx, j)
		}
		count := func() int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return began
		}
		f.member(t, work, func(o *jobs.Options) { o.CPUs = 1; o.Background = 8 })
		w := f.member(t, nil, web)
		for n := range 6 {
			if _, err := w.Submit(t.Context(), background(n)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if n := count(); n != 6 {
			t.Errorf("%d of 6 jobs with a slow origin have begun", n)
		}
		var answers []<-chan answer
		for n := 10; n < 16; n++ {
			answers = append(answers, w.do(t.Context(), job(n)))
			synctest.Wait()
		}
		time.Sleep(time.Second)
		if n := count(); n != 8 {
			t.Errorf("%d jobs have begun, 6 of them slow ones: want 2 for the one CPU", n)
		}
		f.member(t, work, func(o *jobs.Options) { o.CPUs = 2 })
		time.Sleep(time.Second)
		if n := count(); n != 12 {
			t.Errorf("%d jobs have begun, 6 of them slow ones: want 6 for three CPUs", n)
		}
		close(busy.open)
		close(slow.open)
		for i, ch := range answers {
			good(t, 10+i, ch)
		}
	})
}
