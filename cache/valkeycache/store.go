// Package valkeycache keeps entries, and the log of purges, in Valkey, where all replicas have them in common. It is a
// package of its own so that those who use package cache need not know of Valkey.
//
// An entry is one string under prefix + "{" + first digits of its key + "}…", with a time to live: the rest of its
// freshness and a configured time past that, in which it is served while it is revalidated. So Valkey needs no
// clean-up, and with maxmemory may evict whatever it likes: recommended is volatile-lfu, which takes the entries that
// are asked for least and never what has no time to live, as the purge log and a job queue on the same server. For a
// server of its own allkeys-lfu does as well; volatile-ttl works, but evicts what is due for revalidation next, not
// what is needed least. With noeviction a full server refuses new entries until old ones expire.
package valkeycache

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"imgopt/cache"
	"imgopt/valkey"
)

// Options configures a tier.
type Options struct {
	// Client is the connection; the tier does not close it.
	Client *valkey.Client
	// StaleFor is how long an entry is kept after it has become stale, by default 24 h.
	StaleFor time.Duration
	// MaxEntry is the size in bytes of the largest entry that is kept, headers included, by default 4 MiB.
	MaxEntry int64
	// Suffix ends the names of the entries, by default "e" and the version of their format: stores with different ones
	// do not see each other's entries.
	Suffix string
	// TTL, if set, is how long every entry is kept, whatever its freshness.
	TTL time.Duration
	// Timeout bounds a look-up, WriteTimeout storing an entry, by default the client's and 1 s.
	Timeout, WriteTimeout time.Duration
}

// Store is the Valkey tier. It never makes a request wait longer than its time limits, and while Valkey is known to
// be away not at all.
type Store struct {
	o      Options
	reads  chan struct{} // one for each look-up under way
	closed atomic.Bool

	hits, misses, rejected, errors, corrupt atomic.Uint64
}

var _ cache.Store = (*Store)(nil)

// maxReads is how many look-ups are under way at once. Each may bring MaxEntry bytes.
const maxReads = 64

const (
	// minTTL is how long every entry is kept: it was made for somebody who asked just now, whatever the clocks say.
	minTTL = time.Minute
	// maxTTL is far above any freshness, and what Valkey can count.
	maxTTL = 100 * 365 * 24 * time.Hour
)

// New returns a tier.
func New(o Options) (*Store, error) {
	if o.Client == nil {
		return nil, errors.New("cache: valkey tier: no client")
	}
	if o.StaleFor < 0 || o.TTL < 0 || o.MaxEntry < 0 || o.Timeout < 0 || o.WriteTimeout < 0 {
		return nil, fmt.Errorf("cache: valkey tier: StaleFor %v, TTL %v, MaxEntry %d, Timeout %v, WriteTimeout %v: must not be negative", o.StaleFor, o.TTL, o.MaxEntry, o.Timeout, o.WriteTimeout)
	}
	if o.StaleFor == 0 {
		o.StaleFor = 24 * time.Hour
	}
	if o.MaxEntry == 0 {
		o.MaxEntry = 4 << 20
	}
	if o.MaxEntry > math.MaxInt32 {
		return nil, fmt.Errorf("cache: valkey tier: MaxEntry of %d: Valkey has no values above 512 MiB", o.MaxEntry)
	}
	if o.Suffix == "" {
		o.Suffix = "e" + strconv.Itoa(cache.FormatVersion)
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = time.Second
	}
	return &Store{o: o, reads: make(chan struct{}, maxReads)}, nil
}

var (
	errClosed      = &cache.MissError{Cause: cache.ErrClosed}
	errUnavailable = &cache.MissError{Cause: cache.ErrUnavailable}
)

// key names an entry. Programs that write another format, as during an upgrade, use other names.
func (s *Store) key(k cache.Key) string {
	name := base64.RawURLEncoding.EncodeToString(k[:])
	return s.o.Client.Key(name, s.o.Suffix)
}

// Get looks k up. Whatever goes wrong is a miss.
func (s *Store) Get(ctx context.Context, k cache.Key) (*cache.Entry, error) {
	if s.closed.Load() {
		return nil, s.miss(errClosed)
	}
	if err := s.enter(ctx); err != nil {
		return nil, s.miss(err)
	}
	defer func() { <-s.reads }()
	key := s.key(k)
	m, err := s.o.Client.Do(ctx, key, s.o.Timeout, func(b valkey.Builder) valkey.Command {
		// GETRANGE, because nobody knows what somebody else may have put there
		return b.Getrange().Key(key).Start(0).End(s.o.MaxEntry).Build()
	})
	var value []byte
	if err == nil {
		value, err = m.AsBytes()
	}
	switch {
	case err == nil:
	case errors.Is(err, valkey.ErrDown), errors.Is(err, valkey.ErrBusy):
		s.errors.Add(1)
		return nil, s.miss(errUnavailable)
	case errors.Is(err, valkey.ErrClosed):
		return nil, s.miss(errClosed)
	default:
		if ctx.Err() == nil {
			s.errors.Add(1)
		}
		return nil, s.miss(&cache.MissError{Cause: err})
	}
	if len(value) == 0 {
		return nil, s.miss(cache.ErrMiss)
	}
	e, err := s.decode(k, value)
	if err != nil {
		return nil, s.miss(&cache.MissError{Cause: err})
	}
	s.hits.Add(1)
	return e, nil
}

// enter waits for a place among the look-ups under way. They leave soon, whatever Valkey does.
func (s *Store) enter(ctx context.Context) error {
	select {
	case s.reads <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.reads <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &cache.MissError{Cause: context.Cause(ctx)}
	}
}

// decode reads a value; one that is damaged is overwritten by whoever makes the entry anew.
func (s *Store) decode(k cache.Key, value []byte) (*cache.Entry, error) {
	if int64(len(value)) > s.o.MaxEntry {
		s.corrupt.Add(1)
		return nil, &cache.CorruptError{Reason: "larger than any entry"}
	}
	e, err := cache.Decode(k, value)
	if err != nil && !errors.Is(err, cache.ErrVersion) {
		s.corrupt.Add(1)
	}
	return e, err
}

func (s *Store) miss(err error) error {
	s.misses.Add(1)
	return err
}

// putScript stores an entry unless there is a later one already: of two replicas that made the same entry, the slower
// must not undo the other's work. Later is what knows more purges, or else has the later StoredAt; an entry from the
// future, made by a clock that was wrong, does not count.
//
// What is compared lies at fixed places in an encoded entry: Mark at 100, StoredAt (seconds and nanoseconds) at 60. The
// first 8 bytes tell that there is one. It returns 1 if the entry was stored.
var putScript = valkey.NewScript(`
local old = redis.call('GETRANGE', KEYS[1], 0, 107)
if #old == 108 and string.sub(old, 1, 8) == string.sub(ARGV[1], 1, 8) then
  local oldMark, mark = struct.unpack('<I8', old, 101), struct.unpack('<I8', ARGV[1], 101)
  if oldMark > mark then return 0 end
  if oldMark == mark then
    local oldSec, oldNsec = struct.unpack('<i8I4', old, 61)
    local sec, nsec = struct.unpack('<i8I4', ARGV[1], 61)
    if (oldSec > sec or oldSec == sec and oldNsec > nsec) and oldSec <= tonumber(redis.call('TIME')[1]) + 60 then
      return 0
    end
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`, true)

// Put keeps e unless a later entry is there already, which is no failure. That Valkey is away is a
// cache.ErrUnavailable, that it is full an *cache.IOError.
func (s *Store) Put(ctx context.Context, k cache.Key, e *cache.Entry) error {
	if e == nil || len(e.Body) == 0 {
		return cache.ErrEmpty
	}
	if s.closed.Load() {
		return cache.ErrClosed
	}
	if int64(len(e.Body)) > s.o.MaxEntry {
		return s.reject(ctx, k, len(e.Body))
	}
	value, err := cache.Append(make([]byte, 0, len(e.Body)+1024), k, e)
	if err != nil {
		return err
	}
	if int64(len(value)) > s.o.MaxEntry {
		return s.reject(ctx, k, len(value))
	}
	ttl := strconv.FormatInt(s.ttl(e).Milliseconds(), 10)
	_, err = putScript.Run(ctx, s.o.Client, s.o.WriteTimeout, []string{s.key(k)}, []string{valkey.Binary(value), ttl})
	return s.failure("write", err)
}

// reject forgets what a too large entry was meant to replace.
func (s *Store) reject(ctx context.Context, k cache.Key, size int) error {
	s.rejected.Add(1)
	err := fmt.Errorf("%w: %d bytes in a Valkey tier that takes %d", cache.ErrTooLarge, size, s.o.MaxEntry)
	return errors.Join(err, s.Delete(ctx, k))
}

// ttl is how long e may stay: until it is stale, and StaleFor.
func (s *Store) ttl(e *cache.Entry) time.Duration {
	if s.o.TTL > 0 {
		return min(max(s.o.TTL, time.Millisecond), maxTTL)
	}
	rest := time.Until(e.ExpiresAt) // at most some 292 years either way
	rest = min(max(rest, -maxTTL), maxTTL)
	return min(max(rest+min(s.o.StaleFor, maxTTL), minTTL), maxTTL)
}

// failure counts a failed command and says in the words of package cache what it was.
func (s *Store) failure(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, valkey.ErrClosed):
		return cache.ErrClosed
	case errors.Is(err, valkey.ErrDown), errors.Is(err, valkey.ErrBusy):
		s.errors.Add(1)
		return fmt.Errorf("%w: %w", cache.ErrUnavailable, err)
	case errors.Is(err, valkey.ErrFull):
		s.errors.Add(1)
		return &cache.IOError{Op: op, Reason: "no_space", Err: err}
	case isEnd(err):
		return fmt.Errorf("cache: %s: %w", op, err)
	default:
		s.errors.Add(1)
		return &cache.IOError{Op: op, Reason: "io", Err: err}
	}
}

// isEnd tells the caller's own end from Valkey's errors.
func isEnd(err error) bool {
	var e *valkey.Error
	return !errors.As(err, &e)
}

// Delete forgets k.
func (s *Store) Delete(ctx context.Context, k cache.Key) error {
	if s.closed.Load() {
		return cache.ErrClosed
	}
	key := s.key(k)
	_, err := s.o.Client.Do(ctx, key, s.o.Timeout, func(b valkey.Builder) valkey.Command { return b.Unlink().Key(key).Build() })
	return s.failure("remove", err)
}

// Close ends the tier, not its client.
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}

// Stats returns what the tier has done in this process. What it holds only Valkey knows.
func (s *Store) Stats() cache.Stats {
	return cache.Stats{
		Hits: s.hits.Load(), Misses: s.misses.Load(), Rejected: s.rejected.Load(), Errors: s.errors.Load(), Corrupt: s.corrupt.Load(),
	}
}
