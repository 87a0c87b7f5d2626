// Package valkey is the connection room: it knows where Valkey (or Redis 7 and newer) is, connects by itself, tells
// whether it is there, and keeps every caller's wait short when it is not. What is kept there is the business of the
// packages that use it.
//
// It is built on valkey-go: one client for a single server, a primary that sentinels name, or a cluster, with
// automatic pipelining, its own reconnection and its own following of redirections. Around that stand
//
//   - Open, which does not wait for a server: a Client begins down and comes up by itself;
//   - a time limit for every command, and a breaker, so that after the first few commands a server that is dead,
//     paused or too slow costs a caller nothing. Only the client's own probes find out that it is back; in a cluster
//     each part of the slots is judged by itself, so the loss of a node leaves the others in use;
//   - errors that tell what happened: ErrDown, ErrFull, ErrBusy, ErrClosed;
//   - Script, Subscribe and Key, for what scripts, sharded channels and hash tags need.
//
// Client-side caching is off and the buffers are small: a connection takes about 300 KiB.
package valkey
