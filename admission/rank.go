package admission

// Priority orders those who wait.
type Priority uint8

const (
	// Interactive work has somebody who waits for it.
	Interactive Priority = iota
	// Background work is done when nobody waits for other work.
	Background
	priorities = 2
)

// Rank says in which line somebody waits: a Priority, which stays what it is, or BackgroundUntil.
type Rank interface {
	// rank is the priority, and what is closed when it becomes Interactive; nil where it does not.
	rank() (Priority, <-chan struct{})
}

func (p Priority) rank() (Priority, <-chan struct{}) { return p, nil }

type rising <-chan struct{}

func (r rising) rank() (Priority, <-chan struct{}) {
	select {
	case <-r:
		return Interactive, nil
	default:
		return Background, r
	}
}

// BackgroundUntil is the rank of background work for which somebody may begin to wait: Background until promoted is
// closed, Interactive from then on, also in a line. Nil is never closed.
func BackgroundUntil(promoted <-chan struct{}) Rank { return rising(promoted) }
