package codec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"imgopt/transform"
)

// Pool is a transform.Engine whose codecs are processes. Create it with NewPool, end it with Close.
type Pool struct {
	settings Settings
	launcher *launcher
	idle     chan *process
	closing  chan struct{}
	tries    sync.WaitGroup // jobs under way
	owners   sync.WaitGroup // replacements under way
	poison   poison
	stats    counters
	closed   sync.Once

	mu   sync.Mutex
	live map[*process]struct{}
}

var _ transform.Engine = (*Pool)(nil)

// ErrClosed is returned by Encode once the pool is closing.
var ErrClosed = errors.New("codec pool is closed")

// NewPool starts the processes and waits until all are ready.
func NewPool(s Settings) (*Pool, error) {
	switch {
	case s.Options.Workers < 1:
		return nil, fmt.Errorf("starting codec processes: workers must be at least 1, not %d", s.Options.Workers)
	case len(s.Command) == 0:
		return nil, errors.New("starting codec processes: no command")
	case s.MaxSource < 1 || s.MaxResult < 1:
		return nil, fmt.Errorf("starting codec processes: the largest source (%d) and result (%d) must be positive", s.MaxSource, s.MaxResult)
	case s.Nice < 0 || s.Nice > 19:
		return nil, fmt.Errorf("starting codec processes: nice must be 0 to 19, not %d", s.Nice)
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	l, err := newLauncher(s.Nice)
	if err != nil {
		return nil, err
	}
	p := &Pool{
		settings: s,
		launcher: l,
		idle:     make(chan *process, s.Options.Workers),
		closing:  make(chan struct{}),
		live:     map[*process]struct{}{},
	}
	for range s.Options.Workers {
		proc, err := p.launch()
		if err != nil {
			_ = p.Close()
			return nil, err
		}
		p.idle <- proc
	}
	return p, nil
}

// Restrictions says what the codec processes are denied, in one line for the log.
func (p *Pool) Restrictions() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for proc := range p.live {
		return proc.restrictions
	}
	return ""
}

// maxGone is how many processes may turn out to be dead before a job gives up.
const maxGone = 16

// Encode implements transform.Engine. A source whose process crashes is tried once more in another one; after the
// second crash it is a *transform.CodecError, at once and for ten minutes.
func (p *Pool) Encode(ctx context.Context, src []byte, spec transform.Spec) ([]byte, error) {
	if len(src) == 0 {
		return nil, &transform.CodecError{Message: "empty source"}
	}
	if p.poison.knows(src) {
		p.stats.poisoned.Add(1)
		return nil, &transform.CodecError{Message: "this source has crashed two codec processes"}
	}
	var crash error
	for crashes, gone := 0, 0; crashes < 2; {
		out, err := p.try(ctx, src, spec)
		switch {
		case errors.Is(err, errGone) && gone < maxGone: // it died idle: the next one, and no mark against the source
			gone++
		case errors.Is(err, errGone):
			return nil, fmt.Errorf("no codec process stays alive: %w", err)
		case errors.Is(err, errCrashed):
			crash = err
			crashes++
		default:
			return out, err
		}
	}
	p.poison.add(src)
	return nil, &transform.CodecError{Message: crash.Error(), Crashed: true}
}

// try runs one job in one process.
func (p *Pool) try(ctx context.Context, src []byte, spec transform.Spec) ([]byte, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.tries.Done()
	asked := time.Now()
	p.stats.waiting.Add(1)
	proc, err := p.acquire(ctx)
	p.stats.waiting.Add(-1)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	p.stats.busy.Add(1)
	out, rep, err := proc.run(ctx, src, spec, p.settings.Options.Timeout)
	p.stats.busy.Add(-1)
	result := outcomeOf(err)
	p.stats.count(result)
	if p.settings.Observe != nil {
		p.settings.Observe(Outcome{Output: spec.Output, Wait: started.Sub(asked), Wall: time.Since(started), CPU: rep.cpu, Result: result})
	}
	switch result {
	case "crashed":
		p.settings.Log.Warn("codec process ended in the middle of a job", "error", err)
	case "gone":
		p.settings.Log.Warn("codec process had ended while idle", "error", err)
	}
	p.release(proc)
	return out, err
}

func outcomeOf(err error) string {
	var codec *transform.CodecError
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errGone):
		return "gone"
	case errors.Is(err, errCrashed):
		return "crashed"
	case errors.As(err, &codec) && codec.TimedOut:
		return "timeout"
	case errors.As(err, &codec):
		return "failed"
	default:
		return "canceled"
	}
}

// enter counts a job in, unless the pool is closing.
func (p *Pool) enter() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closing:
		return ErrClosed
	default:
		p.tries.Add(1)
		return nil
	}
}

func (p *Pool) acquire(ctx context.Context) (*process, error) {
	for {
		select {
		case proc := <-p.idle:
			if !proc.dead() {
				return proc, nil
			}
			p.release(proc) // which replaces it
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for a codec: %w", context.Cause(ctx))
		case <-p.closing:
			return nil, ErrClosed
		}
	}
}

// Alive returns an error when no codec process is running: nothing new can be encoded then.
func (p *Pool) Alive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for proc := range p.live {
		if !proc.dead() {
			return nil
		}
	}
	return errors.New("no codec process is running")
}

// release gives a process back, or replaces it when it is dead or worn.
func (p *Pool) release(proc *process) {
	if !proc.dead() && !proc.worn(&p.settings) {
		p.idle <- proc
		return
	}
	if !proc.dead() {
		p.stats.recycled.Add(1)
	}
	p.forget(proc)
	p.owners.Go(p.replace)
}

// replace starts a process for the slot that lost one. A start that fails (the system is out of processes, say)
// is tried again, less and less often, until it works or the pool closes.
func (p *Pool) replace() {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		select {
		case <-p.closing:
			return
		default:
		}
		proc, err := p.launch()
		if err == nil {
			p.stats.replaced.Add(1)
			p.idle <- proc
			return
		}
		p.settings.Log.Error("a codec process cannot be started; trying again", "error", err, "in", wait)
		timer := time.NewTimer(wait)
		select {
		case <-p.closing:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

func (p *Pool) launch() (*process, error) {
	proc, err := p.launcher.start(&p.settings)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live[proc] = struct{}{}
	return proc, nil
}

func (p *Pool) forget(proc *process) {
	p.mu.Lock()
	delete(p.live, proc)
	p.mu.Unlock()
	proc.free()
}

// Close waits for the jobs under way, then ends all processes.
func (p *Pool) Close() error {
	p.closed.Do(func() {
		p.mu.Lock()
		close(p.closing)
		p.mu.Unlock()
		p.tries.Wait()  // from here on nobody holds a process
		p.owners.Wait() // nor makes one
		for proc := range p.live {
			proc.free()
		}
		clear(p.live)
		p.launcher.close()
	})
	return nil
}

// Stats is a snapshot of a pool.
type Stats struct {
	// Workers is the number of processes, Busy how many are encoding, Waiting how many calls wait for one.
	Workers, Busy, Waiting int64
	// Encoded, Failed, TimedOut, Crashed and Canceled count tries by their end (a process that was gone before it got
	// the job counts as canceled); Poisoned those refused untried.
	Encoded, Failed, TimedOut, Crashed, Canceled, Poisoned uint64
	// Replaced counts processes started after the first ones, Recycled those of them that replaced a worn one.
	Replaced, Recycled uint64
}

type counters struct {
	busy, waiting                                atomic.Int64
	encoded, failed, timedOut, crashed, canceled atomic.Uint64
	poisoned, replaced, recycled                 atomic.Uint64
}

func (c *counters) count(result string) {
	switch result {
	case "ok":
		c.encoded.Add(1)
	case "failed":
		c.failed.Add(1)
	case "timeout":
		c.timedOut.Add(1)
	case "crashed":
		c.crashed.Add(1)
	default:
		c.canceled.Add(1)
	}
}

// Stats returns what the pool is doing and has done.
func (p *Pool) Stats() Stats {
	return Stats{
		Workers: int64(p.settings.Options.Workers), Busy: p.stats.busy.Load(), Waiting: p.stats.waiting.Load(),
		Encoded: p.stats.encoded.Load(), Failed: p.stats.failed.Load(), TimedOut: p.stats.timedOut.Load(),
		Crashed: p.stats.crashed.Load(), Canceled: p.stats.canceled.Load(), Poisoned: p.stats.poisoned.Load(),
		Replaced: p.stats.replaced.Load(), Recycled: p.stats.recycled.Load(),
	}
}
