package prewarm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"imgopt/prewarm/journal"
)

// RunOptions say how a plan is carried out.
type RunOptions struct {
	// Concurrency is how many calls of the Warmer run at once, at least 1.
	Concurrency int
	// Batch is how many variants of one source are given to one call of Warm at most; 0 is all of them, for a Warmer
	// that decodes a source once for all.
	Batch int
	// Verify asks for everything that is warm once more at the end.
	Verify bool
	// Journal keeps what is done; nil keeps nothing. What it holds already is not done again.
	Journal *journal.Journal
	// Target names where the variants go, for the report.
	Target string
}

// giveUpAfter is how many variants in a row, none of which could even be asked for, end a run: the target is not there.
const giveUpAfter = 8

// errGivenUp is the cause of a run that ended by itself.
var errGivenUp = errors.New("the target cannot be reached")

// outcome is what became of one variant.
type outcome struct {
	variant *Variant
	result  Result
	done    bool // false: not asked for, or interrupted
	resumed bool // done by an earlier run
	checked bool // verified, whatever came out
	untold  bool // verified, but the target does not tell whether it keeps it
}

func (o *outcome) warm() bool { return o.done && o.result.Err == nil }

// runner carries out one plan.
type runner struct {
	plan     *Plan
	warmer   Warmer
	options  RunOptions
	progress Progress
	stop     context.CancelCauseFunc

	mu       sync.Mutex // guards what follows, and the progress
	outcomes []outcome
	index    map[Key]int
	tally    Tally
	began    time.Time // of the phase
	lost     int       // variants in a row that could not be asked for
	unkept   bool      // the journal failed, and that was said
	paused   time.Time // when people were last told of a pause
	notes    []string
}

// Run makes everything of the plan warm that can be made so, and says what became of it. It ends early, with a report
// of what is done, when ctx ends or when the target is not there.
func Run(ctx context.Context, plan *Plan, w Warmer, o RunOptions, p Progress) *Report {
	started := time.Now()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &runner{plan: plan, warmer: w, options: o, progress: orQuiet(p), stop: stop, index: map[Key]int{}}
	if p, ok := w.(patient); ok {
		p.tellPauses(r.pause)
	}
	todo := r.prepare()
	r.warm(ctx, todo)
	if o.Verify && ctx.Err() == nil {
		r.verify(ctx)
	}
	return r.report(ctx, started)
}

// prepare lists the variants, and returns by source those that are not done.
func (r *runner) prepare() [][]int {
	groups := make([][]int, len(r.plan.Groups))
	for g := range r.plan.Groups {
		variants := r.plan.Groups[g].Variants
		for i := range variants {
			v := &variants[i]
			n := len(r.outcomes)
			r.index[v.key] = n
			r.outcomes = append(r.outcomes, outcome{variant: v})
			if !r.resume(&r.outcomes[n]) {
				groups[g] = append(groups[g], n)
			}
		}
	}
	r.phase(Warming, len(r.outcomes))
	if r.options.Journal != nil && r.options.Journal.Damaged > 0 {
		r.note("%s of the journal damaged; what they stood for is done again", plural(r.options.Journal.Damaged, "line"))
	}
	return groups
}

// resume takes a variant's outcome from the journal.
func (r *runner) resume(o *outcome) bool {
	if r.options.Journal == nil {
		return false
	}
	rec, ok := r.options.Journal.Done[string(o.variant.key)]
	if !ok {
		return false
	}
	o.done, o.resumed = true, true
	o.result = Result{
		State: State(rec.State), Bytes: rec.Bytes, Type: rec.Type, SourceBytes: rec.SourceBytes,
		Elapsed: time.Duration(rec.Milliseconds) * time.Millisecond,
	}
	r.tally.Resumed++
	r.count(o)
	return true
}

// phase begins a phase whose tally, but for Warming, starts at nothing.
func (r *runner) phase(p Phase, total int) {
	r.began = time.Now()
	if p != Warming {
		r.tally = Tally{Bytes: r.tally.Bytes, Saved: r.tally.Saved}
	}
	r.progress.Begin(p, total)
	r.progress.Step(r.tally)
}

func (r *runner) note(format string, args ...any) {
	text := oneLine(fmt.Sprintf(format, args...))
	r.notes = append(r.notes, text)
	r.progress.Note(text)
}

// patient is a Warmer that waits before it tries again, and says so.
type patient interface {
	tellPauses(told func(pause time.Duration, because *Failure))
}

// Pauses that are short are nobody's business, and of the others one says enough for a while.
const (
	longPause  = 2 * time.Second
	pauseEvery = 30 * time.Second
)

// pause tells people why nothing moves.
func (r *runner) pause(d time.Duration, because *Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d < longPause || !r.paused.IsZero() && time.Since(r.paused) < pauseEvery {
		return
	}
	r.paused = time.Now()
	r.progress.Note(oneLine(fmt.Sprintf("waiting %s before asking again: %v", Span(d), because)))
}

// warm asks for everything.
func (r *runner) warm(ctx context.Context, todo [][]int) {
	s := newSchedule(todo, r.options.Concurrency, r.options.Batch)
	var workers sync.WaitGroup
	for worker := range r.options.Concurrency {
		workers.Go(func() {
			for ctx.Err() == nil {
				batch := s.take(worker)
				if batch == nil {
					return
				}
				variants := make([]Variant, len(batch))
				for i, n := range batch {
					variants[i] = *r.outcomes[n].variant
				}
				r.warmer.Warm(ctx, variants, func(v Variant, result Result) { r.done(ctx, v, result) })
			}
		})
	}
	workers.Wait()
}

// interrupted reports whether an error says nothing but that the run has ended.
func interrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, ctx.Err())
}

// done takes a result.
func (r *runner) done(ctx context.Context, v Variant, result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.index[v.key]
	if !ok || r.outcomes[i].done || interrupted(ctx, result.Err) {
		return
	}
	o := &r.outcomes[i]
	o.result, o.done = result, true
	r.count(o)
	if result.Err == nil {
		r.keep(journal.Record{
			Key: string(v.key), Bytes: result.Bytes, SourceBytes: result.SourceBytes,
			Milliseconds: result.Elapsed.Milliseconds(), State: string(result.State), Type: result.Type,
		})
	}
	r.reached(result.Err)
	r.step()
}

// count adds an outcome to the tally.
func (r *runner) count(o *outcome) {
	r.tally.Done++
	if o.result.Err != nil {
		r.tally.Failed++
		return
	}
	r.tally.Bytes += o.result.Bytes
	if source := o.sourceBytes(); source > 0 {
		r.tally.Saved += source - o.result.Bytes
	}
}

// sourceBytes is the size of the source, as the Warmer tells it or as it was found; 0 if neither knows.
func (o *outcome) sourceBytes() int64 {
	if o.result.SourceBytes > 0 {
		return o.result.SourceBytes
	}
	return o.variant.SourceBytes
}

func (r *runner) step() {
	r.tally.Elapsed = time.Since(r.began)
	r.progress.Step(r.tally)
}

// reached ends the run when nothing can be reached any more. Everything else would fail too, only slowly.
func (r *runner) reached(err error) {
	var f *Failure
	if !errors.As(err, &f) || f.Reason != ReasonUnreachable {
		r.lost = 0
		return
	}
	if r.lost++; r.lost == giveUpAfter {
		r.note("given up: %v", f)
		r.stop(errGivenUp)
	}
}

// keep writes to the journal. Without it the work goes on, only a resumption would do it again.
func (r *runner) keep(rec journal.Record) {
	if r.options.Journal == nil || r.unkept {
		return
	}
	if err := r.options.Journal.Add(rec); err != nil {
		r.unkept = true
		r.note("what is done from now on is not kept for --resume: %v", err)
	}
}

// verify asks for everything that should be warm. What is missing has been made again by that, so that it gets a second
// chance; what is missing then as well cannot be kept warm.
func (r *runner) verify(ctx context.Context) {
	var warm []int
	for i := range r.outcomes {
		if r.outcomes[i].warm() {
			warm = append(warm, i)
		}
	}
	if warm == nil {
		return
	}
	r.phase(Verifying, len(warm))
	again := r.verifyAll(ctx, warm, false)
	r.verifyAll(ctx, again, true)
}

// verifyAll returns what is missing. If this is the last chance, that is a failure instead.
func (r *runner) verifyAll(ctx context.Context, indices []int, last bool) (missing []int) {
	var g errgroup.Group
	g.SetLimit(r.options.Concurrency)
	for _, i := range indices {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			result := r.warmer.Verify(ctx, *r.outcomes[i].variant)
			r.mu.Lock()
			defer r.mu.Unlock()
			var f *Failure
			if errors.As(result.Err, &f) && f.Reason == ReasonNotKept && !last {
				missing = append(missing, i)
				return nil
			}
			if !interrupted(ctx, result.Err) {
				r.verified(&r.outcomes[i], result)
			}
			return nil
		})
	}
	_ = g.Wait() // the functions return none
	return missing
}

// verified takes the result of a verification. Whether the variant was made or found is what the first answer said; only
// whether it is out of date is news.
func (r *runner) verified(o *outcome, result Result) {
	o.checked = true
	r.tally.Done++
	switch {
	case result.Err != nil:
		r.tally.Failed++
		o.result.Err = result.Err
		r.keep(journal.Record{Key: string(o.variant.key), Gone: true})
	case result.State == Stale:
		o.result.State = Stale
	case o.result.State == Stale:
		o.result.State = Kept
	}
	o.untold = result.Err == nil && result.State == Unknown
	r.reached(result.Err)
	r.step()
}
