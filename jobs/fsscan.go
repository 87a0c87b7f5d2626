package jobs

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"
)

// poll searches the folder again and again.
func (q *Filesystem) poll(ctx context.Context) {
	tick := time.NewTicker(q.opt.Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = q.change(lockPatiently, q.scan) // a failure has been logged; the next tick tries again
		}
	}
}

// load reads a job. Nil without an error: there is none, it was corrupt (and is gone now), or it is of another
// version of the pipeline. Needs exclusive.
func (q *Filesystem) load(dir string, key Key) (*record, error) {
	r, err := q.folder.read(dir, key)
	var corrupt *corruptError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.As(err, &corrupt):
		q.corrupt.Add(1)
		q.log.Warn("dropped an unreadable job", "error", err)
		return nil, q.folder.remove(dir, key)
	case err != nil:
		return nil, err
	case r.Version == q.opt.Version:
		return r, nil
	case time.Since(r.Item.EnqueuedAt) > foreignAge:
		return nil, q.folder.remove(dir, key)
	default:
		q.foreign[key] = r.Item.EnqueuedAt
		return nil, nil
	}
}

// reclaimable tells whether a leased job's worker is gone. Needs exclusive.
func (q *Filesystem) reclaimable(r *record) bool {
	if r.Owner == q.folder.owner {
		return !q.s.leasedWith(r.Item.Key, r.Token)
	}
	return time.Now().After(r.Expires) || !q.folder.alive(r.Owner)
}

// tookOver counts the lease of another process that is over. The schedule counts our own.
func (q *Filesystem) tookOver(r *record) {
	if r.Owner != q.folder.owner {
		q.reclaimed.Add(1)
		q.log.Info("took over a job", "job", r.Item.Key, "href", r.Item.Spec.Href, "attempts", r.Item.Attempt)
	}
}

// scan makes the schedule agree with the folder: takes over the jobs of dead workers, learns of jobs that other
// processes queued, forgets those they took. Needs exclusive.
func (q *Filesystem) scan() error {
	queued, err := q.folder.list(queuedDir)
	if err != nil {
		return err
	}
	leased, err := q.folder.list(leasedDir)
	if err != nil {
		return err
	}
	for _, key := range leased {
		r, err := q.load(leasedDir, key)
		if err != nil {
			return err
		}
		if r == nil || !q.reclaimable(r) {
			continue
		}
		q.tookOver(r)
		r.unlease()
		if err := q.folder.move(leasedDir, queuedDir, r); err != nil {
			return err
		}
		queued = append(queued, key)
	}

	present := make(map[Key]bool, len(queued))
	var found []*record
	for _, key := range queued {
		present[key] = true
		if enqueued, ok := q.foreign[key]; q.s.knows(key) || ok && time.Since(enqueued) <= foreignAge {
			continue
		}
		r, err := q.load(queuedDir, key)
		if err != nil {
			return err
		}
		if r != nil {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *record) int { return a.Item.EnqueuedAt.Compare(b.Item.EnqueuedAt) })
	for _, r := range found {
		if _, _, err := q.s.put(r.Item, asked{durable: true, force: true, at: r.NotBefore}); err != nil {
			return err
		}
	}
	q.s.forgetMissing(present)
	for key := range q.foreign {
		if !present[key] {
			delete(q.foreign, key)
		}
	}
	return nil
}

// handBack makes ready again, without counting the attempt, what this process leased. Needs exclusive.
func (q *Filesystem) handBack() error {
	leased, err := q.folder.list(leasedDir)
	if err != nil {
		return err
	}
	for _, key := range leased {
		r, err := q.load(leasedDir, key)
		if err != nil {
			return err
		}
		if r == nil || r.Owner != q.folder.owner {
			continue
		}
		r.unlease()
		r.Item.Attempt = max(0, r.Item.Attempt-1)
		if err := q.folder.move(leasedDir, queuedDir, r); err != nil {
			return err
		}
	}
	return nil
}

// What the filesystem queue needs of the schedule besides the queue's own methods.

// forgetFile says that a job's file does not exist, or is not this process's.
func (s *schedule) forgetFile(key Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byKey[key]; e != nil {
		e.durable = false
	}
}

// knows tells whether the job is here, in whatever state.
func (s *schedule) knows(key Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byKey[key] != nil
}

// leasedWith tells whether the job is leased here with that token.
func (s *schedule) leasedWith(key Key, token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[key]
	return e != nil && e.state == entryLeased && e.token == token
}

// forgetMissing drops the queued jobs whose files are not present any more: other processes took them. One that
// somebody waits for here stays, in memory.
func (s *schedule) forgetMissing(present map[Key]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, e := range s.byKey {
		if !e.durable || e.state == entryLeased || present[key] {
			continue
		}
		if e.item.Priority == Background {
			s.dequeue(e)
			s.drop(e)
		} else {
			e.durable, e.submitted = false, false
		}
	}
}
