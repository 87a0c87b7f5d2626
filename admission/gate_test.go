package admission_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/admission"
)

func newGate(t *testing.T, slots int, memory int64) *admission.Gate {
	t.Helper()
	g, err := admission.NewGate(slots, memory)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// visitors enter a gate and note in which order they got in.
type visitors struct {
	t    *testing.T
	gate *admission.Gate
	mu   sync.Mutex
	in   []string
	out  map[string]chan struct{}
	wg   sync.WaitGroup
}

func (v *visitors) enter(name string, p admission.Rank, cost int64) {
	out := make(chan struct{})
	v.mu.Lock()
	v.out[name] = out
	v.mu.Unlock()
	v.wg.Go(func() {
		leave, err := v.gate.Enter(v.t.Context(), p, cost)
		if err != nil {
			v.t.Error(err)
			return
		}
		v.mu.Lock()
		v.in = append(v.in, name)
		v.mu.Unlock()
		<-out
		leave()
	})
	synctest.Wait()
}

func (v *visitors) leave(name string) { close(v.out[name]); synctest.Wait() }

func (v *visitors) want(names ...string) {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if !slices.Equal(v.in, names) {
		v.t.Fatalf("got in: %v, want %v", v.in, names)
	}
}

func TestGateOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &visitors{t: t, gate: newGate(t, 1, 0), out: map[string]chan struct{}{}}
		v.enter("a", admission.Background, 1<<40)
		v.enter("b1", admission.Background, 0)
		v.enter("p1", admission.Interactive, 0)
		v.enter("p2", admission.Interactive, 0)
		v.want("a")
		time.Sleep(3 * time.Second)
		if s := v.gate.Stats(); s.Inside != 1 || s.Slots != 1 || s.Waiting != 3 || s.Oldest != 3*time.Second {
			t.Errorf("%+v", s)
		}
		v.leave("a")
		v.leave("p1")
		v.leave("p2")
		v.want("a", "p1", "p2", "b1")
		v.leave("b1")
		v.wg.Wait()
		if s := v.gate.Stats(); s.Inside != 0 || s.Used != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestGateMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &visitors{t: t, gate: newGate(t, 4, 100), out: map[string]chan struct{}{}}
		v.enter("half", admission.Interactive, 50)
		v.enter("large", admission.Interactive, 80)
		v.enter("small", admission.Interactive, 20) // passes the one that waits for memory
		v.want("half", "small")
		time.Sleep(3 * time.Second)
		v.enter("smaller", admission.Interactive, 1) // no longer
		v.want("half", "small")
		v.leave("half")
		v.want("half", "small", "large")
		v.leave("large")
		v.want("half", "small", "large", "smaller")
		v.enter("giant", admission.Interactive, 1000)
		v.leave("small")
		v.want("half", "small", "large", "smaller")
		v.leave("smaller")
		v.want("half", "small", "large", "smaller", "giant") // alone, whatever it costs
		v.leave("giant")
		v.wg.Wait()
	})
}

func TestGateWaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, 1, 0)
		leave, err := g.Enter(t.Context(), admission.Interactive, 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Enter(ctx, admission.Interactive, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if _, err := g.Enter(ctx, admission.Interactive, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a dead context: %v", err)
		}
		leave()
		if s := g.Stats(); s.Inside != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestGateHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots, memory = 3, 1000
		g := newGate(t, slots, memory)
		var inside, used, most atomic.Int64
		var wg sync.WaitGroup
		for i := range 100 {
			rnd := rand.New(rand.NewPCG(2, uint64(i)))
			wg.Go(func() {
				for range 50 {
					cost := rnd.Int64N(600)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+rnd.IntN(2000))*time.Millisecond)
					leave, err := g.Enter(ctx, admission.Priority(i%2), cost)
					cancel()
					if err != nil {
						continue
					}
					if n, m := inside.Add(1), used.Add(cost); n > slots || m > memory {
						t.Errorf("%d inside with %d bytes", n, m)
					}
					most.Store(max(most.Load(), inside.Load()))
					time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
					inside.Add(-1)
					used.Add(-cost)
					leave()
				}
			})
		}
		wg.Wait()
		if s := g.Stats(); s.Inside != 0 || s.Used != 0 || s.Waiting != 0 || most.Load() != slots {
			t.Errorf("%+v, most %d", s, most.Load())
		}
	})
}

func TestGateRefusesNonsense(t *testing.T) {
	for _, c := range []struct {
		slots  int
		memory int64
	}{{0, 0}, {1, -1}} {
		if _, err := admission.NewGate(c.slots, c.memory); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}
