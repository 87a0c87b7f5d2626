package admission_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/admission"
)

// Background work in line goes to the end of the people's line when somebody begins to wait for it.
func TestGatePromotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &visitors{t: t, gate: newGate(t, 1, 0), out: map[string]chan struct{}{}}
		promoted, before, never := make(chan struct{}), make(chan struct{}), make(chan struct{})
		close(before)
		v.enter("a", admission.Interactive, 0)
		v.enter("b1", admission.Background, 0)
		v.enter("b2", admission.BackgroundUntil(nil), 0)
		v.enter("b3", admission.BackgroundUntil(never), 0)
		v.enter("b4", admission.BackgroundUntil(promoted), 0)
		v.enter("p1", admission.Interactive, 0)
		v.enter("p2", admission.BackgroundUntil(before), 0) // somebody waits already
		time.Sleep(time.Second)
		close(promoted)
		synctest.Wait()
		v.enter("p3", admission.Interactive, 0)
		if s := v.gate.Stats(); s.Waiting != 7 || s.Oldest != time.Second {
			t.Errorf("%+v", s)
		}
		order := []string{"a", "p1", "p2", "b4", "p3", "b1", "b2", "b3"}
		for _, name := range order {
			v.leave(name)
		}
		v.want(order...)
		v.wg.Wait()
		if s := v.gate.Stats(); s.Inside != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Whoever leaves after a promotion leaves the line it is in then.
func TestGatePromotedWaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, 1, 0)
		leave, err := g.Enter(t.Context(), admission.Interactive, 0)
		if err != nil {
			t.Fatal(err)
		}
		promoted := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(promoted) })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := g.Enter(ctx, admission.BackgroundUntil(promoted), 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if s := g.Stats(); s.Waiting != 0 || s.Inside != 1 {
			t.Errorf("%+v", s)
		}
		leave()
	})
}

// The same for memory: before people who came later, behind those who were there, and behind holders.
func TestBudgetPromotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := admission.NewBudget(100)
		all := b.Reserve(admission.Interactive)
		if err := all.Resize(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		var order []string
		var wg sync.WaitGroup
		ask := func(ctx context.Context, name string, rank admission.Rank) {
			wg.Go(func() {
				r := b.Reserve(rank)
				if err := r.Resize(ctx, 100); err != nil {
					name += " left"
				}
				order = append(order, name) // 100 of 100 lets in one at a time
				r.Release()
			})
			synctest.Wait()
		}
		promoted, leaves := make(chan struct{}), make(chan struct{})
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		ask(t.Context(), "b1", admission.Background)
		ask(t.Context(), "b2", admission.BackgroundUntil(promoted))
		ask(short, "b3", admission.BackgroundUntil(leaves))
		ask(t.Context(), "p1", admission.Interactive)
		close(promoted)
		close(leaves)
		synctest.Wait()
		ask(t.Context(), "p2", admission.Interactive)
		if s := b.Stats(); s.Waiting != 5 {
			t.Errorf("%+v", s)
		}
		time.Sleep(3 * time.Second)
		all.Release()
		wg.Wait()
		if want := []string{"b3 left", "p1", "b2", "p2", "b1"}; !slices.Equal(order, want) {
			t.Errorf("%v, want %v", order, want)
		}
		if s := b.Stats(); s.Used != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// One that holds something stays before those who do not, and goes before holders that nobody waits for.
func TestBudgetPromotesHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := admission.NewBudget(100)
		promoted := make(chan struct{})
		most, first, second := b.Reserve(admission.Interactive), b.Reserve(admission.Background), b.Reserve(admission.BackgroundUntil(promoted))
		for _, r := range []*admission.Reservation{first, second, most} {
			if err := r.Resize(t.Context(), 10); err != nil {
				t.Fatal(err)
			}
		}
		if err := most.Resize(t.Context(), 120); err != nil { // the only one that may exceed the limit
			t.Fatal(err)
		}
		person := b.Reserve(admission.Interactive)
		one, two, three := resizing(t.Context(), first, 60), resizing(t.Context(), second, 60), resizing(t.Context(), person, 30)
		close(promoted)
		if ended(one) || ended(two) || ended(three) {
			t.Fatal("there is no room")
		}
		if err := most.Resize(t.Context(), 75); err != nil { // now one more may
			t.Fatal(err)
		}
		if ended(one) || !ended(two) || ended(three) {
			t.Fatal("want the holder that was promoted")
		}
		second.Release()
		if !ended(one) || ended(three) {
			t.Fatal("want the other holder")
		}
		for _, r := range []*admission.Reservation{first, most} {
			r.Release()
		}
		<-three
		person.Release()
		if s := b.Stats(); s.Used != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestPromotionsKeepTheLimits lets many come, be promoted, leave and give back in a random order.
func TestPromotionsKeepTheLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, b := newGate(t, 3, 1000), admission.NewBudget(1000)
		var wg sync.WaitGroup
		for i := range 100 {
			rnd := rand.New(rand.NewPCG(4, uint64(i)))
			wg.Go(func() {
				for range 50 {
					promoted := make(chan struct{})
					soon := time.AfterFunc(time.Duration(rnd.IntN(1000))*time.Millisecond, func() { close(promoted) })
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+rnd.IntN(2000))*time.Millisecond)
					r := b.Reserve(admission.BackgroundUntil(promoted))
					if r.Resize(ctx, rnd.Int64N(600)) == nil {
						if leave, err := g.Enter(ctx, admission.BackgroundUntil(promoted), rnd.Int64N(600)); err == nil {
							if s := g.Stats(); s.Inside > s.Slots || s.Used > s.Limit {
								t.Errorf("%+v", s)
							}
							time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
							leave()
						}
					}
					r.Release()
					cancel()
					soon.Stop()
				}
			})
		}
		wg.Wait()
		if s := g.Stats(); s.Inside != 0 || s.Used != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		if s := b.Stats(); s.Used != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}
