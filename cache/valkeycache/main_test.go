package valkeycache_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"imgopt/cache"
	"imgopt/cache/valkeycache"
	"imgopt/valkey"
	"imgopt/valkey/valkeytest"
)

func TestMain(m *testing.M) {
	// tests of several servers wait for these most of the time
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, valkeytest.Leaks()...)
}

var prefixes atomic.Int64

// newPrefix keeps tests that share a server apart.
func newPrefix() string { return fmt.Sprintf("test%d:", prefixes.Add(1)) }

// connect opens a client that is up. Its time limits are such that a busy machine keeps them.
func connect(t testing.TB, url, prefix string) *valkey.Client {
	t.Helper()
	return connectWithin(t, url, prefix, 5*time.Second)
}

// connectWithin is connect with a time limit, 0 for the default.
func connectWithin(t testing.TB, url, prefix string, limit time.Duration) *valkey.Client {
	t.Helper()
	address, err := valkey.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c, err := valkey.Open(valkey.Options{Address: address, Prefix: prefix, Timeout: limit, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing the client: %v", err)
		}
	})
	waitUp(t, c)
	return c
}

func waitUp(t testing.TB, c *valkey.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.WaitUp(ctx); err != nil {
		t.Fatal(err)
	}
}

func newStore(t testing.TB, o valkeycache.Options) *valkeycache.Store {
	t.Helper()
	if o.WriteTimeout == 0 && o.Timeout == 0 {
		o.WriteTimeout = 5 * time.Second
	}
	s, err := valkeycache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newMemory(t testing.TB) *cache.Memory {
	t.Helper()
	m, err := cache.NewMemory(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newDisk(t testing.TB, path string) *cache.Disk {
	t.Helper()
	d, err := cache.OpenDisk(cache.DiskOptions{Path: path, MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return d
}
