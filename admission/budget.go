package admission

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// Budget bounds the bytes that many hold together.
type Budget struct {
	limit int64 // 0: none

	mu        sync.Mutex
	used      int64
	overdrawn *Reservation // the one holder that may exceed the limit
	waiting   [2 * priorities]list.List
	count     int // in all of waiting
}

// NewBudget returns a budget of so many bytes; 0 sets no limit and only counts.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Reservation is one holder's share of a Budget. Its methods are called by one goroutine at a time.
type Reservation struct {
	budget *Budget
	rank   Rank
	held   int64 // guarded by budget.mu
}

// claim is a Resize that waits.
type claim struct {
	by      *Reservation
	bytes   int64 // wanted in all
	granted chan struct{}
}

// Reserve opens a reservation of nothing yet. It must be released.
func (b *Budget) Reserve(rank Rank) *Reservation { return &Reservation{budget: b, rank: rank} }

// Resize changes what is held to bytes. Less is granted at once. More waits until there is room: whoever holds
// something already goes before those who do not, because its end gives something back. The error wraps the context's.
func (r *Reservation) Resize(ctx context.Context, bytes int64) error {
	b := r.budget
	b.mu.Lock()
	if bytes <= r.held || b.overdrawn == r { // which waits for nobody, or all would wait for it
		b.set(r, bytes)
		b.serve()
		b.mu.Unlock()
		return nil
	}
	if err := ctx.Err(); err != nil {
		b.mu.Unlock()
		return fmt.Errorf("waiting for memory: %w", context.Cause(ctx))
	}
	c := &claim{by: r, bytes: bytes, granted: make(chan struct{})}
	p, promoted := r.rank.rank()
	line := b.line(r, p)
	place := line.PushBack(c)
	b.count++
	b.serve()
	b.mu.Unlock()

	for waits := true; waits; {
		select {
		case <-c.granted:
			return nil
		case <-promoted:
			promoted = nil
			line, place = b.promote(line, place)
		case <-ctx.Done():
			waits = false
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-c.granted: // in the last moment: it is the caller's to release
		return nil
	default:
	}
	line.Remove(place)
	b.count--
	b.serve() // somebody behind it may fit
	return fmt.Errorf("waiting for memory: %w", context.Cause(ctx))
}

// promote moves a claim to the end of the people's line.
func (b *Budget) promote(line *list.List, place *list.Element) (*list.List, *list.Element) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := place.Value.(*claim)
	select {
	case <-c.granted: // in the last moment
		return nil, nil
	default:
	}
	line.Remove(place)
	line = b.line(c.by, Interactive)
	place = line.PushBack(c)
	b.serve() // somebody behind it may fit
	return line, place
}

// Release gives everything back. The reservation may be used again.
func (r *Reservation) Release() {
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(r, 0)
	b.serve()
}

// BudgetStats is a snapshot of a Budget, in bytes.
type BudgetStats struct {
	// Used may exceed Limit by one holder's share. Limit is 0 where there is none.
	Used, Limit int64
	// Waiting is how many wait for room.
	Waiting int
}

// Stats returns a snapshot.
func (b *Budget) Stats() BudgetStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return BudgetStats{Used: b.used, Limit: b.limit, Waiting: b.count}
}

// The rest is called with mu held.

// line is where a reservation waits: holders before others, people before background.
func (b *Budget) line(r *Reservation, p Priority) *list.List {
	if r.held > 0 {
		return &b.waiting[p]
	}
	return &b.waiting[priorities+p]
}

func (b *Budget) set(r *Reservation, bytes int64) {
	b.used += bytes - r.held
	r.held = bytes
	if b.overdrawn == r && (b.used <= b.limit || bytes == 0) {
		b.overdrawn = nil
	}
}

// serve grants what can be granted, in order. Nobody passes one who waits: a large source would wait for ever.
func (b *Budget) serve() {
	for i := range b.waiting {
		for line := &b.waiting[i]; line.Len() > 0; {
			first := line.Front()
			c := first.Value.(*claim)
			if !b.admit(c) {
				return
			}
			line.Remove(first)
			b.count--
			b.set(c.by, c.bytes)
			close(c.granted)
		}
	}
}

// admit tells whether the claim fits, or may overdraw: what holds something already must be able to end, and what
// alone exceeds the limit would never fit.
func (b *Budget) admit(c *claim) bool {
	if b.limit == 0 || b.used+c.bytes-c.by.held <= b.limit {
		return true
	}
	if b.overdrawn == nil && (c.by.held > 0 || c.bytes > b.limit) {
		b.overdrawn = c.by
		return true
	}
	return false
}
