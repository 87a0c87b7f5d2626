package valkeyqueue

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"imgopt/jobs"
	"imgopt/tracing"
	"imgopt/valkey"
)

// How long one call may take. Somebody waits for Enqueue, who could be served without the queue.
const (
	enqueueWithin = 500 * time.Millisecond
	callWithin    = 2 * time.Second
)

const (
	shards     = 8
	priorities = 2
)

// Queue is a jobs.Remote. Make one with Open, end it with Close.
type Queue struct {
	o       Options
	base    string // begins all names; also the first key of every script
	replica string

	ctx     context.Context // of all goroutines and of what no caller waits for
	cancel  context.CancelFunc
	running sync.WaitGroup
	closing chan struct{} // closed first
	calls   sync.WaitGroup
	lookNow chan struct{}
	beatNow chan struct{}
	stop    []func()                  // of the subscriptions
	leasing [priorities]chan struct{} // held while a lease is asked for, so that counts are right

	corrupt, reclaimed, buried, lost atomic.Uint64
	full                             atomic.Bool // the server refused to store the last job

	mu       sync.Mutex
	onJoin   func(jobs.Key)
	closed   bool
	up       bool
	changed  chan struct{} // closed when up changes
	wake     [priorities]chan struct{}
	perShard [priorities]int // leases of one shard at once; 0: no limit
	leases   map[string]*held
	asking   map[string]bool // tokens of leases asked for
	doubt    time.Time       // until then leases may turn up that this process does not know of
	watches  map[jobs.Key]*watch
	waiting  map[jobs.Key]time.Time // for which the server knows this replica as one that waits, and since when
	regrets  map[jobs.Key]time.Time // to withdraw from: the call to enqueue it failed, or nobody waits any more
	unsent   []completion
	last     tick
}

var _ jobs.Remote = (*Queue)(nil)

// Open returns a queue. It does not wait for the server: Up tells when the queue can be used.
func Open(o Options) (*Queue, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	q := &Queue{
		o: o, base: o.Client.Key(tagOf(o.Version), ""), replica: instance(o.Replica),
		closing: make(chan struct{}), lookNow: make(chan struct{}, 1), beatNow: make(chan struct{}, 1),
		changed: make(chan struct{}),
		leases:  make(map[string]*held), asking: make(map[string]bool), watches: make(map[jobs.Key]*watch),
		waiting: make(map[jobs.Key]time.Time), regrets: make(map[jobs.Key]time.Time),
	}
	for p := range priorities {
		q.wake[p], q.leasing[p] = make(chan struct{}), make(chan struct{}, 1)
	}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	q.running.Go(q.beats)
	q.running.Go(q.looks)
	q.stop = append(q.stop, o.Client.Subscribe(q.base+"c"+q.replica, valkey.Listener{Joined: q.lookAtAll, Message: q.told}))
	if o.Worker {
		q.stop = append(q.stop, o.Client.Subscribe(q.base+"w", valkey.Listener{Joined: q.notifyAll, Message: q.woken}))
	}
	return q, nil
}

// OnJoin implements jobs.Remote.
func (q *Queue) OnJoin(f func(jobs.Key)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.onJoin = f
}

// Name returns the name by which the server and other processes know this one.
func (q *Queue) Name() string { return q.replica }

// run runs a script of this queue. Its error says what was being done, and is jobs.ErrUnavailable whatever the server's
// reason is: for the caller it comes to the same. It is not if the caller's own context ended.
func (q *Queue) run(ctx context.Context, s *valkey.Script, limit time.Duration, doing string, args ...string) (valkey.Message, error) {
	m, err := s.Run(ctx, q.o.Client, limit*q.o.patience, []string{q.base}, args)
	return m, q.failure(ctx, doing, err)
}

func (q *Queue) failure(ctx context.Context, doing string, err error) error {
	var e *valkey.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e), errors.Is(err, valkey.ErrClosed), ctx.Err() == nil:
		return fmt.Errorf("%s: %w: %w", doing, jobs.ErrUnavailable, err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// texts reads an answer that is a list of strings and numbers.
func texts(m valkey.Message) ([]string, error) {
	list, err := m.ToArray()
	if err != nil {
		return nil, err
	}
	all := make([]string, len(list))
	for i := range list {
		switch v := &list[i]; {
		case v.IsNil():
		case v.IsInt64():
			n, _ := v.ToInt64()
			all[i] = strconv.FormatInt(n, 10)
		default:
			if all[i], err = v.ToString(); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// Enqueue implements jobs.Queue.
func (q *Queue) Enqueue(ctx context.Context, item jobs.Item) (joined bool, err error) {
	encoded, err := appendItem(nil, item.Spec)
	if err != nil {
		return false, fmt.Errorf("enqueueing a job: %w: %w", jobs.ErrUnavailable, err)
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false, jobs.ErrClosed
	}
	if item.Priority == jobs.Interactive {
		q.waiting[item.Key] = time.Now()
		q.arm(item.Key)
	}
	q.mu.Unlock()
	anew := "0"
	if item.Anew {
		anew = "1"
	}
	reply, err := q.enqueue(ctx, item, encoded, anew)
	if err == nil && reply[0] == "O" {
		end, broken := jobs.Ending{}, errTorn
		if len(reply) > 1 {
			end, broken = decodeOutcome([]byte(reply[1]))
		}
		if broken == nil {
			q.ended(item.Key, end)
			return true, nil
		}
		q.corrupt.Add(1)
		reply, err = q.enqueue(ctx, item, encoded, "1")
	}
	q.noteFull(err)
	if err != nil {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.disarm(item.Key)
		if item.Priority == jobs.Interactive && q.watches[item.Key].idle() {
			q.regrets[item.Key] = time.Now()
		}
		return false, err
	}
	joined, err = q.enqueued(item, reply)
	if joined && item.Priority == jobs.Interactive && len(reply) > 1 {
		tracing.LinkTo(ctx, decodeTrace(reply[1]))
	}
	return joined, err
}

func (q *Queue) enqueue(ctx context.Context, item jobs.Item, encoded []byte, anew string) ([]string, error) {
	left := ""
	if !item.Deadline.IsZero() {
		left = micros(time.Until(item.Deadline))
	}
	limit := q.o.Limits.Interactive
	if item.Priority == jobs.Background {
		limit = q.o.Limits.Background
	}
	m, err := q.run(ctx, scripts.enqueue, enqueueWithin, "enqueueing a job",
		string(item.Key[:]), digit(item.Priority), q.replica, valkey.Binary(encoded), strconv.Itoa(int(item.Kind)),
		micros(max(0, time.Since(item.EnqueuedAt))), left, anew, strconv.Itoa(limit),
		strconv.FormatFloat(q.o.Limits.OriginShare, 'g', -1, 64), strconv.Itoa(shardOf(item.Spec)),
		encodeTrace(item.Trace))
	if err != nil {
		return nil, err
	}
	reply, err := texts(m)
	if err == nil && len(reply) == 0 {
		err = errTorn
	}
	return reply, q.failure(ctx, "enqueueing a job", err)
}

// enqueued reads the server's verdict.
func (q *Queue) enqueued(item jobs.Item, reply []string) (joined bool, err error) {
	switch reply[0] {
	case "N":
	case "J":
		joined = true
	case "F":
		err = jobs.ErrFull
	case "G":
		err = jobs.ErrOriginFull
	case "T":
		us := 0.0
		if len(reply) > 1 {
			us, _ = strconv.ParseFloat(reply[1], 64) // what cannot be read is too long as well
		}
		err = &jobs.TooLongError{Wait: duration(us)}
	default:
		err = fmt.Errorf("enqueueing a job: %w: the server's answer %q", jobs.ErrUnavailable, reply[0])
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if item.Priority == jobs.Interactive {
		if err != nil {
			q.disarm(item.Key)
			if q.watches[item.Key].idle() {
				delete(q.waiting, item.Key)
			}
		} else {
			q.confirm(item.Key)
			delete(q.regrets, item.Key)
		}
	}
	return joined, err
}

// noteFull logs when the server begins to refuse jobs because it is full, and when it has taken one again.
func (q *Queue) noteFull(err error) {
	switch {
	case errors.Is(err, valkey.ErrFull):
		if !q.full.Swap(true) {
			q.o.Log.Warn("valkey is full and takes no jobs: every process works for itself", "error", err)
		}
	case err == nil && q.full.Load() && q.full.Swap(false):
		q.o.Log.Info("valkey takes jobs again")
	}
}

// Withdraw implements jobs.Queue.
func (q *Queue) Withdraw(ctx context.Context, key jobs.Key) (dropped bool, err error) {
	results, err := q.withdraw(ctx, []jobs.Key{key})
	return err == nil && results[0] == 1, err
}

func (q *Queue) withdraw(ctx context.Context, keys []jobs.Key) ([]int64, error) {
	args := append(make([]string, 0, 1+len(keys)), q.replica)
	for _, key := range keys {
		args = append(args, string(key[:]))
	}
	m, err := q.run(ctx, scripts.withdraw, callWithin, "withdrawing from a job", args...)
	var results []int64
	if err == nil {
		if results, err = m.AsIntSlice(); err == nil && len(results) != len(keys) {
			err = errTorn
		}
		err = q.failure(ctx, "withdrawing from a job", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, key := range keys {
		if err != nil && q.waiting[key] != (time.Time{}) {
			q.regrets[key] = time.Now() // it is said again
			continue
		}
		delete(q.waiting, key)
		delete(q.regrets, key)
	}
	return results, err
}

func digit(p jobs.Priority) string { return strconv.Itoa(int(p)) }

// shardOf returns the shard of a job's origin.
func shardOf(s jobs.Spec) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.Origin()))
	sum := h.Sum32()
	return int((sum ^ sum>>16) % shards)
}

// micros writes a duration for a script. Times a century away are as good as any.
func micros(d time.Duration) string {
	const century = 100 * 365 * 24 * time.Hour
	return strconv.FormatInt(min(max(d, -century), century).Microseconds(), 10)
}

// duration returns what a script told in microseconds.
func duration(us float64) time.Duration {
	const most = float64(math.MaxInt64 / 2)
	if math.IsNaN(us) {
		return 0
	}
	return time.Duration(min(max(us*1e3, -most), most))
}
