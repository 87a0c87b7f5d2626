// Package jobs does identical work once, in bounded parallelism, with retries. It does not know what a job does:
// the work is a function handed to New, and a job is a key with the specification the key was made from.
//
// # The way of a job
//
//	Do ── singleflight on the key ── Queue ── pump (one per priority, bounded slots) ── work
//	                                   ↑                                                 │
//	Submit (nobody waits) ─────────────┘←────────────── backoff (no slot held) ──────────┘
//
// Everything goes through a Queue, so that who asks and who works may be different processes: Memory keeps jobs in
// this process, Filesystem also keeps those nobody waits for in a folder, where they survive a crash.
//
// # Two stages, two bounds
//
// A job first waits for an origin, which costs nothing, and then burns a CPU. If the number of jobs were bounded by
// the number of CPUs, one slow origin would hold all of them while the CPUs idle. Options.Concurrency therefore
// bounds whole jobs and is a multiple of the workers (16 by default); the work function bounds its CPU stage itself,
// and can see in Job.Priority whether somebody waits.
//
// # Whose deadline
//
// A job has its own time limit, Options.Timeout, over waiting and all attempts. A client's context only ends that
// client's waiting: the job goes on for the others. When nobody is left, a job that is not running right now is
// dropped (a queue of dead jobs helps nobody under overload), and one that runs is finished, because its result is
// worth keeping.
package jobs
