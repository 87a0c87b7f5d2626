package valkeyqueue_test

import (
	"context"
	"errors"
	"fmt"
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

// Three processes under load, of which the server is taken away and given back: every request gets its answer, and where
// the server is there each job is done once.
func TestDispatchers(t *testing.T) {
	t.Parallel()
	s := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	var done sync.Map // how often each job was done
	results := &shelf{}
	var all []*jobs.Dispatcher[string]
	for i := range 3 {
		q := open(t, s.URL(), prefix, valkeyqueue.Impatient, func(o *valkeyqueue.Options) { o.Worker = i > 0 })
		f, err := jobs.NewFailover(q, queuetest.Roomy, false)
		if err != nil {
			t.Fatal(err)
		}
		o := jobs.Defaults(1)
		o.Log = slog.New(slog.DiscardHandler)
		d, err := jobs.NewShared(o, f, func(_ context.Context, job jobs.Job) (string, error) {
			n, _ := done.LoadOrStore(job.Key, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
			time.Sleep(5 * time.Millisecond) // that is how long it takes
			return job.Spec.Href, nil
		}, results)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(context.Background()); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		all = append(all, d)
	}
	ask := func(n int) error {
		it := item(n, jobs.Interactive)
		result, _, err := all[n%3].Do(t.Context(), it.Job)
		if err == nil && result != it.Spec.Href {
			err = fmt.Errorf("got %q", result)
		}
		return err
	}
	times := func(n int) int64 {
		v, ok := done.Load(key(n))
		if !ok {
			return 0
		}
		return v.(*atomic.Int64).Load()
	}
	round := func(from, images, requests int) {
		t.Helper()
		var asking sync.WaitGroup
		for i := range requests {
			asking.Go(func() {
				n := from + i%images
				it := item(n, jobs.Interactive)
				if result, _, err := all[i/images%3].Do(t.Context(), it.Job); err != nil || result != it.Spec.Href {
					t.Errorf("request %d of the round from %d: %q, %v", i, from, result, err)
				}
			})
		}
		asking.Wait()
	}
	round(0, 1, 1000)
	round(1, 20, 1000)
	for n := range 21 {
		if times(n) != 1 {
			t.Errorf("job %d was done %d times", n, times(n))
		}
	}
	s.Pause()
	round(100, 20, 100)
	s.Continue()
	round(200, 20, 100)
	s.Kill()
	round(300, 20, 100)
	s.Restart()
	round(400, 20, 100)
	valkeytest.Eventually(t, 20*time.Second, func() error {
		n := 600 + int(time.Now().UnixNano()%1_000_000)*3
		if err := ask(n); err != nil { // in the process that does no work for others
			t.Fatal(err)
		}
		if _, shared := results.results.Load(key(n)); !shared {
			return errors.New("it was done without the others")
		}
		return nil
	})
}
