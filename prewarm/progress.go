package prewarm

import "time"

// Phase is what is being done.
type Phase string

// The phases, in their order.
const (
	Looking   Phase = "looking"   // reading builds, pages and lists
	Measuring Phase = "measuring" // asking for the sizes of sources
	Warming   Phase = "warming"   // asking for variants
	Verifying Phase = "verifying" // asking for them once more
)

// Progress is told what happens, never by two goroutines at the same time. It must not block: the work waits for it.
type Progress interface {
	// Begin says that a phase has begun. total is how many steps are ahead, 0 if that is not known.
	Begin(phase Phase, total int)
	// Step says how far the phase is.
	Step(Tally)
	// Note is something that people should know at once: one line.
	Note(text string)
}

// Tally is how far a phase is.
type Tally struct {
	// Done is how many steps are done, in Looking pages; Failed and Resumed are among them. Resumed were done by an
	// earlier run.
	Done, Failed, Resumed int
	// Found is, in Looking, how many different requests and sources have been found.
	Found int
	// Bytes is the size of the variants that are warm. Saved is by how much they are smaller than their sources, as far
	// as the sizes of those are known.
	Bytes, Saved int64
	// Elapsed is the time since the phase began.
	Elapsed time.Duration
}

// quiet is the Progress of who wants none.
type quiet struct{}

func (quiet) Begin(Phase, int) {}
func (quiet) Step(Tally)       {}
func (quiet) Note(string)      {}

func orQuiet(p Progress) Progress {
	if p == nil {
		return quiet{}
	}
	return p
}
