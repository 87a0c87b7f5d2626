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

// resizing resizes in the background and tells the error.
func resizing(ctx context.Context, r *admission.Reservation, bytes int64) <-chan error {
	done := make(chan error, 1)
	go func() { done <- r.Resize(ctx, bytes) }()
	synctest.Wait()
	return done
}

func ended(ch <-chan error) bool {
	synctest.Wait()
	return len(ch) > 0
}

func TestBudgetWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := admission.NewBudget(100)
		first, second, third := b.Reserve(admission.Interactive), b.Reserve(admission.Interactive), b.Reserve(admission.Interactive)
		if err := first.Resize(t.Context(), 80); err != nil {
			t.Fatal(err)
		}
		large, small := resizing(t.Context(), second, 90), resizing(t.Context(), third, 10)
		if ended(large) || ended(small) {
			t.Fatal("let in without room, or past one who waits")
		}
		if s := b.Stats(); s.Used != 80 || s.Waiting != 2 || s.Limit != 100 {
			t.Errorf("%+v", s)
		}
		if err := first.Resize(t.Context(), 10); err != nil { // less never waits
			t.Fatal(err)
		}
		if !ended(large) || ended(small) {
			t.Fatal("want the first in line, and only it")
		}
		first.Release()
		if !ended(small) {
			t.Fatal("10 of 100 are free")
		}
		second.Release()
		third.Release()
		third.Release() // once more does no harm
		if s := b.Stats(); s.Used != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestBudgetPrefersHoldersAndPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := admission.NewBudget(100)
		var order []string
		var wg sync.WaitGroup
		ask := func(name string, r *admission.Reservation, bytes int64) {
			wg.Go(func() {
				if err := r.Resize(t.Context(), bytes); err != nil {
					t.Error(err)
				}
				order = append(order, name)
				r.Release()
			})
			synctest.Wait()
		}
		all, holder, overdraws := b.Reserve(admission.Interactive), b.Reserve(admission.Background), b.Reserve(admission.Interactive)
		for r, n := range map[*admission.Reservation]int64{all: 60, holder: 20, overdraws: 20} {
			if err := r.Resize(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		if err := overdraws.Resize(t.Context(), 50); err != nil { // the only one: it must be able to end
			t.Fatal(err)
		}
		// Each leaves no room for another.
		ask("background", b.Reserve(admission.Background), 99)
		ask("person", b.Reserve(admission.Interactive), 98)
		ask("holder", holder, 97)
		if len(order) > 0 {
			t.Fatalf("%v did not wait", order)
		}
		overdraws.Release()
		all.Release()
		wg.Wait()
		if !slices.Equal(order, []string{"holder", "person", "background"}) {
			t.Errorf("order %v", order)
		}
	})
}

func TestBudgetOverdraftIsOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := admission.NewBudget(100)
		var r [3]*admission.Reservation
		for i := range r {
			r[i] = b.Reserve(admission.Interactive)
			if err := r[i].Resize(t.Context(), 30); err != nil {
				t.Fatal(err)
			}
		}
		// All three want more than there is. Without an overdraft none would ever get it.
		first, second, third := resizing(t.Context(), r[0], 60), resizing(t.Context(), r[1], 60), resizing(t.Context(), r[2], 60)
		if !ended(first) || ended(second) || ended(third) {
			t.Fatal("want exactly one to overdraw")
		}
		r[0].Release()
		if !ended(second) || !ended(third) {
			t.Fatal("the second fits, the third may overdraw now")
		}
		if s := b.Stats(); s.Used != 120 {
			t.Errorf("%+v", s)
		}
		r[1].Release()
		r[2].Release()

		// What exceeds the limit alone gets in, one at a time.
		big, bigger := b.Reserve(admission.Interactive), b.Reserve(admission.Interactive)
		one, two := resizing(t.Context(), big, 500), resizing(t.Context(), bigger, 600)
		if !ended(one) || ended(two) {
			t.Fatal("want one")
		}
		big.Release()
		if !ended(two) {
			t.Fatal("want the other")
		}
		bigger.Release()
		if s := b.Stats(); s.Used != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestBudgetWaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := admission.NewBudget(100)
		holder := b.Reserve(admission.Interactive)
		_ = holder.Resize(t.Context(), 50)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		leaves := resizing(ctx, b.Reserve(admission.Interactive), 60)
		behind := b.Reserve(admission.Interactive)
		waits := resizing(t.Context(), behind, 40)
		if ended(waits) {
			t.Fatal("passed one who waits")
		}
		time.Sleep(time.Second)
		if err := <-leaves; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if !ended(waits) {
			t.Error("the one behind did not move up")
		}
		behind.Release()
		holder.Release()
		dead, end := context.WithCancel(t.Context())
		end()
		if err := behind.Resize(dead, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if s := b.Stats(); s.Used != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestBudgetNeverStops lets many grow in small steps without ever giving up. If they waited for each other, the test
// would end as a deadlock.
func TestBudgetNeverStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := admission.NewBudget(1000)
		var wg sync.WaitGroup
		for i := range 100 {
			rnd := rand.New(rand.NewPCG(3, uint64(i)))
			wg.Go(func() {
				for range 20 {
					r := b.Reserve(admission.Priority(i % 2))
					for held, most := int64(0), rnd.Int64N(1500); held < most; {
						held += 1 + rnd.Int64N(200)
						if err := r.Resize(t.Context(), held); err != nil {
							t.Error(err)
						}
						time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
					}
					r.Release()
				}
			})
		}
		wg.Wait()
		if s := b.Stats(); s.Used != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestBudgetHolds lets many take, grow, leave and give back in a random order: the limit holds but for one, all end.
func TestBudgetHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, most = 1000, 400
		b := admission.NewBudget(limit)
		var wg sync.WaitGroup
		for i := range 200 {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			wg.Go(func() {
				for range 50 {
					r := b.Reserve(admission.Priority(i % 2))
					for held := int64(0); held < most; {
						held += 1 + rnd.Int64N(most/2)
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+rnd.IntN(1000))*time.Second)
						err := r.Resize(ctx, min(held, most))
						cancel()
						if err != nil {
							break
						}
						if s := b.Stats(); s.Used > limit+most {
							t.Errorf("%d bytes in use", s.Used)
						}
						time.Sleep(time.Duration(rnd.IntN(100)) * time.Millisecond)
					}
					r.Release()
				}
			})
		}
		wg.Wait()
		if s := b.Stats(); s.Used != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}
