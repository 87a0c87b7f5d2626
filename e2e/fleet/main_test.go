//go:build e2e

package fleet

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// full is FLEET_FULL=1: as often and as long as it takes to be sure, instead of as short as it takes to notice.
func full() bool { return os.Getenv("FLEET_FULL") == "1" }

// choose returns the first value, or with FLEET_FULL=1 the second.
func choose[T any](short, long T) T {
	if full() {
		return long
	}
	return short
}

// patience is how long a test waits for what should happen soon, on a machine that may be busy.
const patience = 30 * time.Second

// eventually waits until f returns nil.
func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	within(t, patience, what, f)
}

// within waits until f returns nil, no longer than the limit, and returns how long it took.
func within(t testing.TB, limit time.Duration, what string, f func() error) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		err := f()
		took := time.Since(began)
		switch {
		case err == nil:
			return took
		case took > limit:
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		time.Sleep(10 * time.Millisecond) // what other processes do cannot be waited for in another way
	}
}
