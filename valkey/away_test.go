package valkey_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"imgopt/valkey"
	"imgopt/valkey/valkeytest"
)

func TestAbsentAtStart(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	s.Kill()
	began := time.Now()
	c, log := open(t, s.URL())
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Open took %v", took)
	}
	for range 1000 {
		_, err := get(c, "a")
		wantDown(t, err, "not_connected")
	}
	if took := time.Since(began); took > 4*time.Second { // less than one that waits for its time limit
		t.Errorf("1000 commands without a server took %v", took)
	}
	valkeytest.Eventually(t, 5*time.Second, func() error {
		if log.Count("\n") == 0 {
			return errors.New("nothing logged")
		}
		return nil
	})
	if h := c.Health(); h.State != valkey.Down || h.Reason != "network" || !strings.Contains(h.Detail, "refused") || !strings.HasPrefix(h.String(), "down (network) since ") {
		t.Errorf("health: %+v", h)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.WaitUp(ctx); !errors.Is(err, valkey.ErrDown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitUp: %v", err)
	}
	s.Restart()
	up(t, c)
	mustSet(t, c, "a", "1")
	if log.Count("\n") != 2 {
		t.Errorf("log: %s", log)
	}
}

func TestKilledAndRestarted(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, log := open(t, s.URL())
	up(t, c)
	for round := range 3 {
		mustSet(t, c, "a", "1")
		s.Kill()
		valkeytest.Eventually(t, 5*time.Second, func() error {
			if err := set(c, "a", "2"); err == nil {
				t.Fatal("a dead server answered")
			}
			if c.Health().State != valkey.Down {
				return errors.New("it is still up")
			}
			return nil
		})
		_, err := get(c, "a")
		wantDown(t, err, "not_connected")
		s.Restart()
		began := time.Now()
		up(t, c)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v to notice that the server is back", took)
		}
		if got := log.Count("\n"); got != 3+2*round {
			t.Fatalf("round %d: log of %d lines:\n%s", round, got, log)
		}
	}
}

// A paused server costs the first few commands their time limit and all others nothing.
func TestPaused(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, log := open(t, s.URL(), quick)
	up(t, c)
	mustSet(t, c, "a", "1")
	s.Pause()
	var slow, quick int
	var longest, total time.Duration
	for range 200 {
		began := time.Now()
		_, err := get(c, "a")
		took := time.Since(began)
		wantDown(t, err, "timeout", "not_connected")
		longest, total = max(longest, took), total+took
		if took > 50*time.Millisecond {
			slow++
		} else {
			quick++
		}
	}
	t.Logf("%d commands were slow, the longest took %v, all together %v", slow, longest, total)
	if slow > 3 || longest > 500*time.Millisecond {
		t.Errorf("%d commands were slow, the longest took %v", slow, longest)
	}
	waitState(t, c, valkey.Down)
	if h := c.Health(); h.Reason != "timeout" {
		t.Errorf("health: %+v", h)
	}
	s.Continue()
	up(t, c)
	mustGet(t, c, "a", "1")
	if log.Count("\n") != 3 {
		t.Errorf("log: %s", log)
	}
}

// A pause long enough for the connections to be given up.
func TestPausedForLong(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, _ := open(t, s.URL(), quick, func(o *valkey.Options) {
		o.SilentAfter = 200 * time.Millisecond
		o.ConnectTimeout = 200 * time.Millisecond
	})
	up(t, c)
	s.Pause()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			began := time.Now()
			_, err := get(c, "a")
			if took := time.Since(began); err == nil || took > 5*time.Second {
				t.Errorf("got %v after %v", err, took)
			}
		})
	}
	wg.Wait()
	connects := c.Stats().Connects
	valkeytest.Eventually(t, 10*time.Second, func() error { // the probes connect anew, and get no answer
		if c.Stats().Connects < connects+2 {
			return errors.New("no new connection")
		}
		return nil
	})
	s.Continue()
	up(t, c)
	mustSet(t, c, "a", "1")
}

// Many at once that find a server paused all return in time, and none of what they hold is left.
func TestPausedUnderLoad(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, _ := open(t, s.URL(), quick)
	up(t, c)
	s.Pause()
	var wg sync.WaitGroup
	for w := range 400 { // more than may be in flight
		wg.Go(func() {
			for range 50 {
				began := time.Now()
				_, err := get(c, strconv.Itoa(w))
				if took := time.Since(began); took > 5*time.Second || !errors.Is(err, valkey.ErrDown) && !errors.Is(err, valkey.ErrBusy) {
					t.Errorf("got %v after %v", err, took)
				}
			}
		})
	}
	wg.Wait()
	s.Continue()
	up(t, c)
	valkeytest.Eventually(t, 5*time.Second, func() error {
		if n := c.Stats().InFlight; n != 0 {
			return errors.New(strconv.Itoa(n) + " commands in flight")
		}
		return nil
	})
}

func TestFull(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, log := open(t, s.URL())
	up(t, c)
	mustSet(t, c, "a", "1")
	s.SetMaxMemory(1<<20, "noeviction")
	for range 20 {
		err := set(c, "b", strings.Repeat("x", 2<<20))
		var e *valkey.Error
		if !errors.Is(err, valkey.ErrFull) || !errors.As(err, &e) || e.Reason != "out_of_memory" {
			t.Fatalf("got %v, want ErrFull", err)
		}
	}
	mustGet(t, c, "a", "1")
	if c.Health().State != valkey.Up || log.Count("\n") != 1 {
		t.Errorf("a full server is not down: %s", log)
	}
	script := valkey.NewScript("return redis.call('SET', KEYS[1], ARGV[1])", true)
	if _, err := script.Run(t.Context(), c, 0, []string{"b"}, []string{"1"}); !errors.Is(err, valkey.ErrFull) {
		t.Errorf("a script: %v", err)
	}
	script = valkey.NewScript("#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], ARGV[1])", true)
	if _, err := script.Run(t.Context(), c, 0, []string{"b"}, []string{"1"}); err != nil {
		t.Errorf("a script that may: %v", err)
	}
}

// An idle connection that the server closed is no failure.
func TestConnectionClosedByTheServer(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, log := open(t, s.URL())
	up(t, c)
	for i := range 20 {
		mustGetOrNil(t, c)
		s.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		if i%2 == 0 {
			mustGetOrNil(t, c)
		}
	}
	if log.Count("\n") != 1 {
		t.Errorf("log: %s", log)
	}
}

func mustGetOrNil(t *testing.T, c *valkey.Client) {
	t.Helper()
	if _, err := get(c, "a"); err != nil && err != valkey.ErrNil {
		t.Errorf("GET: %v", err)
	}
}

// A client that begins again goes on as before, and keeps what it has where that fails.
func TestRebuild(t *testing.T) {
	s := valkeytest.Start(t, valkeytest.Options{})
	c, _ := open(t, s.URL())
	up(t, c)
	h := listen(t, c, "imgopt:{c}")
	receive(t, h.joined)
	mustSet(t, c, "a", "1")
	connects := c.Stats().Connects
	c.Rebuild()
	mustGet(t, c, "a", "1")
	receive(t, h.joined)
	if err := publish(c, "imgopt:{c}", "m"); err != nil {
		t.Error(err)
	}
	receive(t, h.messages)
	if c.Stats().Connects == connects {
		t.Error("it has its old connections")
	}
	s.Kill()
	c.Rebuild()
	s.Restart()
	up(t, c)
	valkeytest.Eventually(t, 5*time.Second, func() error { return set(c, "a", "2") })
}
