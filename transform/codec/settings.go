// Package codec runs libvips in processes of its own: a crash, a hang or a leak of a codec costs one image, never
// the service. A Pool keeps one process per worker, started ahead and replaced at once; each is this same binary
// with a hidden subcommand, without network, files or the right to start anything (sandbox.go), at a lower
// scheduling priority than the service.
//
// A process that was lost through no fault of its image costs the image nothing: the job is done in another one
// (ending.go). The service trusts nothing that a process sends (link.go).
package codec

import (
	"log/slog"
	"time"

	"imgopt/transform"
)

// Settings of a Pool.
type Settings struct {
	// Options are the engine's; Workers is the number of processes, Timeout the wall clock of one job.
	Options transform.Options
	// Command starts a codec process: the binary and the hidden subcommand.
	Command []string
	// MaxSource and MaxResult are the largest source and result, in bytes. They size the shared areas, which take
	// no memory until they are used.
	MaxSource, MaxResult int
	// MaxData limits the memory one process may allocate (RLIMIT_DATA), in bytes; 0 means no limit.
	MaxData uint64
	// Nice is added to the scheduling priority of the processes: 0 to 19, larger yields more.
	Nice int
	// MaxJobs replaces a process after that many jobs; 0 means never.
	MaxJobs int
	// MaxGrowth replaces a process whose resident memory has grown by more than that since its first job, in
	// bytes; 0 means never.
	MaxGrowth int64
	// Log gets one line per process that ended otherwise than asked.
	Log *slog.Logger
	// Observe, when set, is called after every job, on the goroutine that asked for it.
	Observe func(Outcome)
}

// Outcome is what became of one job in one process.
type Outcome struct {
	// Output is the media type asked for.
	Output string
	// Wait is the time until a process was free, Wall the time in it, CPU its processor time.
	Wait, Wall, CPU time.Duration
	// Result is "ok", "failed" (the image cannot be encoded), "timeout", "crashed", "gone" (the process was lost through
	// no fault of the image) or "canceled".
	Result string
}

// Slack is what a process gets on top of the time limit to report that it was reached, before it is killed.
const slack = 250 * time.Millisecond

// poisonFor is how long a source that killed two processes is refused without a third try.
const poisonFor = 10 * time.Minute
