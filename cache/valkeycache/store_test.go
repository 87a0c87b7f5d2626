package valkeycache_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"imgopt/cache"
	"imgopt/cache/storetest"
	"imgopt/cache/valkeycache"
	"imgopt/valkey"
	"imgopt/valkey/valkeytest"
)

func TestConforms(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	cluster := valkeytest.StartCluster(t, 3, 0, true, valkeytest.Options{})
	for name, url := range map[string]string{"single": server.URL(), "cluster": cluster.URL()} {
		t.Run(name, func(t *testing.T) {
			clients := map[cache.Store]*valkey.Client{}
			open := func(t *testing.T, c *valkey.Client) cache.Store {
				s := newStore(t, valkeycache.Options{Client: c})
				clients[s] = c
				return s
			}
			storetest.Run(t, storetest.Subject{
				Open:         func(t *testing.T) cache.Store { return open(t, connect(t, url, newPrefix())) },
				Reopen:       func(t *testing.T, s cache.Store) cache.Store { return open(t, clients[s]) },
				MayKeepLater: true,
			})
		})
	}
}

func TestTieredConforms(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	storetest.Run(t, storetest.Subject{
		Open: func(t *testing.T) cache.Store {
			return cache.NewTiered(
				cache.Tier{Name: "memory", Store: newMemory(t)},
				cache.Tier{Name: "disk", Store: newDisk(t, t.TempDir())},
				cache.Tier{Name: "valkey", Store: newStore(t, valkeycache.Options{Client: connect(t, server.URL(), newPrefix())})},
			)
		},
		MayKeepLater: true,
	})
}

func TestOptions(t *testing.T) {
	c := connect(t, valkeytest.Start(t, valkeytest.Options{}).URL(), "")
	for _, o := range []valkeycache.Options{
		{}, {Client: c, StaleFor: -1}, {Client: c, MaxEntry: -1}, {Client: c, MaxEntry: 1 << 40}, {Client: c, Timeout: -1}, {Client: c, WriteTimeout: -1},
	} {
		if _, err := valkeycache.New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// keyIn returns the only key under a prefix.
func keyIn(t *testing.T, server *valkeytest.Server, prefix string) string {
	t.Helper()
	var keys []string
	for k := range strings.SplitSeq(server.Do("KEYS", prefix+"*"), "\n") {
		if !strings.Contains(k, "{probe") {
			keys = append(keys, k)
		}
	}
	if len(keys) != 1 {
		t.Fatalf("keys: %q", keys)
	}
	return keys[0]
}

func TestTimeToLive(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	for _, tt := range []struct {
		name                     string
		freshFor, staleFor, want time.Duration
	}{
		{"fresh", 4 * time.Hour, time.Hour, 5 * time.Hour},
		{"stale", -10 * time.Minute, time.Hour, 50 * time.Minute},
		{"long stale", -10 * time.Hour, time.Hour, time.Minute},
		{"default", time.Hour, 0, 25 * time.Hour},
		{"a century", 1 << 62, 1 << 62, 100 * 365 * 24 * time.Hour},
	} {
		prefix := newPrefix()
		s := newStore(t, valkeycache.Options{Client: connect(t, server.URL(), prefix), StaleFor: tt.staleFor})
		e := storetest.Entry(1, 1, 100)
		e.ExpiresAt = time.Now().Add(tt.freshFor)
		storetest.MustPut(t, s, storetest.Key(1), e)
		ms, err := strconv.ParseInt(server.Do("PTTL", keyIn(t, server, prefix)), 10, 64)
		if got := time.Duration(ms) * time.Millisecond; err != nil || got > tt.want || got < tt.want-30*time.Second {
			t.Errorf("%s: kept for %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

func TestTooLarge(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	c := connect(t, server.URL(), prefix)
	s := newStore(t, valkeycache.Options{Client: c, MaxEntry: 10_000})
	k := storetest.Key(1)
	for i, size := range []int{10_000, 10_001} { // with and without its header
		storetest.MustPut(t, s, k, storetest.Entry(1, 1, 5000))
		if err := s.Put(t.Context(), k, storetest.Entry(1, 2, size)); !errors.Is(err, cache.ErrTooLarge) {
			t.Errorf("%d bytes: got %v, want ErrTooLarge", size, err)
		}
		storetest.MustMiss(t, s, k)
		if got := s.Stats().Rejected; got != uint64(i+1) {
			t.Errorf("%d rejected", got)
		}
	}
	// what another process may have thought small enough
	storetest.MustPut(t, newStore(t, valkeycache.Options{Client: c}), k, storetest.Entry(1, 1, 2_000_000))
	var damage *cache.CorruptError
	if err := storetest.MustMiss(t, s, k); !errors.As(err, &damage) {
		t.Errorf("a large value: %v", err)
	}
	if in, err := strconv.Atoi(server.Info("total_net_output_bytes")); err != nil || in > 1_000_000 {
		t.Errorf("the server sent %d bytes: the large value was fetched", in)
	}
}

func TestDamagedAndForeignValues(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	s := newStore(t, valkeycache.Options{Client: connect(t, server.URL(), prefix)})
	k, e := storetest.Key(1), storetest.Entry(1, 5, 1000)
	storetest.MustPut(t, s, k, e)
	key := keyIn(t, server, prefix)
	good := server.Do("GET", key)
	for i, bad := range []string{"x", good[:500], good[:60] + "\xff\xff\xff\xff\xff\xff\xff\x7f" + good[68:], good[:999] + "!" + good[1000:]} {
		server.Do("SET", key, bad)
		var damage *cache.CorruptError
		if err := storetest.MustMiss(t, s, k); !errors.As(err, &damage) {
			t.Errorf("damaged value %d: %v", i, err)
		}
		storetest.MustPut(t, s, k, e) // whatever was there
		storetest.MustHave(t, s, k, e)
	}
	server.Do("SET", key, good[:4]+"\xff"+good[5:])
	if err := storetest.MustMiss(t, s, k); !errors.Is(err, cache.ErrVersion) {
		t.Errorf("another version: %v", err)
	}
	server.Do("DEL", key)
	server.Do("LPUSH", key, "x")
	if err := storetest.MustMiss(t, s, k); err == cache.ErrMiss {
		t.Error("a list has no cause to be a miss")
	}
	var io *cache.IOError
	if err := s.Put(t.Context(), k, e); !errors.As(err, &io) || io.Reason != "io" {
		t.Errorf("over a list: %v", err)
	}
	if got := s.Stats(); got.Corrupt != 4 || got.Errors != 2 {
		t.Errorf("stats: %+v", got)
	}
}

// Of several that write at the same time the latest entry stays.
func TestLatestWins(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	var wg sync.WaitGroup
	const writers, rounds = 4, 100
	for w := range writers {
		s := newStore(t, valkeycache.Options{Client: connect(t, server.URL(), prefix)})
		wg.Go(func() {
			for i := range rounds {
				e := storetest.Entry(1, i*writers+w, 100)
				e.Mark = 1
				if err := s.Put(t.Context(), storetest.Key(1), e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s := newStore(t, valkeycache.Options{Client: connect(t, server.URL(), prefix)})
	last := storetest.Entry(1, writers*rounds-1, 100)
	last.Mark = 1
	storetest.MustHave(t, s, storetest.Key(1), last)
	// nanoseconds count as well
	e := storetest.Entry(1, writers*rounds-1, 100)
	e.StoredAt, e.Mark = e.StoredAt.Add(-1), 1
	storetest.MustPut(t, s, storetest.Key(1), e)
	storetest.MustHave(t, s, storetest.Key(1), last)
	// and one that was begun when another purge was known more than any clock
	e.Mark = 2
	storetest.MustPut(t, s, storetest.Key(1), e)
	storetest.MustPut(t, s, storetest.Key(1), last)
	storetest.MustHave(t, s, storetest.Key(1), e)
}

// An entry that a wrong clock put into the future does not stay for ever.
func TestEntryOfTheFuture(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	s := newStore(t, valkeycache.Options{Client: connect(t, server.URL(), newPrefix())})
	for ahead, stays := range map[time.Duration]bool{30 * time.Second: true, time.Hour: false} {
		future, now := storetest.Entry(1, 1, 100), storetest.Entry(1, 2, 100)
		future.StoredAt, now.StoredAt, now.Mark = time.Now().Add(ahead), time.Now(), future.Mark
		k := storetest.Key(int(ahead))
		storetest.MustPut(t, s, k, future)
		storetest.MustPut(t, s, k, now)
		if stays {
			storetest.MustHave(t, s, k, future)
		} else {
			storetest.MustHave(t, s, k, now)
		}
	}
}

func TestAway(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	c := connectWithin(t, server.URL(), newPrefix(), 0)
	s := newStore(t, valkeycache.Options{Client: c})
	k, e := storetest.Key(1), storetest.Entry(1, 1, 1000)
	storetest.MustPut(t, s, k, e)
	for name, lose := range map[string]func(){"paused": server.Pause, "killed": server.Kill} {
		lose()
		var longest, total time.Duration
		for range 200 {
			began := time.Now()
			if err := storetest.MustMiss(t, s, k); !errors.Is(err, cache.ErrUnavailable) {
				t.Fatalf("%s: %v", name, err)
			}
			longest, total = max(longest, time.Since(began)), total+time.Since(began)
			if err := s.Delete(t.Context(), k); !errors.Is(err, cache.ErrUnavailable) {
				t.Fatalf("%s: Delete: %v", name, err)
			}
		}
		if longest > 400*time.Millisecond || total > 1200*time.Millisecond {
			t.Errorf("%s: the longest look-up took %v, all %v", name, longest, total)
		}
		if err := s.Put(t.Context(), k, e); !errors.Is(err, cache.ErrUnavailable) {
			t.Errorf("%s: Put: %v", name, err)
		}
		if name == "paused" {
			server.Continue()
		} else {
			server.Restart()
		}
		waitUp(t, c)
		storetest.MustPut(t, s, k, e)
		storetest.MustHave(t, s, k, e)
	}
	if s.Stats().Errors == 0 {
		t.Error("no error was counted")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := storetest.MustMiss(t, s, k); !errors.Is(err, cache.ErrClosed) {
		t.Errorf("with a closed client: %v", err)
	}
	if err := s.Put(t.Context(), k, e); !errors.Is(err, cache.ErrClosed) {
		t.Errorf("Put with a closed client: %v", err)
	}
}

func TestFull(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	s := newStore(t, valkeycache.Options{Client: connect(t, server.URL(), newPrefix())})
	storetest.MustPut(t, s, storetest.Key(0), storetest.Entry(0, 1, 1000))
	server.SetMaxMemory(1<<20, "noeviction")
	var io *cache.IOError
	if err := s.Put(t.Context(), storetest.Key(1), storetest.Entry(1, 1, 1000)); !errors.As(err, &io) || io.Reason != "no_space" {
		t.Errorf("a full server: %v", err)
	}
	storetest.MustHave(t, s, storetest.Key(0), storetest.Entry(0, 1, 1000))
	if got := s.Stats(); got.Errors != 1 || got.Hits != 1 {
		t.Errorf("stats: %+v", got)
	}
}

// With eviction there is always room, and what is left is whole.
func TestEviction(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	for _, policy := range []string{"volatile-lfu", "allkeys-lfu", "allkeys-lru", "volatile-ttl"} {
		prefix := newPrefix()
		c := connect(t, server.URL(), prefix)
		s := newStore(t, valkeycache.Options{Client: c})
		server.SetMaxMemory(16<<20, policy)
		const n = 400 // 16 MiB take less than 300
		for i := range n {
			e := storetest.Entry(i, 1, 60_000)
			e.ExpiresAt = time.Now().Add(time.Hour)
			if err := s.Put(t.Context(), storetest.Key(i), e); err != nil {
				t.Fatalf("%s: entry %d: %v", policy, i, err)
			}
		}
		found := 0
		for i := range n {
			if e, err := s.Get(t.Context(), storetest.Key(i)); err == nil {
				found++
				if string(e.Body) != string(storetest.Entry(i, 1, 60_000).Body) {
					t.Errorf("%s: entry %d is another", policy, i)
				}
			} else if err != cache.ErrMiss {
				t.Errorf("%s: %v", policy, err)
			}
		}
		if found < 50 || found >= n {
			t.Errorf("%s: %d of %d are left", policy, found, n)
		}
		if policy == "volatile-lfu" { // the purges are not evicted
			if _, _, err := valkeycache.NewPurges(c).Append(t.Context(), cache.Purge{All: true}, 1); err != nil {
				t.Error(err)
			}
		}
		server.Do("FLUSHALL", "SYNC")
	}
}

// A value takes little more than the image.
func TestCompact(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	prefix := newPrefix()
	s := newStore(t, valkeycache.Options{Client: connect(t, server.URL(), prefix)})
	e := storetest.Entry(1, 1, 45_000)
	storetest.MustPut(t, s, storetest.Key(1), e)
	var used int
	if _, err := fmt.Sscan(server.Do("MEMORY", "USAGE", keyIn(t, server, prefix)), &used); err != nil || used > 45_000*5/4 {
		t.Errorf("it takes %d bytes, %v", used, err)
	}
}

// Those who find as many look-ups under way as may be wait, no longer than they want to, and then get theirs.
func TestManyLookups(t *testing.T) {
	server := valkeytest.Start(t, valkeytest.Options{})
	s := newStore(t, valkeycache.Options{Client: connect(t, server.URL(), newPrefix()), Timeout: 20 * time.Second})
	storetest.MustPut(t, s, storetest.Key(1), storetest.Entry(1, 1, 1000))
	server.Pause()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if _, err := s.Get(t.Context(), storetest.Key(1)); err != nil {
				t.Errorf("Get: %v", err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Get(ctx, storetest.Key(1)); !errors.Is(err, cache.ErrMiss) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get: %v", err)
	}
	server.Continue()
	wg.Wait()
}
