package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"imgopt/jobs"
	"imgopt/jobs/queuetest"
)

// hub is a queue on a server that can be made to fail at any moment: a Memory queue that several dispatchers work on.
// The real one is tested in jobs/valkeyqueue, and with real processes in e2e/fleet.
type hub struct {
	*jobs.Memory

	mu      sync.Mutex
	down    bool
	changed chan struct{}
	waiting map[jobs.Key]map[*hubView]int
	ears    map[jobs.Key][]chan jobs.Ending
	deaf    bool // ends are not told
	long    time.Duration
	kept    map[jobs.Key]jobs.Ending
	keep    time.Duration    // of the outcome told last
	joins   []func(jobs.Key) // of all processes: who does not work on the job takes no note
	peers   int
}

func newHub(t *testing.T) *hub {
	t.Helper()
	m, err := jobs.NewMemory(queuetest.Roomy)
	if err != nil {
		t.Fatal(err)
	}
	return &hub{Memory: m, changed: make(chan struct{}), waiting: map[jobs.Key]map[*hubView]int{},
		ears: map[jobs.Key][]chan jobs.Ending{}, kept: map[jobs.Key]jobs.Ending{}}
}

// hubView is the hub as one process sees it.
type hubView struct{ *hub }

func (v *hubView) LimitOrigins(int, int) bool { return false }
func (v *hubView) Close() error               { return nil }
func (v *hubView) Peers() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.peers
}

func (v *hubView) OnJoin(f func(jobs.Key)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.joins = append(v.joins, f)
}

func (v *hubView) Up() (bool, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.down, v.changed
}

func (h *hub) set(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = down
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *hub) away() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return fmt.Errorf("hub: %w", jobs.ErrUnavailable)
	}
	return nil
}

func (v *hubView) Await(key jobs.Key) (<-chan jobs.Ending, func()) {
	ear := make(chan jobs.Ending, 4)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ears[key] = append(v.ears[key], ear)
	return ear, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		for i, e := range v.ears[key] {
			if e == ear {
				v.ears[key] = append(v.ears[key][:i:i], v.ears[key][i+1:]...)
				break
			}
		}
	}
}

// tell brings an end to all who wait for it.
func (h *hub) tell(key jobs.Key, e jobs.Ending) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.deaf {
		return
	}
	for _, ear := range h.ears[key] {
		select {
		case ear <- e:
		default:
		}
	}
}

func (v *hubView) Enqueue(ctx context.Context, item jobs.Item) (bool, error) {
	if err := v.away(); err != nil {
		return false, err
	}
	v.mu.Lock()
	long := v.long
	kept, known := v.kept[item.Key]
	if item.Priority == jobs.Interactive {
		for _, joined := range v.joins {
			defer joined(item.Key)
		}
		if v.waiting[item.Key] == nil {
			v.waiting[item.Key] = map[*hubView]int{}
		}
		v.waiting[item.Key][v]++
	}
	v.mu.Unlock()
	if long > 0 {
		return false, &jobs.TooLongError{Wait: long}
	}
	if known && !item.Anew {
		v.tell(item.Key, kept)
		return true, nil
	}
	return v.Memory.Enqueue(ctx, item)
}

func (v *hubView) Withdraw(ctx context.Context, key jobs.Key) (bool, error) {
	if err := v.away(); err != nil {
		return false, err
	}
	v.mu.Lock()
	delete(v.waiting[key], v)
	others := len(v.waiting[key]) > 0
	v.mu.Unlock()
	if others {
		return false, nil
	}
	return v.Memory.Withdraw(ctx, key)
}

// Lease leases nothing while the hub is down.
func (v *hubView) Lease(ctx context.Context, p jobs.Priority, ttl time.Duration) (jobs.Lease, error) {
	for {
		up, changed := v.Up()
		within, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(untilClosed(changed), cancel)
		var l jobs.Lease
		err := error(context.Canceled)
		if up {
			l, err = v.Memory.Lease(within, p, ttl)
		} else {
			<-within.Done()
		}
		stop()
		cancel()
		if err == nil || ctx.Err() != nil || errors.Is(err, jobs.ErrClosed) {
			return l, err
		}
	}
}

// untilClosed is a context that ends when ch is closed.
func untilClosed(ch <-chan struct{}) context.Context { return doneContext{context.Background(), ch} }

type doneContext struct {
	context.Context
	ch <-chan struct{}
}

func (d doneContext) Done() <-chan struct{} { return d.ch }
func (d doneContext) Err() error {
	select {
	case <-d.ch:
		return context.Canceled
	default:
		return nil
	}
}

func (v *hubView) Complete(ctx context.Context, l jobs.Lease, o jobs.Outcome) error {
	if err := v.away(); err != nil {
		return err
	}
	if err := v.Memory.Complete(ctx, l, o); err != nil {
		return err
	}
	v.mu.Lock()
	v.keep = o.Keep
	v.mu.Unlock()
	v.tell(l.Key, jobs.Ending{Failure: o.Failure, Ref: o.Ref})
	return nil
}

func (v *hubView) Requeue(ctx context.Context, l jobs.Lease, at time.Time) error {
	if err := v.away(); err != nil {
		return err
	}
	return v.Memory.Requeue(ctx, l, at)
}
