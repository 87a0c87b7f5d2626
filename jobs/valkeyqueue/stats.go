package valkeyqueue

import (
	"context"
	"strconv"
	"time"

	"imgopt/jobs"
)

// tick is what a beat learned.
type tick struct {
	at                time.Time
	replicas, workers int
	dead              int     // letters
	pace              float64 // jobs a second; 0 if it is not known
	classes           [priorities]class
}

// class counts the jobs of a priority.
type class struct {
	delayed       int
	oldest        time.Duration // of those ready, below 0 if there are none
	ready, leased [shards]int
}

// classLen is how many numbers describe a class.
const classLen = 2 + 2*shards

func parseClasses(list []string) (all [priorities]class, err error) {
	if len(list) != priorities*classLen {
		return all, errTorn
	}
	var n [classLen]int
	for p := range priorities {
		for i := range n {
			if n[i], err = strconv.Atoi(list[p*classLen+i]); err != nil {
				return all, err
			}
		}
		c := &all[p]
		c.delayed, c.oldest = n[0], time.Duration(n[1])*time.Millisecond
		copy(c.ready[:], n[2:])
		copy(c.leased[:], n[2+shards:])
	}
	return all, nil
}

// Peers implements jobs.Remote.
func (q *Queue) Peers() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.last.workers
	if q.o.Worker {
		n--
	}
	return max(0, n)
}

// Fleet is what all processes of one version are together.
type Fleet struct {
	// At is when this was learned, by this process's clock; zero if the server was never reached.
	At time.Time
	// Replicas live, and Workers of them work on jobs, this process included.
	Replicas, Workers int
	// Pace is how many of people's jobs they do in a second when they have no lack of them; 0 if it is not known.
	Pace float64
	// Wait is how long a new job of a person would wait at that pace; 0 if it is not known.
	Wait time.Duration
	// Leased is how many jobs are being worked on, Dead how many dead letters there are.
	Leased, Dead int
	// Pending is how many jobs ended in this process that the server could not be told of yet.
	Pending int
	// Lost counts the jobs this process waited for that the server has forgotten.
	Lost uint64
}

// Fleet returns what the last beat learned, without asking the server.
func (q *Queue) Fleet() Fleet {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := Fleet{
		At: q.last.at, Replicas: q.last.replicas, Workers: q.last.workers, Pace: q.last.pace, Dead: q.last.dead,
		Pending: len(q.unsent), Lost: q.lost.Load(),
	}
	for p := range priorities {
		for _, n := range q.last.classes[p].leased {
			f.Leased += n
		}
	}
	if f.Pace > 0 {
		ahead := 0
		for _, n := range q.last.classes[jobs.Interactive].ready {
			ahead += n
		}
		f.Wait = duration(float64(ahead) / f.Pace * 1e6)
	}
	return f
}

// Stats implements jobs.Queue: what the last beat learned, the leases of this process now.
func (q *Queue) Stats(context.Context) (jobs.QueueStats, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	own := q.countLeases(now)
	st := jobs.QueueStats{Reclaimed: q.reclaimed.Load(), Buried: q.buried.Load(), Corrupt: q.corrupt.Load()}
	since := max(0, now.Sub(q.last.at))
	for p, into := range [priorities]*jobs.ClassStats{&st.Interactive, &st.Background} {
		c := &q.last.classes[p]
		into.Queued, into.Delayed = c.delayed, c.delayed
		if c.oldest >= 0 && !q.last.at.IsZero() {
			into.Oldest = c.oldest + since
		}
		for h, n := range c.ready {
			into.Queued += n
			limit := q.perShard[p]
			people := p == int(jobs.Background) && q.last.classes[jobs.Interactive].ready[h] > 0
			if limit > 0 && own[p][h] >= limit || people && q.perShard[p] > 0 {
				into.HeldBack += n
			}
			st.Leased += own[p][h]
		}
	}
	return st, nil
}
