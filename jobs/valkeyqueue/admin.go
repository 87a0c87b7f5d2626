package valkeyqueue

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"imgopt/failure"
	"imgopt/jobs"
	"imgopt/valkey"
)

// Version is the queue of one pipeline version, as an operator sees it.
type Version struct {
	// Version is the pipeline's version; Own says that it is this process's.
	Version string
	Own     bool
	// Unused is how long ago a process of the version registered it, which it does every ten minutes.
	Unused time.Duration
	// Interactive and Background count what is queued in all processes together. What is held back only each knows.
	Interactive, Background jobs.ClassStats
	// Leased is how many jobs are being worked on.
	Leased int
	// Replicas are the processes that live, in the order of their names.
	Replicas []Replica
	// Dead is how many dead letters are kept.
	Dead int
}

// Replica is a living process.
type Replica struct {
	// Name is Options.Replica with a random part.
	Name string
	// Worker says that it works on jobs.
	Worker bool
	// Silent is how long it has not been heard of; about a second is usual.
	Silent time.Duration
}

// Versions returns the queues of all versions that were in use within a day, in the order of their names.
func (q *Queue) Versions(ctx context.Context) ([]Version, error) {
	registered, err := q.registered(ctx, q.o.Version)
	if err != nil {
		return nil, err
	}
	all := make([]Version, 0, len(registered))
	for name, unused := range registered {
		v, err := q.view(ctx, name)
		if err != nil {
			return nil, err
		}
		v.Version, v.Own, v.Unused = name, name == q.o.Version, unused
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b Version) int { return strings.Compare(a.Version, b.Version) })
	return all, nil
}

func (q *Queue) view(ctx context.Context, version string) (v Version, err error) {
	const doing = "looking at a queue"
	base := q.o.Client.Key(tagOf(version), "")
	m, err := scripts.view.Run(ctx, q.o.Client, callWithin, []string{base}, []string{strconv.FormatInt(deadAfter*q.o.Beat.Milliseconds(), 10)})
	if err != nil {
		return v, q.failure(ctx, doing, err)
	}
	parts, err := m.ToArray()
	if err == nil && len(parts) != 3 {
		err = errTorn
	}
	if err != nil {
		return v, q.failure(ctx, doing, err)
	}
	replicas, err := texts(parts[0])
	if err != nil {
		return v, q.failure(ctx, doing, err)
	}
	for ; len(replicas) >= 3; replicas = replicas[3:] {
		ms, err := strconv.ParseFloat(replicas[1], 64)
		if err != nil {
			return v, q.failure(ctx, doing, err)
		}
		v.Replicas = append(v.Replicas, Replica{Name: replicas[0], Silent: duration(ms * 1e3), Worker: replicas[2] == "1"})
	}
	slices.SortFunc(v.Replicas, func(a, b Replica) int { return strings.Compare(a.Name, b.Name) })
	dead, err := parts[1].AsInt64()
	if err != nil {
		return v, q.failure(ctx, doing, err)
	}
	v.Dead = int(dead)
	counts, err := texts(parts[2])
	var classes [priorities]class
	if err == nil {
		classes, err = parseClasses(counts)
	}
	if err != nil {
		return v, q.failure(ctx, doing, err)
	}
	for p, into := range [priorities]*jobs.ClassStats{&v.Interactive, &v.Background} {
		*into = jobs.ClassStats{Queued: classes[p].delayed, Delayed: classes[p].delayed, Oldest: max(0, classes[p].oldest)}
		for h := range shards {
			into.Queued += classes[p].ready[h]
			v.Leased += classes[p].leased[h]
		}
	}
	return v, nil
}

// DeadLetter is a job that failed for good, and why.
type DeadLetter struct {
	// ID names it, for Retry and Drop.
	ID string
	// Job is what was to be done; its Attempt is how often that was tried.
	Job jobs.Job
	// Failure is how the last attempt ended.
	Failure *failure.Error
	// At is when that was, by the server's clock.
	At time.Time
}

// Dead returns the latest dead letters of this version, the last first. What cannot be read is left out and counted.
func (q *Queue) Dead(ctx context.Context, limit int) ([]DeadLetter, error) {
	return q.deadBetween(ctx, "+", "-", min(max(limit, 1), maxDead))
}

// maxDead is above what is kept.
const maxDead = 2000

func (q *Queue) deadBetween(ctx context.Context, last, first string, limit int) ([]DeadLetter, error) {
	key := q.base + "x"
	m, err := q.o.Client.Do(ctx, key, callWithin, func(b valkey.Builder) valkey.Command {
		return b.Xrevrange().Key(key).End(last).Start(first).Count(int64(limit)).Build()
	})
	if err != nil {
		return nil, q.failure(ctx, "reading dead letters", err)
	}
	entries, err := m.AsXRange()
	if err != nil {
		return nil, q.failure(ctx, "reading dead letters", err)
	}
	all := make([]DeadLetter, 0, len(entries))
	for _, e := range entries {
		d, err := decodeDead(e.ID, e.FieldValues)
		if err != nil {
			q.corrupt.Add(1)
			continue
		}
		all = append(all, d)
	}
	return all, nil
}

func decodeDead(id string, fields map[string]string) (d DeadLetter, err error) {
	d.ID = id
	ms, _, _ := strings.Cut(id, "-")
	at, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return d, err
	}
	d.At = time.UnixMilli(at)
	if len(fields["j"]) != len(d.Job.Key) {
		return d, errTorn
	}
	copy(d.Job.Key[:], fields["j"])
	if d.Job.Spec, err = decodeItem([]byte(fields["i"])); err != nil {
		return d, err
	}
	var kind int
	kind, err = number(fields["k"], int(jobs.Prewarm), err)
	d.Job.Attempt, err = number(fields["a"], 1<<30, err)
	if err != nil {
		return d, err
	}
	d.Job.Kind = jobs.Kind(kind)
	end, err := decodeOutcome([]byte(fields["f"]))
	if err == nil && end.Failure == nil {
		err = fmt.Errorf("decoding a dead letter: it has no failure")
	}
	d.Failure = end.Failure
	return d, err
}

// Retry submits a dead letter again, or all if id is "", and tells how many. It stops at the first that the queue does
// not take.
func (q *Queue) Retry(ctx context.Context, id string) (n int, err error) {
	letters, err := q.letters(ctx, id)
	if err != nil {
		return 0, err
	}
	for _, d := range slices.Backward(letters) { // the first first
		d.Job.Attempt, d.Job.Priority = 0, jobs.Background
		if _, err := q.Enqueue(ctx, jobs.Item{Job: d.Job, EnqueuedAt: time.Now(), Anew: true}); err != nil {
			return n, fmt.Errorf("retrying a dead letter: %w", err)
		}
		if _, err := q.bury(ctx, d.ID); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (q *Queue) letters(ctx context.Context, id string) ([]DeadLetter, error) {
	if id == "" {
		return q.Dead(ctx, maxDead)
	}
	if !isID(id) {
		return nil, nil
	}
	return q.deadBetween(ctx, id, id, 1)
}

// isID tells whether s has the form of a stream entry's id, so that it names one and not a range.
func isID(s string) bool {
	ms, seq, ok := strings.Cut(s, "-")
	if !ok {
		return false
	}
	_, err := strconv.ParseUint(ms, 10, 64)
	_, err2 := strconv.ParseUint(seq, 10, 64)
	return err == nil && err2 == nil
}

// Drop forgets a dead letter, or all if id is "", and tells how many.
func (q *Queue) Drop(ctx context.Context, id string) (n int, err error) {
	if id != "" {
		if !isID(id) {
			return 0, nil
		}
		return q.bury(ctx, id)
	}
	key := q.base + "x"
	m, err := q.o.Client.Do(ctx, key, callWithin, func(b valkey.Builder) valkey.Command {
		return b.Xtrim().Key(key).Maxlen().Threshold("0").Build()
	})
	return q.dropped(ctx, m, err)
}

func (q *Queue) bury(ctx context.Context, id string) (int, error) {
	key := q.base + "x"
	m, err := q.o.Client.Do(ctx, key, callWithin, func(b valkey.Builder) valkey.Command {
		return b.Xdel().Key(key).Id(id).Build()
	})
	return q.dropped(ctx, m, err)
}

func (q *Queue) dropped(ctx context.Context, m valkey.Message, err error) (int, error) {
	var n int64
	if err == nil {
		n, err = m.AsInt64()
	}
	return int(n), q.failure(ctx, "dropping dead letters", err)
}

// Cancel ends a job of this version, queued or being worked on, and tells whether there was one. Those who wait get
// jobs.ErrCancelled, and so does who asks again within ErrorTTL. A worker that has it learns so when it renews the lease.
func (q *Queue) Cancel(ctx context.Context, key jobs.Key) (bool, error) {
	m, err := q.run(ctx, scripts.cancel, callWithin, "cancelling a job", string(key[:]),
		string(appendOutcome(nil, jobs.ErrCancelled(), nil)), strconv.FormatInt(max(0, q.o.ErrorTTL.Milliseconds()), 10))
	if err != nil {
		return false, err
	}
	n, err := m.AsInt64()
	return n == 1, q.failure(ctx, "cancelling a job", err)
}
