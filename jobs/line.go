package jobs

import (
	"math"
	"strings"
	"time"
)

// line is the line of people's jobs in front of this process's slots, by origin: who waits, who runs, how fast it
// moves. It counts the jobs that this process looks after, as they are seen from here, so that a thousand calls of
// one moment are counted before the queue has seen the first. Its owner guards it.
type line struct {
	slots int // for all
	share int // of them, for one origin; the same if there is no limit

	lanes map[string]*lane
	busy  []*lane // those with jobs

	all                      pace
	waiting, paused, running int
	usage                    float64 // mean of running/slots, over about paceRecent
}

// lane is an origin's part of the line.
type lane struct {
	origin                   string
	waiting, paused, running int
	past                     int // of those running, done with their origin
	pace                     pace
	place                    int // in busy, or -1

	mean   float64 // its pace's, some moments ago
	meanAt time.Time
	aside  bool // while a forecast is made
}

// standing says where in the line a job is.
type standing uint8

const (
	outside standing = iota // it runs, or nobody here waits for it
	waits                   // for a slot
	pauses                  // before it waits again
)

const (
	// lanesKept is how many origins without jobs are remembered for their pace.
	lanesKept = 256
	// meanAge is how old a lane's mean may be in forecasts for others.
	meanAge = 50 * time.Millisecond
	// lanePrior is how many attempts at the pace of all are added to the measurements of one origin.
	lanePrior = 2.0
)

func newLine(slots, share int) *line {
	return &line{slots: slots, share: share, lanes: make(map[string]*lane), all: pace{at: time.Now()}}
}

// lane returns the lane of an origin. It is forgotten some time if it gets no job.
func (l *line) lane(origin string) *lane {
	x := l.lanes[origin]
	if x != nil {
		return x
	}
	for name, old := range l.lanes { // any that are idle: the order of a map is random
		if len(l.lanes) < lanesKept+len(l.busy) {
			break
		}
		if old.place < 0 {
			delete(l.lanes, name)
		}
	}
	x = &lane{origin: strings.Clone(origin), place: -1, pace: pace{at: time.Now()}}
	l.lanes[x.origin] = x
	return x
}

// move says that a job has come, gone, or begun to pause.
func (l *line) move(x *lane, from, to standing) {
	l.advance(x, time.Now()) // whether anybody waits matters
	l.add(x, from, -1)
	l.add(x, to, 1)
	l.settle(x)
}

func (l *line) add(x *lane, s standing, n int) {
	switch s {
	case waits:
		x.waiting += n
		l.waiting += n
	case pauses:
		x.paused += n
		l.paused += n
	}
}

// start says that an attempt begins.
func (l *line) start(x *lane) {
	l.advance(x, time.Now())
	x.running++
	l.running++
	l.settle(x)
}

// leave says that a running attempt is done with its origin.
func (l *line) leave(x *lane) {
	l.advance(x, time.Now())
	x.past++
}

// contends tells that what an origin's attempts took time for of late was not their origin, but something that all
// share. A job that has to wait for them to end is then one that the service cannot do.
func (x *lane) contends() bool {
	return x != nil && x.running > 0 && x.pace.recent.past > 0 && 2*x.pace.recent.past >= x.pace.recent.held
}

// end says that an attempt ended, which may have been done with its origin.
func (l *line) end(x *lane, took time.Duration, past bool) {
	l.advance(x, time.Now())
	l.all.end(took, l.waiting)
	x.pace.end(took, x.waiting)
	if past {
		x.past--
	}
	x.running--
	l.running--
	l.settle(x)
}

// advance lets time pass for all, and for one lane.
func (l *line) advance(x *lane, now time.Time) {
	if dt := now.Sub(l.all.at).Seconds(); dt > 0 {
		f := math.Exp(-dt / paceRecent)
		l.usage = l.usage*f + float64(l.running)/float64(l.slots)*(1-f)
		l.all.advance(now, l.running, 0, l.waiting) // who is done with an origin matters for that only
	}
	if x != nil {
		x.pace.advance(now, x.running, x.past, x.waiting)
	}
}

// settle keeps the list of lanes with jobs.
func (l *line) settle(x *lane) {
	busy := x.waiting+x.paused+x.running > 0
	switch {
	case busy && x.place < 0:
		x.place = len(l.busy)
		l.busy = append(l.busy, x)
	case !busy && x.place >= 0:
		last := l.busy[len(l.busy)-1]
		l.busy[x.place], last.place = last, x.place
		l.busy[len(l.busy)-1] = nil
		l.busy = l.busy[:len(l.busy)-1]
		x.place = -1
	}
}

// pace returns the pace of a lane, which is that of all as long as it is not known; x may be nil.
func (l *line) pace(x *lane) pace {
	if x == nil {
		return l.all
	}
	return x.pace.with(&l.all, lanePrior)
}

// forecast is how long a job that came now would wait for a slot.
type forecast struct {
	seconds float64
	jobs    float64 // that many attempts have to end before
	known   float64 // from that many measurements
}

// enough is from how many measured attempts on a forecast is not doubted more for being young: the first visitors of a
// new release ask for a whole page of images at once, and each that is refused is a hole in the page.
const enough = 32.0

// high is a wait that is seldom exceeded: the more different the attempts, the fewer of them to wait for, and the
// fewer measured, the further above the forecast. It is four standard deviations, of what these attempts take and of
// the measured mean: the forecast is made anew for each call, and the most hopeful of thousands fills the queue.
func (f forecast) high(p *pace) float64 {
	if f.seconds == 0 {
		return 0
	}
	const sigmas = 4.0
	return f.seconds * (1 + sigmas*p.spread()*math.Sqrt(1/max(1, f.jobs)+1/max(enough, f.known)))
}

// ahead forecasts the wait for a slot that all origins share. It is 0 while nothing has been measured, or if a slot
// is free.
//
// Slots go to jobs by arrival, but to one origin no more than its share. So a job waits until the jobs before it
// have been started, those left out that their origin holds back for longer than that: they keep the slots of their
// share busy, the others have the rest.
func (l *line) ahead(now time.Time) forecast {
	l.advance(nil, now)
	if !l.all.measured() || l.running+l.waiting < l.slots {
		return forecast{}
	}
	rest := crowd{slots: l.slots, mean: l.all.mean()}
	held := l.running // slots, when all jobs have begun that may
	for _, x := range l.busy {
		x.aside = false
		if now.Sub(x.meanAt) >= meanAge { // there may be a thousand
			l.measure(x, now)
		}
		rest.add(x, 1)
		held += max(0, min(x.waiting, l.share-x.running))
	}
	if held < l.slots {
		return forecast{}
	}
	f := rest.forecast()
	for rest.slots > l.share && f.seconds > 0 {
		var longest *lane
		for _, x := range l.busy {
			if !x.aside && (longest == nil || x.own(l.share) > longest.own(l.share)) {
				longest = x
			}
		}
		if longest == nil || longest.own(l.share) <= f.seconds {
			break
		}
		longest.aside = true
		rest.slots -= l.share
		rest.add(longest, -1)
		f = rest.forecast()
	}
	f.known = l.all.known()
	return f
}

// own is how many seconds it takes until a job that came now would find a slot of its origin's share.
func (x *lane) own(share int) float64 {
	return float64(max(0, x.running+x.waiting+x.paused+1-share)) * x.mean / float64(share)
}

// longest is the wait, in seconds, for a job of the origin with the longest line.
func (l *line) longest(now time.Time) float64 {
	seconds := l.ahead(now).seconds
	for _, x := range l.busy {
		seconds = max(seconds, l.behind(x, now).seconds)
	}
	return seconds
}

// measure brings a lane's mean up to date, and returns its pace.
func (l *line) measure(x *lane, now time.Time) pace {
	l.advance(x, now)
	p := l.pace(x)
	x.mean, x.meanAt = p.mean(), now
	return p
}

// behind forecasts the wait for a slot of an origin's share, likewise.
func (l *line) behind(x *lane, now time.Time) forecast {
	if x == nil || !l.all.measured() || x.running+x.waiting < l.share {
		return forecast{}
	}
	p := l.measure(x, now)
	return forecast{seconds: x.own(l.share), jobs: float64(x.running + x.waiting + x.paused + 1 - l.share), known: p.known()}
}

// crowd is the jobs of several lanes that share slots.
type crowd struct {
	slots                    int
	running, waiting, paused int
	work                     float64 // seconds of a slot that those waiting and paused will take
	mean                     float64 // seconds of a slot, for one of which nothing else is known
}

// add counts a lane's jobs, in or out with n = -1.
func (c *crowd) add(x *lane, n int) {
	c.running += n * x.running
	c.waiting += n * x.waiting
	c.paused += n * x.paused
	c.work += float64(n*(x.waiting+x.paused)) * x.mean
}

// forecast tells how long it takes until all these jobs, and then one more, have been started.
func (c *crowd) forecast() forecast {
	if c.running+c.waiting < c.slots {
		return forecast{} // a slot is free, so those that pause really do, and are in nobody's way now
	}
	// Of those that pause, many are back in the line by now, and the others will be soon.
	waiting := c.waiting + c.paused
	mean := c.mean
	if waiting > 0 {
		mean = c.work / float64(waiting)
	}
	seconds := (c.work + float64(c.running+1-c.slots)*mean) / float64(c.slots)
	return forecast{seconds: seconds, jobs: float64(c.running + waiting + 1 - c.slots)}
}
