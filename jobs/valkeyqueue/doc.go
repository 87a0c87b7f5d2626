// Package valkeyqueue is the queue of processes that share their work: a jobs.Remote in Valkey (8 or newer) or Redis (7
// or newer). It is a package of its own so that those who use package jobs need not know of Valkey.
//
// # What is in the server
//
// All names of one queue have one hash tag, made of the pipeline's version: every script works in one place of a cluster,
// and processes of different versions do not see each other's jobs. With B for that beginning:
//
//	B s<p><shard>  stream of the jobs of a priority, with the consumer group w; an entry holds a job's key
//	B d<p>         sorted set of the jobs that wait for their next attempt, by the time it may begin
//	B j<key>       hash, the job's record: state, item, attempts, deadline, lease, and the replicas that wait for it
//	B o<key>       how a job ended, for some seconds
//	B r, B l       sorted sets of the replicas, and of those that work, by the time they were last heard of
//	B m            hash: the last tick, the pace
//	B x            stream of dead letters, the last 1,000 or so
//
// A job is one entry of one stream (or a member of a sorted set), from when it is enqueued until it ends. A lease is the
// entry's place in the group's list of pending entries; it is claimed with an idle time such that XAUTOCLAIM finds what
// has expired. A job that goes back to its line becomes a new entry at its end. Each change is one script, so nothing is
// ever half done; what a script changes is also in the append-only file, and in replicas, completely or not at all.
//
// None of these names has a time to live except outcomes: a server that evicts what may expire (maxmemory-policy
// volatile-*) takes cache entries and leaves jobs alone. One that evicts anything (allkeys-*) may take jobs: those who
// wait for them notice and enqueue them again, background jobs are gone. Queues of versions that nobody has used for a
// day are deleted by those of other versions, which know them from a registry.
//
// # What can go wrong
//
// The server is away, slow, or refuses: calls fail with jobs.ErrUnavailable within their time limits, at once if that is
// known, and Up is false until a beat succeeds. Memory is full: only Enqueue fails. The server forgets, or a fail-over
// loses the last moments: those who wait look every two seconds, and after each lost connection, and get Ending.Lost. An
// answer is lost: a job that was leased unknowingly is found by the next beats and handed back, one that was enqueued
// unknowingly is withdrawn, an end that could not be told is told later. A process dies: see Time.
//
// A user of the server needs, on keys and channels that begin with the client's prefix, the commands of the categories
// scripting, stream, hash, sortedset, string, keyspace and connection, and TIME, SSUBSCRIBE, SUNSUBSCRIBE and SPUBLISH.
//
// # Origins
//
// Jobs are spread over 8 shards by their origin. Limits of an origin apply to its shard: two origins in one shard share
// what one may have.
//
// # Time
//
// Only the server's clock is used; times go to it and come from it as durations. A replica that has not been heard of for
// five beats is dead, and what it had leased is given back at once, the attempt counted. After the server itself was
// away, everybody gets the full time to be heard of again.
package valkeyqueue
