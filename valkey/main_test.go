package valkey_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

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

// open opens a client that the test closes.
func open(t testing.TB, url string, change ...func(*valkey.Options)) (*valkey.Client, *valkeytest.Log) {
	t.Helper()
	address, err := valkey.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	log := &valkeytest.Log{}
	// A time limit that a busy machine keeps; tests of time limits set their own.
	o := valkey.Options{Address: address, Prefix: "imgopt:", Timeout: 5 * time.Second, Log: log.Logger()}
	for _, f := range change {
		f(&o)
	}
	c, err := valkey.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		began := time.Now()
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("Close took %v", took)
		}
	})
	return c, log
}

// quick is the default time limit, for tests of it.
func quick(o *valkey.Options) { o.Timeout = 0 }

func up(t testing.TB, c *valkey.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.WaitUp(ctx); err != nil {
		t.Fatalf("it did not come up: %v", err)
	}
}

// waitState waits for a state that somebody else brings about.
func waitState(t testing.TB, c *valkey.Client, want valkey.State) {
	t.Helper()
	valkeytest.Eventually(t, 20*time.Second, func() error {
		if h := c.Health(); h.State != want {
			return fmt.Errorf("health: %v", h)
		}
		return nil
	})
}

func set(c *valkey.Client, key, value string) error {
	_, err := c.Do(context.Background(), key, 0, func(b valkey.Builder) valkey.Command {
		return b.Set().Key(key).Value(value).Build()
	})
	return err
}

func get(c *valkey.Client, key string) (string, error) {
	m, err := c.Do(context.Background(), key, 0, func(b valkey.Builder) valkey.Command { return b.Get().Key(key).Build() })
	if err != nil {
		return "", err
	}
	return m.ToString()
}

func mustSet(t testing.TB, c *valkey.Client, key, value string) {
	t.Helper()
	if err := set(c, key, value); err != nil {
		t.Fatalf("SET %s: %v", key, err)
	}
}

func mustGet(t testing.TB, c *valkey.Client, key, want string) {
	t.Helper()
	if got, err := get(c, key); err != nil || got != want {
		t.Fatalf("GET %s: got %q, %v, want %q", key, got, err, want)
	}
}

// wantDown ends the test unless err says that the server is not available, for one of the reasons.
func wantDown(t testing.TB, err error, reasons ...string) {
	t.Helper()
	var e *valkey.Error
	if !errors.Is(err, valkey.ErrDown) || !errors.As(err, &e) {
		t.Fatalf("got %v, want ErrDown", err)
	}
	for _, r := range reasons {
		if e.Reason == r {
			return
		}
	}
	t.Fatalf("reason %q of %v, want one of %v", e.Reason, err, reasons)
}
