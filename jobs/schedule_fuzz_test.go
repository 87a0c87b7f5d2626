package jobs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// modelJob and model say in the plainest way what a schedule is to do.
type modelJob struct {
	n         int
	origin    int
	priority  Priority
	submitted bool
	state     entryState
	order     int
	lease     Lease
}

type model struct {
	limits    [priorities]int
	share     float64
	perOrigin [priorities]int
	jobs      []*modelJob
	order     int
}

func (m *model) count(of func(*modelJob) bool) int {
	n := 0
	for _, j := range m.jobs {
		if of(j) {
			n++
		}
	}
	return n
}

// may lists the jobs that may be leased, in order.
func (m *model) may(p Priority) []*modelJob {
	var found []*modelJob
	for _, j := range m.jobs {
		leased := m.count(func(o *modelJob) bool { return o.state == entryLeased && o.origin == j.origin && o.priority == p })
		people := m.count(func(o *modelJob) bool {
			return o.state == entryReady && o.origin == j.origin && o.priority == Interactive
		})
		if j.state == entryReady && j.priority == p && leased < m.perOrigin[p] && (p == Interactive || people == 0) {
			found = append(found, j)
		}
	}
	if p == Background && len(m.may(Interactive)) > 0 {
		return nil
	}
	slices.SortFunc(found, func(a, b *modelJob) int { return a.order - b.order })
	return found
}

// full tells whether one more job has no room.
func (m *model) full(origin int, p Priority) error {
	queued := m.count(func(j *modelJob) bool { return j.state != entryLeased && j.priority == p })
	own := m.count(func(j *modelJob) bool { return j.state != entryLeased && j.priority == p && j.origin == origin })
	switch {
	case queued >= m.limits[p]:
		return ErrFull
	case own > 0 && m.share < 1 && float64(own+1) > m.share/(1-m.share)*float64(m.limits[p]-queued-1)+1e-6:
		return ErrOriginFull
	}
	return nil
}

func (m *model) find(n int) *modelJob {
	for _, j := range m.jobs {
		if j.n == n {
			return j
		}
	}
	return nil
}

func (m *model) drop(j *modelJob) {
	m.jobs = slices.DeleteFunc(m.jobs, func(o *modelJob) bool { return o == j })
}

func (m *model) ready(j *modelJob) {
	m.order++
	j.state, j.order = entryReady, m.order
}

// FuzzSchedule does at random what queues are asked for, and compares the schedule with the model after each step.
func FuzzSchedule(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 4, 2, 0, 3, 0, 2, 0, 4, 1})
	f.Add([]byte{1, 0, 1, 4, 1, 8, 0, 1, 2, 0, 2, 1, 5, 0, 0, 1, 6, 1, 3, 0})
	f.Add([]byte("0\x00\x04\x08\x0c\x10\x14\x18\x1c\x20\x24\x28\x02\x02\x02\x02\x02\x03\x03\x03"))
	r := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		steps := make([]byte, 600)
		for i := range steps {
			steps[i] = byte(r.Uint32())
		}
		f.Add(steps)
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		m := &model{limits: [priorities]int{12, 9}, share: 0.6, perOrigin: [priorities]int{3, 2}}
		s := newSchedule(Limits{Interactive: 12, Background: 9, OriginShare: 0.6})
		s.limitOrigins(3, 2)
		for i := 0; i+1 < len(steps) && i < 400; i += 2 {
			step(t, s, m, steps[i]%7, int(steps[i+1]%32))
			compare(t, s, m)
		}
		for len(m.jobs) > 0 { // everything can be done, in whatever state it is
			j := m.jobs[0]
			switch {
			case j.state == entryLeased:
				step(t, s, m, 3, j.n)
			case j.state == entryDelayed || len(m.may(j.priority)) == 0:
				s.mu.Lock()
				e := s.byKey[KeyOf("fuzz", modelItem(j.n).Spec)]
				s.dequeue(e)
				s.drop(e)
				s.mu.Unlock()
				m.drop(j)
			default:
				step(t, s, m, 2, int(j.priority))
			}
			compare(t, s, m)
		}
		if len(s.origins) != 0 {
			t.Errorf("%d origins are remembered without jobs", len(s.origins))
		}
	})
}

// modelItem is the n-th job; n also says of which of four origins.
func modelItem(n int) Item {
	spec := Spec{Href: fmt.Sprintf("https://host%d/%d.png", n%4, n), Absolute: true}
	return Item{Job: Job{Key: KeyOf("fuzz", spec), Spec: spec}, EnqueuedAt: time.Now()}
}

// step does one thing to both.
func step(t *testing.T, s *schedule, m *model, what byte, n int) {
	t.Helper()
	j := m.find(n)
	switch what {
	case 0, 1: // enqueue
		p := Priority(what)
		it, there := modelItem(n), j != nil
		it.Priority = p
		_, joined, err := s.put(it, asked{})
		var want error
		switch {
		case j == nil:
			if want = m.full(n%4, p); want == nil {
				j = &modelJob{n: n, origin: n % 4, priority: p, submitted: p == Background}
				m.jobs = append(m.jobs, j)
				m.ready(j)
			}
		case p == Interactive && j.priority == Background && j.state != entryLeased:
			if want = m.full(n%4, p); want == nil {
				j.priority = p
				if j.state == entryReady {
					m.ready(j)
				}
			}
		case p == Background:
			j.submitted = true
		}
		if err != want || joined != there {
			t.Fatalf("enqueue %d as %v: joined %v, %v; want %v, %v", n, p, joined, err, there, want)
		}
	case 2: // lease
		p := Priority(n % 2)
		s.mu.Lock()
		e := s.pick(p)
		s.mu.Unlock()
		may := m.may(p)
		if (e == nil) != (len(may) == 0) {
			t.Fatalf("lease %v: got %v, want one of %d", p, e, len(may))
		}
		if e == nil {
			return
		}
		l, _, err := s.take(context.Background(), p, time.Hour)
		if err != nil || l.Key != modelItem(may[0].n).Key {
			t.Fatalf("leased %v, %v; want job %d", l.Spec.Href, err, may[0].n)
		}
		may[0].state, may[0].lease = entryLeased, l
	case 3, 4, 5: // complete, requeue at once, requeue for later
		if j == nil || j.state != entryLeased {
			return
		}
		var err error
		switch what {
		case 3:
			err = s.remove(j.lease, false)
			m.drop(j)
		case 4:
			j.lease.Priority = Interactive // somebody waits for it by now
			err = s.requeue(j.lease, time.Now())
			j.priority = Interactive
			m.ready(j)
		case 5:
			err = s.requeue(j.lease, time.Now().Add(time.Hour))
			j.state = entryDelayed
		}
		if err != nil {
			t.Fatalf("job %d: %v", n, err)
		}
	case 6: // withdraw
		dropped := s.withdraw(modelItem(n).Key)
		want := false
		if j != nil && j.state != entryLeased && j.priority == Interactive {
			if j.submitted {
				j.priority = Background
				if j.state == entryReady {
					m.ready(j)
				}
			} else {
				want = true
				m.drop(j)
			}
		}
		if dropped != want {
			t.Fatalf("withdraw %d: %v, want %v", n, dropped, want)
		}
	}
}

// compare checks what can be seen of both.
func compare(t *testing.T, s *schedule, m *model) {
	t.Helper()
	st := s.stats()
	for p, got := range []ClassStats{st.Interactive, st.Background} {
		of := func(state entryState) int {
			return m.count(func(j *modelJob) bool { return j.state == state && j.priority == Priority(p) })
		}
		if got.Queued != of(entryReady)+of(entryDelayed) || got.Delayed != of(entryDelayed) {
			t.Fatalf("%v: stats %+v; want %d ready, %d delayed", Priority(p), got, of(entryReady), of(entryDelayed))
		}
		s.mu.Lock()
		e := s.pick(Priority(p))
		s.mu.Unlock()
		may := m.may(Priority(p))
		switch {
		case (e == nil) != (len(may) == 0):
			t.Fatalf("%v: next is %v, want one of %d", Priority(p), e, len(may))
		case e != nil && e.item.Key != modelItem(may[0].n).Key:
			t.Fatalf("%v: next is %s, want %d", Priority(p), e.item.Spec.Href, may[0].n)
		}
	}
	if leased := m.count(func(j *modelJob) bool { return j.state == entryLeased }); st.Leased != leased {
		t.Fatalf("%d leased, want %d", st.Leased, leased)
	}
}
