package jobs

import (
	"context"
	"errors"
	"time"

	"imgopt/failure"
)

// Lease implements Queue.
func (q *Filesystem) Lease(ctx context.Context, p Priority, ttl time.Duration) (Lease, error) {
	for {
		l, durable, err := q.s.take(ctx, p, ttl)
		if err != nil || !durable || q.claim(&l, ttl) {
			return l, err
		}
	}
}

// LimitOrigins implements Queue. Each process that shares the folder counts its own leases.
func (q *Filesystem) LimitOrigins(interactive, background int) bool {
	q.s.limitOrigins(interactive, background)
	return true
}

// patience is how long a change of a job's file may wait for the folder: not at all long if people wait for the job.
func patience(p Priority) time.Duration {
	if p == Interactive {
		return lockBriefly
	}
	return lockPatiently
}

// claim leases the file of a job leased in memory. False means that the job is not to be done here now. An
// interactive job always is: its waiters are here, and no other process could hand them a result.
func (q *Filesystem) claim(l *Lease, ttl time.Duration) bool {
	gone := false
	var later time.Time
	err := q.change(patience(l.Priority), func() error {
		if durable, _ := q.s.held(*l); !durable {
			return nil // its file could not be written, after all
		}
		from, r, err := q.find(l.Key)
		switch {
		case err != nil:
			return err
		case r == nil:
			gone = true
			return nil
		case l.Priority == Background && r.NotBefore.After(time.Now()):
			later = r.NotBefore // another process tried, and failed
			return nil
		}
		claimed := *l
		claimed.Attempt = r.Item.Attempt + 1
		if err := q.folder.move(from, leasedDir, q.leaseRecord(claimed, time.Now().Add(ttl))); err != nil {
			return err
		}
		l.Attempt = claimed.Attempt
		return nil
	})
	if err != nil {
		later = time.Now().Add(q.opt.Poll)
	}
	switch {
	case (gone || err != nil) && l.Priority == Interactive:
		q.s.forgetFile(l.Key)
		return true
	case gone: // another process has done it, or is doing it
		_ = q.s.remove(*l, false)
		return false
	case !later.IsZero():
		l.Attempt--
		_ = q.s.requeue(*l, later)
		return false
	}
	return true
}

// find returns a job's record and the folder it is in, if it may be leased; nil if it is another process's, or
// nowhere. Needs exclusive.
func (q *Filesystem) find(key Key) (dir string, r *record, err error) {
	if r, err = q.load(queuedDir, key); r != nil || err != nil {
		return queuedDir, r, err
	}
	if r, err = q.load(leasedDir, key); err != nil || r == nil || !q.reclaimable(r) {
		return "", nil, err
	}
	q.tookOver(r)
	return leasedDir, r, nil
}

// leaseRecord returns the record of a lease of this process.
func (q *Filesystem) leaseRecord(l Lease, until time.Time) *record {
	return &record{Version: q.opt.Version, Item: l.Item, Owner: q.folder.owner, Token: l.Token, Expires: until}
}

// ours changes the file of a lease, if there is one and it is still this process's. An interactive job whose file is
// another's goes on without; a background one is lost.
func (q *Filesystem) ours(l Lease, change func(*record) error) error {
	err := q.change(patience(l.Priority), func() error {
		if durable, ok := q.s.held(l); !ok || !durable {
			return nil
		}
		r, err := q.load(leasedDir, l.Key)
		if err != nil {
			return err
		}
		if r == nil || r.Owner != q.folder.owner || r.Token != l.Token {
			return ErrLeaseLost
		}
		return change(r)
	})
	if !errors.Is(err, ErrLeaseLost) {
		return err
	}
	if l.Priority == Interactive {
		q.s.forgetFile(l.Key)
		return nil
	}
	_ = q.s.remove(l, false)
	return ErrLeaseLost
}

// Extend implements Queue.
func (q *Filesystem) Extend(_ context.Context, l Lease, ttl time.Duration) error {
	durable, err := q.s.extend(l, ttl)
	if err != nil || !durable {
		return err
	}
	return q.ours(l, func(r *record) error {
		r.Expires = time.Now().Add(ttl)
		return q.folder.write(leasedDir, r)
	})
}

// Complete implements Queue. A dead letter is a file in dead/, with the reason.
func (q *Filesystem) Complete(_ context.Context, l Lease, o Outcome) error {
	if durable, _ := q.s.held(l); durable {
		err := q.ours(l, func(r *record) error {
			if o.Dead {
				return q.bury(r, o.Failure)
			}
			return q.folder.remove(leasedDir, l.Key)
		})
		if errors.Is(err, ErrLeaseLost) {
			return err
		}
		// Any other error has been logged. The file then stays leased by this process, which does not hold it
		// any more: the next scan makes the job ready again.
	}
	return q.s.remove(l, o.Dead)
}

func (q *Filesystem) bury(r *record, why *failure.Error) error {
	r.unlease()
	r.Failure, r.FailedAt = why, time.Now()
	if err := q.folder.move(leasedDir, deadDir, r); err != nil {
		return err
	}
	return q.folder.trimDead(q.opt.MaxDead)
}

// Requeue implements Queue.
func (q *Filesystem) Requeue(_ context.Context, l Lease, at time.Time) error {
	if durable, _ := q.s.held(l); durable {
		err := q.ours(l, func(r *record) error {
			r.unlease()
			r.Item.Attempt, r.NotBefore = l.Attempt, at
			return q.folder.move(leasedDir, queuedDir, r)
		})
		if errors.Is(err, ErrLeaseLost) {
			return err
		}
	}
	return q.s.requeue(l, at)
}
