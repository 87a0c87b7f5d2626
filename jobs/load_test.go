package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"imgopt/failure"
	"imgopt/jobs"
)

// load is a simulation of open-loop load: calls come whether earlier ones are answered or not, as they do from the
// internet. An attempt first waits for its origin and then for one of few CPUs, as in the service.
type load struct {
	*rig
	rand *rand.Rand
	cpus chan struct{} // first come, first served

	mu      sync.Mutex
	calls   []call
	burning time.Duration // CPU time used
	next    int
	all     sync.WaitGroup
}

// draw is how long something takes.
type draw func(*rand.Rand) time.Duration

// exactly is always the same.
func exactly(d time.Duration) draw { return func(*rand.Rand) time.Duration { return d } }

// mixed is mostly short and seldom long, each within a half.
func mixed(short, long time.Duration, shareLong float64) draw {
	return func(r *rand.Rand) time.Duration {
		d := short
		if r.Float64() < shareLong {
			d = long
		}
		return time.Duration((0.5 + r.Float64()) * float64(d))
	}
}

// stream is calls of one kind.
type stream struct {
	origin string  // "" for relative urls
	rate   float64 // calls a second
	fetch  draw
	burn   draw
	budget time.Duration // of the caller, besides Options.Timeout; 0: none
	leave  time.Duration // mean patience of callers that leave early; 0: they stay
}

// call is what became of one.
type call struct {
	*stream
	at   time.Time
	took time.Duration
	err  error
}

var errImpatient = errors.New("the caller left")

func newLoad(t *testing.T, seed uint64, cpus int, change ...func(*jobs.Options)) *load {
	l := &load{rand: rand.New(rand.NewPCG(seed, 0)), cpus: make(chan struct{}, cpus)}
	l.rig = start(t, l.work, append([]func(*jobs.Options){func(o *jobs.Options) {
		*o = jobs.Defaults(cpus)
		o.Log = quiet
	}}, change...)...)
	return l
}

// work is an attempt. Width and quality say, in nanoseconds, how long it takes.
func (l *load) work(ctx context.Context, j jobs.Job) (string, error) {
	if _, err := takes(time.Duration(j.Spec.Width))(ctx, j); err != nil {
		return "", err
	}
	jobs.LeaveOrigin(ctx)
	select {
	case l.cpus <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-l.cpus }()
	burn := time.Duration(j.Spec.Quality)
	time.Sleep(burn)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.burning += burn
	return j.Spec.Href, nil
}

// begin makes one call.
func (l *load) begin(s *stream) {
	l.next++
	spec := jobs.Spec{Href: fmt.Sprintf("%s/%d.png", s.origin, l.next), Absolute: s.origin != "",
		Width: int(s.fetch(l.rand)), Quality: int(s.burn(l.rand))}
	c := call{stream: s, at: time.Now()}
	ctx, cancel := context.WithCancelCause(context.Background())
	ends := []func(){func() { cancel(nil) }}
	if s.leave > 0 {
		timer := time.AfterFunc(time.Duration(float64(s.leave)*l.rand.ExpFloat64()), func() { cancel(errImpatient) })
		ends = append(ends, func() { timer.Stop() })
	}
	if s.budget > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, s.budget)
		ends = append(ends, end)
	}
	l.all.Go(func() {
		_, _, c.err = l.Do(ctx, jobs.Job{Key: jobs.KeyOf("load", spec), Spec: spec})
		c.took = time.Since(c.at)
		for _, end := range ends {
			end()
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls = append(l.calls, c)
	})
}

// run makes the calls of the streams at random moments, their rates changed by a factor, and looks at the state every
// now and then.
func (l *load) run(d time.Duration, factor float64, streams []*stream, look func(jobs.Stats)) {
	total := 0.0
	for _, s := range streams {
		total += s.rate * factor
	}
	end, looked := time.Now().Add(d), time.Now()
	for {
		time.Sleep(time.Duration(l.rand.ExpFloat64() / total * float64(time.Second)))
		if !time.Now().Before(end) {
			return
		}
		if time.Since(looked) >= 50*time.Millisecond {
			looked = time.Now()
			synctest.Wait()
			look(l.stats())
		}
		pick := l.rand.Float64() * total
		for _, s := range streams {
			if pick -= s.rate * factor; pick < 0 {
				l.begin(s)
				break
			}
		}
	}
}

// burned is the CPU time used so far.
func (l *load) burned() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.burning
}

// tally is what became of many calls.
type tally struct {
	calls, left, refused, accepted, ok int
	reasons                            map[string]int // of those refused, and of those accepted that were not done in time
	lastRefusal                        time.Time
	p99                                time.Duration // of those that were done
}

// tally sums up the calls since a moment, of one stream or of all (nil). It checks that those refused were told so at
// once, and when to come again.
func (l *load) tally(since time.Time, of *stream) tally {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	y := tally{reasons: map[string]int{}}
	var took []time.Duration
	for _, c := range l.calls {
		if c.at.Before(since) || of != nil && c.stream != of {
			continue
		}
		y.calls++
		f := failure.From(c.err)
		switch {
		case errors.Is(c.err, errImpatient):
			y.left++
		case f == nil:
			y.accepted++
			y.ok++
			took = append(took, c.took)
		case f.Status == 503:
			y.refused++
			y.reasons[f.Reason]++
			if c.at.After(y.lastRefusal) {
				y.lastRefusal = c.at
			}
			if c.took != 0 || f.RetryAfter < time.Second || f.RetryAfter > 30*time.Second {
				l.t.Errorf("refused after %v with RetryAfter %v", c.took, f.RetryAfter)
			}
		default:
			y.accepted++
			y.reasons[f.Reason]++
		}
	}
	if slices.Sort(took); len(took) > 0 {
		y.p99 = took[len(took)*99/100]
	}
	return y
}

// inTime is the share of the accepted calls that were done.
func (y tally) inTime() float64 { return float64(y.ok) / float64(max(1, y.accepted)) }

func (y tally) String() string {
	return fmt.Sprintf("%d calls: %d left, %d refused, %d accepted, %.2f %% of them done in time, p99 %v; %v",
		y.calls, y.left, y.refused, y.accepted, 100*y.inTime(), y.p99.Round(time.Millisecond), y.reasons)
}
