package jobs_test

import (
	"context"
	"testing"
	"testing/synctest"

	"imgopt/jobs"
)

// TestFleetPromotes: work that nobody waited for learns when somebody in another process does.
func TestFleetPromotes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		told, release := make(chan (<-chan struct{}), 1), make(chan struct{})
		f := newFleet(t)
		worker := f.member(t, func(ctx context.Context, j jobs.Job) (string, error) {
			told <- jobs.Promoted(ctx)
			<-release
			return j.Spec.Href, nil
		})
		other := f.member(t, nil, web)
		if _, err := worker.Submit(t.Context(), background(1)); err != nil {
			t.Fatal(err)
		}
		promoted := <-told
		one := other.do(t.Context(), job(1))
		synctest.Wait()
		select {
		case <-promoted:
		default:
			t.Error("not promoted")
		}
		close(release)
		good(t, 1, one)
	})
}

// TestPromoted: work that nobody waited for learns when somebody does.
func TestPromoted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		told := make(chan (<-chan struct{}), 1)
		release := make(chan struct{})
		r := start(t, func(ctx context.Context, j jobs.Job) (string, error) {
			told <- jobs.Promoted(ctx)
			<-release
			return j.Spec.Href, nil
		})
		if _, err := r.Submit(t.Context(), background(1)); err != nil {
			t.Fatal(err)
		}
		promoted := <-told
		synctest.Wait()
		select {
		case <-promoted:
			t.Fatal("promoted though nobody waits")
		default:
		}
		one, two := r.do(t.Context(), job(1)), r.do(t.Context(), job(1))
		synctest.Wait()
		select {
		case <-promoted:
		default:
			t.Error("not promoted")
		}
		close(release)
		good(t, 1, one, two)

		// A job that somebody waits for needs no promotion.
		waiting := r.do(t.Context(), job(2))
		if ch := <-told; ch != nil {
			t.Error("a person's job can be promoted")
		}
		good(t, 2, waiting)
	})
	if jobs.Promoted(t.Context()) != nil {
		t.Error("no job, and a promotion")
	}
}
