package valkeyqueue_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imgopt/jobs"
	"imgopt/jobs/queuetest"
	"imgopt/jobs/valkeyqueue"
	"imgopt/valkey/valkeytest"
)

// shelf is where processes put results for each other.
type shelf struct{ results sync.Map }

func (s *shelf) Publish(_ context.Context, job jobs.Job, result string) ([]byte, error) {
	s.results.Store(job.Key, result)
	return []byte("shelf"), nil
}

func (s *shelf) Load(_ context.Context, job jobs.Job, ref []byte) (string, error) {
	if v, ok := s.results.Load(job.Key); ok && string(ref) == "shelf" {
		return v.(string), nil
	}
	return "", errors.New("not there")
}

// fleet is some processes that share their work. The first only works for itself, when it must.
type fleet struct {
	t       *testing.T
	results *shelf
	done    sync.Map // how often each job was done
	all     []*jobs.Dispatcher[string]
}

func newFleet(t *testing.T, url string, change ...func(*valkeyqueue.Options)) *fleet {
	t.Helper()
	f, prefix := &fleet{t: t, results: &shelf{}}, newPrefix()
	for i := range 3 {
		q := open(t, url, prefix, append(change, func(o *valkeyqueue.Options) { o.Worker = i > 0 })...)
		both, err := jobs.NewFailover(q, queuetest.Roomy, false)
		if err != nil {
			t.Fatal(err)
		}
		o := jobs.Defaults(1)
		o.Log = slog.New(slog.DiscardHandler)
		d, err := jobs.NewShared(o, both, f.work, f.results)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(context.Background()); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		f.all = append(f.all, d)
	}
	return f
}

func (f *fleet) work(_ context.Context, job jobs.Job) (string, error) {
	n, _ := f.done.LoadOrStore(job.Key, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	time.Sleep(5 * time.Millisecond) // that is how long it takes
	return job.Spec.Href, nil
}

// times is how often a job was done.
func (f *fleet) times(n int) int64 {
	v, ok := f.done.Load(key(n))
	if !ok {
		return 0
	}
	return v.(*atomic.Int64).Load()
}

// round asks all processes for images at once, and checks the answers.
func (f *fleet) round(from, images, requests int) {
	f.t.Helper()
	var asking sync.WaitGroup
	for i := range requests {
		asking.Go(func() {
			it := item(from+i%images, jobs.Interactive)
			if result, _, err := f.all[i/images%3].Do(f.t.Context(), it.Job); err != nil || result != it.Spec.Href {
				f.t.Errorf("request %d of the round from %d: %q, %v", i, from, result, err)
			}
		})
	}
	asking.Wait()
}

// Three processes that are asked for the same at once do it once.
func TestDispatchersShare(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	f := newFleet(t, s.URL())
	f.round(0, 1, 1000)
	f.round(1, 20, 1000)
	for n := range 21 {
		if got := f.times(n); got != 1 {
			t.Errorf("job %d was done %d times", n, got)
		}
	}
}

// The server is taken away and given back: every request gets its answer, and in the end the work is shared again.
func TestDispatchersAlone(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	f := newFleet(t, s.URL(), valkeyqueue.Impatient)
	s.Pause()
	f.round(100, 20, 100)
	s.Continue()
	f.round(200, 20, 100)
	s.Kill()
	f.round(300, 20, 100)
	s.Restart()
	f.round(400, 20, 100)
	n := 500
	valkeytest.Eventually(t, 20*time.Second, func() error {
		n++
		it := item(n, jobs.Interactive)
		if result, _, err := f.all[0].Do(t.Context(), it.Job); err != nil || result != it.Spec.Href {
			t.Fatalf("%q, %v", result, err)
		}
		if _, shared := f.results.results.Load(key(n)); !shared {
			return errors.New("it was done without the others")
		}
		return nil
	})
}
