package codec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"imgopt/tracing"
	"imgopt/transform"
)

// Pool is a transform.Engine whose codecs are processes. Create it with NewPool, end it with Close.
type Pool struct {
	settings Settings
	launcher *launcher
	idle     chan *process
	ends     chan struct{} // a process has ended
	closing  chan struct{}
	tries    sync.WaitGroup // jobs under way
	owners   sync.WaitGroup // replacements under way, and watchIdle
	poison   poison
	stats    counters
	oom      oomKills
	closed   sync.Once

	mu   sync.Mutex
	live map[*process]struct{}
}

var _ transform.MultiEngine = (*Pool)(nil)

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
	p := &Pool{
		settings: s,
		idle:     make(chan *process, s.Options.Workers),
		ends:     make(chan struct{}, 1),
		closing:  make(chan struct{}),
		oom:      oomKills{path: "/proc/vmstat"},
		live:     map[*process]struct{}{},
	}
	l, err := newLauncher(s.Nice, p.processEnded)
	if err != nil {
		return nil, err
	}
	p.launcher = l
	failed := make(chan error, s.Options.Workers)
	for range s.Options.Workers {
		p.owners.Go(func() {
			proc, err := p.launch()
			if err != nil {
				failed <- err
				return
			}
			p.idle <- proc
		})
	}
	p.owners.Wait()
	close(failed)
	if err := <-failed; err != nil {
		_ = p.Close()
		return nil, err
	}
	p.owners.Go(p.watchIdle)
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

// Encode implements transform.Engine. A source whose process crashes is tried once more in another one; after the
// second crash it is a *transform.CodecError, at once and for ten minutes. A process that was killed or stopped from
// outside costs nothing but time.
func (p *Pool) Encode(ctx context.Context, src []byte, spec transform.Spec) ([]byte, error) {
	if len(src) == 0 {
		return nil, &transform.CodecError{Message: "empty source"}
	}
	if err := p.poisoned(src); err != nil {
		return nil, err
	}
	var past attempts
	for {
		out, err := p.try(ctx, src, spec)
		again, err := past.judge(err)
		if !again {
			var codec *transform.CodecError
			if errors.As(err, &codec) && codec.Crashed {
				p.poison.add(src)
			}
			return out, err
		}
	}
}

// poisoned returns the error for a source that is not tried any more.
func (p *Pool) poisoned(src []byte) error {
	if !p.poison.knows(src) {
		return nil
	}
	p.stats.poisoned.Add(1)
	return &transform.CodecError{Message: "this source has crashed two codec processes", Crashed: true, Poisoned: true}
}

// try runs one job in one process.
func (p *Pool) try(ctx context.Context, src []byte, spec transform.Spec) ([]byte, error) {
	proc, begun, err := p.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer p.tries.Done()
	out, rep, err := proc.run(ctx, src, spec, p.settings.Options.Timeout, &p.oom)
	if span := tracing.Of(ctx); span.Recording() { // the one of the transformation
		span.Set(attribute.Float64("imgopt.codec.wait", begun.wait.Seconds()), attribute.Float64("imgopt.codec.cpu", rep.cpu.Seconds()))
	}
	if s := transform.StagesOf(ctx); s != nil {
		*s = rep.stages
	}
	p.finished(&begun, spec, rep, err)
	p.end(proc)
	return out, err
}

// begun is a job that has got its process.
type begun struct {
	wait time.Duration // until a process was free
	at   time.Time     // when its next result began to be made
}

// begin waits for a process. Unless it fails, end gives the process back, and the job is counted out of tries then.
func (p *Pool) begin(ctx context.Context) (*process, begun, error) {
	if err := p.enter(); err != nil {
		return nil, begun{}, err
	}
	asked := time.Now()
	p.stats.waiting.Add(1)
	proc, err := p.acquire(ctx)
	p.stats.waiting.Add(-1)
	now := time.Now()
	p.stats.waited.Add(int64(now.Sub(asked)))
	if err != nil {
		p.tries.Done()
		return nil, begun{}, err
	}
	p.stats.begin(now)
	return proc, begun{wait: now.Sub(asked), at: now}, nil
}

// finished counts a result, or what there is instead.
func (p *Pool) finished(b *begun, spec transform.Spec, rep reply, err error) {
	now := time.Now()
	result := outcomeOf(err)
	p.stats.count(result)
	if p.settings.Observe != nil {
		p.settings.Observe(Outcome{Output: spec.Output, Wait: b.wait, Wall: now.Sub(b.at), CPU: rep.cpu, Result: result})
	}
	if result == "crashed" || result == "gone" {
		p.note(err)
	}
	b.wait, b.at = 0, now
}

// end gives a process back.
func (p *Pool) end(proc *process) {
	p.stats.end(time.Now())
	killed := proc.doomed // from here on it may be another goroutine's
	p.release(proc)
	if killed {
		proc.awaitEnd(reapGrace) // whoever counts memory may take this job's to be free when Encode returns
	}
}

// note counts and logs a process that was lost.
func (p *Pool) note(err error) {
	if errors.Is(err, errStopped) {
		p.stats.stopped.Add(1)
	}
	p.settings.Log.Warn("a codec process was lost", "error", err)
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

// acquire waits for a process that is fit for a job. What is not is replaced.
func (p *Pool) acquire(ctx context.Context) (*process, error) {
	for {
		select {
		case proc := <-p.idle:
			err := proc.check()
			if err == nil {
				return proc, nil
			}
			p.keepIf(proc, err)
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
		if !proc.ended() {
			return nil
		}
	}
	return errors.New("no codec process is running")
}

// release gives a process back, or replaces it when it is dead or worn. The next one is started while the kernel is
// still tearing down the last one's memory, which can take longer than the start.
func (p *Pool) release(proc *process) {
	if !proc.dead() && !proc.worn(&p.settings) {
		p.idle <- proc
		return
	}
	failures := 0
	if proc.dead() {
		failures = proc.failures()
	} else {
		p.stats.recycled.Add(1)
	}
	p.mu.Lock()
	delete(p.live, proc)
	p.mu.Unlock()
	p.owners.Go(proc.free)
	p.owners.Go(func() { p.replace(failures) })
}

// replace starts a process for the slot that lost one, after so many starts in vain. A start that fails (the system is
// out of processes, say) is tried again, less and less often, until it works or the pool closes.
func (p *Pool) replace(failures int) {
	for ; ; failures++ {
		timer := time.NewTimer(pause(failures))
		select {
		case <-p.closing:
			timer.Stop()
			return
		case <-timer.C:
		}
		proc, err := p.launch()
		if err == nil {
			p.stats.replaced.Add(1)
			proc.failed = failures
			p.idle <- proc
			return
		}
		if errors.Is(err, errStopped) {
			p.stats.stopped.Add(1)
		}
		p.settings.Log.Error("a codec process cannot be started; trying again", "error", err, "in", pause(failures+1))
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

// Close waits for the jobs under way, then ends all processes.
func (p *Pool) Close() error {
	p.closed.Do(func() {
		p.mu.Lock()
		close(p.closing)
		p.mu.Unlock()
		p.tries.Wait()  // from here on nobody holds a process
		p.owners.Wait() // nor makes one
		for proc := range p.live {
			proc.kill()
		}
		for proc := range p.live {
			proc.free()
		}
		clear(p.live)
		p.launcher.close()
	})
	return nil
}
