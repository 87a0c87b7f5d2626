// Package cache keeps finished image variants: the Entry and its freshness, the Store that keeps entries, and
// the stores themselves, which are memory, a folder on disk, and a composition of tiers from fast to slow; a tier in
// Valkey is package valkeycache. Purges say which entries are not to be served any more, in this process and, by a
// log they share, in all.
//
// The package knows neither images nor HTTP. A Key names one variant, an Entry is what a client gets for it, and
// whether an entry is fresh is decided by its own ExpiresAt alone, as Next.js decides it
// (next/dist/server/image-optimizer.js: ImageOptimizerCache).
//
// A cache may lose anything at any time and is never a reason to fail a request. Therefore every error of a Get is
// a miss (errors.Is(err, ErrMiss)), whatever its cause: an absent, torn, corrupt or unreadable entry, a closed store
// or a context that ended. The cause is wrapped for logs, and counted in Stats.
package cache
