package prewarm

import "sync"

// schedule hands out the variants of a plan. A worker stays with a source until nothing of it is left, then takes the
// next one; when all are begun, it helps with the one of which most is left.
type schedule struct {
	mu      sync.Mutex
	groups  [][]int // what is left of each source: indices of outcomes
	next    int     // the first source that is not begun
	current []int   // by worker: the source it works on, -1 before the first
	batch   int     // how many are handed out at once, 0 is all of a source
}

func newSchedule(groups [][]int, workers, batch int) *schedule {
	s := &schedule{groups: groups, current: make([]int, workers), batch: batch}
	for i := range s.current {
		s.current[i] = -1
	}
	return s
}

// take returns what a worker is to do, of one source, or nothing if nothing is left.
func (s *schedule) take(worker int) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.current[worker]; c < 0 || len(s.groups[c]) == 0 {
		s.current[worker] = s.choose()
	}
	c := s.current[worker]
	if c < 0 {
		return nil
	}
	left := s.groups[c]
	n := len(left)
	if s.batch > 0 {
		n = min(n, s.batch)
	}
	s.groups[c] = left[n:]
	return left[:n]
}

// choose finds the source for a worker that has none, -1 if nothing is left.
func (s *schedule) choose() int {
	for s.next < len(s.groups) {
		if s.next++; len(s.groups[s.next-1]) > 0 {
			return s.next - 1
		}
	}
	most := -1
	for i, g := range s.groups {
		if len(g) > 0 && (most < 0 || len(g) > len(s.groups[most])) {
			most = i
		}
	}
	return most
}
