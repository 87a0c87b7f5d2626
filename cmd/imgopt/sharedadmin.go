package main

import (
	"context"
	"errors"
	"fmt"

	"imgopt/handler"
	"imgopt/jobs"
	"imgopt/jobs/valkeyqueue"
)

// deadShown is how many dead letters are listed at most.
const deadShown = 200

// queueAdmin lets operators see and change the shared queue.
type queueAdmin struct {
	storage string
	queue   *valkeyqueue.Queue
}

// unavailable says in the handler's words that Valkey cannot be reached.
func unavailable(err error) error {
	if errors.Is(err, jobs.ErrUnavailable) {
		return fmt.Errorf("%w: %w", handler.ErrUnavailable, err)
	}
	return err
}

// Queue describes the queue of this version, and in short those of others.
func (a queueAdmin) Queue(ctx context.Context) (handler.QueueReport, error) {
	versions, err := a.queue.Versions(ctx)
	if err != nil {
		return handler.QueueReport{}, unavailable(err)
	}
	letters, err := a.queue.Dead(ctx, deadShown)
	if err != nil {
		return handler.QueueReport{}, unavailable(err)
	}
	r := handler.QueueReport{Type: a.storage, Workers: []handler.WorkerReport{}, Dead: []handler.DeadLetter{}}
	for _, v := range versions {
		if v.Own {
			r.Version, r.Leased, r.DeadTotal = v.Version, v.Leased, v.Dead
			r.Interactive, r.Background = class(v.Interactive), class(v.Background)
		} else {
			r.Others = append(r.Others, handler.VersionReport{
				Version: v.Version, Interactive: class(v.Interactive), Background: class(v.Background), Leased: v.Leased, DeadTotal: v.Dead,
			})
		}
		for _, p := range v.Replicas {
			if p.Worker {
				r.Workers = append(r.Workers, handler.WorkerReport{ID: p.Name, Version: v.Version, SeenSeconds: p.Silent.Seconds()})
			}
		}
	}
	for _, d := range letters {
		l := handler.DeadLetter{
			ID: d.ID, Key: d.Job.Key.String(), Href: d.Job.Spec.Href, Width: d.Job.Spec.Width, Quality: d.Job.Spec.Quality,
			Format: d.Job.Spec.Format, Attempts: d.Job.Attempt, At: d.At,
		}
		if f := d.Failure; f != nil {
			l.Status, l.Reason, l.Text = f.Status, f.Reason, f.Text
			if f.Cause != nil {
				l.Cause = f.Cause.Error()
			}
		}
		r.Dead = append(r.Dead, l)
	}
	return r, nil
}

func class(c jobs.ClassStats) handler.ClassReport {
	return handler.ClassReport{Queued: c.Queued, Delayed: c.Delayed, HeldBack: c.HeldBack, OldestSeconds: c.Oldest.Seconds()}
}

// Retry enqueues jobs again; no id means all, as the queue has it.
func (a queueAdmin) Retry(ctx context.Context, id string, _ bool) (int, error) {
	n, err := a.queue.Retry(ctx, id)
	return n, unavailable(err)
}

func (a queueAdmin) Drop(ctx context.Context, id string, _ bool) (int, error) {
	n, err := a.queue.Drop(ctx, id)
	return n, unavailable(err)
}

func (a queueAdmin) Cancel(ctx context.Context, key string) (bool, error) {
	k, err := jobs.ParseKey(key)
	if err != nil {
		return false, err
	}
	cancelled, err := a.queue.Cancel(ctx, k)
	return cancelled, unavailable(err)
}
