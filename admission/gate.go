package admission

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"
)

// patience is how long the first in line, waiting for memory, lets smaller ones pass. Passing keeps the CPUs busy;
// without an end to it a large image would never get in.
const patience = 2 * time.Second

// Gate lets work in while there is a slot for it, and memory.
type Gate struct {
	slots  int
	memory int64 // 0: no limit

	mu      sync.Mutex
	inside  int
	used    int64
	waiting [priorities]list.List
}

// NewGate returns a gate for so many at once, whose costs together stay within memory (bytes, 0 for no limit). One
// alone always gets in: what it really takes is for the limits of its process to bound.
func NewGate(slots int, memory int64) (*Gate, error) {
	if slots < 1 || memory < 0 {
		return nil, fmt.Errorf("a gate of %d slots and %d bytes: want at least 1 and 0", slots, memory)
	}
	return &Gate{slots: slots, memory: memory}, nil
}

// entrant is one who waits.
type entrant struct {
	cost   int64
	since  time.Time
	opened chan struct{}
}

// Enter waits for a slot and for cost bytes of memory. leave gives both back; it must be called once. The error wraps
// the context's.
func (g *Gate) Enter(ctx context.Context, rank Rank, cost int64) (leave func(), err error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("waiting for a codec: %w", context.Cause(ctx))
	}
	e := &entrant{cost: max(cost, 0), since: time.Now(), opened: make(chan struct{})}
	p, promoted := rank.rank()
	g.mu.Lock()
	place := g.waiting[p].PushBack(e)
	g.open()
	g.mu.Unlock()

	for waits := true; waits; {
		select {
		case <-e.opened:
			return func() { g.leave(e) }, nil
		case <-promoted:
			promoted = nil
			p, place = Interactive, g.promote(place)
		case <-ctx.Done():
			waits = false
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-e.opened: // in the last moment: nobody will use it
		g.inside--
		g.used -= e.cost
	default:
		g.waiting[p].Remove(place)
	}
	g.open()
	return nil, fmt.Errorf("waiting for a codec: %w", context.Cause(ctx))
}

// promote moves one who waits to the end of the people's line.
func (g *Gate) promote(place *list.Element) *list.Element {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := place.Value.(*entrant)
	select {
	case <-e.opened: // in the last moment
		return nil
	default:
	}
	g.waiting[Background].Remove(place)
	place = g.waiting[Interactive].PushBack(e)
	g.open()
	return place
}

func (g *Gate) leave(e *entrant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.used -= e.cost
	g.open()
}

// open lets in whoever may, with mu held.
func (g *Gate) open() {
	for p := range g.waiting {
		for place := g.waiting[p].Front(); place != nil && g.inside < g.slots; {
			e := place.Value.(*entrant)
			if g.memory > 0 && g.inside > 0 && g.used+e.cost > g.memory {
				if time.Since(e.since) > patience {
					return // nobody passes any more, of whatever priority
				}
				place = place.Next()
				continue
			}
			next := place.Next()
			g.waiting[p].Remove(place)
			g.inside++
			g.used += e.cost
			close(e.opened)
			place = next
		}
	}
}

// GateStats is a snapshot of a Gate.
type GateStats struct {
	// Slots is how many may be inside, Inside how many are.
	Slots, Inside int
	// Used and Limit are the estimated memory of those inside and its bound in bytes; Limit is 0 where there is none.
	Used, Limit int64
	// Waiting is how many wait.
	Waiting int
	// Oldest is how long the first of them has waited.
	Oldest time.Duration
}

// Stats returns a snapshot.
func (g *Gate) Stats() GateStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := GateStats{Slots: g.slots, Inside: g.inside, Used: g.used, Limit: g.memory}
	for p := range g.waiting {
		s.Waiting += g.waiting[p].Len()
		if first := g.waiting[p].Front(); first != nil {
			s.Oldest = max(s.Oldest, time.Since(first.Value.(*entrant).since))
		}
	}
	return s
}
