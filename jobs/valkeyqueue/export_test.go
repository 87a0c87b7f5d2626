package valkeyqueue

import (
	"context"
	"time"

	"imgopt/jobs"
)

// Fresh is a queue whose Stats are those of this moment.
type Fresh struct{ *Queue }

// Stats implements jobs.Queue.
func (f Fresh) Stats(ctx context.Context) (jobs.QueueStats, error) {
	if err := f.beat(ctx); err != nil {
		return jobs.QueueStats{}, err
	}
	return f.Queue.Stats(ctx)
}

// ShardOf returns the shard of a job's origin.
var ShardOf = shardOf

// Forget makes a queue not know of its lease, as when the server's answer is lost.
func Forget(q *Queue, l jobs.Lease) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.leases, l.Token)
	q.doubt = time.Now().Add(doubtFor)
}

// Patient makes time limits longer, for tests that are not about them.
func Patient(o *Options) { o.patience = 10 }

// Impatient undoes Patient.
func Impatient(o *Options) { o.patience = 1 }
