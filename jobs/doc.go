// Package jobs does identical work once, in bounded parallelism, with retries. It does not know what a job does:
// the work is a function handed to New, and a job is a key with the specification the key was made from.
//
// # The way of a job
//
//	Do ── admission ── singleflight on the key ── Queue ── pump (one per priority, bounded slots) ── work
//	                                                ↑                                                 │
//	Submit (nobody waits) ──────────────────────────┘←────────────── backoff (no slot held) ──────────┘
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
// # Who is admitted
//
// A call that joins a job which runs, or which somebody waits for, is always admitted. A new job that somebody is to
// wait for is refused, before anything is queued, with 503 and a time to come again
//   - "queue_wait" or "origin_queue_wait": the estimated wait for a slot, with a margin for how sure the estimate is,
//     and what an attempt usually takes, exceed the smaller of the caller's deadline and Options.Timeout. (A job that
//     was submitted and still waits in the background is a new one in this: it would begin at the end of the line.)
//   - "queue_full" or "origin_queue_full": there is no room (Limits).
//
// The estimate goes by the jobs before it and the pace at which slots really become free (pace, line). As long as
// nothing has been measured, and whenever a slot is free, nobody is refused for the wait; so refusals end by themselves
// as soon as the line is short enough. A queued job whose turn comes when its time is all but over is not begun, and
// one that failed is not tried again if its next turn would come too late. Background jobs are refused only if there
// is no room.
//
// # Whose turn it is
//
// Slots go to jobs in the order in which they became ready, whatever their origin; but the jobs of one origin hold no
// more than its share of the slots (Options.OriginShare), and those beyond it are passed over. So a slow origin can
// neither hold all slots nor hold up others. Arrival order is fair to requests. Taking turns between origins would be
// fair to origins, and a stranger who may name any host (a pattern with a wildcard) could then put a thousand of them
// before everybody else's second image.
//
// Background jobs begin only while no job of a person could, in slots of their own. People's jobs that only their
// origin holds back do not hold up background jobs of other origins. A background job that somebody begins to wait
// for moves to the end of the people's line, or keeps the pause before its retry and then does.
//
// # Saturation
//
// Stats.SaturatedFor tells for how long people's jobs have been refused for reasons that all origins share. An origin
// that is slow, or floods the queue, does not make the service saturated: a refusal for its own share counts only
// where its attempts are mostly past their origin (LeaveOrigin).
//
// # Traces
//
// With a span in the context of Do, and Options.Tracer, a job's waiting and its attempts are spans below it, in whichever
// process they are (Item.Trace). A call that joins a job has a link to the attempt, or where that is elsewhere to the
// call that it is done for. A background job begins a trace of its own, with a link to what submitted it.
//
// # Whose deadline
//
// A job has its own time limit, Options.Timeout, over waiting and all attempts. A client's context only ends that
// client's waiting: the job goes on for the others. When nobody is left, a job that is not running right now is
// dropped (a queue of dead jobs helps nobody under overload), and one that runs is finished, because its result is
// worth keeping.
package jobs
